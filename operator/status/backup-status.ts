import type {
  StoreBackup,
  StoreBackupScheduleStatus,
  StoreBackupStatus,
} from '../api/backup-types.ts';
import { type Finding, mergeConditions } from '../api/conditions.ts';
import type { ScheduleObservation } from '../observe/backup-observation.ts';
import { lastFailure, stuckStart } from '../plan/backup.ts';
import { hasBase, isOfStore, isOver, scheduleError } from '../plan/schedule.ts';

/** The status of a StoreBackup with its conditions. Pure. */
export function backupStatus(
  { metadata, spec, status: previous }: StoreBackup,
  planned: StoreBackupStatus,
  now: string,
): StoreBackupStatus {
  const generation = metadata.generation ?? 0;
  const { phase, message = '' } = planned;
  const hasFailed = phase === 'Failed';
  const findings: Finding[] = [
    {
      type: 'Ready',
      status: phase === 'Complete' ? 'True' : 'False',
      reason: phase ?? 'Pending',
      message,
    },
    ...(hasFailed ? [{ type: 'Stalled', status: 'True', reason: 'Failed', message } as const] : []),
    verified(planned, spec.verify !== false),
  ];
  const conditions = mergeConditions(previous?.conditions ?? [], findings, { now, generation });
  return { ...planned, conditions, observedGeneration: generation };
}

function verified(
  { verifiedAt, phase, message = '' }: StoreBackupStatus,
  wanted: boolean,
): Finding {
  const type = 'Verified';
  if (verifiedAt !== undefined) {
    const told = `Restored and found equal at ${verifiedAt}.`;
    return { type, status: 'True', reason: 'Equal', message: told };
  }
  if (phase === 'Failed') return { type, status: 'False', reason: 'Failed', message };
  const reason = wanted ? 'NotYet' : 'NotWanted';
  return { type, status: 'Unknown', reason, message: 'It was not restored to prove it.' };
}

/** The status of a StoreBackupSchedule with its conditions. Pure. */
export function scheduleStatus(
  observation: ScheduleObservation,
  planned: StoreBackupScheduleStatus,
): StoreBackupScheduleStatus {
  const { schedule, now } = observation;
  const generation = schedule.metadata.generation ?? 0;
  const findings = [
    ready(observation),
    current(observation, planned),
    lastVerified(observation),
    ...(schedule.spec.archive === undefined ? [] : [archived(observation, planned)]),
  ];
  const conditions = mergeConditions(schedule.status?.conditions ?? [], findings, {
    now,
    generation,
  });
  return { ...planned, conditions };
}

function ready({ schedule, cluster, sharing }: ScheduleObservation): Finding {
  const type = 'Ready';
  const error = scheduleError(schedule.spec);
  if (error !== undefined) {
    const message = `The schedule cannot be kept: ${error}.`;
    return { type, status: 'False', reason: 'ScheduleRefused', message };
  }
  if (cluster === undefined) {
    const message = `There is no StoreCluster ${schedule.spec.cluster} in this namespace.`;
    return { type, status: 'False', reason: 'ClusterMissing', message };
  }
  if (schedule.spec.keep !== undefined && sharing.length > 0) {
    const isOne = sharing.length === 1;
    const message = `Backups are made, and none is removed: ${sharing.join(', ')} ${isOne ? 'has' : 'have'} the same target, and what one keeps the other would remove. Give each schedule a prefix or a path of its own.`;
    return { type, status: 'False', reason: 'TargetShared', message };
  }
  if (schedule.spec.suspend === true) {
    const message = 'No further backups begin while spec.suspend is true.';
    return { type, status: 'True', reason: 'Suspended', message };
  }
  return { type, status: 'True', reason: 'Scheduled', message: 'Backups begin by the schedule.' };
}

