import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { PinnedState } from '../../server/backend/backend.ts';
import type { StoreRange, StoreRecord } from '../../server/backend/ordered-store.ts';
import { roomForSeal } from '../../server/backend/record.ts';
import { prefix } from '../../server/backend/schema.ts';
import { silentLogger } from '../../server/base/logger.ts';
import { encodeVersion } from '../../server/mvcc/record-codec.ts';
import { revisionKey } from '../../server/mvcc/revision.ts';
import { ClientListener } from '../../server/transport/client-listener.ts';
import { FakeMember } from '../server/api/fake-member.ts';
import { FakeS3 } from '../support/fake-s3.ts';
import { memoryOf } from '../support/process-memory.ts';
import { programPath } from '../support/programs.ts';
import { freePort } from '../support/server-process.ts';
import { isWhole } from '../support/whole.ts';

// A backup of much data, as it runs in a pod: what it takes in memory does not grow with it, but for some bytes a key.

const mebibyte = 1024 * 1024;
const valueBytes = 2_000;
/** With all of Node. */
const memoryMebibytesMax = 256;
const ctlMain = programPath('server/ctl/main');

/** A state that exists only while it is read: so many keys of one version each. */
function stateOf(keys: number): PinnedState {
  const noise = randomBytes(mebibyte);
  const record = (number: number): StoreRecord => {
    const start = (number * 997) % (noise.length - valueBytes);
    const { record: roomy } = encodeVersion({
      key: `a key of some length/${number}`,
      createRevision: number + 2,
      modRevision: number + 2,
      version: 1,
      lease: 0n,
      value: noise.subarray(start, start + valueBytes),
    });
    return [revisionKey(number + 2, 0), roomy.subarray(0, roomy.length - roomForSeal)];
  };
  const state = {
    applied: { index: 5, term: 1 },
    get: () => undefined,
    release: () => {},
    async *scan({ gte }: StoreRange): AsyncGenerator<readonly StoreRecord[]> {
      if (gte?.[0] !== prefix.revision) return;
      for (let from = 0; from < keys; from += 200) {
        // As a store on disk, which others are served beside.
        await nextTurn();
        const count = Math.min(200, keys - from);
        yield Array.from({ length: count }, (_, at) => record(from + at));
      }
    },
  };
  return state as unknown as PinnedState;
}

suite('a backup of much data', { timeout: 30 * 60_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-large-'));
  const keyFile = join(directory, 'key');
  const member = new FakeMember();
  let endpoint = '';
  let stop: () => Promise<void> = async () => {};

  before(async () => {
    mkdirSync(join(directory, 'target'));
    writeFileSync(keyFile, randomBytes(32));
    endpoint = `http://127.0.0.1:${await freePort()}`;
    const listener = await ClientListener.open(
      { port: member, logger: silentLogger },
      { listenClientUrls: [endpoint], requestBytesMax: 1_000_000, txnOpsMax: 128 },
    );
    stop = () => listener.stop();
  });
  after(async () => {
    await stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Runs a command on a backup of so many keys. */
  async function run(command: string, keys: number, flags: readonly string[]) {
    member.pin = () => stateOf(keys);
    const endpoints = ['--endpoints', `${endpoint},${endpoint}`];
    const line = [...endpoints, 'backup', command, ...flags, '-w', 'json'];
    // As in the operator's pods.
    const child = spawn(process.execPath, ['--max-old-space-size=128', ctlMain, ...line], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, AWS_ACCESS_KEY_ID: 'right', AWS_SECRET_ACCESS_KEY: 'secret' },
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    let isOver = false;
    child.once('close', () => {
      isOver = true;
    });
    let memoryMebibytes = 0;
    while (!isOver) {
      const ownBytes = memoryOf(child.pid, 'RssAnon') ?? 0;
      memoryMebibytes = Math.max(memoryMebibytes, Math.ceil(ownBytes / mebibyte));
      await sleep(20);
    }
    const outcome = JSON.parse(out) as { keys: number; revision: number };
    console.log(`${command} of ${outcome.keys} keys: ${memoryMebibytes} MiB of memory at most`);
    assert.deepEqual([outcome.keys, outcome.revision], [keys, keys + 1]);
    assert.ok(memoryMebibytes < memoryMebibytesMax, `${memoryMebibytes} MiB`);
  }

  test('to a directory, encrypted, and verified', async () => {
    const flags = ['--target', join(directory, 'target'), '--encryption-key-file', keyFile];
    const keys = isWhole ? 1_000_000 : 5_000;
    await run('save', keys, flags);
    await run('verify', keys, [...flags, '--scratch-dir', directory]);
  });

  test('to a bucket, in many parts', async () => {
    const fake = await FakeS3.start();
    try {
      const keys = isWhole ? 200_000 : 14_000;
      await run('save', keys, ['--target', 's3://backups', '--s3-endpoint', fake.url]);
      assert.ok(fake.asked.some(({ query }) => query.get('partNumber') === '5'));
    } finally {
      await fake.stop();
    }
  });
});
