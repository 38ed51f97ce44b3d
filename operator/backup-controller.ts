// [io] Follows StoreBackups, StoreBackupSchedules and their pods, and has each reconciled whenever something changed.
import type { Clock } from '../server/base/clock.ts';
import type { Family } from '../server/base/exposition.ts';
import type { Logger } from '../server/base/logger.ts';
import type { Random } from '../server/base/random.ts';
import type { StoreBackup, StoreBackupSchedule } from './api/backup-types.ts';
import type { KubeObject, ObjectMeta } from './api/objects.ts';
import type { KubeClient, WatchSource } from './kube/client.ts';
import { collectionPath, type Kind } from './kube/paths.ts';
import { Reflector } from './kube/reflector.ts';
import { WorkQueue, workQueueDefaults } from './kube/work-queue.ts';
import { BackupMetrics } from './metrics/backup-metrics.ts';
import { type BackupModules, reconcileBackup, reconcileSchedule } from './reconcile-backup.ts';
import { backupLabel, scheduleLabel } from './resources/backup-pod.ts';

export type BackupControllerModules = BackupModules & {
  readonly kube: KubeClient & WatchSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
};

const workers = 2;

export class BackupController {
  readonly #modules: BackupControllerModules;
  readonly #queue: WorkQueue;
  readonly #metrics = new BackupMetrics();
  /** The StoreCluster of each StoreBackupSchedule, by the schedule's key. */
  readonly #schedules = new Map<string, string>();
  readonly #reflectors: readonly Reflector<KubeObject>[];

  constructor(modules: BackupControllerModules, namespace: string | undefined) {
    this.#modules = modules;
    this.#queue = new WorkQueue(
      { ...modules, work: (key) => this.#reconcile(key) },
      { ...workQueueDefaults, concurrency: workers },
    );
    const follow = (kind: Kind, query: Readonly<Record<string, string>>, onChange: OnChange) =>
      new Reflector<KubeObject>(modules, {
        path: collectionPath(kind, namespace),
        query,
        onChange,
      });
    const ours = { labelSelector: 'app.kubernetes.io/component=backup' };
    this.#reflectors = [
      follow('StoreBackup', {}, (object, previous, isGone) => {
        if (isGone) this.#metrics.backupGone(object);
        else this.#metrics.backupSeen(object as StoreBackup);
        this.#onObject('backup', object, previous);
        this.#addSchedulesOf(object as StoreBackup);
      }),
      follow('StoreBackupSchedule', {}, (object, previous, isGone) => {
        if (isGone) this.#metrics.scheduleGone(object);
        else this.#metrics.scheduleSeen(object as StoreBackupSchedule);
        const { metadata, spec } = object as StoreBackupSchedule;
        const key = `schedule/${metadata.namespace}/${metadata.name}`;
        if (isGone) this.#schedules.delete(key);
        else this.#schedules.set(key, `${metadata.namespace}/${spec.cluster}`);
        this.#onObject('schedule', object, previous);
      }),
      follow('Pod', ours, ({ metadata }) => {
        this.#add('backup', metadata, backupLabel);
        this.#add('schedule', metadata, scheduleLabel);
      }),
    ];
  }

  /** Whether everything that is followed was listed once. */
  isReady(): boolean {
    return this.#reflectors.every((reflector) => reflector.heardAtMs !== undefined);
  }

  families(): readonly Family[] {
    return this.#metrics.families();
  }

  /** Runs until `signal` is aborted and the passes that have begun are ended. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(signal)));
    await this.#queue.close();
  }

  /** Our own writes of the status are no reason to look again. */
  #onObject(kind: Key['kind'], { metadata }: KubeObject, previous: ObjectMeta | undefined): void {
    const isSame =
      previous?.uid === metadata.uid &&
      previous?.generation === metadata.generation &&
      previous?.resourceVersion !== metadata.resourceVersion;
    if (!isSame) this.#queue.add(`${kind}/${metadata.namespace}/${metadata.name}`);
  }

  /** What becomes of a backup concerns all schedules of its store: what they keep, they keep of all in their target. */
  #addSchedulesOf({ metadata, spec }: StoreBackup): void {
    const cluster = `${metadata.namespace}/${spec.cluster}`;
    for (const [key, of] of this.#schedules) if (of === cluster) this.#queue.add(key);
  }

  #add(kind: Key['kind'], { namespace, labels }: ObjectMeta, label: string): void {
    const name = labels?.[label];
    if (name !== undefined) this.#queue.add(`${kind}/${namespace}/${name}`);
  }

  async #reconcile(key: string): Promise<number | undefined> {
    const [kind = '', namespace = '', name = ''] = key.split('/');
    try {
      const reconcile = kind === 'backup' ? reconcileBackup : reconcileSchedule;
      return await reconcile(this.#modules, { namespace, name });
    } catch (error) {
      const logger = this.#modules.logger.child({ namespace, [kind]: name });
      logger.warn({ error: String(error) }, 'reconcile failed, trying again');
      throw error;
    }
  }
}

interface Key {
  readonly kind: 'backup' | 'schedule';
}

type OnChange = (object: KubeObject, previous: ObjectMeta | undefined, isGone: boolean) => void;
