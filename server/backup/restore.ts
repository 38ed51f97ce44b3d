import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RestoredMember } from '../member/restored-data.ts';
import { contentOf } from './content.ts';
import { withDownload } from './download.ts';
import { decrypted, type EncryptionKey, keyWithId } from './encryption.ts';
import { BackupError } from './failure.ts';
import type { Manifest } from './manifest.ts';
import { findBackup, manifestOf } from './repository.ts';
import { type RestoredIds, restoreFile } from './restored-member.ts';
import type { Target } from './target.ts';

/** What is to be restored. */
export type RestoreSource =
  /** A backup by name or id, or `latest`. */
  | { readonly kind: 'backup'; readonly wanted: string }
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
  const found = await findBackup(target, { uid, wanted: source.wanted });
  const manifest = await manifestOf(target, found);
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
  return { manifest: undefined, name, content, sizeBytes, revision: undefined };
}

export interface RestoreOptions {
  readonly member: RestoredMember;
  readonly bumpRevision: number;
  readonly onProgress: (
    step: 'reading' | 'restoring',
    doneBytes: number,
    totalBytes: number,
  ) => void;
}

/** Makes a member's data directory of a plan. What is read stands beside the directory until it is done. */
export async function restoreBackup(
  target: Target,
  plan: RestorePlan,
  { member, bumpRevision, onProgress }: RestoreOptions,
): Promise<RestoredIds> {
  mkdirSync(dirname(member.dataDir), { recursive: true, mode: 0o700 });
  const path = join(dirname(member.dataDir), `.${plan.name.replaceAll('/', '-')}.download`);
  return withDownload(path, readContent(plan, onProgress), () => {
    let doneBytes = 0;
    return restoreFile({
      path,
      what: `${target.place}/${plan.manifest?.data ?? plan.name}`,
      member,
      bumpRevision,
      onBytes: (bytes, totalBytes) => {
        doneBytes += bytes;
        onProgress('restoring', doneBytes, totalBytes);
      },
    });
  });
}

/** Reads everything as a restore would, and keeps nothing of it. */
export async function readThrough(
  plan: RestorePlan,
  onProgress: RestoreOptions['onProgress'],
): Promise<void> {
  for await (const _chunk of readContent(plan, onProgress));
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
