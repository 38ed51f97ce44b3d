import { BackupError } from './failure.ts';
import type { Manifest } from './manifest.ts';
import { backupsFolder } from './names.ts';
import { type FoundBackup, inventoryOf, manifestOf } from './repository.ts';
import { type Decision, type RetainedBackup, type Retention, retained } from './retention.ts';
import type { Target } from './target.ts';

export interface PruneOptions {
  readonly uid: string;
  readonly retention: Retention;
  /** Says what would be done, and does nothing. */
  readonly isDryRun: boolean;
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
  /** What could not be looked at is left as it is. */
  readonly unreadable: readonly string[];
}

/** A backup may be in the making for so long: what has no manifest then never gets one. */
export const leftoverMs = 24 * 60 * 60_000;

/** Deletes the backups that the retention does not keep, one object after the other, the manifest first. */
export async function pruneBackups(target: Target, options: PruneOptions): Promise<Pruned> {
  const { uid, retention, isDryRun } = options;
  const { backups, leftovers } = await inventoryOf(target, uid);
  const readable: PrunableBackup[] = [];
  const unreadable: string[] = [];
  for (const found of backups) {
    const manifest = await readManifest(target, found);
    if (manifest === undefined) unreadable.push(found.manifestName);
    else readable.push(prunable(found, manifest));
  }
  const decisions = retained(readable, retention);
  const kept = decisions.filter(({ reasons }) => reasons.length > 0);
  const deleted = decisions
    .filter(({ reasons }) => reasons.length === 0)
    .map((each) => each.backup);
  const nowMs = await target.nowMs();
  const old = leftovers.filter(({ modifiedMs }) => modifiedMs < nowMs - leftoverMs);
  if (!isDryRun) {
    for (const each of deleted) await deleteBackup(target, each);
    for (const { name } of old) await target.delete(name);
    await target.abortUnfinished(backupsFolder(uid), leftoverMs);
  }
  return { kept, deleted, leftovers: old.map(({ name }) => name), unreadable };
}

/** Undefined for one that is damaged, or newer than this version: another one may know what to do with it. */
async function readManifest(target: Target, found: FoundBackup): Promise<Manifest | undefined> {
  try {
    return await manifestOf(target, found);
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    if (error.failure !== 'Damaged' && error.failure !== 'NewerFormat') throw error;
    return undefined;
  }
}

function prunable(found: FoundBackup, manifest: Manifest): PrunableBackup {
  const takenMs = Date.parse(manifest.startedAt);
  return { name: found.name, takenMs, verified: found.verified, found, manifest };
}

/** Stopped in between it leaves what counts as no backup any more. */
async function deleteBackup(target: Target, { found, manifest }: PrunableBackup): Promise<void> {
  await target.delete(found.manifestName);
  for (const name of found.verifications) await target.delete(name);
  await target.delete(manifest.data);
}
