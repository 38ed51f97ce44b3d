import type { BackupTarget, StoreBackup, StoreBackupSchedule } from '../api/backup-types.ts';
import type { CompleteSpec } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { foundAnnotation, foundIn } from '../resources/found-backup.ts';
import type { ArchiveEnd, Progress } from './backup-words.ts';

/** What one pass knows of a StoreBackup. */
export interface BackupObservation {
  /** RFC 3339. */
  readonly now: string;
  readonly backup: StoreBackup;
  readonly cluster: StoreCluster | undefined;
  /** Of the cluster. */
  readonly spec: CompleteSpec | undefined;
  readonly save: Pod | undefined;
  readonly verify: Pod | undefined;
  /** Of the pod that works on it now. */
  readonly progress: Progress | undefined;
}

/** What one pass knows of a StoreBackupSchedule. */
export interface ScheduleObservation {
  /** RFC 3339. */
  readonly now: string;
  readonly schedule: StoreBackupSchedule;
  readonly cluster: StoreCluster | undefined;
  readonly spec: CompleteSpec | undefined;
  /** That this schedule made, oldest first. */
  readonly backups: readonly StoreBackup[];
  /** All of the cluster in the same target, oldest first, whoever made them: what is kept is kept of these. */
  readonly inTarget: readonly StoreBackup[];
  /** Names of the other schedules of the cluster with the same target. */
  readonly sharing: readonly string[];
  readonly list: Pod | undefined;
  readonly prune: Pod | undefined;
  readonly archive: Pod | undefined;
  /** What the pod that archives said last. */
  readonly archived: ArchiveEnd | undefined;
}

/** Clocks of two machines may differ by so much. */
export const clockSkewMsMax = 600_000;

/** Oldest first. What seems to be of the future was made by a clock that was ahead then: before all of now. */
export function byAge(now: string): (a: StoreBackup, b: StoreBackup) => number {
  const latestMs = Date.parse(now) + clockSkewMsMax;
  const ageOf = ({ metadata }: StoreBackup): string => {
    const { creationTimestamp = '', name, annotations } = metadata;
    // One that was found again is as old as what it stands for.
    const at = foundIn(annotations?.[foundAnnotation])?.finishedAt ?? creationTimestamp;
    return `${Date.parse(at) > latestMs ? '' : at} ${name}`;
  };
  return (a, b) => (ageOf(a) < ageOf(b) ? -1 : 1);
}

/** Whether both lead to the same objects, whatever they are reached with. */
export function isSamePlace(a: BackupTarget, b: BackupTarget): boolean {
  return placeOf(a) === placeOf(b);
}

function placeOf({ s3, volume }: BackupTarget): string {
  if (s3 !== undefined) return JSON.stringify([s3.endpoint, s3.bucket, s3.prefix].map(bare));
  return JSON.stringify(['', volume?.claimName, bare(volume?.path)]);
}

function bare(name = ''): string {
  return name.split('/').filter(Boolean).join('/');
}
