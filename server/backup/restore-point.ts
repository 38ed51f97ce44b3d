import type { EncryptionKey } from '../base/encryption-key.ts';
import {
  type ChangeChain,
  type ChangeObject,
  chainFrom,
  changeObjects,
  notArchived,
} from './change-chain.ts';
import { decodeChanges, type RevisionChanges } from './changes.ts';
import { decrypted } from './encryption.ts';
import { BackupError, type BackupFailure } from './failure.ts';
import type { Manifest } from './manifest.ts';
import { changesFolder } from './names.ts';
import { type FoundBackup, inventoryOf, manifestOrFailure } from './repository.ts';
import type { Target } from './target.ts';

/** A revision, or a moment: then the last revision that was stamped at or before it. */
export type Point =
  | { readonly kind: 'revision'; readonly revision: number }
  | { readonly kind: 'time'; readonly timeMs: number };

/** A backup, and the changes that lead from it to a revision. */
export interface RestorePoint {
  readonly found: FoundBackup;
  readonly manifest: Manifest;
  readonly revision: number;
  /** In order; the last one may go beyond the revision. */
  readonly changes: readonly ChangeObject[];
  /** What comes next was stamped later than it came to be: it may have been there at that time. */
  readonly isLate: boolean;
}

interface Base {
  readonly found: FoundBackup;
  readonly manifest: Manifest;
  readonly pinnedMs: number;
}

/** Finds the way to a point: from the newest backup that leads there. Fails with `NotArchived`, which says what there is. */
export async function restorePoint(
  target: Target,
  point: Point,
  {
    bases,
    keys,
  }: { readonly bases: readonly FoundBackup[]; readonly keys: readonly EncryptionKey[] },
): Promise<RestorePoint> {
  const known = new Map<string, readonly ChangeObject[]>();
  const ends: string[] = [];
  for (const found of bases.toReversed()) {
    const manifest = await manifestOrFailure(target, found);
    if (manifest instanceof BackupError) continue;
    const base = { found, manifest, pinnedMs: Date.parse(manifest.pinnedAt) };
    if (isBehind(base, point)) continue;
    const folder = changesFolder(found.uid, manifest.clusterId);
    const objects = known.get(folder) ?? (await changeObjects(target, folder));
    known.set(folder, objects);
    const chain = chainFrom(objects, { revision: manifest.revision, pinnedMs: base.pinnedMs });
    if (await isBehindArchive(target, { base, point, objects, keys })) continue;
    if (reaches(chain, point)) return pointOn(target, { base, chain, point, keys });
    const until = new Date(chain.untilMs).toISOString();
    ends.push(
      `from ${found.name} (revision ${manifest.revision}) to revision ${chain.to}, until ${until}`,
    );
  }
  const wanted =
    point.kind === 'revision' ? `revision ${point.revision}` : new Date(point.timeMs).toISOString();
  const there =
    ends.length === 0 ? 'every backup is of later' : `what can be restored ends before: ${ends[0]}`;
  throw notArchived(`${wanted} is not in the archive: ${there}`);
}

/** The backup is of later than what is wanted. */
function isBehind({ manifest, pinnedMs }: Base, point: Point): boolean {
  return point.kind === 'revision' ? manifest.revision > point.revision : pinnedMs > point.timeMs;
}

/** By the stamp of its revision, where that was archived: the backup has what came after the moment. */
async function isBehindArchive(
  target: Target,
  of: {
    base: Base;
    point: Point;
    objects: readonly ChangeObject[];
    keys: readonly EncryptionKey[];
  },
): Promise<boolean> {
  const { base, point, objects, keys } = of;
  if (point.kind === 'revision') return false;
  const { revision } = base.manifest;
  for (const object of objects) {
    if (revision < object.from || revision > object.to) continue;
    if (object.minStampMs > point.timeMs) return true;
    if (object.maxStampMs <= point.timeMs) continue;
    const { revisions } = await readChanges(target, object, keys);
    const own = revisions.find((each) => each.revision === revision);
    if (own !== undefined && own.stampMs > point.timeMs) return true;
  }
  return false;
}

function reaches(chain: ChangeChain, point: Point): boolean {
  return point.kind === 'revision' ? chain.to >= point.revision : chain.untilMs >= point.timeMs;
}

