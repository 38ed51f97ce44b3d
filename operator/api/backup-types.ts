import type {
  storeBackupScheduleSpec,
  storeBackupScheduleStatus,
  storeBackupSpec,
  storeBackupStatus,
} from './backup-schema.ts';
import type { FromSchema } from './json-schema.ts';
import type { KubeObject } from './objects.ts';

export type StoreBackupSpec = FromSchema<typeof storeBackupSpec>;
export type StoreBackupStatus = FromSchema<typeof storeBackupStatus>;
export type StoreBackupScheduleSpec = FromSchema<typeof storeBackupScheduleSpec>;
export type StoreBackupScheduleStatus = FromSchema<typeof storeBackupScheduleStatus>;

export interface StoreBackup extends KubeObject {
  readonly kind: 'StoreBackup';
  readonly spec: StoreBackupSpec;
  readonly status?: StoreBackupStatus;
}

export interface StoreBackupSchedule extends KubeObject {
  readonly kind: 'StoreBackupSchedule';
  readonly spec: StoreBackupScheduleSpec;
  readonly status?: StoreBackupScheduleStatus;
}

export type BackupTarget = StoreBackupSpec['target'];
export type BackupKey = NonNullable<StoreBackupSpec['encryption']>;
