import type {
  KubeList,
  KubeObject,
  PersistentVolumeClaim,
  Pod,
} from '../../operator/api/objects.ts';
import type { MemberRecord, StoreCluster, StoreClusterSpec } from '../../operator/api/types.ts';
import { collectionPath, type Kind, objectPath } from '../../operator/kube/paths.ts';
import { isPodReady } from '../../operator/observe/view.ts';
import { clusterLabel, parkedLabel } from '../../operator/resources/labels.ts';
import type { Environment } from './environment.ts';
import { emptyIt, flipBits, runOnVolume } from './volume-tool.ts';
import { until } from './waiting.ts';

const settleMsMax = 240_000;

/** A StoreCluster, and what people and fate do to it. */
export class TestedCluster {
  readonly name: string;
  readonly #environment: Environment;

  constructor(environment: Environment, name: string) {
    this.#environment = environment;
    this.name = name;
  }

  get path(): string {
    return this.#path('StoreCluster', this.name);
  }

  #path(kind: Kind, name: string): string {
    return objectPath(kind, { namespace: this.#environment.namespace, name });
  }

  // What people do

  /** Goes with its data when it is deleted, unless the spec says otherwise. */
  async create(spec: Partial<StoreClusterSpec> = {}): Promise<void> {
    const { kube, namespace } = this.#environment;
    const object = {
      apiVersion: 'mainstay.dev/v1alpha1',
      kind: 'StoreCluster',
      metadata: { name: this.name, namespace },
      spec: { replicas: 3, storage: { size: '1Gi' }, deletionPolicy: 'Delete', ...spec },
    };
    await kube.create(collectionPath('StoreCluster', namespace), object as KubeObject);
  }

  /** A merge patch of the spec: null takes a field away. */
  async edit(spec: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#environment.kube.patch(this.path, { spec });
  }

  /** As `kubectl scale` does it. */
  async scale(replicas: number): Promise<void> {
    await this.#environment.kube.patch(`${this.path}/scale`, { spec: { replicas } });
  }

  /** Resolves when it is gone, finalizers and all. */
  async delete(): Promise<void> {
    await this.#environment.remove(this.path);
    await until(`the StoreCluster ${this.name} is gone`, settleMsMax, async () => {
      return (await this.#environment.kube.get(this.path)) === undefined;
    });
  }

  // What is to be seen

  async get(): Promise<StoreCluster> {
    const found = await this.#environment.kube.get<StoreCluster>(this.path);
    if (found === undefined) throw new Error(`there is no StoreCluster ${this.name}`);
    return found;
  }

  async members(): Promise<readonly MemberRecord[]> {
    return (await this.get()).status?.members ?? [];
  }

  async leader(): Promise<MemberRecord> {
    const leader = (await this.members()).find(({ role }) => role === 'leader');
    if (leader === undefined) throw new Error(`${this.name} has no leader`);
    return leader;
  }

  async follower(): Promise<MemberRecord> {
    const follower = (await this.members()).find(({ role }) => role === 'follower');
    if (follower === undefined) throw new Error(`${this.name} has no follower`);
    return follower;
  }

  async pods(): Promise<readonly Pod[]> {
    return this.#children<Pod>('Pod');
  }

  async volumes(): Promise<readonly PersistentVolumeClaim[]> {
    return this.#children<PersistentVolumeClaim>('PersistentVolumeClaim');
  }

  /** Those that a restore has put aside. */
  async parkedVolumes(): Promise<readonly PersistentVolumeClaim[]> {
    return this.#children<PersistentVolumeClaim>('PersistentVolumeClaim', parkedLabel);
  }

  async #children<Child>(kind: Kind, label = clusterLabel): Promise<readonly Child[]> {
    const { kube, namespace } = this.#environment;
    const query = { labelSelector: `${label}=${this.name}` };
    return (await kube.list<KubeList<Child>>(collectionPath(kind, namespace), query)).items;
  }

  /** UIDs of the pods by name: who was restarted anew has another one. */
  async podUids(): Promise<ReadonlyMap<string, string>> {
    const pods = await this.pods();
    return new Map(pods.map(({ metadata }) => [metadata.name, metadata.uid ?? '']));
  }

  /** Where clients reach it. */
  endpoint(): Promise<string> {
    return this.#environment.endpointOf(this.name);
  }

  /** Resolves when the spec as it is now is what runs: so many members, all ready, and the operator with nothing left to do. */
  untilSettled(replicas: number, timeoutMs = settleMsMax): Promise<void> {
    return this.#untilSettled({ replicas, observers: 0 }, timeoutMs);
  }

  /** The same, with so many observers beside them. */
  untilObserved(replicas: number, observers: number): Promise<void> {
    return this.#untilSettled({ replicas, observers }, settleMsMax);
  }

  async #untilSettled(
    { replicas, observers }: { readonly replicas: number; readonly observers: number },
    timeoutMs: number,
  ): Promise<void> {
    const count = replicas + observers;
    let seen = '';
    await until(
      `${this.name} has ${replicas} of ${replicas} ready and is settled`,
      timeoutMs,
      async () => {
        const { metadata, status } = await this.get();
        seen = `${status?.ready}: ${status?.plan?.reason}, ${status?.plan?.message}`;
        if (status?.plan?.decision !== 'Idle') return false;
        if (status.observedGeneration !== metadata.generation) return false;
        const pods = await this.pods();
        return (
          status.ready === `${replicas}/${replicas}` &&
          (observers === 0 || status.observers === `${observers}/${observers}`) &&
          status.members?.length === count &&
          pods.length === count &&
          pods.every(isPodReady)
        );
      },
      () => seen,
    );
  }

