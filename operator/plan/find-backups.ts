import type {
  StoreBackup,
  StoreBackupSchedule,
  StoreBackupScheduleStatus,
} from '../api/backup-types.ts';
import type { Pod } from '../api/objects.ts';
import { apiVersion, group } from '../api/schema.ts';
import type { ScheduleObservation } from '../observe/backup-observation.ts';
import { hasEnded, isTerminating } from '../observe/view.ts';
import { foundName, listPodName, scheduleOwner } from '../resources/backup-names.ts';
import { buildBackupPod, scheduleLabel } from '../resources/backup-pod.ts';
import { type FoundBackup, foundAnnotation, foundIn } from '../resources/found-backup.ts';
import { namespaceOf } from '../resources/names.ts';
import { resultOf, stuckStart, whyFailed } from './backup.ts';
import type { SchedulePlan } from './schedule.ts';

/** As many as one pod tells of. */
const pageMax = 5;
/** From a failure to the next try. */
const againMs = 600_000;

/**
 * A schedule that is new, or whose StoreBackups are all gone, looks into its target: what is there of a store of this name
 * and namespace gets its StoreBackup again, five at a time from the newest on.
 */
export function findBackups(
  observation: ScheduleObservation,
  status: StoreBackupScheduleStatus,
): SchedulePlan | undefined {
  const { schedule, cluster, spec, list: pod } = observation;
  if (pod !== undefined) return watchList(observation, status, pod);
  if (!isToLook(observation) || cluster === undefined || spec === undefined) return undefined;
  const { before } = schedule.status?.listed ?? {};
  const built = buildBackupPod(cluster, spec, {
    name: listPodName(schedule),
    owner: scheduleOwner(schedule),
    labels: { [scheduleLabel]: schedule.metadata.name },
    command: [
      'list',
      '--brief',
      `--cluster=${cluster.metadata.name}`,
      `--namespace=${namespaceOf(cluster)}`,
      ...(before === undefined ? [] : [`--before=${before}`]),
    ],
    target: schedule.spec.target,
    encryption: undefined,
    asksStore: false,
    needsScratch: false,
    restartPolicy: 'Never',
  });
  return { action: { kind: 'createPod', pod: built }, status, event: undefined };
}

function isToLook({ schedule, inTarget, now }: ScheduleObservation): boolean {
  const { listed, backups = 0 } = schedule.status ?? {};
  const { at, failedAt } = listed ?? {};
  if (failedAt !== undefined) {
    return Math.abs(Date.parse(now) - Date.parse(failedAt)) >= againMs;
  }
  return at === undefined || (backups > 0 && inTarget.length === 0);
}

/** A StoreBackup for each that has none; then the pod goes, and it is written down how far it has come. */
function watchList(
  observation: ScheduleObservation,
  status: StoreBackupScheduleStatus,
  pod: Pod,
): SchedulePlan | undefined {
  const { schedule, spec, inTarget, now } = observation;
  const action = { kind: 'deletePod', pod } as const;
  const stuck = stuckStart(pod, { now, image: spec?.image });
  if (stuck?.isOutdated === true) return { action, status, event: undefined };
  if (!hasEnded(pod) || isTerminating(pod)) return undefined;
  const result = resultOf(pod);
  if (pod.status?.phase !== 'Succeeded' || result === undefined) {
    const message = `The target cannot be looked into: ${whyFailed(pod)}`;
    return {
      action,
      status: { ...status, message, listed: { ...status.listed, failedAt: now } },
      event: { type: 'Warning', reason: 'ListFailed', message },
    };
  }
  const found = result.backups ?? [];
  const unknown = found.find((each) => !inTarget.some((known) => isOf(known, each)));
  if (unknown !== undefined) {
    const backup = buildFound(schedule, unknown);
    const message = `${unknown.name} was found in the target: ${backup.metadata.name} stands for it.`;
    return {
      action: { kind: 'createBackup', backup },
      status,
      event: { type: 'Normal', reason: 'BackupFound', message },
    };
  }
  const last = found.length < pageMax ? undefined : found.at(-1);
  const { message: _message, ...rest } = status;
  const listed = last === undefined ? { at: now } : { before: last.name };
  return { action, status: { ...rest, listed }, event: ofUnreadable(result.unreadable) };
}

function ofUnreadable(unreadable: unknown): SchedulePlan['event'] {
  if (typeof unreadable !== 'number' || unreadable === 0) return undefined;
  const what = unreadable === 1 ? '1 backup' : `${unreadable} backups`;
  const message = `${what} in the target cannot be read, by this version at least: mainstayctl backup list says why. They are left as they are.`;
  return { type: 'Warning', reason: 'BackupsUnreadable', message };
}

/** The one that it was made for, or one that was found before, or that will say so when it has ended. */
function isOf({ metadata, status }: StoreBackup, { name, id }: FoundBackup): boolean {
  if (status?.object === name || metadata.uid === id) return true;
  return foundIn(metadata.annotations?.[foundAnnotation])?.name === name;
}

function buildFound(schedule: StoreBackupSchedule, found: FoundBackup): StoreBackup {
  const { spec, metadata } = schedule;
  return {
    apiVersion: `${group}/${apiVersion}`,
    kind: 'StoreBackup',
    metadata: {
      name: foundName(schedule, found.name),
      namespace: metadata.namespace ?? 'default',
      labels: { [scheduleLabel]: metadata.name },
      annotations: { [foundAnnotation]: JSON.stringify(found) },
    },
    spec: {
      cluster: spec.cluster,
      target: spec.target,
      ...(spec.encryption === undefined ? {} : { encryption: spec.encryption }),
      verify: false,
    },
  };
}
