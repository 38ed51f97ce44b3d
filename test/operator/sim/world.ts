import type { Node, PersistentVolumeClaim, Pod } from '../../../operator/api/objects.ts';
import type { StoreCluster, StoreClusterSpec } from '../../../operator/api/types.ts';
import { KubeError } from '../../../operator/kube/errors.ts';
import { collectionPath, type Kind, objectPath } from '../../../operator/kube/paths.ts';
import { podEndpoint } from '../../../operator/resources/endpoints.ts';
import { clusterUidLabel } from '../../../operator/resources/labels.ts';
import { FakeKube, type Stored } from '../support/fake-kube.ts';
import { type FakeMember, type FakeStore, FakeStoreAdmin } from '../support/fake-store.ts';
import { claimsOf, clusterPath, isNodeReady, key, pathOf } from './children.ts';
import { mayEvict } from './eviction.ts';
import { Kubelet } from './kubelet.ts';
import { Mirrors } from './mirrors.ts';
import { Storage } from './storage.ts';
import { Violation } from './violation.ts';

const startedAtMs = Date.parse('2026-01-01T00:00:00Z');
/** Kubernetes deletes the pods of a node that does not answer after so long. */
const deadNodeMsMax = 300_000;

/** What of the rest of the world is decided by the scenario. */
export interface Conditions {
  /** Volumes belong to the node on which they were first used. */
  hasLocalVolumes: boolean;
  /** Whether the storage class lets volumes grow. */
  mayGrow: boolean;
  /** Nodes that are being drained: their pods are evicted as the budget allows. */
  readonly drained: Set<string>;
}

/**
 * A Kubernetes with its scheduler, kubelets and nodes, and the stores that run on it: all that there is but the
 * operator. It moves in turns, without chance; a copy goes on as the original would.
 */
export class World {
  readonly kube: FakeKube;
  readonly admin = new FakeStoreAdmin((endpoint) => this.reach(endpoint));
  readonly storage: Storage;
  readonly kubelet: Kubelet;
  readonly mirrors: Mirrors;
  readonly conditions: Conditions;
  nowMs = startedAtMs;
  /** The first thing that happened and that no promise allows; thrown when the pass or the turn is over. */
  violation: Violation | undefined;
  #nonce = 0;

  constructor(from?: World) {
    this.kube = from?.kube.clone() ?? new FakeKube();
    this.storage = new Storage(from?.storage);
    this.conditions = {
      hasLocalVolumes: from?.conditions.hasLocalVolumes ?? false,
      mayGrow: from?.conditions.mayGrow ?? true,
      drained: new Set(from?.conditions.drained),
    };
    this.nowMs = from?.nowMs ?? startedAtMs;
    this.#nonce = from === undefined ? 0 : from.#nonce;
    this.violation = from?.violation;
    this.admin.writes = from?.admin.writes ?? 0;
    this.kubelet = new Kubelet(this, from?.kubelet);
    this.mirrors = new Mirrors(this, from?.mirrors);
    this.kube.now = () => new Date(this.nowMs).toISOString();
    this.kube.admit = (present, next) => this.#admit(present, next);
    if (from === undefined) this.#createNodes();
  }

  clone(): World {
    return new World(this);
  }

  get writes(): number {
    return this.kube.writes + this.admin.writes;
  }

  newNonce(): string {
    this.#nonce += 1;
    return `nonce${this.#nonce}`;
  }

  get cluster(): StoreCluster | undefined {
    return this.kube.read(clusterPath) as StoreCluster | undefined;
  }

  get status() {
    return this.cluster?.status;
  }

  pods(): Pod[] {
    return this.#all<Pod>('Pod');
  }

  pod(name: string): Pod | undefined {
    return this.pods().find(({ metadata }) => metadata.name === name);
  }

  volumes(): PersistentVolumeClaim[] {
    return this.#all<PersistentVolumeClaim>('PersistentVolumeClaim');
  }

  volume(name: string): PersistentVolumeClaim | undefined {
    return this.volumes().find(({ metadata }) => metadata.name === name);
  }

  nodes(): Node[] {
    return [...this.kube.view(collectionPath('Node', undefined)).values()] as unknown as Node[];
  }

  node(name: string | undefined): Node | undefined {
    return this.nodes().find(({ metadata }) => metadata.name === name);
  }

