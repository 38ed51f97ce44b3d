import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DirectoryTarget } from '../../../server/backup/directory-target.ts';
import { encodeManifest } from '../../../server/backup/manifest.ts';
import { changesName, dataName, manifestName, timeName } from '../../../server/backup/names.ts';
import { pruneBackups } from '../../../server/backup/prune.ts';
import type { Target } from '../../../server/backup/target.ts';

const uid = 'u1';
const retention = { last: 3, daily: 0, weekly: 0, monthly: 0, timeZone: 'UTC' };
const directory = mkdtempSync(join(tmpdir(), 'mainstay-prune-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** A backup of a store, and what was archived behind it. */
async function putBackup(
  target: Target,
  { clusterId, atMs, revision }: { clusterId: string; atMs: number; revision: number },
): Promise<string> {
  const stem = { time: timeName(atMs), id: `b${revision}`, attempt: '0123456789abcdef' };
  const data = dataName(uid, stem, false);
  const at = new Date(atMs).toISOString();
  await target.create(data, Buffer.from('x'), stem.id);
  const manifest = encodeManifest({
    format: 1,
    kind: 'mainstay-backup',
    id: stem.id,
    cluster: 'demo',
    clusterUid: uid,
    clusterId,
    revision,
    compactRevision: -1,
    hash: 1,
    memberHash: 'equal',
    keys: 1,
    data,
    sizeBytes: 1,
    storedBytes: 1,
    sha256: '',
    storedSha256: '',
    storageVersion: '3.6.0',
    startedAt: at,
    pinnedAt: at,
    finishedAt: at,
    member: { endpoint: 'e', id: '1', role: 'follower' },
  });
  await target.create(manifestName(uid, stem, revision), manifest, stem.id);
  const stamps = { minStampMs: atMs, maxStampMs: atMs };
  const span = { clusterId, from: revision + 1, to: revision + 5, ...stamps };
  const changes = changesName(uid, { ...span, word: '0123456789abcdef', isEncrypted: false });
  await target.create(changes, Buffer.from('y'), clusterId);
  return changes;
}

test('changes that follow a backup which comes while others are looked at stay', async () => {
  const target = new DirectoryTarget(directory);
  const old = await putBackup(target, { clusterId: 'aaa', atMs: 1_000_000, revision: 7 });
  let fresh: string | undefined;
  const busy = new Proxy(target, {
    get(of, name) {
      const member: unknown = Reflect.get(of, name, of);
      if (typeof member !== 'function') return member;
      if (name !== 'get') return member.bind(of);
      // The store was restored in place: it is another one from here on.
      return async function* (...args: Parameters<Target['get']>) {
        fresh ??= await putBackup(target, { clusterId: 'bbb', atMs: 2_000_000, revision: 1_007 });
        yield* target.get(...args);
      };
    },
  });
  const pruned = await pruneBackups(busy, { uid, retention, isDryRun: false });
  assert.ok(fresh !== undefined);
  assert.deepEqual(pruned.changes, []);
  assert.ok((await target.stat(old)) !== undefined);
  assert.ok((await target.stat(fresh)) !== undefined, 'what leads on from the new backup');
});
