import { createHash } from 'node:crypto';
import { Cron } from 'croner';
import type {
  StoreBackup,
  StoreBackupSchedule,
  StoreBackupScheduleStatus,
} from '../api/backup-types.ts';
import type { Pod } from '../api/objects.ts';
import { apiVersion, group } from '../api/schema.ts';
import type { StoreCluster } from '../api/types.ts';
import { hasTools } from '../api/versions.ts';
import { clockSkewMsMax, type ScheduleObservation } from '../observe/backup-observation.ts';
import { hasEnded, isTerminating } from '../observe/view.ts';
import {
  archivePodName,
  prunePodName,
  scheduledName,
  scheduleOwner,
} from '../resources/backup-names.ts';
import { buildBackupPod, scheduleLabel } from '../resources/backup-pod.ts';
import { isRestoring } from '../resources/restore.ts';
import { resultOf, stuckStart, whyFailed } from './backup.ts';
import { findBackups } from './find-backups.ts';

export interface SchedulePlan {
  readonly action: ScheduleAction | undefined;
  readonly status: StoreBackupScheduleStatus;
  readonly event:
    | { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string }
    | undefined;
}

export type ScheduleAction =
  | { readonly kind: 'createBackup'; readonly backup: StoreBackup }
  | { readonly kind: 'deleteBackup'; readonly backup: StoreBackup }
  | { readonly kind: 'createPod'; readonly pod: Pod }
  | { readonly kind: 'deletePod'; readonly pod: Pod };

/** Failed StoreBackups that stay for a person to look at. */
const failedKept = 3;
/** Names of backups that fit into what a pod can say at its end. */
const prunedAtOnce = 5;
/** From a failure to the next try. */
const pruneAgainMs = 600_000;

/**
 * Pure. Makes the StoreBackup whose time has come, has old backups removed once a new one is good, and keeps a pod that
 * archives changes where that is wanted. At most one action.
 */
export function planSchedule(observed: ScheduleObservation): SchedulePlan {
  const observation = withTools(observed);
  const status = statusOf(observation);
  return (
    makeDue(observation, status) ??
    findBackups(observation, status) ??
    prune(observation, status) ??
    forgetFailed(observation, status) ??
    archive(observation, status) ?? { action: undefined, status, event: clockSetBack(observation) }
  );
}

/** Pods are made of an image that has the tools, or not at all; a StoreBackup says itself what it waits for. */
function withTools({ spec, ...rest }: ScheduleObservation): ScheduleObservation {
  return { ...rest, spec: spec !== undefined && hasTools(spec.image) ? spec : undefined };
}

/** Said once: the status that is written then is not ahead any more. */
function clockSetBack({ schedule, now }: ScheduleObservation): SchedulePlan['event'] {
  const { scheduledAt } = schedule.status ?? {};
  if (scheduledAt === undefined || servedTime({ schedule, now }) === scheduledAt) return undefined;
  const message = `It is ${now}, and the last backup was that of ${scheduledAt}: the clock was set back. Backups go on by the clock as it is now.`;
  return warning('ClockSetBack', message);
}

