import { silentLogger } from '../base/logger.ts';
import { LevelStateStores } from '../member/level-state-stores.ts';
import { nodeClock } from '../member/node-ports.ts';
import { DataDirectoryError, type RestoredMember, restoreData } from '../member/restored-data.ts';
import { MemberState } from '../member/state.ts';
import { BoltDamageError } from '../snapshot/bolt-reader.ts';
import { type LaterVersion, RevisionOverflowError } from '../snapshot/restored-records.ts';
import { SnapshotChecksumError, SnapshotFile } from '../snapshot/snapshot-file.ts';
import { BackupError } from './failure.ts';

export interface RestoringFile {
  readonly path: string;
  /** For messages: what is in the file. */
  readonly what: string;
  readonly member: RestoredMember;
  readonly bumpRevision: number;
  readonly laterVersions?: Iterable<LaterVersion>;
  readonly onBytes: (sizeBytes: number, totalBytes: number) => void;
}

export interface RestoredIds {
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

/** Makes a data directory of a snapshot in a file, whose checksum has to be right. Rejects with a {@link BackupError}. */
export async function restoreFile(restoring: RestoringFile): Promise<RestoredIds> {
  const { path, what, member, bumpRevision, laterVersions, onBytes } = restoring;
  const file = new SnapshotFile(path);
  try {
    await file.verify();
    return await restoreData(file.database(), member, {
      bumpRevision,
      laterVersions,
      onRecord: (bytes) => onBytes(bytes, file.sizeBytes),
    });
  } catch (error) {
    throw asFailure(error, what);
  } finally {
    file.close();
  }
}

function asFailure(error: unknown, what: string): unknown {
  if (error instanceof BoltDamageError || error instanceof SnapshotChecksumError) {
    return new BackupError('Damaged', `${what}: ${error.message}`, { cause: error });
  }
  if (error instanceof RevisionOverflowError) {
    return new BackupError('Invalid', error.message, { cause: error });
  }
  if (error instanceof DataDirectoryError) {
    return new BackupError('DirectoryRefused', error.message, { cause: error });
  }
  return error;
}

/** What a member that started from the directory would have. */
export interface RestoredState {
  readonly revision: number;
  readonly compactRevision: number;
  readonly keys: number;
  /** HashKV at the revision. */
  readonly hash: number;
}

const everything = { start: '', end: undefined, single: false };

/** Opens a restored directory as a member does, with every check that it makes, and looks at what is there. */
export async function openRestored(dataDir: string): Promise<RestoredState> {
  const stores = new LevelStateStores(`${dataDir}/member`);
  const state = new MemberState({ clock: nodeClock, logger: silentLogger, defer: setImmediate });
  await state.open(await stores.open());
  try {
    const { store } = state;
    const { hash } = await store.hashKv(0);
    const { revision, compactRevision } = store;
    const keys = store.index.countAt(everything, revision);
    return { revision, compactRevision, keys, hash };
  } finally {
    await state.backend.close();
  }
}