async function pointOn(
  target: Target,
  on: { base: Base; chain: ChangeChain; point: Point; keys: readonly EncryptionKey[] },
): Promise<RestorePoint> {
  const { base, chain, point, keys } = on;
  const { found, manifest } = base;
  if (point.kind === 'revision') {
    const { revision } = point;
    const last = chain.objects.findIndex(({ to }) => to >= revision);
    const changes = revision > manifest.revision ? chain.objects.slice(0, last + 1) : [];
    return { found, manifest, revision, changes, isLate: false };
  }
  const last = chain.objects.findLastIndex(({ minStampMs }) => minStampMs <= point.timeMs);
  const object = chain.objects[last];
  const revisions = object && (await readChanges(target, object, keys)).revisions;
  const stamped = revisions?.findLast(({ stampMs }) => stampMs <= point.timeMs);
  const revision = Math.max(manifest.revision, stamped?.revision ?? 0);
  const changes = revision > manifest.revision ? chain.objects.slice(0, last + 1) : [];
  const isLate = await isNextLate(target, { chain, revision, keys });
  return { found, manifest, revision, changes, isLate };
}

/** The next revision may have been there at a time to which this one is the last by its stamp. */
async function isNextLate(
  target: Target,
  of: { chain: ChangeChain; revision: number; keys: readonly EncryptionKey[] },
): Promise<boolean> {
  const next = of.chain.objects.find(({ to }) => to > of.revision);
  if (next === undefined) return false;
  try {
    const { head } = await readChanges(target, next, of.keys);
    return head.lateTo > of.revision;
  } catch (error) {
    // It is needed for nothing else. Nobody knows, so it may be.
    if (error instanceof BackupError && unreadable.has(error.failure)) return true;
    throw error;
  }
}

const unreadable: ReadonlySet<BackupFailure> = new Set(['Damaged', 'WrongKey', 'NewerFormat']);

/** The changes behind the backup's revision, up to the point's, each once and none missing. */
export async function* changesTo(
  target: Target,
  point: RestorePoint,
  keys: readonly EncryptionKey[],
): AsyncGenerator<RevisionChanges, void, void> {
  let at = point.manifest.revision;
  for (const object of point.changes) {
    const { head, revisions } = await readChanges(target, object, keys);
    if (head.clusterId !== point.manifest.clusterId) {
      throw new BackupError('Damaged', `${object.name} holds changes of another store`);
    }
    for (const each of revisions) {
      if (each.revision <= at || each.revision > point.revision) continue;
      if (each.revision !== at + 1) break;
      at = each.revision;
      yield each;
    }
  }
  if (at === point.revision) return;
  throw new BackupError(
    'Damaged',
    `the archived changes end at revision ${at}, and should lead to ${point.revision}: restore ${at}, or another backup`,
  );
}

async function readChanges(target: Target, object: ChangeObject, keys: readonly EncryptionKey[]) {
  const chunks: Uint8Array[] = [];
  const stored = target.get(object.name);
  for await (const chunk of object.isEncrypted ? decrypted(stored, keys) : stored)
    chunks.push(chunk);
  return decodeChanges(Buffer.concat(chunks), object.name);
}

/** Which backups may lead to a point: those of the cluster, or the one that was named. */
export async function basesOf(
  target: Target,
  { uid, wanted }: { readonly uid: string | undefined; readonly wanted: string | undefined },
): Promise<readonly FoundBackup[]> {
  const { backups } = await inventoryOf(target, uid);
  const named = backups.filter(({ name, stem }) => name === wanted || stem.id === wanted);
  const bases = wanted === undefined ? backups : named;
  const uids = [...new Set(bases.map((each) => each.uid))];
  if (uids.length > 1) {
    const message = `${target.place} has backups of ${uids.length} clusters: say which one with --cluster-uid: ${uids.join(', ')}`;
    throw new BackupError('Invalid', message);
  }
  if (bases.length > 0) return bases;
  const what = wanted === undefined ? 'no backup' : `no backup "${wanted}"`;
  throw new BackupError('NotFound', `${target.place} has ${what} (mainstayctl backup list)`);
}