  /** Resolves when so many members are ready; all that a status of release 0.1 says for sure. */
  async untilReady(replicas: number): Promise<void> {
    await until(`${this.name} has ${replicas} of ${replicas} ready`, settleMsMax, async () => {
      return (await this.get()).status?.ready === `${replicas}/${replicas}`;
    });
  }

  /** Resolves when so many pods with an image are ready. */
  async untilRunning(image: string, count: number): Promise<void> {
    await until(`${count} of ${this.name} run ${image}`, settleMsMax, async () => {
      const pods = (await this.pods()).filter(({ spec }) => spec.containers[0]?.image === image);
      return pods.filter(isPodReady).length >= count;
    });
  }

  /** Resolves when a member's pod is another one than before. */
  async untilReplaced(member: string, before: ReadonlyMap<string, string>): Promise<void> {
    await until(`the pod ${member} is another one`, settleMsMax, async () => {
      return (await this.podUids()).get(member) !== before.get(member);
    });
  }

  async nodeOf(member: string): Promise<string> {
    const pod = (await this.pods()).find(({ metadata }) => metadata.name === member);
    return pod?.spec.nodeName ?? '';
  }

  /** Resolves when a condition's or the plan's message says so. */
  async untilSaid(pattern: RegExp, timeoutMs = settleMsMax): Promise<void> {
    let said: readonly string[] = [];
    await until(
      `the status of ${this.name} says ${pattern}`,
      timeoutMs,
      async () => {
        const { status } = await this.get();
        said = [
          ...(status?.conditions ?? []).map(({ reason, message }) => `${reason}: ${message}`),
          `${status?.plan?.reason}: ${status?.plan?.message}`,
        ];
        return said.some((text) => pattern.test(text));
      },
      () => said.join(' | '),
    );
  }

  // What fate does

  /** 0 seconds: SIGKILL. Resolves when it is gone, or another one is in its place. */
  async deletePod(member: string, graceSeconds = 30): Promise<void> {
    await this.#deleteAndWait('Pod', member, () =>
      this.#environment.remove(this.#path('Pod', member), graceSeconds),
    );
  }

  /** The claim of a member and its pod, which holds it. */
  async deleteVolume(member: string): Promise<void> {
    await this.#deleteAndWait('PersistentVolumeClaim', member, async () => {
      await this.#environment.remove(this.#path('PersistentVolumeClaim', member));
      await this.#environment.remove(this.#path('Pod', member), 0);
    });
  }

  async #deleteAndWait(kind: Kind, name: string, remove: () => Promise<void>): Promise<void> {
    const { kube } = this.#environment;
    const before = await kube.get<KubeObject>(this.#path(kind, name));
    await remove();
    await until(`the ${kind} ${name} is gone`, settleMsMax, async () => {
      const now = await kube.get<KubeObject>(this.#path(kind, name));
      return now?.metadata.uid !== before?.metadata.uid;
    });
  }

  /** All files of a member go, from under it; then it is killed. */
  async emptyVolume(member: string): Promise<void> {
    await runOnVolume(this.#environment, member, emptyIt);
    await this.deletePod(member, 0);
  }

  /** A bit flips in every file of a member whose name ends so; then it is killed. Returns how many files that were. */
  async damage(member: string, nameEnd: string): Promise<number> {
    const output = await runOnVolume(this.#environment, member, flipBits(nameEnd));
    await this.deletePod(member, 0);
    return Number(/flipped: (\d+)/.exec(output)?.[1] ?? 0);
  }
}