/** Whether the last time of the schedule has led to a backup that is whole. */
function current(
  { schedule, backups, now }: ScheduleObservation,
  { lastBackup, scheduledAt }: StoreBackupScheduleStatus,
): Finding {
  const type = 'Current';
  const failed = newestFailure(backups);
  if (failed !== undefined) {
    const message = `${failed.metadata.name} failed: ${failed.status?.message ?? 'it does not say why'}`;
    return { type, status: 'False', reason: 'BackupFailed', message };
  }
  const deadlineMs = (schedule.spec.startingDeadlineSeconds ?? 3_600) * 1_000;
  // Times that are left out while it runs are served, and each is soon another one's.
  const unended = backups.find(({ status }) => !isOver(status?.phase))?.metadata;
  const askedAt = new Date(unended?.creationTimestamp ?? now);
  if (unended !== undefined && Date.parse(now) - askedAt.getTime() > deadlineMs) {
    const message = `${unended.name} was asked for at ${askedAt.toISOString()} and has not come to its end: see its message.`;
    return { type, status: 'False', reason: 'BackupOverdue', message };
  }
  const isServed =
    scheduledAt === undefined ||
    Date.parse(lastBackup?.at ?? '1970-01-01T00:00:00Z') >= Date.parse(scheduledAt);
  if (!isServed && Date.parse(now) - Date.parse(scheduledAt ?? now) > deadlineMs) {
    const message = `The backup of ${scheduledAt} is overdue. See the StoreBackups of this schedule and the events of the StoreCluster.`;
    return { type, status: 'False', reason: 'BackupOverdue', message };
  }
  if (lastBackup === undefined) {
    return { type, status: 'Unknown', reason: 'NoneYet', message: 'There is no backup yet.' };
  }
  const message = `The last backup is ${lastBackup.name}.`;
  return { type, status: 'True', reason: 'BackupThere', message };
}

/** Whether every change is on its way to the target, and up to where it has come. */
function archived(
  observation: ScheduleObservation,
  { archivedTo, archivedAt }: StoreBackupScheduleStatus,
): Finding {
  const { schedule, cluster, archive, archived: end, now } = observation;
  const type = 'Archived';
  const upTo =
    archivedTo === undefined
      ? 'Nothing is archived yet'
      : `What is archived ends at revision ${archivedTo}${archivedAt === undefined ? '' : `, ${archivedAt}`}`;
  if (schedule.spec.suspend === true) {
    return { type, status: 'False', reason: 'Suspended', message: `${upTo}.` };
  }
  if (cluster === undefined) {
    const message = `${upTo}: there is no StoreCluster ${schedule.spec.cluster} in this namespace.`;
    return { type, status: 'False', reason: 'ClusterMissing', message };
  }
  // A pod that runs and has not written yet has not got over what ended it last time.
  const failed = end?.at === undefined && archive !== undefined ? lastFailure(archive) : undefined;
  const stuck = archive && stuckStart(archive, { now, image: undefined });
  if (stuck !== undefined) {
    const message = `${upTo}: the pod does not start. ${stuck.why}`;
    return { type, status: 'False', reason: 'ArchiveFailed', message };
  }
  if (failed !== undefined) {
    const message = `${upTo}: ${failed.message}`;
    return failed.failure === 'Gap'
      ? { type, status: 'False', reason: 'Gap', message }
      : { type, status: 'False', reason: 'ArchiveFailed', message };
  }
  if (!hasBase(observation)) {
    const message = 'Changes are archived as soon as there is a backup that they follow.';
    return { type, status: 'Unknown', reason: 'NoBackupYet', message };
  }
  const isRunning = archive?.status?.phase === 'Running' && archivedTo !== undefined;
  if (end === undefined && !isRunning) {
    return { type, status: 'Unknown', reason: 'NotYet', message: `${upTo}.` };
  }
  return { type, status: 'True', reason: 'Archiving', message: 'Changes are archived.' };
}

function newestFailure(backups: readonly StoreBackup[]): StoreBackup | undefined {
  const over = backups.filter(({ status }) => ['Complete', 'Failed'].includes(status?.phase ?? ''));
  const last = over.at(-1);
  return last?.status?.phase === 'Failed' ? last : undefined;
}

function lastVerified({ backups, cluster, schedule }: ScheduleObservation): Finding {
  const type = 'Verified';
  const last = backups.findLast(
    (each) => each.status?.verifiedAt !== undefined && isOfStore(each, cluster),
  );
  if (last !== undefined) {
    const message = `${last.metadata.name} was restored and found equal at ${last.status?.verifiedAt}.`;
    return { type, status: 'True', reason: 'Equal', message };
  }
  const reason = (schedule.spec.verifyEvery ?? 1) === 0 ? 'NotWanted' : 'NoneYet';
  return { type, status: 'Unknown', reason, message: 'No backup was restored to prove it.' };
}
