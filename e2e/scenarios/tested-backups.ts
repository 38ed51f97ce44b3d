import type {
  BackupTarget,
  StoreBackup,
  StoreBackupSchedule,
  StoreBackupScheduleSpec,
  StoreBackupSpec,
} from '../../operator/api/backup-types.ts';
import type { KubeList, KubeObject } from '../../operator/api/objects.ts';
import { collectionPath, type Kind, objectPath } from '../../operator/kube/paths.ts';
import type { Environment } from './environment.ts';
import { until } from './waiting.ts';

const backupMsMax = 420_000;
const reactMsMax = 120_000;

/** StoreBackups and StoreBackupSchedules of one StoreCluster, all to one target. */
export class TestedBackups {
  readonly target: BackupTarget;
  readonly #environment: Environment;
  readonly #cluster: string;

  constructor(
    environment: Environment,
    { cluster, target }: { readonly cluster: string; readonly target: BackupTarget },
  ) {
    this.#environment = environment;
    this.#cluster = cluster;
    this.target = target;
  }

  async make(name: string, spec: Partial<StoreBackupSpec> = {}): Promise<void> {
    await this.#create('StoreBackup', name, spec);
  }

  async schedule(name: string, spec: Partial<StoreBackupScheduleSpec>): Promise<void> {
    await this.#create('StoreBackupSchedule', name, spec);
  }

  async suspend(schedule: string): Promise<void> {
    const path = this.#path('StoreBackupSchedule', schedule);
    await this.#environment.kube.patch(path, { spec: { suspend: true } });
  }

  async #create(kind: Kind, name: string, spec: object): Promise<void> {
    const { kube, namespace } = this.#environment;
    const apiVersion = 'mainstay.dev/v1alpha1';
    const whole = { cluster: this.#cluster, target: this.target, ...spec };
    const object = { apiVersion, kind, metadata: { name, namespace }, spec: whole };
    await kube.create(collectionPath(kind, namespace), object as KubeObject);
  }

  #path(kind: Kind, name: string): string {
    return objectPath(kind, { namespace: this.#environment.namespace, name });
  }

  async get(name: string): Promise<StoreBackup | undefined> {
    return this.#environment.kube.get<StoreBackup>(this.#path('StoreBackup', name));
  }

  async getSchedule(name: string): Promise<StoreBackupSchedule | undefined> {
    const path = this.#path('StoreBackupSchedule', name);
    return this.#environment.kube.get<StoreBackupSchedule>(path);
  }

  /** Of this cluster to this target, the oldest first. */
  async list(): Promise<readonly StoreBackup[]> {
    const { kube, namespace } = this.#environment;
    const path = collectionPath('StoreBackup', namespace);
    const { items } = await kube.list<KubeList<StoreBackup>>(path);
    return items
      .filter(({ spec }) => spec.cluster === this.#cluster)
      .toSorted((a, b) => Date.parse(atOf(a)) - Date.parse(atOf(b)));
  }

  /** Resolves when it is Complete or Failed. */
  async untilOver(name: string, timeoutMs = backupMsMax): Promise<StoreBackup> {
    let seen: StoreBackup | undefined;
    await until(
      `the StoreBackup ${name} is over`,
      timeoutMs,
      async () => {
        seen = await this.get(name);
        return seen?.status?.phase === 'Complete' || seen?.status?.phase === 'Failed';
      },
      () => `${seen?.status?.phase}: ${seen?.status?.message}`,
    );
    if (seen === undefined) throw new Error(`there is no StoreBackup ${name}`);
    return seen;
  }

  /** Resolves when it is whole and was restored to prove it. */
  async untilVerified(name: string): Promise<StoreBackup> {
    const backup = await this.untilOver(name);
    if (backup.status?.verifiedAt !== undefined) return backup;
    throw new Error(`the StoreBackup ${name} is not verified: ${backup.status?.message}`);
  }

  /** Resolves when its message, or that of one of its conditions, says so. */
  async untilSaid(name: string, pattern: RegExp, timeoutMs = backupMsMax): Promise<void> {
    let said: readonly string[] = [];
    await until(
      `the StoreBackup ${name} says ${pattern}`,
      timeoutMs,
      async () => {
        const { status } = (await this.get(name)) ?? {};
        const conditions = (status?.conditions ?? []).map(
          ({ type, message }) => `${type} ${message}`,
        );
        said = [`${status?.phase} ${status?.message}`, ...conditions];
        return said.some((text) => pattern.test(text));
      },
      () => said.join(' | '),
    );
  }

  /** Resolves when the archive of a schedule has come to a revision. */
  async untilArchived(schedule: string, revision: number): Promise<void> {
    let archivedTo: number | undefined;
    await until(
      `revision ${revision} is archived`,
      reactMsMax,
      async () => {
        archivedTo = (await this.getSchedule(schedule))?.status?.archivedTo;
        return (archivedTo ?? 0) >= revision;
      },
      () => `the status says ${archivedTo}`,
    );
  }

  /** All StoreBackups, as if by accident; what they speak of stays where it is. */
  async forget(): Promise<void> {
    for (const { metadata } of await this.list()) {
      await this.#environment.remove(this.#path('StoreBackup', metadata.name));
    }
  }

  async untilCount(count: number): Promise<readonly StoreBackup[]> {
    let seen: readonly StoreBackup[] = [];
    await until(
      `${count} StoreBackups are left`,
      reactMsMax,
      async () => {
        seen = await this.list();
        return seen.length === count;
      },
      () => seen.map(({ metadata }) => metadata.name).join(', '),
    );
    return seen;
  }
}

function atOf({ metadata, status }: StoreBackup): string {
  return status?.completedAt ?? metadata.creationTimestamp ?? '';
}
