// [io] One pass over one StoreBackup, or one StoreBackupSchedule: observe, plan, act, status, as in reconcile.ts.
import { isDeepStrictEqual } from 'node:util';
import { actOnBackups, type BackupActModules } from './act/backup.ts';
import type { StoreBackup, StoreBackupSchedule } from './api/backup-types.ts';
import { isNotFound } from './kube/errors.ts';
import { pathOf } from './kube/paths.ts';
import type { ClusterKey } from './observe/observe.ts';
import {
  type BackupObserveModules,
  observeBackup,
  observeSchedule,
} from './observe/observe-backup.ts';
import { planBackup } from './plan/backup.ts';
import { planSchedule } from './plan/schedule.ts';
import { backupStatus, scheduleStatus } from './status/backup-status.ts';

export type BackupModules = BackupObserveModules & BackupActModules;

const busyMs = 2_000;
const idleMs = 30_000;
/** How old what the status says of an archive may be. */
const archivingMs = 5_000;

/** Milliseconds after which to look again; undefined when the StoreBackup is gone. Throws when the pass failed. */
export async function reconcileBackup(
  modules: BackupModules,
  key: ClusterKey,
): Promise<number | undefined> {
  const observation = await observeBackup(modules, key);
  if (observation === undefined) return undefined;
  const { backup, now } = observation;
  const planned = planBackup(observation);
  const { message = '' } = planned.status;
  await actOnBackups(modules, planned.action);
  if (planned.event !== undefined) modules.recorder.record(backup, { ...planned.event, message });
  await writeStatus(modules, backup, backupStatus(backup, planned.status, now));
  const isOver = planned.status.phase === 'Complete' || planned.status.phase === 'Failed';
  return isOver && planned.action === undefined ? idleMs * 10 : busyMs;
}

/** Milliseconds after which to look again; undefined when the StoreBackupSchedule is gone. */
export async function reconcileSchedule(
  modules: BackupModules,
  key: ClusterKey,
): Promise<number | undefined> {
  const observation = await observeSchedule(modules, key);
  if (observation === undefined) return undefined;
  const { schedule, now } = observation;
  const planned = planSchedule(observation);
  await actOnBackups(modules, planned.action);
  if (planned.event !== undefined) modules.recorder.record(schedule, planned.event);
  await writeStatus(modules, schedule, scheduleStatus(observation, planned.status));
  if (planned.action !== undefined) return busyMs;
  const restMs = schedule.spec.archive === undefined ? idleMs : archivingMs;
  const untilNextMs = Date.parse(planned.status.next ?? '') - Date.parse(now);
  return Math.max(busyMs, Math.min(restMs, Number.isNaN(untilNextMs) ? restMs : untilNextMs));
}

async function writeStatus(
  modules: BackupModules,
  object: StoreBackup | StoreBackupSchedule,
  status: object,
): Promise<void> {
  if (isDeepStrictEqual(status, object.status)) return;
  try {
    await modules.kube.replace(pathOf(object, 'status'), { ...object, status });
  } catch (error) {
    // Deleted meanwhile.
    if (!isNotFound(error)) throw error;
  }
}
