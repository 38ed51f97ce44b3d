import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { Client } from '../../server/client/client.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { clientSnapshotOf } from '../../server/snapshot/client-snapshot.ts';
import { openStore, put } from '../server/mvcc/support.ts';
import { programPath } from '../support/programs.ts';
import { type MemberProcess, TestCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { isWhole } from '../support/whole.ts';
import { parseTrace, type SystemCall } from './support/strace.ts';

// mainstayctl snapshot restore, watched and killed: a data directory is there when all of it is durable, and not before.

const keyCount = 400;
const mainstayctlPath = programPath('server/ctl/main');
const directory = mkdtempSync(join(tmpdir(), 'mainstay-restore-kill-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const snapshot = join(directory, 'snapshot.db');

const writeNames = ['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2'];
const syncNames = ['fsync', 'fdatasync'];
const renameNames = ['rename', 'renameat', 'renameat2'];

async function makeSnapshot(): Promise<void> {
  const { backend, store } = await openStore();
  for (let at = 0; at < keyCount; at++) put(store, `key ${at}`, 'v'.repeat(200));
  backend.setApplied({ index: 1, term: 1 });
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await clientSnapshotOf(backend.pin())).chunks()) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  assert.deepEqual(chunks.at(-1), createHash('sha256').update(bytes.subarray(0, -32)).digest());
  writeFileSync(snapshot, bytes);
}

/** Runs the restore under strace; returns what it traced. One pool thread, since strace counts calls per thread. */
function restore(
  { name, peerUrl, dataDirectory }: MemberProcess,
  ...options: string[]
): SystemCall[] {
  const file = join(directory, 'trace');
  const flags = [
    '--name',
    name,
    '--data-dir',
    dataDirectory,
    '--initial-cluster',
    `${name}=${peerUrl}`,
  ];
  const own = [process.execPath, mainstayctlPath, 'snapshot', 'restore', snapshot, ...flags];
  const trace = ['-f', '-qq', '-ttt', '-y', '-s', '0', '-o', file, ...options];
  spawnSync(toolPath('strace'), [...trace, ...own, '--initial-advertise-peer-urls', peerUrl], {
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
  });
  return parseTrace(readFileSync(file, 'latin1'));
}

function pathOf({ args }: SystemCall): string {
  return /^\d+<([^>]*)>/.exec(args)?.[1] ?? '';
}

async function serves(member: MemberProcess, flags: readonly string[]): Promise<void> {
  await member.start(flags);
  const client = new Client({ endpoints: [member.clientUrl] });
  const { count } = await client.range(keysUnder('key '), { countOnly: true });
  client.close();
  assert.equal(count, keyCount);
}

test(
  'a restore is durable when it is there, and not there when it is killed',
  needs('strace'),
  async () => {
    await makeSnapshot();
    const cluster = await TestCluster.prepare({ program: 'mainstay' });
    const member = cluster.member(0);
    const { dataDirectory } = member;
    const flags = cluster.flagsFor('new');
    try {
      const calls = restore(
        member,
        '-e',
        `trace=${[...writeNames, ...syncNames, ...renameNames].join()}`,
      );
      const last = calls.findLastIndex(({ name }) => renameNames.includes(name));
      assert.match(calls[last]?.args ?? '', /member\.restoring".*\/member"/);
      assertDurable(calls.slice(0, last), dataDirectory);
      const rest = calls.slice(last + 1).filter((call) => syncNames.includes(call.name));
      assert.deepEqual(rest.map(pathOf), [dataDirectory]);
      await serves(member, flags);
      await member.stop();
      const points = calls.slice(0, last + 1).filter(({ name }) => !writeNames.includes(name));
      const chosen = points.filter((_, at) => isWhole || at % 6 === 3 || at === points.length - 1);
      for (const point of chosen) {
        const nth = points
          .slice(0, points.indexOf(point) + 1)
          .filter(({ name, thread }) => name === point.name && thread === point.thread).length;
        rmSync(dataDirectory, { recursive: true, force: true });
        restore(
          member,
          '-e',
          `trace=${point.name}`,
          '-e',
          `inject=${point.name}:signal=SIGKILL:when=${nth}`,
        );
        assert.ok(!existsSync(join(dataDirectory, 'member')), `${point.name} ${nth}`);
      }
      // What the last one left is refused, and a restore again takes its place.
      member.spawn(flags);
      assert.equal((await member.exited).code, 78);
      assert.match(member.log, /a restore into this directory did not come to its end/);
      restore(member);
      await serves(member, flags);
      console.log(`killed at ${chosen.length} of ${points.length} syncs and renames`);
    } finally {
      await cluster.stop();
    }
  },
);

/** Every file that was written, and is still there, was synced after it, but for LevelDB's own text log. */
function assertDurable(calls: readonly SystemCall[], dataDirectory: string): void {
  const unsynced = new Set<string>();
  for (const call of calls) {
    const path = pathOf(call);
    if (!path.startsWith(dataDirectory)) continue;
    if (writeNames.includes(call.name)) unsynced.add(path);
    if (syncNames.includes(call.name)) unsynced.delete(path);
  }
  const left = [...unsynced]
    .map((path) => path.replace('/member.restoring/', '/member/'))
    .filter((path) => existsSync(path) && basename(path) !== 'LOG');
  assert.deepEqual(left, []);
  const synced = new Set(calls.filter(({ name }) => syncNames.includes(name)).map(pathOf));
  for (const name of ['', '/wal', '/state-1']) {
    assert.ok(synced.has(`${dataDirectory}/member.restoring${name}`), `member.restoring${name}`);
  }
}
