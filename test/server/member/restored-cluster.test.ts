import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client } from '../../../server/client/client.ts';
import { readCommandLine } from '../../../server/config/config.ts';
import { restoreData } from '../../../server/member/restored-data.ts';
import { clientSnapshotOf } from '../../../server/snapshot/client-snapshot.ts';
import { SnapshotFile } from '../../../server/snapshot/snapshot-file.ts';
import { type MemberProcess, TestCluster } from '../../support/server-process.ts';
import { openStore, put } from '../mvcc/support.ts';

// Members that did not begin with the same data are of different clusters: they must not be taken for one.

async function snapshotOf(value: string, path: string): Promise<void> {
  const { backend, store } = await openStore();
  put(store, 'key', value);
  backend.setApplied({ index: 1, term: 1 });
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await clientSnapshotOf(backend.pin())).chunks()) chunks.push(chunk);
  writeFileSync(path, Buffer.concat(chunks));
}

async function restore(member: MemberProcess, flags: readonly string[], path: string) {
  const { name, dataDirectory, peerUrl } = member;
  const own = ['--name', name, '--data-dir', dataDirectory];
  const line = readCommandLine([...own, '--initial-advertise-peer-urls', peerUrl, ...flags], {});
  assert.ok(line.kind === 'serve');
  const file = new SnapshotFile(path);
  await restoreData(file.database(), line.config, { bumpRevision: 0 });
  file.close();
}

test('who was not restored, or from another snapshot, does not come in', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-restored-'));
  const cluster = await TestCluster.prepare({ program: 'mainstay', size: 3 });
  const [first, second, third] = cluster.members as [MemberProcess, MemberProcess, MemberProcess];
  try {
    const [right, wrong] = [join(directory, 'right.db'), join(directory, 'wrong.db')];
    await snapshotOf('right', right);
    await snapshotOf('wrong', wrong);
    const flags = cluster.flagsFor('new');
    for (const member of [first, second]) {
      await restore(member, flags, right);
      member.spawn(flags);
    }
    await Promise.all([first.ready(), second.ready()]);
    third.spawn(flags);
    assert.equal((await third.exited).code, 1);
    assert.match(third.log, /restore this member from the same one/);
    rmSync(third.dataDirectory, { recursive: true, force: true });
    await restore(third, flags, wrong);
    third.spawn(flags);
    const client = new Client({ endpoints: [first.clientUrl], timeoutMs: 20_000 });
    await client.put('other', 'x');
    const apart = new Client({ endpoints: [third.clientUrl], timeoutMs: 1_000 });
    await assert.rejects(apart.put('key', 'never'));
    assert.equal(String(Buffer.from((await client.get('key'))?.value ?? [])), 'right');
    await third.stop();
    rmSync(third.dataDirectory, { recursive: true, force: true });
    await restore(third, flags, right);
    await third.start(flags);
    const inside = new Client({ endpoints: [third.clientUrl], timeoutMs: 20_000 });
    assert.equal(String(Buffer.from((await inside.get('other'))?.value ?? [])), 'x');
    for (const each of [client, apart, inside]) each.close();
  } finally {
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  }
});