  /** The store of the present StoreCluster: that of its volumes, or the one that it began. */
  store(): FakeStore | undefined {
    const uid = this.cluster?.metadata.uid ?? 'none';
    const disks = this.volumes()
      .filter(({ metadata }) => metadata.labels?.[clusterUidLabel] === uid)
      .map((volume) => this.storage.disk(volume));
    const ofDisk = disks.find((disk) => disk !== undefined && this.storage.isMember(disk));
    if (ofDisk !== undefined) return this.storage.storeOf(ofDisk);
    return [...this.storage.stores].find(([token]) => token.includes(`/${uid}/`))?.[1];
  }

  /** The member that has a name. */
  member(name: string): FakeMember | undefined {
    return this.store()?.members.find((member) => member.name === name);
  }

  leaderName(): string | undefined {
    const store = this.store();
    return store?.member(store.leaderId)?.name;
  }

  // What people do.

  createCluster(spec: Partial<StoreClusterSpec> = {}): void {
    this.kube.put(clusterPath, {
      apiVersion: 'mainstay.dev/v1alpha1',
      kind: 'StoreCluster',
      metadata: key,
      spec: { replicas: 3, storage: { size: '1Gi' }, deletionPolicy: 'Retain', ...spec },
    } as unknown as Stored);
  }

  /** undefined takes a field out. */
  edit(changes: Readonly<Record<string, unknown>>): void {
    this.kube.edit(clusterPath, (spec) => {
      const fields = Object.entries({ ...spec, ...changes });
      return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
    });
  }

  /** The store has a schedule of backups, or it is suspended. */
  schedule(suspend = false): void {
    this.kube.put(objectPath('StoreBackupSchedule', { ...key, name: 'nightly' }), {
      apiVersion: 'mainstay.dev/v1alpha1',
      kind: 'StoreBackupSchedule',
      metadata: { namespace: key.namespace, name: 'nightly' },
      spec: {
        cluster: key.name,
        schedule: '@daily',
        target: { volume: { claimName: 'backups' } },
        suspend,
      },
    } as unknown as Stored);
  }

  /** What becomes of the backups that are wanted. */
  endBackups(phase: 'Complete' | 'Failed'): void {
    for (const [path, { status }] of this.kube.view(collectionPath('StoreBackup', key.namespace))) {
      if (status === undefined) this.kube.set(path, () => ({ status: { phase } }));
    }
  }

  deleteCluster(): void {
    this.kube.startDeletion(clusterPath);
  }

  /** As by a restore of the object without its status. */
  forgetStatus(): void {
    this.kube.set(clusterPath, () => ({ status: {} }));
  }

  deletePod(name: string): void {
    this.kube.startDeletion(objectPath('Pod', { ...key, name }));
  }

  deleteVolume(name: string): void {
    this.kube.startDeletion(objectPath('PersistentVolumeClaim', { ...key, name }));
  }

  cordon(name: string, unschedulable = true): void {
    this.#setNode(name, ({ spec }) => ({ spec: { ...(spec as object), unschedulable } }));
  }

  drain(name: string): void {
    this.cordon(name);
    this.conditions.drained.add(name);
  }

  /** undefined when the budget allows it. */
  evict(pod: Pod): string | undefined {
    const refusal = mayEvict(this, pod);
    if (refusal === undefined) this.kube.startDeletion(pathOf(pod));
    return refusal;
  }

  // What happens to things.

  /** The volume is there, and nothing on it. */
  emptyDisk(name: string): void {
    const [pod, volume] = [this.pod(name), this.volume(name)];
    if (pod !== undefined) this.kubelet.stop(pod);
    if (volume !== undefined) this.storage.erase(volume);
  }

  damageDisk(name: string): void {
    this.storage.damage(this.volume(name));
  }

  mute(name: string): void {
    const pod = this.pod(name);
    if (pod !== undefined) this.kubelet.mute(pod);
  }

