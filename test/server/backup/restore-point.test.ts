import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { changesHead, encodeChanges } from '../../../server/backup/changes.ts';
import { DirectoryTarget } from '../../../server/backup/directory-target.ts';
import { encodeManifest } from '../../../server/backup/manifest.ts';
import { changesName, dataName, manifestName, timeName } from '../../../server/backup/names.ts';
import { basesOf, restorePoint } from '../../../server/backup/restore-point.ts';

const uid = 'uid';
const clusterId = 'a1';
const originMs = Date.parse('2026-01-01T00:00:00Z');
const directory = mkdtempSync(join(tmpdir(), 'mainstay-restore-point-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** What one archive has written: a revision and its stamp, in milliseconds behind the origin. */
interface Written {
  readonly stampsMs: readonly (readonly [revision: number, stampMs: number])[];
  readonly lateTo?: number;
  readonly isUnreadable?: boolean;
}

/** A backup of revision 5, and changes. */
async function targetWith(...written: readonly Written[]): Promise<DirectoryTarget> {
  const target = new DirectoryTarget(mkdtempSync(join(directory, 'target-')));
  const stem = { time: timeName(originMs), id: 'b', attempt: '0'.repeat(16) };
  const at = new Date(originMs).toISOString();
  const manifest = encodeManifest({
    format: 1,
    kind: 'mainstay-backup',
    id: 'b',
    cluster: 'demo',
    clusterUid: uid,
    clusterId,
    revision: 5,
    compactRevision: -1,
    hash: 0,
    memberHash: 'same',
    keys: 0,
    data: dataName(uid, stem, false),
    sizeBytes: 0,
    storedBytes: 0,
    sha256: '',
    storedSha256: '',
    storageVersion: '3.6.0',
    startedAt: at,
    pinnedAt: at,
    finishedAt: at,
    member: { endpoint: '', id: '', role: 'leader' },
  });
  await target.create(manifestName(uid, stem, 5), manifest, 'b');
  for (const [number, { stampsMs, lateTo = 0, isUnreadable = false }] of written.entries()) {
    const revisions = stampsMs.map(([revision, ms]) => {
      return { revision, stampMs: originMs + ms, records: [] };
    });
    const [from, to] = [revisions[0]?.revision ?? 0, revisions.at(-1)?.revision ?? 0];
    const moments = revisions.map(({ stampMs }) => stampMs);
    const name = changesName(uid, {
      from,
      to,
      minStampMs: Math.min(...moments),
      maxStampMs: Math.max(...moments),
      clusterId,
      word: String(number).padStart(16, '0'),
      isEncrypted: false,
    });
    const head = changesHead({ cluster: 'demo', clusterUid: uid, clusterId, from, to, lateTo });
    const content = isUnreadable ? Buffer.from('else') : encodeChanges(head, revisions);
    await target.create(name, content, clusterId);
  }
  return target;
}

async function pointAt(target: DirectoryTarget, behindMs: number) {
  const bases = await basesOf(target, { uid, wanted: undefined });
  const point = { kind: 'time', timeMs: originMs + behindMs } as const;
  const { revision, isLate } = await restorePoint(target, point, { bases, keys: [] });
  return { revision, isLate };
}

suite('the way to a time', () => {
  test('what comes next is late, or it is not', async () => {
    const first = { stampsMs: [[6, 100] as const, [7, 200] as const] };
    const exact = await targetWith(first, { stampsMs: [[8, 300]] });
    assert.deepEqual(await pointAt(exact, 250), { revision: 7, isLate: false });
    const late = await targetWith(first, { stampsMs: [[8, 300]], lateTo: 8 });
    assert.deepEqual(await pointAt(late, 250), { revision: 7, isLate: true });
  });

  test('needs nothing of what comes next, which may be damaged or of another key', async () => {
    const target = await targetWith(
      { stampsMs: [[6, 100]] },
      { stampsMs: [[7, 300]], isUnreadable: true },
    );
    assert.deepEqual(await pointAt(target, 250), { revision: 6, isLate: true });
    await assert.rejects(pointAt(target, 300), { failure: 'Damaged' });
  });
});
