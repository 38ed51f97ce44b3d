import type { PersistentVolumeClaim, Pod, Secret } from '../../../operator/api/objects.ts';
import type { StoreCluster, StoreClusterSpec } from '../../../operator/api/types.ts';
import { collectionPath, objectPath } from '../../../operator/kube/paths.ts';
import { type ReconcileModules, reconcile } from '../../../operator/reconcile.ts';
import { podEndpoint } from '../../../operator/resources/endpoints.ts';
import { clusterUidLabel } from '../../../operator/resources/labels.ts';
import { allRules } from '../../../operator/resources/permissions.ts';
import { entriesOf, factsOf } from '../../../operator/resources/secret-facts.ts';
import type { Random } from '../../../server/base/random.ts';
import { randomBelow } from '../../../server/base/random.ts';
import { AuthorizedKube } from './authorized-kube.ts';
import { FakeKube, type Stored } from './fake-kube.ts';
import { type FakeMember, FakeStore, FakeStoreAdmin } from './fake-store.ts';

const key = { namespace: 'default', name: 'demo' };
export const clusterPath = objectPath('StoreCluster', key);

/** What a member wrote on its volume. */
interface Disk {
  readonly store: FakeStore;
  readonly memberId: string;
}

export class Violation extends Error {
  override name = 'Violation';
}

/**
 * A Kubernetes with its kubelet and the stores that run on it, and one operator that works on it. Every change that the
 * operator makes is checked against the invariants of reference/reliability.md §3.5 at the moment it is made.
 */
export class World {
  readonly kube = new FakeKube();
  readonly admin = new FakeStoreAdmin((endpoint) => this.#route(endpoint));
  /** By `--initial-cluster-token`. */
  readonly stores = new Map<string, FakeStore>();
  readonly #disks = new Map<string, Disk>();
  /** Pods whose process does not come up, or was stopped by the test. */
  readonly #down = new Set<string>();
  readonly #random: Random;
  /** The operator may do what its rules say, in every test. */
  readonly #authorized = new AuthorizedKube(this.kube, { rules: allRules });
  #nonce = 0;
  #timeMs = Date.parse('2026-01-01T00:00:00Z');
  #address = 0;

  constructor(random: Random) {
    this.#random = random;
    this.kube.hooks.before = (verb, path, present) => this.#checkWrite(verb, path, present);
  }

  get writes(): number {
    return this.kube.writes + this.admin.writes;
  }

  get cluster(): StoreCluster | undefined {
    return this.kube.read(clusterPath) as StoreCluster | undefined;
  }

  pods(): Pod[] {
    return this.#all<Pod>('Pod');
  }

  volumes(): PersistentVolumeClaim[] {
    return this.#all<PersistentVolumeClaim>('PersistentVolumeClaim');
  }

  /** The store of the present StoreCluster. */
  store(): FakeStore | undefined {
    const uid = this.cluster?.metadata.uid ?? 'none';
    return [...this.stores].find(([token]) => token.includes(`/${uid}/`))?.[1];
  }

  createCluster(
    replicas: number,
    deletionPolicy: 'Retain' | 'Delete' = 'Retain',
    further: Partial<StoreClusterSpec> = {},
  ): void {
    this.kube.put(clusterPath, {
      apiVersion: 'mainstay.dev/v1alpha1',
      kind: 'StoreCluster',
      metadata: key,
      spec: { replicas, storage: { size: '1Gi' }, deletionPolicy, ...further },
    } as Stored);
  }

  edit(change: Partial<StoreClusterSpec>): void {
    this.kube.set(clusterPath, ({ spec }) => ({ spec: { ...(spec as object), ...change } }));
  }

  /** A Secret of a person's, or new contents of it. */
  putSecret(name: string, texts: Readonly<Record<string, string>>): void {
    const path = objectPath('Secret', { namespace: key.namespace, name });
    const data = Object.fromEntries(
      Object.entries(texts).map(([entry, text]) => [entry, Buffer.from(text).toString('base64')]),
    );
    if (this.kube.read(path) !== undefined) this.kube.set(path, () => ({ data }));
    else
      this.kube.put(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data } as Stored);
  }

  /** The entries of a Secret; undefined when it is not there. */
  secret(name: string): ReadonlyMap<string, Buffer> | undefined {
    const path = objectPath('Secret', { namespace: key.namespace, name });
    const found = this.kube.read(path) as unknown as Secret | undefined;
    return found && entriesOf(found);
  }

  removeSecret(name: string): void {
    this.kube.startDeletion(objectPath('Secret', { namespace: key.namespace, name }));
  }

  scale(replicas: number): void {
    this.kube.set(clusterPath, ({ spec }) => ({ spec: { ...(spec as object), replicas } }));
  }

  deleteCluster(): void {
    this.kube.startDeletion(clusterPath);
  }

