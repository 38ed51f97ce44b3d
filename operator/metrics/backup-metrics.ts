import { type Family, gauge, type Sample } from '../../server/base/exposition.ts';
import { backupPhases } from '../api/backup-schema.ts';
import type { StoreBackup, StoreBackupSchedule } from '../api/backup-types.ts';
import type { KubeObject } from '../api/objects.ts';

interface BackupRecord {
  readonly namespace: string;
  readonly cluster: string;
  readonly phase: string;
}

interface ScheduleRecord {
  readonly labels: {
    readonly namespace: string;
    readonly schedule: string;
    readonly cluster: string;
  };
  readonly conditions: readonly { type: string; status: string; reason: string }[];
  readonly completedSeconds: number | undefined;
  readonly verifiedSeconds: number | undefined;
}

/** What StoreBackups and StoreBackupSchedules say of themselves, as numbers. Names are documented in docs/METRICS.md. */
export class BackupMetrics {
  readonly #backups = new Map<string, BackupRecord>();
  readonly #schedules = new Map<string, ScheduleRecord>();

  backupSeen({ metadata, spec, status }: StoreBackup): void {
    const { namespace = '' } = metadata;
    const phase = status?.phase ?? 'Pending';
    this.#backups.set(keyOf(metadata), { namespace, cluster: spec.cluster, phase });
  }

  backupGone({ metadata }: Pick<KubeObject, 'metadata'>): void {
    this.#backups.delete(keyOf(metadata));
  }

  scheduleSeen({ metadata, spec, status }: StoreBackupSchedule): void {
    const { name, namespace = '' } = metadata;
    this.#schedules.set(keyOf(metadata), {
      labels: { namespace, schedule: name, cluster: spec.cluster },
      conditions: status?.conditions ?? [],
      completedSeconds: secondsOf(status?.lastBackup?.at),
      verifiedSeconds: secondsOf(status?.lastVerified?.at),
    });
  }

  scheduleGone({ metadata }: Pick<KubeObject, 'metadata'>): void {
    this.#schedules.delete(keyOf(metadata));
  }

  families(): readonly Family[] {
    const schedules = [...this.#schedules.values()];
    const times = (valueOf: (schedule: ScheduleRecord) => number | undefined) =>
      schedules.flatMap((each): Sample[] => {
        const value = valueOf(each);
        return value === undefined ? [] : [{ labels: each.labels, value }];
      });
    return [
      gauge('mainstay_operator_backups', 'StoreBackups by their phase.', this.#byPhase()),
      gauge(
        'mainstay_operator_backup_schedule_condition',
        'The conditions of a StoreBackupSchedule as they are now; always 1.',
        schedules.flatMap(({ labels, conditions }) =>
          conditions.map(({ type, status, reason }): Sample => {
            return { labels: { ...labels, condition: type, status, reason }, value: 1 };
          }),
        ),
      ),
      gauge(
        'mainstay_operator_backup_completed_timestamp_seconds',
        'The unix time when the last backup of a StoreBackupSchedule was whole.',
        times(({ completedSeconds }) => completedSeconds),
      ),
      gauge(
        'mainstay_operator_backup_verified_timestamp_seconds',
        'The unix time when the last backup of a StoreBackupSchedule was restored and found equal.',
        times(({ verifiedSeconds }) => verifiedSeconds),
      ),
    ];
  }

  /** Every phase of every store that has backups, also those that none is in. */
  #byPhase(): readonly Sample[] {
    const counts = new Map<string, Map<string, number>>();
    for (const { namespace, cluster, phase } of this.#backups.values()) {
      const key = `${namespace}/${cluster}`;
      const ofCluster =
        counts.get(key) ?? new Map<string, number>(backupPhases.map((each) => [each, 0]));
      ofCluster.set(phase, (ofCluster.get(phase) ?? 0) + 1);
      counts.set(key, ofCluster);
    }
    return [...counts].flatMap(([key, ofCluster]) => {
      const [namespace = '', cluster = ''] = key.split('/');
      return [...ofCluster].map(([phase, value]): Sample => {
        return { labels: { namespace, cluster, phase }, value };
      });
    });
  }
}

function keyOf({ namespace, name }: KubeObject['metadata']): string {
  return `${namespace}/${name}`;
}

function secondsOf(at: string | undefined): number | undefined {
  return at === undefined ? undefined : Date.parse(at) / 1000;
}
