import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { EncryptionKey } from '../base/encryption-key.ts';
import type { RestoredMember } from '../member/restored-data.ts';
import { contentOf } from './content.ts';
import { withDownload } from './download.ts';
import { BackupError } from './failure.ts';
import { formatVersion, type Manifest } from './manifest.ts';
import { parseTimeName, timeName, verificationName } from './names.ts';
import { type FoundBackup, manifestOf } from './repository.ts';
import { openRestored, type RestoredState, restoreFile } from './restored-member.ts';
import type { Target } from './target.ts';

export interface VerifyOptions {
  readonly keys: readonly EncryptionKey[];
  /** Where the backup is restored to, in a directory of its own that is removed afterwards. */
  readonly scratchDir: string;
  /** Whether the outcome is kept beside the backup: prune, list and the next operator look there. */
  readonly isRecorded: boolean;
  readonly onProgress: (
    step: 'reading' | 'restoring',
    doneBytes: number,
    totalBytes: number,
  ) => void;
}

export interface Verified {
  readonly manifest: Manifest;
  readonly restored: RestoredState;
  /** RFC 3339. */
  readonly verifiedAt: string;
}

interface VerifyModules {
  readonly target: Target;
  readonly wallMs: () => number;
}

/**
 * Restores a backup into a scratch directory, opens that as a member does and compares what is there with what was
 * recorded. Fails with `Damaged` when it is not the same; that, too, is recorded.
 */
export async function verifyBackup(
  { target, wallMs }: VerifyModules,
  found: FoundBackup,
  options: VerifyOptions,
): Promise<Verified> {
  const manifest = await manifestOf(target, found);
  const record = async (isOk: boolean, outcome: Record<string, unknown>): Promise<void> => {
    if (!options.isRecorded) return;
    const time = timeName(Math.max(wallMs(), parseTimeName(found.verifiedTime || timeName(0)) + 1));
    const name = verificationName(found.uid, found.stem, { time, isOk });
    const verifiedAt = new Date(wallMs()).toISOString();
    const said = { format: formatVersion, kind: 'mainstay-verification', verifiedAt, ...outcome };
    await target.create(
      name,
      Buffer.from(`${JSON.stringify(said, undefined, 2)}\n`),
      found.stem.id,
    );
  };
  try {
    const restored = await scratchRestore(target, manifest, options);
    compare(manifest, restored, found.name);
    await record(true, { ...restored });
    return { manifest, restored, verifiedAt: new Date(wallMs()).toISOString() };
  } catch (error) {
    // What else may fail (no room, no network, no key) says nothing of the backup.
    if (error instanceof BackupError && error.failure === 'Damaged') {
      await record(false, { message: error.message });
    }
    throw error;
  }
}

async function scratchRestore(
  target: Target,
  manifest: Manifest,
  { keys, scratchDir, onProgress }: VerifyOptions,
): Promise<RestoredState> {
  const directory = mkdtempSync(join(scratchDir, 'mainstay-verify-'));
  try {
    let readBytes = 0;
    const onBytes = (bytes: number) => {
      readBytes += bytes;
      onProgress('reading', readBytes, manifest.sizeBytes);
    };
    const path = join(directory, 'snapshot.db');
    const dataDir = join(directory, 'data');
    await withDownload(path, contentOf(target, manifest, { keys, onBytes }), async () => {
      let doneBytes = 0;
      await restoreFile({
        path,
        what: `${target.place}/${manifest.data}`,
        member: scratchMember(dataDir),
        bumpRevision: 0,
        onBytes: (bytes, totalBytes) => {
          doneBytes += bytes;
          onProgress('restoring', doneBytes, totalBytes);
        },
      });
    });
    return await openRestored(dataDir);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function scratchMember(dataDir: string): RestoredMember {
  const peerUrls = ['http://127.0.0.1:2380'];
  return {
    dataDir,
    initialCluster: [{ name: 'scratch', peerUrls }],
    initialClusterToken: 'scratch',
    advertisePeerUrls: peerUrls,
  };
}

function compare(manifest: Manifest, restored: RestoredState, name: string): void {
  const facts = ['revision', 'compactRevision', 'keys', 'hash'] as const;
  const wrong = facts.filter((fact) => manifest[fact] !== restored[fact]);
  if (wrong.length === 0) return;
  const told = wrong.map((fact) => `${fact} ${restored[fact]} and not ${manifest[fact]}`);
  throw new BackupError(
    'Damaged',
    `${name}, when it is restored, has ${told.join(', ')}: do not rely on it; take a new backup`,
  );
}