  /** One pass of the operator. A pass may fail; a violation may not. */
  async pass(): Promise<void> {
    this.#timeMs += 100;
    await survive(reconcile(this.#modules, key));
  }

  /** What the member at an address says of its certificates: those of the Secrets, since its node has brought them. */
  async #metricsAt(address: string): Promise<string> {
    const isThere = this.pods().some(({ status }) => status?.podIP === address);
    if (!isThere) throw new Error('connection refused');
    return tlsMetrics(this.kube, key);
  }

  get #modules(): ReconcileModules {
    return {
      kube: this.#authorized,
      store: this.admin,
      recorder: { record() {} },
      fence() {},
      wallMs: () => this.#timeMs,
      newNonce: () => `nonce${this.#nonce++}`,
      imageRepository: 'mainstay',
      readMetrics: (address) => this.#metricsAt(address),
      clusterDomain: 'cluster.local',
      reloadMs: 1_000,
    };
  }

  /** The rest of the world moves on: kubelets, volumes, elections, replication. */
  turn(): void {
    this.kube.collectGarbage();
    for (const pod of this.pods()) this.#turnPod(pod);
    for (const volume of this.volumes()) this.#turnVolume(volume);
    for (const store of this.stores.values()) store.turn();
    for (const pod of this.pods()) this.#setReadiness(pod);
  }

  evict(pod: Pod): void {
    this.#stop(pod);
    const status = { phase: 'Failed', reason: 'Evicted' };
    this.kube.set(pathOf(pod), () => ({ status }));
  }

  stopProcess(pod: Pod): void {
    this.#down.add(uidOf(pod));
    this.#stop(pod);
  }

  startProcesses(): void {
    this.#down.clear();
  }

  deleteObject(object: Pod | PersistentVolumeClaim): void {
    this.kube.startDeletion(pathOf(object));
  }

  #turnPod(pod: Pod): void {
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#stop(pod);
      if (randomBelow(this.#random, 2) === 0) this.kube.vanish(pathOf(pod));
      return;
    }
    const phase = pod.status?.phase;
    if (phase === 'Failed' || this.#down.has(uidOf(pod)) || this.#volumeOf(pod) === undefined)
      return;
    if (pod.status?.podIP === undefined) {
      this.#address += 1;
      const podIP = `127.0.${this.#address >> 8}.${this.#address & 255}`;
      this.kube.set(pathOf(pod), () => ({ status: { phase: 'Running', podIP } }));
    }
    this.#startMember(pod);
  }

  /** What the server does with its flags and its data directory. */
  #startMember(pod: Pod): void {
    const volume = this.#volumeOf(pod);
    if (volume === undefined) return;
    const disk = this.#disks.get(uidOf(volume)) ?? this.#initialize(pod, volume);
    if (disk !== undefined && !disk.store.removed.has(disk.memberId)) {
      disk.store.running.add(disk.memberId);
    }
  }

