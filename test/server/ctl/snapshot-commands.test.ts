import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { PinnedState } from '../../../server/backend/backend.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { runCommand } from '../../support/ctl.ts';
import { freePort } from '../../support/server-process.ts';
import { FakeMember } from '../api/fake-member.ts';
import { openStore, put } from '../mvcc/support.ts';

const directory = mkdtempSync(join(tmpdir(), 'mainstay-ctl-'));
const file = join(directory, 'backup.db');
const member = new FakeMember();
let endpoint = '';
let stop: () => Promise<void> = async () => {};
let pin: () => PinnedState;

before(async () => {
  const { backend, store } = await openStore();
  for (let at = 0; at < 400; at++) put(store, `key ${at % 300}`, 'v'.repeat(500));
  backend.setApplied({ index: 1, term: 1 });
  pin = () => backend.pin();
  member.pin = pin;
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

async function ctl(...words: readonly string[]) {
  const shown: string[] = [];
  const ran = await runCommand(words, {
    env: { ETCDCTL_ENDPOINTS: endpoint },
    progress: (text) => {
      shown.push(text);
    },
    signal: interrupt.signal,
  });
  return { ...ran, progress: shown };
}

let interrupt = new AbortController();

suite('mainstayctl snapshot', () => {
  test('save: the whole file or none, readable by its owner alone', async () => {
    const { code, out } = await ctl('snapshot', 'save', file);
    assert.deepEqual(
      { code, out },
      { code: 0, out: `Snapshot saved at ${file}\nServer version 3.6.0\n` },
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(file).size % 512, 32);
    // A former one stays what it was until the new one is whole.
    const former = readFileSync(file);
    member.pin = () => {
      const pinned = pin();
      const scan = pinned.scan.bind(pinned);
      let passes = 0;
      pinned.scan = async function* (range) {
        yield* scan(range);
        if (range.gte?.[0] === 0x10 && ++passes === 2) throw new Error('a record does not match');
      };
      return pinned;
    };
    const failed = await ctl('snapshot', 'save', file);
    member.pin = pin;
    assert.equal(failed.code, 1);
    assert.match(failed.err, /internal error/);
    assert.deepEqual(readFileSync(file), former);
    assert.deepEqual(readdirSync(directory), ['backup.db']);
  });

  test('status: as a line, a table and JSON', async () => {
    const simple = (await ctl('snapshot', 'status', file)).out;
    assert.match(simple, /^[0-9a-f]{1,8}, 401, 300, 295 kB, 3\.6\.0\n$/);
    const table = (await ctl('snapshot', 'status', file, '-w', 'table')).out;
    assert.match(
      table,
      /^HASH +REVISION +TOTAL KEYS +TOTAL SIZE +VERSION\n[0-9a-f]+ +401 +300 +295 kB +3\.6\.0\n$/,
    );
    const json = JSON.parse((await ctl('snapshot', 'status', file, '-w', 'json')).out);
    assert.deepEqual(Object.keys(json), ['hash', 'revision', 'totalKey', 'totalSize', 'version']);
    assert.equal(json.hash.toString(16), simple.split(',')[0]);
  });

  test('restore: says what came of it; Go-style booleans are taken', async () => {
    const target = join(directory, 'restored');
    const flags = ['--skip-hash-check=false', '--mark-compacted=true', '--bump-revision', '10'];
    const { code, out } = await ctl('snapshot', 'restore', file, '--data-dir', target, ...flags);
    assert.equal(code, 0);
    assert.match(
      out,
      /^Restored .*backup\.db into .*restored: cluster [0-9a-f]+, member [0-9a-f]+\n$/,
    );
    assert.deepEqual(readdirSync(target), ['member']);
    const again = await ctl('snapshot', 'restore', file, '--data-dir', target);
    assert.equal(again.code, 1);
    assert.match(again.err, /^mainstayctl: data-dir ".*restored" is not empty: it has member\n$/);
  });

  test('Ctrl-C ends it, and nothing is restored', async () => {
    interrupt.abort();
    const target = join(directory, 'interrupted');
    const { code, err } = await ctl('snapshot', 'restore', file, '--data-dir', target);
    interrupt = new AbortController();
    assert.deepEqual({ code, err }, { code: 1, err: 'mainstayctl: interrupted\n' });
    assert.ok(!existsSync(join(target, 'member')));
  });

  test('files that are no snapshots', async () => {
    const damaged = join(directory, 'damaged.db');
    const bytes = readFileSync(file);
    for (const [content, message] of [
      [Buffer.from('text'), /damaged\.db: damaged at byte 0: it is cut off/],
      [Buffer.alloc(20_000), /damaged\.db: damaged at byte 0: it does not begin as a bbolt file/],
      [bytes.subarray(0, 40_960), /damaged\.db: damaged at byte 40960: the file is cut off/],
      [Buffer.from(bytes).fill(0, 16_384, 16_400), /damaged at byte 16384: the page says/],
    ] as const) {
      writeFileSync(damaged, content);
      const { code, err } = await ctl('snapshot', 'status', damaged);
      assert.equal(code, 1);
      assert.match(err, message);
    }
    writeFileSync(damaged, Buffer.from(bytes).fill(0xff, 50_000, 50_010));
    const { err } = await ctl('snapshot', 'restore', damaged, '--data-dir', join(directory, 'no'));
    assert.match(
      err,
      /^mainstayctl: .*damaged\.db: expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}\n$/,
    );
    const missing = await ctl('snapshot', 'status', join(directory, 'missing.db'));
    assert.match(missing.err, /^mainstayctl: ENOENT: no such file/);
  });

  const wrong: readonly (readonly [string[], RegExp])[] = [
    [['save'], /usage: mainstayctl snapshot save FILE/],
    [['save', 'a', '--endpoints', 'a:1,b:1'], /takes one endpoint/],
    [['status'], /usage: mainstayctl snapshot status FILE/],
    [['restore'], /usage: mainstayctl snapshot restore FILE/],
    [['restore', 'a', '--wal-dir', 'w'], /--wal-dir is not supported/],
    [['restore', 'a', '--bump-revision', '5'], /go together/],
    [['restore', 'a', '--mark-compacted'], /go together/],
    [['restore', 'a', '--bump-revision', '-5', '--mark-compacted'], /--bump-revision/],
    [
      ['restore', 'a', '--name', 'x', '--initial-cluster', 'y=http://y:1'],
      /couldn't find local name "x"/,
    ],
  ];
  for (const [words, message] of wrong) {
    test(`wrong: snapshot ${words.join(' ')}`, async () => {
      const { code, err } = await ctl('snapshot', ...words);
      assert.equal(code, 2);
      assert.match(err, message);
    });
  }
});
