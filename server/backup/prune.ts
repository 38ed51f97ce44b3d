import { type ChangeObject, changeObjects } from './change-chain.ts';
import { BackupError } from './failure.ts';
import type { Manifest } from './manifest.ts';
import { backupsFolder, changesFolder } from './names.ts';
import { type FoundBackup, inventoryOf, manifestOrFailure } from './repository.ts';
import { type Decision, type RetainedBackup, type Retention, retained } from './retention.ts';
import type { Target } from './target.ts';

export interface PruneOptions {
  readonly uid: string;
  readonly retention: Retention;
  /** Says what would be done, and does nothing. */
  readonly isDryRun: boolean;
  /** How many backups at most, the oldest first. All by default. */
  readonly atMost?: number | undefined;
}

interface PrunableBackup extends RetainedBackup {
  readonly found: FoundBackup;
  readonly manifest: Manifest;
}

export interface Pruned {
  readonly kept: readonly Decision<PrunableBackup>[];
  readonly deleted: readonly PrunableBackup[];
  /** Objects of backups that never came to be. */
  readonly leftovers: readonly string[];
  /** Archived changes that lead on from no backup that is kept. */
  readonly changes: readonly string[];
  /** What could not be looked at is left as it is. */
  readonly unreadable: readonly string[];
}

/** A backup may be in the making for so long: what has no manifest then never gets one. */
export const leftoverMs = 24 * 60 * 60_000;

/** Deletes the backups that the retention does not keep, one object after the other, the manifest first. */
export async function pruneBackups(target: Target, options: PruneOptions): Promise<Pruned> {
  const { uid, retention, isDryRun } = options;
  // Before the backups: changes follow one, and what comes meanwhile has its own.
  const archived = await changeObjects(target, changesFolder(uid));
  const { backups, leftovers } = await inventoryOf(target, uid);
  const readable: PrunableBackup[] = [];
  const unreadable: string[] = [];
  for (const found of backups) {
    const manifest = await manifestOrFailure(target, found);
    if (manifest instanceof BackupError) unreadable.push(found.manifestName);
    else readable.push(prunable(found, manifest));
  }
  const decisions = retained(readable, retention);
  const kept = decisions.filter(({ reasons }) => reasons.length > 0);
  const deleted = decisions
    .filter(({ reasons }) => reasons.length === 0)
    .map((each) => each.backup)
    .toSorted((a, b) => a.takenMs - b.takenMs)
    .slice(0, options.atMost);
  const nowMs = await target.nowMs();
  const old = leftovers.filter(({ modifiedMs }) => modifiedMs < nowMs - leftoverMs);
  const bases = kept.map(({ backup }) => backup.manifest);
  // A backup that cannot be read may be the one that changes are for.
  const changes = unreadable.length > 0 ? [] : uselessChanges(archived, bases);
  if (!isDryRun) {
    for (const each of deleted) await deleteBackup(target, each);
    for (const name of [...old.map((each) => each.name), ...changes]) await target.delete(name);
    await target.abortUnfinished(backupsFolder(uid), leftoverMs);
  }
  return { kept, deleted, leftovers: old.map(({ name }) => name), changes, unreadable };
}

function prunable(found: FoundBackup, manifest: Manifest): PrunableBackup {
  const takenMs = Date.parse(manifest.startedAt);
  return { name: found.name, takenMs, verified: found.verified, found, manifest };
}

/** All up to the oldest backup of the same store, and each word of silence that a later one has made needless. */
function uselessChanges(objects: readonly ChangeObject[], bases: readonly Manifest[]): string[] {
  const oldest = new Map<string, number>();
  for (const { clusterId, revision } of bases) {
    oldest.set(clusterId, Math.min(revision, oldest.get(clusterId) ?? revision));
  }
  const isUseless = (object: ChangeObject): boolean => {
    const base = oldest.get(object.clusterId);
    if (base === undefined || object.to < base || (object.to === base && object.from <= base))
      return true;
    return object.to < object.from && objects.some((other) => outdates(other, object));
  };
  return objects.filter(isUseless).map(({ name }) => name);
}

function outdates(other: ChangeObject, silence: ChangeObject): boolean {
  return (
    other.clusterId === silence.clusterId &&
    other.to >= silence.to &&
    other.maxStampMs > silence.maxStampMs
  );
}

/** Stopped in between it leaves what counts as no backup any more. */
async function deleteBackup(target: Target, { found, manifest }: PrunableBackup): Promise<void> {
  await target.delete(found.manifestName);
  for (const name of found.verifications) await target.delete(name);
  await target.delete(manifest.data);
}