  #initialize(pod: Pod, volume: PersistentVolumeClaim): Disk | undefined {
    const flag = (name: string) => flagOf(pod, name);
    const url = flag('initial-advertise-peer-urls');
    const token = flag('initial-cluster-token');
    const fresh = flag('initial-cluster-state') === 'new';
    const store = fresh ? this.#bootstrap(token, url) : this.stores.get(token);
    const member = store?.members.find((candidate) => candidate.peerUrl === url);
    if (store === undefined || member === undefined) return undefined;
    if (!fresh && !mayJoinAs(member, store, flag('initial-cluster'))) return undefined;
    member.name = pod.metadata.name;
    const disk = { store, memberId: member.id };
    this.#disks.set(uidOf(volume), disk);
    return disk;
  }

  #bootstrap(token: string, url: string): FakeStore {
    const uid = token.split('/')[2] ?? '';
    if ([...this.stores.keys()].some((other) => other.includes(`/${uid}/`))) {
      throw new Violation(`O4: a second store is started for ${uid}`);
    }
    if (this.volumes().some((volume) => this.#disks.has(uidOf(volume)))) {
      throw new Violation('O4: a new store is started beside volumes with data');
    }
    const store = new FakeStore(`c${this.stores.size + 1}0`);
    this.stores.set(token, store);
    store.add(url, false);
    return store;
  }

  #turnVolume(volume: PersistentVolumeClaim): void {
    const used = this.pods().some((pod) => pod.metadata.name === volume.metadata.name);
    if (volume.metadata.deletionTimestamp === undefined || used) return;
    this.#disks.delete(uidOf(volume));
    this.kube.vanish(pathOf(volume));
  }

  #setReadiness(pod: Pod): void {
    if (pod.status?.podIP === undefined || pod.status.phase !== 'Running') return;
    const reached = this.#memberOf(pod);
    const ready = reached !== undefined && reached.store.leaderId !== '0';
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
    if (JSON.stringify(pod.status.conditions) === JSON.stringify(conditions)) return;
    this.kube.set(pathOf(pod), ({ status }) => ({ status: { ...(status as object), conditions } }));
  }

  #stop(pod: Pod): void {
    const reached = this.#memberOf(pod);
    reached?.store.running.delete(reached.id);
  }

  #route(endpoint: string) {
    const pod = this.pods().find(
      (candidate) =>
        this.cluster !== undefined && podEndpoint(this.cluster, candidate) === endpoint,
    );
    return pod === undefined ? undefined : this.#memberOf(pod);
  }

  /** The member that runs in a pod. */
  #memberOf(pod: Pod): { store: FakeStore; id: string } | undefined {
    const volume = this.#volumeOf(pod);
    const disk = volume === undefined ? undefined : this.#disks.get(uidOf(volume));
    if (disk === undefined || !disk.store.running.has(disk.memberId)) return undefined;
    return { store: disk.store, id: disk.memberId };
  }

  #volumeOf(pod: Pod): PersistentVolumeClaim | undefined {
    return this.volumes().find((volume) => volume.metadata.name === pod.metadata.name);
  }

  #checkWrite(verb: string, path: string, present: Stored | undefined): void {
    if (verb !== 'remove' || present === undefined) return;
    const uid = this.cluster?.metadata.uid;
    if (present.metadata.labels?.[clusterUidLabel] !== uid) {
      throw new Violation(`O8: ${path} belongs to another StoreCluster`);
    }
    if (present.kind === 'Pod') this.#checkPodRemoval(present as unknown as Pod);
    if (present.kind === 'PersistentVolumeClaim') {
      this.#checkVolumeRemoval(present as unknown as PersistentVolumeClaim);
    }
  }

  #checkPodRemoval(pod: Pod): void {
    if (this.#isDeleting() || pod.status?.phase === 'Failed') return;
    if (flagOf(pod, 'initial-cluster-state') === 'new') return;
    const disk = this.#diskOf(pod.metadata.name);
    const member = disk?.store.members.find((candidate) => candidate.id === disk.memberId);
    if (member !== undefined) throw new Violation(`O5: ${pod.metadata.name} is still a member`);
  }

  #checkVolumeRemoval(volume: PersistentVolumeClaim): void {
    const disk = this.#disks.get(uidOf(volume));
    if (disk === undefined) return;
    if (this.#isDeleting()) {
      if (this.cluster?.spec.deletionPolicy !== 'Delete') throw new Violation('O3: Retain');
      return;
    }
    if (disk.store.members.some((member) => member.id === disk.memberId)) {
      throw new Violation(`O3: ${volume.metadata.name} holds a member's data`);
    }
  }

  #diskOf(name: string): Disk | undefined {
    const volume = this.volumes().find((candidate) => candidate.metadata.name === name);
    return volume === undefined ? undefined : this.#disks.get(uidOf(volume));
  }

  #isDeleting(): boolean {
    return this.cluster?.metadata.deletionTimestamp !== undefined;
  }

  #all<T>(kind: 'Pod' | 'PersistentVolumeClaim'): T[] {
    return [...this.kube.view(collectionPath(kind, key.namespace)).values()].map(
      (object) => object as unknown as T,
    );
  }
}

/** The metrics of a member that has loaded what stands in its Secrets. */
function tlsMetrics(kube: FakeKube, { namespace, name }: typeof key): string {
  const lines = (['client', 'peer'] as const).flatMap((side) => {
    const at = { namespace, name: `${name}-${side}-tls` };
    const secret = kube.read(objectPath('Secret', at)) as unknown as Secret | undefined;
    const { certificate, trust } = secret === undefined ? {} : factsOf(secret, undefined);
    return [
      `mainstay_tls_certificate_expiry_seconds{listener="${side}",serial="${certificate?.serial}"} 1`,
      `mainstay_tls_trust_bundle_info{listener="${side}",sha256="${trust?.sha256}"} 1`,
    ];
  });
  return lines.join('\n');
}

async function survive(pass: Promise<unknown>): Promise<void> {
  try {
    await pass;
  } catch (error) {
    if (error instanceof Violation) throw error;
  }
}

/** A member joins once, with the membership of the moment. */
function mayJoinAs(member: FakeMember, store: FakeStore, initialCluster: string): boolean {
  const urls = initialCluster.split(',').map((peer) => peer.slice(peer.indexOf('=') + 1));
  const present = store.members.map((other) => other.peerUrl);
  return member.name === '' && urls.sort().join() === present.sort().join();
}

function flagOf(pod: Pod, name: string): string {
  const prefix = `--${name}=`;
  const flag = pod.spec.containers[0]?.args?.find((arg) => arg.startsWith(prefix));
  return flag?.slice(prefix.length) ?? '';
}

function uidOf({ metadata }: Pod | PersistentVolumeClaim): string {
  return metadata.uid ?? '';
}

function pathOf({ kind, metadata }: Pod | PersistentVolumeClaim): string {
  return objectPath(kind, { namespace: key.namespace, name: metadata.name });
}
