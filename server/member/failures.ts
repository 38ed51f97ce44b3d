import { StateDamagedError } from '../backend/damage.ts';
import { FormatError } from '../backend/restore.ts';
import { UsageError } from '../config/flags.ts';
import { DataKeysError, EncryptionKeyError } from '../encryption/data-keys.ts';
import { UndecryptableEntryError } from '../wal/encrypted-entry.ts';
import { ForeignLogError } from '../wal/segment.ts';
import { BootstrapError } from './bootstrap.ts';
import { DataMismatchError } from './corruption.ts';
import { ForceRefusedError } from './forced-cluster.ts';
import { DataRefusedError } from './peer-service.ts';
import { DataDamagedError } from './recovery.ts';
import { RemovedError } from './replica.ts';
import { DataDirectoryError } from './restored-data.ts';

const dataErrors = [
  ForceRefusedError,
  DataDirectoryError,
  DataDamagedError,
  DataMismatchError,
  DataRefusedError,
  RemovedError,
  StateDamagedError,
  FormatError,
  ForeignLogError,
  DataKeysError,
  UndecryptableEntryError,
];

/** Why a member cannot go on, after sysexits.h: so that whoever restarts it can tell what restarting cannot mend (data). */
export function exitStatusOf(error: unknown): number {
  if (dataErrors.some((kind) => error instanceof kind)) return exitStatus.data;
  if (error instanceof UsageError || error instanceof EncryptionKeyError) return exitStatus.usage;
  if (error instanceof BootstrapError) return exitStatus.failed;
  if (error instanceof Error && 'syscall' in error) return exitStatus.io;
  return exitStatus.bug;
}

export const exitStatus = { ok: 0, failed: 1, usage: 2, bug: 70, io: 74, data: 78 } as const;
