import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { EncryptionKey } from '../base/encryption-key.ts';
import { type RestoredData, type RestoredMember, restoredBefore } from '../member/restored-data.ts';
import type { RevisionBump } from '../snapshot/restored-records.ts';
import type { RevisionChanges } from './changes.ts';
import { contentOf } from './content.ts';
import { withDownload } from './download.ts';
import { decrypted, keyWithId } from './encryption.ts';
import { BackupError } from './failure.ts';
import { LaterVersions } from './later-versions.ts';
import type { Manifest } from './manifest.ts';
import { type FoundBackup, findBackup, manifestOf } from './repository.ts';
import { basesOf, changesTo, type Point, restorePoint } from './restore-point.ts';
import { restoreFile } from './restored-member.ts';
import type { Target } from './target.ts';

/** What is to be restored. */
export type RestoreSource =
  /** A backup by name or id, or `latest`. */
  | { readonly kind: 'backup'; readonly wanted: string }
  /** What was at a revision or a time: a backup and the changes behind it. `wanted`: only that backup. */
  | { readonly kind: 'point'; readonly point: Point; readonly wanted: string | undefined }
  /** An object that is a snapshot file, of anybody's. */
  | { readonly kind: 'object'; readonly name: string };

export interface RestorePlan {
  /** Undefined for an object without one. */
  readonly manifest: Manifest | undefined;
  /** What the backup is called, or the object. */
  readonly name: string;
  readonly content: (onBytes: (sizeBytes: number) => void) => AsyncIterable<Uint8Array>;
  readonly sizeBytes: number;
  /** Undefined: of an object it is known only when it was read. */
  readonly revision: number | undefined;
  /** What comes behind the content. */
  readonly changes: (() => AsyncIterable<RevisionChanges>) | undefined;
  /** What comes next was stamped later than it came to be, so what was there at the time may be more. */
  readonly isLate: boolean;
}

export interface PlanOptions {
  readonly uid: string | undefined;
  readonly keys: readonly EncryptionKey[];
}

/**
 * Looks whether that can be restored: it is there, of a format that is known, and the key is the right one. Nothing is
 * changed. Rejects with a {@link BackupError}.
 */
export async function planRestore(
  target: Target,
  source: RestoreSource,
  { uid, keys }: PlanOptions,
): Promise<RestorePlan> {
  if (source.kind === 'object') return objectPlan(target, source.name, keys);
  if (source.kind === 'point') {
    const bases = await basesOf(target, { uid, wanted: source.wanted });
    const reached = await restorePoint(target, source.point, { bases, keys });
    const plan = await backupPlan(target, reached.found, { manifest: reached.manifest, keys });
    const changes = () => changesTo(target, reached, keys);
    const { revision, isLate } = reached;
    return { ...plan, revision, isLate, ...(reached.changes.length > 0 && { changes }) };
  }
  const found = await findBackup(target, { uid, wanted: source.wanted });
  return backupPlan(target, found, { manifest: await manifestOf(target, found), keys });
}

async function backupPlan(
  target: Target,
  found: FoundBackup,
  { manifest, keys }: { readonly manifest: Manifest; readonly keys: readonly EncryptionKey[] },
): Promise<RestorePlan> {
  if (manifest.encryption !== undefined) keyWithId(keys, manifest.encryption.keyId);
  const data = await target.stat(manifest.data);
  if (data?.sizeBytes !== manifest.storedBytes) {
    const there = data === undefined ? 'is not there' : `has ${data.sizeBytes} bytes`;
    const message = `${target.place}/${manifest.data} ${there}, and should have ${manifest.storedBytes}: restore another backup`;
    throw new BackupError('Damaged', message);
  }
  return {
    manifest,
    name: found.name,
    content: (onBytes) => contentOf(target, manifest, { keys, onBytes }),
    sizeBytes: manifest.sizeBytes,
    revision: manifest.revision,
    changes: undefined,
    isLate: false,
  };
}

async function objectPlan(
  target: Target,
  name: string,
  keys: readonly EncryptionKey[],
): Promise<RestorePlan> {
  const found = await target.stat(name);
  if (found === undefined) {
    throw new BackupError('NotFound', `there is no object ${target.place}/${name}`);
  }
  const content = async function* (onBytes: (sizeBytes: number) => void) {
    const object = target.get(name);
    for await (const chunk of name.endsWith('.enc') ? decrypted(object, keys) : object) {
      onBytes(chunk.length);
      yield chunk;
    }
  };
  const { sizeBytes } = found;
  const unknown = { manifest: undefined, revision: undefined, changes: undefined, isLate: false };
  return { ...unknown, name, content, sizeBytes };
}

export interface RestoreOptions extends RevisionBump {
  readonly member: RestoredMember;
  /** Makes a retry one: what a restore with this id has done of the directory is not done again. */
  readonly id: string | undefined;
  readonly onProgress: (
    step: 'reading' | 'restoring',
    doneBytes: number,
    totalBytes: number,
  ) => void;
}

/**
 * Makes a member's data directory of a plan, or finds that it was made before. What is read stands beside the directory
 * until it is done.
 */
export async function restoreBackup(
  target: Target,
  plan: RestorePlan,
  { member, id, bumpRevision, aboveRevision, onProgress }: RestoreOptions,
): Promise<RestoredData & { readonly wasThere: boolean }> {
  const path = join(dirname(member.dataDir), `.${plan.name.replaceAll('/', '-')}.download`);
  const changesPath = `${path}.changes`;
  const before = id === undefined ? undefined : restoredBefore(member, id);
  if (before !== undefined) {
    // Killed right at its end, it has left what it had read.
    for (const each of [path, changesPath]) rmSync(each, { force: true });
    return { ...before, wasThere: true };
  }
  mkdirSync(dirname(member.dataDir), { recursive: true, mode: 0o700 });
  return withDownload(path, readContent(plan, onProgress), async () => {
    const later = plan.changes && (await LaterVersions.write(changesPath, plan.changes()));
    try {
      let doneBytes = 0;
      const restored = await restoreFile({
        path,
        what: `${target.place}/${plan.manifest?.data ?? plan.name}`,
        member,
        id,
        bumpRevision,
        aboveRevision,
        ...(later !== undefined && { laterVersions: later }),
        onBytes: (bytes, totalBytes) => {
          doneBytes += bytes;
          onProgress('restoring', doneBytes, totalBytes);
        },
      });
      return { ...restored, wasThere: false };
    } finally {
      later?.remove();
    }
  });
}

/** Reads everything as a restore would, and keeps nothing of it. */
export async function readThrough(
  plan: RestorePlan,
  onProgress: RestoreOptions['onProgress'],
): Promise<void> {
  for await (const _chunk of readContent(plan, onProgress));
  for await (const _change of plan.changes?.() ?? []);
}

async function* readContent(
  plan: RestorePlan,
  onProgress: RestoreOptions['onProgress'],
): AsyncGenerator<Uint8Array, void, void> {
  let readBytes = 0;
  yield* plan.content((bytes) => {
    readBytes += bytes;
    onProgress('reading', readBytes, plan.sizeBytes);
  }) as AsyncGenerator<Uint8Array, void, void>;
}