  /** The kubelet, and all that it ran, does not answer. */
  stopNode(name: string, isReady = false): void {
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }];
    this.#setNode(name, () => ({ status: { conditions } }));
  }

  startNode(name: string): void {
    this.stopNode(name, true);
    this.cordon(name, false);
    this.conditions.drained.delete(name);
  }

  removeNode(name: string): void {
    this.kube.vanish(`${collectionPath('Node', undefined)}/${name}`);
  }

  nodeOf(member: string): string {
    return this.pod(member)?.spec.nodeName ?? '';
  }

  /** The rest of the world moves on: nodes, kubelets, volumes, elections, replication. */
  turn(): void {
    this.kube.collectGarbage();
    this.#turnNodes();
    this.mirrors.turn();
    this.kubelet.turn();
    for (const volume of this.volumes()) this.#turnVolume(volume);
    for (const store of this.storage.stores.values()) this.#turnStore(store);
    this.kubelet.report();
  }

  /** The member that answers at an address. */
  reach(endpoint: string) {
    const plain = this.cluster ?? ({ spec: {} } as StoreCluster);
    const pod = this.pods().find((candidate) => podEndpoint(plain, candidate) === endpoint);
    return pod === undefined ? undefined : this.kubelet.memberOf(pod);
  }

  violate(message: string): void {
    this.violation ??= new Violation(message);
  }

  #turnNodes(): void {
    for (const pod of this.pods()) {
      const { nodeName } = pod.spec;
      if (nodeName === undefined) continue;
      const node = this.node(nodeName);
      if (node === undefined) {
        this.kubelet.stop(pod);
        this.kube.vanish(pathOf(pod));
      } else if (!isNodeReady(node)) this.#turnDeadPod(pod);
      else if (this.conditions.drained.has(nodeName)) this.evict(pod);
    }
  }

  #turnDeadPod(pod: Pod): void {
    this.kubelet.stop(pod);
    this.kubelet.setReady(pod, false);
    const transition = pod.metadata.annotations?.['sim/dead-since'];
    if (transition === undefined) {
      const annotations = { ...pod.metadata.annotations, 'sim/dead-since': String(this.nowMs) };
      this.kube.set(pathOf(pod), ({ metadata }) => ({ metadata: { ...metadata, annotations } }));
    } else if (this.nowMs - Number(transition) >= deadNodeMsMax) {
      this.kube.startDeletion(pathOf(pod));
    }
  }

  #turnVolume(volume: PersistentVolumeClaim): void {
    const { spec, status, metadata } = volume;
    const isUsed = this.pods().some((pod) => claimsOf(pod).includes(metadata.name));
    if (metadata.deletionTimestamp !== undefined && !isUsed) {
      this.storage.erase(volume);
      this.kube.vanish(pathOf(volume));
      return;
    }
    const { storage = '' } = spec.resources.requests;
    if (status?.phase === 'Bound' && status.capacity?.['storage'] !== storage) {
      this.kube.set(pathOf(volume), () => ({ status: { ...status, capacity: { storage } } }));
    }
  }

  #turnStore(store: FakeStore): void {
    for (const pod of this.pods()) {
      const quota = this.kubelet.quotaOf(pod);
      const reached = this.kubelet.memberOf(pod);
      if (quota === undefined || reached?.store !== store) continue;
      const { databaseBytes = 0, id = '' } = store.member(reached.id) ?? {};
      const isKnown = store.alarms.some(
        ({ memberId, kind }) => memberId === id && kind === 'NOSPACE',
      );
      if (databaseBytes >= quota && !isKnown && store.leaderId !== '0') {
        store.alarms.push({ memberId: id, kind: 'NOSPACE' });
      }
    }
    store.turn();
    if (store.hasLostWrites) this.violate('P1: a leader was elected without acknowledged writes');
  }

  #admit(present: Stored, next: Stored): void {
    if (present.kind !== 'PersistentVolumeClaim' || this.conditions.mayGrow) return;
    const sizeOf = (object: Stored) =>
      (object as unknown as PersistentVolumeClaim).spec.resources.requests['storage'];
    if (sizeOf(present) === sizeOf(next)) return;
    throw new KubeError(403, 'Forbidden', 'the storage class does not support resize');
  }

  #createNodes(): void {
    for (const [position, name] of ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].entries()) {
      const zone = 'abc'[position % 3] ?? '';
      const labels = {
        'topology.kubernetes.io/zone': zone,
        disk: position < 3 ? 'spinning' : 'solid',
      };
      this.kube.put(`${collectionPath('Node', undefined)}/${name}`, {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels },
        spec: {},
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      } as unknown as Stored);
    }
  }

  #setNode(name: string, change: (node: Stored) => Record<string, unknown>): void {
    this.kube.set(`${collectionPath('Node', undefined)}/${name}`, change);
  }

  #all<T>(kind: Kind): T[] {
    return [...this.kube.view(collectionPath(kind, key.namespace)).values()] as T[];
  }
}
