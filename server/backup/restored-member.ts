import { Alarms } from '../apply/alarms.ts';
import { AuthStore } from '../auth/auth-store.ts';
import { Backend } from '../backend/backend.ts';
import { StateDamagedError } from '../backend/damage.ts';
import type { StatePart } from '../backend/restore.ts';
import { bucketRange, prefix } from '../backend/schema.ts';
import { asBuffer } from '../base/bytes.ts';
import { silentLogger } from '../base/logger.ts';
import { Lessor } from '../lease/lessor.ts';
import { LevelStateStores } from '../member/level-state-stores.ts';
import { Membership } from '../member/membership.ts';
import { nodeClock } from '../member/node-ports.ts';
import {
  DataDirectoryError,
  type RestoredData,
  type RestoredMember,
  restoreData,
} from '../member/restored-data.ts';
import { isTombstoneRecord } from '../mvcc/record-codec.ts';
import { etcdRevisionKey, parseRevisionKey } from '../mvcc/revision.ts';
import { BoltDamageError } from '../snapshot/bolt-reader.ts';
import {
  type LaterVersion,
  type RevisionBump,
  RevisionOverflowError,
} from '../snapshot/restored-records.ts';
import { SnapshotChecksumError, SnapshotFile } from '../snapshot/snapshot-file.ts';
import { BackupError } from './failure.ts';
import { needsEarlyTable, PassingHash, PassingVersions } from './kv-facts.ts';

export interface RestoringFile extends RevisionBump {
  readonly path: string;
  /** For messages: what is in the file. */
  readonly what: string;
  readonly member: RestoredMember;
  /** Makes a retry one. */
  readonly id?: string | undefined;
  readonly laterVersions?: Iterable<LaterVersion>;
  readonly onBytes: (sizeBytes: number, totalBytes: number) => void;
}

/** Makes a data directory of a snapshot in a file, whose checksum has to be right. Rejects with a {@link BackupError}. */
export async function restoreFile(restoring: RestoringFile): Promise<RestoredData> {
  const { path, what, member, id, bumpRevision, aboveRevision, laterVersions, onBytes } = restoring;
  const file = new SnapshotFile(path);
  try {
    await file.verify();
    return await restoreData(file.database(), member, {
      id,
      bumpRevision,
      aboveRevision,
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

/** Opens a restored directory, with every check that a member makes of its state, and looks at what is there. */
export async function openRestored(dataDir: string): Promise<RestoredState> {
  const stores = new LevelStateStores(`${dataDir}/member`);
  const backend = new Backend({ logger: silentLogger });
  const store = new RestoredStore();
  const others = [
    new Lessor({ clock: nodeClock, backend }),
    new Alarms({ backend }),
    new AuthStore({ backend }),
    new Membership({ backend }),
  ];
  await backend.open(await stores.open(), [store, ...others]);
  try {
    const { facts } = store.versions;
    let { table } = store.versions;
    if (needsEarlyTable(facts)) {
      const early = new PassingVersions(facts.compactRevision);
      await eachVersion(backend, ([main, record]) =>
        early.add(main, record, isTombstoneRecord(record)),
      );
      table = early.table;
    }
    const hash = new PassingHash(facts, table);
    const again = new PassingVersions(0);
    await eachVersion(backend, ([main, record, etcdKey]) => {
      hash.add(again.add(main, record, isTombstoneRecord(record)), [etcdKey, record]);
    });
    return { ...facts, hash: hash.hash };
  } finally {
    await backend.close();
  }
}

type StoredVersion = readonly [main: number, record: Uint8Array, etcdKey: Uint8Array];

async function eachVersion(
  backend: Backend,
  visit: (version: StoredVersion) => void,
): Promise<void> {
  const pinned = backend.pin();
  try {
    for await (const chunk of pinned.scan(bucketRange(prefix.revision))) {
      for (const [key, record] of chunk) {
        const pair = parseRevisionKey(key);
        visit([pair.main, record, etcdRevisionKey(pair, isTombstoneRecord(record))]);
      }
    }
  } finally {
    pinned.release();
  }
}

/** What a member's store reads when it opens a state, in so little memory that a pod of any size can look. */
class RestoredStore implements StatePart {
  readonly prefixes = [prefix.meta, prefix.revision];
  readonly versions = new PassingVersions();

  restoreBegin(): void {}

  restoreRecord(key: Uint8Array, value: Uint8Array): void {
    if (key[0] === prefix.meta) {
      if (value.length !== 8) throw new StateDamagedError('a revision is malformed');
      this.versions.compacted(Number(asBuffer(value).readBigInt64BE()));
    } else {
      this.versions.add(parseRevisionKey(key).main, value, isTombstoneRecord(value));
    }
  }

  restoreEnd(): void {}
}
