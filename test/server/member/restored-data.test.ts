import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { silentLogger } from '../../../server/base/logger.ts';
import { readCommandLine } from '../../../server/config/config.ts';
import { exitStatusOf } from '../../../server/member/failures.ts';
import { decodeIdentity } from '../../../server/member/identity.ts';
import { startMember } from '../../../server/member/member.ts';
import { DataDirectoryError, restoreData } from '../../../server/member/restored-data.ts';
import { BoltDamageError, BoltFile } from '../../../server/snapshot/bolt-reader.ts';
import { clientSnapshotOf } from '../../../server/snapshot/client-snapshot.ts';
import { RevisionOverflowError } from '../../../server/snapshot/restored-records.ts';
import { nodeFileSystem } from '../../../server/wal/node-file-system.ts';
import { replayWal } from '../../../server/wal/replay.ts';
import { openStore, put } from '../mvcc/support.ts';

const directory = mkdtempSync(join(tmpdir(), 'mainstay-restore-'));
after(() => rmSync(directory, { recursive: true, force: true }));

async function snapshotBytes(value: string): Promise<Buffer> {
  const { backend, store } = await openStore();
  for (let at = 0; at < 50; at++) {
    put(store, `key ${at}`, value);
    backend.setApplied({ index: at + 1, term: 1 });
  }
  const snapshot = await clientSnapshotOf(backend.pin());
  const chunks: Uint8Array[] = [];
  for await (const chunk of snapshot.chunks()) chunks.push(chunk);
  return Buffer.concat(chunks.slice(0, -1));
}

function fileOf(bytes: Buffer): BoltFile {
  return new BoltFile({
    sizeBytes: bytes.length,
    read: (position, sizeBytes) => bytes.subarray(position, position + sizeBytes),
  });
}

const cluster = 'a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3';

function memberIn(dataDir: string, name = 'a') {
  const url = `http://127.0.0.1:${'abc'.indexOf(name) + 1}`;
  const flags = ['--name', name, '--data-dir', dataDir, '--initial-cluster', cluster];
  const line = readCommandLine([...flags, '--initial-advertise-peer-urls', url], {});
  assert.ok(line.kind === 'serve');
  return line.config;
}

function newDirectory(): string {
  return mkdtempSync(join(directory, 'd-'));
}

suite('restoring a data directory', () => {
  test('all members from one file are of one cluster; from another file, of another one', async () => {
    const one = await snapshotBytes('one');
    const other = await snapshotBytes('other');
    const restored = async (bytes: Buffer, name: string) =>
      restoreData(fileOf(bytes), memberIn(newDirectory(), name), { bumpRevision: 0 });
    const [a, b] = [await restored(one, 'a'), await restored(one, 'b')];
    assert.equal(a.clusterId, b.clusterId);
    assert.notEqual(a.memberId, b.memberId);
    const c = await restored(other, 'c');
    assert.notEqual(c.clusterId, a.clusterId);
    const again = await restored(one, 'a');
    assert.deepEqual(again, a);
  });

  test('the log begins behind what the state has', async () => {
    const dataDir = newDirectory();
    const member = memberIn(dataDir);
    const { clusterId, memberId } = await restoreData(fileOf(await snapshotBytes('x')), member, {
      bumpRevision: 0,
    });
    const replay = replayWal(nodeFileSystem, `${dataDir}/member/wal`);
    assert.deepEqual(replay.runs, [{ base: { index: 3, term: 1 }, entries: [] }]);
    assert.equal(replay.damage, undefined);
    assert.deepEqual(replay.hardState, { term: 1, vote: 0n, commit: 3 });
    const identity = decodeIdentity(replay.identity ?? new Uint8Array(0));
    assert.deepEqual([identity.clusterId, identity.memberId], [clusterId, memberId]);
    assert.equal(identity.peers.length, 3);
  });

  test('a directory that has anything in it is refused', async () => {
    const bytes = await snapshotBytes('x');
    for (const name of ['member', 'lost+found', '.keep']) {
      const dataDir = newDirectory();
      writeFileSync(join(dataDir, name), '');
      await assert.rejects(
        restoreData(fileOf(bytes), memberIn(dataDir), { bumpRevision: 0 }),
        (error) => error instanceof DataDirectoryError && error.message.includes(name),
      );
      assert.deepEqual(readdirSync(dataDir), [name]);
    }
  });

  test('one that was killed is no data directory, but can be done again', async () => {
    const bytes = await snapshotBytes('x');
    const dataDir = newDirectory();
    const member = memberIn(dataDir);
    await restoreData(fileOf(bytes), member, { bumpRevision: 0 });
    // At its latest: everything is there but the last rename. And at its earliest.
    renameSync(`${dataDir}/member`, `${dataDir}/member.restoring`);
    const begun = newDirectory();
    mkdirSync(`${begun}/member.restoring`);
    for (const killed of [dataDir, begun]) {
      const config = memberIn(killed);
      const failure = await startMember(config, silentLogger).then(
        () => assert.fail('it started'),
        (error: unknown) => error,
      );
      assert.ok(failure instanceof DataDirectoryError);
      assert.equal(exitStatusOf(failure), 78);
      assert.deepEqual(readdirSync(killed), ['member.restoring']);
      await restoreData(fileOf(bytes), config, { bumpRevision: 0 });
      assert.deepEqual(readdirSync(killed), ['member']);
    }
  });

  test('of a damaged file nothing comes into being', async () => {
    const bytes = await snapshotBytes('x');
    const tail = bytes.lastIndexOf('storageVersion');
    for (const damage of [
      (copy: Buffer) => copy.fill(0xff, 3 * 4096, 3 * 4096 + 64),
      (copy: Buffer) => copy.fill(0, tail - 100, tail),
    ]) {
      const copy = Buffer.from(bytes);
      damage(copy);
      const dataDir = newDirectory();
      await assert.rejects(
        restoreData(fileOf(copy), memberIn(dataDir), { bumpRevision: 0 }),
        BoltDamageError,
      );
      assert.ok(!existsSync(`${dataDir}/member`));
    }
  });

  test('a bump beyond what revisions hold is refused', async () => {
    const member = memberIn(newDirectory());
    const bumpRevision = Number.MAX_SAFE_INTEGER;
    await assert.rejects(
      restoreData(fileOf(await snapshotBytes('x')), member, { bumpRevision }),
      RevisionOverflowError,
    );
  });
});