/** Why a schedule can never be kept; undefined when it can. */
export function scheduleError(spec: StoreBackupSchedule['spec']): string | undefined {
  try {
    const next = cronOf(spec).nextRun(new Date(0));
    return next === null ? `"${spec.schedule}" never comes` : undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function cronOf({ schedule, timeZone }: StoreBackupSchedule['spec']): Cron {
  return new Cron(schedule, { timezone: timeZone ?? 'Etc/UTC', paused: true });
}

function makeDue(
  observation: ScheduleObservation,
  status: StoreBackupScheduleStatus,
): SchedulePlan | undefined {
  const { schedule, cluster, backups, now } = observation;
  const { spec } = schedule;
  if (spec.suspend === true || cluster === undefined) return undefined;
  const due = dueTime(observation);
  if (due === undefined) return undefined;
  const served = { ...status, scheduledAt: due.toISOString() };
  const lateMs = Date.parse(now) - due.getTime() - jitterMs(schedule);
  if (lateMs > (spec.startingDeadlineSeconds ?? 3_600) * 1_000) {
    const message = `The backup of ${due.toISOString()} is left out: it is too late for it.`;
    return { action: undefined, status: served, event: warning('BackupMissed', message) };
  }
  const running = backups.find(({ status: each }) => !isOver(each?.phase));
  if (running !== undefined && (spec.concurrency ?? 'Forbid') === 'Forbid') {
    const message = `The backup of ${due.toISOString()} is left out: ${running.metadata.name} still runs.`;
    return { action: undefined, status: served, event: warning('BackupSkipped', message) };
  }
  const backup = buildScheduled(schedule, due, backups);
  const message = `Made ${backup.metadata.name}.`;
  return {
    action: { kind: 'createBackup', backup },
    status: served,
    event: { type: 'Normal', reason: 'BackupScheduled', message },
  };
}

/** The last time of the schedule that has come and was not served. */
function dueTime({ schedule, now }: ScheduleObservation): Date | undefined {
  const { spec, status, metadata } = schedule;
  if (scheduleError(spec) !== undefined) return undefined;
  if (spec.immediate === true && status?.scheduledAt === undefined) {
    return new Date(metadata.creationTimestamp ?? now);
  }
  const servedMs = Date.parse(servedTime({ schedule, now }) ?? metadata.creationTimestamp ?? now);
  const reached = new Date(Date.parse(now) - jitterMs(schedule) + 1);
  // Of several that were missed only the last one is made up for.
  const [due] = cronOf(spec).previousRuns(1, reached);
  return due !== undefined && due.getTime() > servedMs ? due : undefined;
}

/**
 * Up to when the schedule is served. A clock that was ahead and was set right may have left a time of years to come:
 * then it is served up to now, and waits for no such time.
 */
function servedTime({
  schedule,
  now,
}: Pick<ScheduleObservation, 'schedule' | 'now'>): string | undefined {
  const { creationTimestamp = now } = schedule.metadata;
  const { scheduledAt } = schedule.status ?? {};
  const isAhead = Date.parse(scheduledAt ?? creationTimestamp) > Date.parse(now) + clockSkewMsMax;
  return isAhead ? now : scheduledAt;
}

/** Always the same for one schedule, so that the time between two backups is. */
function jitterMs({ spec, metadata }: StoreBackupSchedule): number {
  const jitterSeconds = spec.jitterSeconds ?? 0;
  if (jitterSeconds === 0) return 0;
  const digest = createHash('sha256')
    .update(metadata.uid ?? metadata.name)
    .digest();
  return (digest.readUInt32BE(0) % (jitterSeconds + 1)) * 1_000;
}

function buildScheduled(
  schedule: StoreBackupSchedule,
  due: Date,
  backups: readonly StoreBackup[],
): StoreBackup {
  const { spec, metadata } = schedule;
  return {
    apiVersion: `${group}/${apiVersion}`,
    kind: 'StoreBackup',
    metadata: {
      name: freeName(scheduledName(schedule, due), backups),
      namespace: metadata.namespace ?? 'default',
      labels: { [scheduleLabel]: metadata.name },
    },
    spec: {
      cluster: spec.cluster,
      target: spec.target,
      ...(spec.encryption === undefined ? {} : { encryption: spec.encryption }),
      verify: isVerifiedNext(spec.verifyEvery ?? 1, backups),
    },
  };
}

/** One that is over is of an earlier time: by a clock that was set back, the same hour comes twice. */
function freeName(name: string, backups: readonly StoreBackup[]): string {
  const isTaken = (candidate: string) =>
    backups.some(({ metadata, status }) => metadata.name === candidate && isOver(status?.phase));
  let free = name;
  for (let number = 2; isTaken(free); number++) free = `${name}-${number}`;
  return free;
}

function isVerifiedNext(every: number, backups: readonly StoreBackup[]): boolean {
  if (every === 0) return false;
  const since = backups.toReversed().findIndex(({ spec }) => spec.verify !== false);
  return since < 0 || since >= every - 1;
}

/** Once after each backup that is good, whoever made it; the pod decides by what is in the target and says what it removed. */
function prune(
  observation: ScheduleObservation,
  status: StoreBackupScheduleStatus,
): SchedulePlan | undefined {
  const { schedule, prune: pod, inTarget } = observation;
  const { keep } = schedule.spec;
  if (pod !== undefined) return watchPrune(observation, status, pod);
  const last = lastGood(inTarget);
  if (keep === undefined || last === undefined || isAllNeeded(observation)) return undefined;
  if (status.prunedAfter === last.metadata.name || hasJustFailed(observation)) return undefined;
  const built = buildPrunePod(observation, keep);
  if (built === undefined) return undefined;
  return { action: { kind: 'createPod', pod: built }, status, event: undefined };
}

/**
 * The backup that was made before a change is there to go back to until the change is done, and one that is restored may be
 * any. What another schedule has put in the same place is not counted here: each would remove what the other keeps.
 */
function isAllNeeded({ cluster, sharing }: ScheduleObservation): boolean {
  if (sharing.length > 0 || cluster === undefined) return true;
  return cluster.status?.beforeChange !== undefined || isRestoring(cluster);
}

/** Nothing is the better for trying at once again. */
function hasJustFailed({ schedule, now }: ScheduleObservation): boolean {
  const { pruneFailedAt } = schedule.status ?? {};
  if (pruneFailedAt === undefined) return false;
  return Math.abs(Date.parse(now) - Date.parse(pruneFailedAt)) < pruneAgainMs;
}

function buildPrunePod(
  { schedule, cluster, spec }: ScheduleObservation,
  keep: NonNullable<StoreBackupSchedule['spec']['keep']>,
): Pod | undefined {
  if (cluster === undefined || spec === undefined) return undefined;
  const { timeZone = 'Etc/UTC', target, encryption } = schedule.spec;
  return buildBackupPod(cluster, spec, {
    name: prunePodName(schedule),
    owner: scheduleOwner(schedule),
    labels: { [scheduleLabel]: schedule.metadata.name },
    command: [
      'prune',
      `--cluster-uid=${cluster.metadata.uid}`,
      ...(['last', 'daily', 'weekly', 'monthly'] as const).flatMap((what) =>
        keep[what] === undefined ? [] : [`--keep-${what}=${keep[what]}`],
      ),
      `--time-zone=${timeZone}`,
      `--at-most=${prunedAtOnce}`,
    ],
    target,
    encryption,
    asksStore: false,
    needsScratch: false,
    restartPolicy: 'Never',
  });
}

/** The StoreBackups of what was removed go one by one; then the pod, and it is written down that all is done. */
function watchPrune(
  { inTarget, spec, now }: ScheduleObservation,
  status: StoreBackupScheduleStatus,
  pod: Pod,
): SchedulePlan | undefined {
  if (stuckStart(pod, { now, image: spec?.image })?.isOutdated === true) {
    return { action: { kind: 'deletePod', pod }, status, event: undefined };
  }
  if (!hasEnded(pod) || isTerminating(pod)) return undefined;
  const result = resultOf(pod);
  if (pod.status?.phase !== 'Succeeded' || result === undefined) {
    const message = `Old backups could not be removed: ${whyFailed(pod)}`;
    return {
      action: { kind: 'deletePod', pod },
      status: { ...status, message, pruneFailedAt: now },
      event: warning('PruneFailed', message),
    };
  }
  const removed = new Set(result.deleted ?? []);
  const gone = inTarget.find(({ status: each }) => each?.object && removed.has(each.object));
  if (gone !== undefined) {
    const message = `${gone.metadata.name} was removed: it is older than what is kept.`;
    return {
      action: { kind: 'deleteBackup', backup: gone },
      status,
      event: { type: 'Normal', reason: 'BackupRemoved', message },
    };
  }
  const last = removed.size < prunedAtOnce ? lastGood(inTarget) : undefined;
  return {
    action: { kind: 'deletePod', pod },
    status: last === undefined ? status : pruned(status, last.metadata.name),
    event: undefined,
  };
}

function pruned(
  { message: _message, pruneFailedAt: _failedAt, ...status }: StoreBackupScheduleStatus,
  prunedAfter: string,
): StoreBackupScheduleStatus {
  return { ...status, prunedAfter };
}

function forgetFailed(
  { backups }: ScheduleObservation,
  status: StoreBackupScheduleStatus,
): SchedulePlan | undefined {
  const failed = backups.filter(({ status: each }) => each?.phase === 'Failed' && !each.object);
  const oldest = failed.length > failedKept ? failed[0] : undefined;
  if (oldest === undefined) return undefined;
  return { action: { kind: 'deleteBackup', backup: oldest }, status, event: undefined };
}

function archive(
  observation: ScheduleObservation,
  status: StoreBackupScheduleStatus,
): SchedulePlan | undefined {
  const { schedule, cluster, spec, archive: pod, now } = observation;
  const wanted = schedule.spec.archive;
  if (pod !== undefined) {
    const isOutdated = stuckStart(pod, { now, image: spec?.image })?.isOutdated === true;
    const isUnwanted = wanted === undefined || schedule.spec.suspend === true;
    const isIdle = isUnwanted || isOutdated || hasEnded(pod);
    if (!isIdle || isTerminating(pod)) return undefined;
    return { action: { kind: 'deletePod', pod }, status, event: undefined };
  }
  if (wanted === undefined || schedule.spec.suspend === true) return undefined;
  if (cluster === undefined || spec === undefined) return undefined;
  if (!hasBase(observation)) return undefined;
  const built = buildBackupPod(cluster, spec, {
    name: archivePodName(schedule),
    owner: scheduleOwner(schedule),
    labels: { [scheduleLabel]: schedule.metadata.name },
    command: [
      'archive',
      `--cluster=${cluster.metadata.name}`,
      `--cluster-uid=${cluster.metadata.uid}`,
      `--interval=${wanted.intervalSeconds ?? 60}s`,
      // What it has written, it says as JSON.
      '--write-out=json',
    ],
    target: schedule.spec.target,
    encryption: schedule.spec.encryption,
    asksStore: true,
    needsScratch: false,
    restartPolicy: 'Always',
  });
  const message = 'Changes are archived from now on.';
  return {
    action: { kind: 'createPod', pod: built },
    status,
    event: { type: 'Normal', reason: 'ArchiveStarted', message },
  };
}

/** Changes follow a backup of the same store: before the first one there is nothing to begin from. */
export function hasBase({ cluster, inTarget }: ScheduleObservation): boolean {
  return lastGood(inTarget.filter((each) => isOfStore(each, cluster))) !== undefined;
}

/** One that was found in the target may be of an earlier store of the same name, or of one elsewhere. */
export function isOfStore({ status }: StoreBackup, cluster: StoreCluster | undefined): boolean {
  const uid = cluster?.metadata.uid;
  return uid === undefined || status?.clusterUID === undefined || status.clusterUID === uid;
}

function statusOf(observation: ScheduleObservation): StoreBackupScheduleStatus {
  const { schedule, cluster, inTarget, now, archived } = observation;
  const backups = observation.backups.filter((each) => isOfStore(each, cluster));
  const good = lastGood(backups);
  const verified = backups.findLast(({ status }) => status?.verifiedAt !== undefined);
  const next = scheduleError(schedule.spec) === undefined ? nextTime(observation) : undefined;
  const { message, ...previous } = schedule.status ?? {};
  const scheduledAt = servedTime(observation);
  return {
    ...previous,
    // Of what could not be done in the target: it stays until it is.
    ...(message === undefined || (previous.pruneFailedAt ?? previous.listed?.failedAt) === undefined
      ? {}
      : { message }),
    ...(scheduledAt === undefined ? {} : { scheduledAt }),
    ...(archived === undefined ? {} : { archivedTo: archived.revision }),
    ...(archived?.at === undefined ? {} : { archivedAt: archived.at }),
    observedGeneration: schedule.metadata.generation ?? 0,
    backups: inTarget.filter(({ status }) => status?.object !== undefined).length,
    ...(next === undefined ? {} : { next: next.toISOString() }),
    ...(good === undefined
      ? {}
      : { lastBackup: { name: good.metadata.name, at: good.status?.completedAt ?? now } }),
    ...(verified === undefined
      ? {}
      : { lastVerified: { name: verified.metadata.name, at: verified.status?.verifiedAt ?? now } }),
  };
}

function nextTime({ schedule, now }: ScheduleObservation): Date | undefined {
  if (schedule.spec.suspend === true) return undefined;
  return cronOf(schedule.spec).nextRun(new Date(now)) ?? undefined;
}

/** The newest that is whole in its target. */
function lastGood(backups: readonly StoreBackup[]): StoreBackup | undefined {
  return backups.findLast(
    ({ status }) => status?.object !== undefined && status.phase === 'Complete',
  );
}

export function isOver(phase: string | undefined): boolean {
  return phase === 'Complete' || phase === 'Failed';
}

function warning(reason: string, message: string) {
  return { type: 'Warning' as const, reason, message };
}
