import type { StoreBackup, StoreBackupSchedule } from '../api/backup-types.ts';
import type { OwnerReference } from '../api/objects.ts';
import { apiVersion, group } from '../api/schema.ts';

export function savePodName({ metadata }: StoreBackup): string {
  return `${metadata.name}-save`;
}

export function verifyPodName({ metadata }: StoreBackup): string {
  return `${metadata.name}-verify`;
}

export function prunePodName({ metadata }: StoreBackupSchedule): string {
  return `${metadata.name}-prune`;
}

export function listPodName({ metadata }: StoreBackupSchedule): string {
  return `${metadata.name}-list`;
}

/** Of a backup that was found in a target, `TIME-ID-WORD`: by its time there, and by the word for two of one moment. */
export function foundName({ metadata }: StoreBackupSchedule, object: string): string {
  const [time = '', ...more] = object.split('-');
  return `${metadata.name}-${time.replace(/[TZ]/g, '')}-${(more.at(-1) ?? '').slice(0, 4)}`;
}

export function archivePodName({ metadata }: StoreBackupSchedule): string {
  return `${metadata.name}-archive`;
}

/** The backup of one time of a schedule: made twice, it is the same one. */
export function scheduledName({ metadata }: StoreBackupSchedule, at: Date): string {
  const digits = at.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 13);
  return `${metadata.name}-${digits}`;
}

export function backupOwner({ metadata }: StoreBackup): OwnerReference {
  return ownerOf('StoreBackup', metadata);
}

export function scheduleOwner({ metadata }: StoreBackupSchedule): OwnerReference {
  return ownerOf('StoreBackupSchedule', metadata);
}

function ownerOf(kind: string, { name, uid = '' }: { name: string; uid?: string }): OwnerReference {
  return {
    apiVersion: `${group}/${apiVersion}`,
    kind,
    name,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}
