import type { Node, PersistentVolumeClaim, Pod } from '../../../operator/api/objects.ts';
import { bytesOf } from '../../../operator/api/quantity.ts';
import { hasEnded } from '../../../operator/observe/view.ts';
import { forceFlag } from '../../../operator/resources/template.ts';
import type { FakeMember, FakeStore } from '../support/fake-store.ts';
import { claimsOf, isNodeReady, pathOf, uidOf } from './children.ts';
import { isMirror } from './mirrors.ts';
import type { Disk } from './storage.ts';
import type { World } from './world.ts';

/** The container of one pod. Never changed in place. */
interface Container {
  readonly state: 'pulling' | 'running' | 'crashed';
  readonly exitCode: number | undefined;
  readonly restarts: number;
}

const exitStatus = { failed: 1, data: 78 };
/** The node that was chosen for a volume when it was made. */
const selectedNode = 'volume.kubernetes.io/selected-node';
const cpusOfNode = 8;

/** Schedules pods, runs their containers and says how they are. */
export class Kubelet {
  readonly #world: World;
  /** By the UID of the pod. */
  readonly #containers: Map<string, Container>;
  /** UIDs of pods whose process hangs or is cut off. */
  readonly #mute: Set<string>;
  #addresses: number;

  constructor(world: World, from?: Kubelet) {
    this.#world = world;
    this.#containers = new Map(from === undefined ? [] : from.#containers);
    this.#mute = new Set(from === undefined ? [] : from.#mute);
    this.#addresses = from === undefined ? 0 : from.#addresses;
  }

  turn(): void {
    for (const pod of this.#world.pods()) this.#turnPod(pod);
  }

  /** After the stores have moved: who is ready. */
  report(): void {
    for (const pod of this.#world.pods()) {
      const container = this.#containers.get(uidOf(pod));
      if (container === undefined || hasEnded(pod)) continue;
      if (!isNodeReady(this.#world.node(pod.spec.nodeName))) continue;
      this.#setStatus(pod, containerStatus(container));
      this.setReady(pod, this.#isServing(pod));
    }
  }

  /** The member that runs in a pod. */
  memberOf(pod: Pod): { readonly store: FakeStore; readonly id: string } | undefined {
    if (this.#containers.get(uidOf(pod))?.state !== 'running' || this.#mute.has(uidOf(pod)))
      return undefined;
    const disk = this.#world.storage.disk(this.#volumeOf(pod));
    const store = disk && this.#world.storage.storeOf(disk);
    if (disk === undefined || store?.running.has(disk.memberId) !== true) return undefined;
    return { store, id: disk.memberId };
  }

  /** The process ends; it is started again at the next turn where there is a kubelet. */
  stop(pod: Pod, exitCode = exitStatus.failed): void {
    const disk = this.#world.storage.disk(this.#volumeOf(pod));
    if (disk !== undefined) this.#world.storage.storeOf(disk)?.running.delete(disk.memberId);
    const container = this.#containers.get(uidOf(pod));
    if (container?.state !== 'running') return;
    const restarts = container.restarts + 1;
    this.#containers.set(uidOf(pod), { state: 'crashed', exitCode, restarts });
  }

  /** The process hangs, or nobody reaches it, until {@link heal}. */
  mute(pod: Pod): void {
    const disk = this.#world.storage.disk(this.#volumeOf(pod));
    if (disk !== undefined) this.#world.storage.storeOf(disk)?.running.delete(disk.memberId);
    this.#mute.add(uidOf(pod));
  }

  heal(): void {
    this.#mute.clear();
  }

  quotaOf(pod: Pod): number | undefined {
    const quota = flagOf(pod, 'quota-backend-bytes');
    return quota === '' ? undefined : Number(quota);
  }

  setReady(pod: Pod, isReady: boolean): void {
    const conditions = [
      { type: 'PodScheduled', status: 'True' },
      { type: 'Ready', status: isReady ? 'True' : 'False' },
    ];
    this.#setStatus(pod, { conditions });
  }

  /** What of a pod is not in its object. */
  describe(pod: Pod): unknown {
    return [this.#containers.get(uidOf(pod)), this.#mute.has(uidOf(pod))];
  }

  #turnPod(pod: Pod): void {
    const { nodeName } = pod.spec;
    const container = this.#containers.get(uidOf(pod));
    if (nodeName !== undefined && !isNodeReady(this.#world.node(nodeName))) return;
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (container?.state === 'running') this.stop(pod, 0);
      else this.#world.kube.vanish(pathOf(pod));
      return;
    }
    if (hasEnded(pod) || (nodeName === undefined && !this.#schedule(pod))) return;
    if (isMirror(pod)) this.#world.mirrors.turnPod(pod);
    else if (isCopy(pod)) this.#turnCopy(pod);
    else this.#turnMember(pod);
  }

  #turnMember(pod: Pod): void {
    const container = this.#containers.get(uidOf(pod));
    if (this.#mute.has(uidOf(pod))) return;
    if (pod.spec.containers[0]?.image.includes('bad') === true) {
      this.#containers.set(uidOf(pod), { state: 'pulling', exitCode: undefined, restarts: 0 });
      return;
    }
    const volume = this.#volumeOf(pod);
    if (volume === undefined) return;
    const exitCode = this.#start(pod, volume);
    if (exitCode === undefined) {
      const restarts = container?.restarts ?? 0;
      this.#containers.set(uidOf(pod), { state: 'running', exitCode: undefined, restarts });
      return;
    }
    const restarts = (container?.restarts ?? -1) + 1;
    this.stop(pod);
    this.#containers.set(uidOf(pod), { state: 'crashed', exitCode, restarts });
  }

  /** What the server does with its flags and its data directory; undefined when it runs. */
  #start(pod: Pod, volume: PersistentVolumeClaim): number | undefined {
    // A flag that the server refuses, for what a spec can say that is wrong.
    if (flagOf(pod, 'snapshot-count') === '666') return exitStatus.failed;
    const { storage } = this.#world;
    const disk = storage.disk(volume) ?? this.#begin(pod, volume);
    if (typeof disk === 'number') return disk;
    if (disk.isDamaged) return exitStatus.data;
    const store = storage.storeOf(disk);
    if (store === undefined || store.removed.has(disk.memberId)) return exitStatus.failed;
    if (hasForceFlag(pod) && !disk.isForced) this.#force(pod, volume, disk);
    // A start without the flag makes room for another time.
    if (!hasForceFlag(pod) && disk.isForced) storage.write(volume, { ...disk, isForced: false });
    store.running.add(disk.memberId);
    return undefined;
  }

  /** With an empty data directory: begins a store, or joins one as the member that was added for it. */
  #begin(pod: Pod, volume: PersistentVolumeClaim): Disk | number {
    const { storage } = this.#world;
    const [url, token] = [
      flagOf(pod, 'initial-advertise-peer-urls'),
      flagOf(pod, 'initial-cluster-token'),
    ];
    const isNew = flagOf(pod, 'initial-cluster-state') === 'new';
    if (isNew) this.#beginStore(token, url);
    const store = storage.stores.get(token) ?? this.#adoptedStore(url);
    const member = store?.members.find((candidate) => candidate.peerUrl === url);
    if (store === undefined || member === undefined) return exitStatus.failed;
    // An empty directory under an id that the others have met.
    if (member.name !== '') return exitStatus.data;
    if (!isNew && !matches(store, flagOf(pod, 'initial-cluster'))) return exitStatus.failed;
    member.name = pod.metadata.name;
    const at = [...storage.stores].find(([, each]) => each === store)?.[0] ?? token;
    const disk = { token: at, memberId: member.id, isDamaged: false, isForced: false };
    storage.write(volume, disk);
    return disk;
  }

  /** Who joins asks the members for their store; the token only tells beginnings apart. */
  #adoptedStore(url: string): FakeStore | undefined {
    const stores = [...this.#world.storage.stores.values()];
    return stores.find((store) => store.members.some(({ peerUrl }) => peerUrl === url));
  }

  #beginStore(token: string, url: string): void {
    const { storage } = this.#world;
    const uid = token.split('/')[2] ?? '';
    const other = [...storage.stores.keys()].find((known) => known.includes(`/${uid}/`));
    if (other !== undefined) this.#world.violate(`O4: a second store is begun for ${uid}`);
    if (this.#world.volumes().some((volume) => storage.disk(volume) !== undefined)) {
      this.#world.violate('O4: a store is begun beside volumes with data');
    }
    storage.begin(token).add(url, false);
  }

  /** Irreversible: only if asked for, with a copy made before, and with nobody else there. */
  #force(pod: Pod, volume: PersistentVolumeClaim, disk: Disk): void {
    const { storage, cluster } = this.#world;
    const { name } = pod.metadata;
    const { survivor, clusterUID } = cluster?.spec.recovery ?? {};
    if (survivor !== name || clusterUID !== cluster?.metadata.uid) {
      this.#world.violate(`O1: ${name} is forced to go on alone, which nobody asked for`);
    }
    const copy = storage.disk(this.#world.volume(`${name}-copy`));
    if (copy?.memberId !== disk.memberId) {
      this.#world.violate(`O3: ${name} is forced to go on alone before its volume was copied`);
    }
    const store = storage.storeOf(disk);
    const others = [...(store?.running ?? [])].filter((id) => id !== disk.memberId);
    if (others.length > 0) {
      this.#world.violate(`O4: ${name} is forced to go on alone while ${others.join()} run`);
    }
    store?.force(disk.memberId);
    storage.write(volume, { ...disk, isForced: true });
  }

  #turnCopy(pod: Pod): void {
    const [from, to] = claimsOf(pod).map((name) => this.#world.volume(name));
    if (from === undefined || to === undefined) return;
    const disk = this.#world.storage.disk(from);
    // A copy that is whole is never overwritten.
    if (this.#world.storage.disk(to) !== undefined) {
      this.#setStatus(pod, { phase: 'Succeeded' });
      return;
    }
    if (disk !== undefined && this.#world.storage.storeOf(disk)?.running.has(disk.memberId)) {
      this.#world.violate(`O3: ${from.metadata.name} is copied while its member writes`);
    }
    if (disk !== undefined) this.#world.storage.write(to, disk);
    this.#setStatus(pod, { phase: 'Succeeded' });
  }

  #isServing(pod: Pod): boolean {
    const reached = this.memberOf(pod);
    const member: FakeMember | undefined = reached?.store.member(reached.id);
    if (reached === undefined || member === undefined || reached.store.leaderId === '0')
      return false;
    return member.applied >= reached.store.lastIndex * 0.9;
  }

  /** Whether there is a node for it. */
  #schedule(pod: Pod): boolean {
    const missing = claimsOf(pod).find((name) => {
      const volume = this.#world.volume(name);
      return volume === undefined || volume.metadata.deletionTimestamp !== undefined;
    });
    if (missing !== undefined) {
      return this.#unschedulable(pod, `persistentvolumeclaim "${missing}" not found`);
    }
    const fitting = this.#world.nodes().filter((node) => this.#fits(pod, node));
    if (fitting.length === 0) return this.#unschedulable(pod, this.#whyNone(pod));
    const load = (node: Node) =>
      this.#world.pods().filter(({ spec }) => spec.nodeName === node.metadata.name).length;
    const [node] = fitting.sort((a, b) => load(a) - load(b));
    const nodeName = node?.metadata.name ?? '';
    this.#world.kube.set(pathOf(pod), ({ spec }) => ({ spec: { ...(spec as object), nodeName } }));
    for (const claim of claimsOf(pod)) this.#bind(this.#world.volume(claim), nodeName);
    this.#addresses += 1;
    const podIP = `127.0.${this.#addresses >> 8}.${this.#addresses & 255}`;
    this.#setStatus(pod, { phase: 'Pending', podIP, conditions: [] });
    return true;
  }

  #fits(pod: Pod, node: Node): boolean {
    if (!isNodeReady(node) || node.spec.unschedulable === true) return false;
    const selector = Object.entries((pod.spec['nodeSelector'] ?? {}) as Record<string, string>);
    if (selector.some(([label, value]) => node.metadata.labels?.[label] !== value)) return false;
    if (cpusOf(pod) > cpusOfNode) return false;
    const homes = claimsOf(pod).map((name) => homeOf(this.#world.volume(name)));
    return homes.every((home) => home === undefined || home === node.metadata.name);
  }

  #whyNone(pod: Pod): string {
    if (cpusOf(pod) > cpusOfNode) return '0/6 nodes are available: 6 Insufficient cpu.';
    const homes = claimsOf(pod).map((name) => homeOf(this.#world.volume(name)));
    return homes.some((home) => home !== undefined)
      ? '0/6 nodes are available: 6 node(s) had volume node affinity conflict.'
      : '0/6 nodes are available: 6 node(s) did not match the selector or were unschedulable.';
  }

  #unschedulable(pod: Pod, message: string): false {
    const conditions = [
      { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message },
    ];
    this.#setStatus(pod, { phase: 'Pending', conditions });
    return false;
  }

  #bind(volume: PersistentVolumeClaim | undefined, nodeName: string): void {
    if (volume === undefined || volume.status?.phase === 'Bound') return;
    const { storage = '' } = volume.spec.resources.requests;
    const annotations = this.#world.conditions.hasLocalVolumes ? { [selectedNode]: nodeName } : {};
    this.#world.kube.set(pathOf(volume), ({ metadata }) => ({
      metadata: { ...metadata, annotations: { ...metadata.annotations, ...annotations } },
      status: { phase: 'Bound', capacity: { storage } },
    }));
  }

  #volumeOf(pod: Pod): PersistentVolumeClaim | undefined {
    const [claim = ''] = claimsOf(pod);
    return this.#world.volume(claim);
  }

  #setStatus(pod: Pod, fields: object): void {
    const present = this.#world.kube.read(pathOf(pod))?.['status'] ?? {};
    const next = { ...present, ...fields };
    if (JSON.stringify(next) === JSON.stringify(present)) return;
    this.#world.kube.set(pathOf(pod), () => ({ status: next }));
  }
}

function containerStatus({ state, exitCode, restarts }: Container): object {
  const lastState = exitCode === undefined ? {} : { terminated: { exitCode } };
  const states = {
    pulling: { waiting: { reason: 'ImagePullBackOff' } },
    running: { running: {} },
    crashed: { waiting: { reason: 'CrashLoopBackOff' } },
  };
  const phase = state === 'pulling' ? 'Pending' : 'Running';
  const status = { restartCount: restarts, state: states[state], lastState };
  return { phase, containerStatuses: [status] };
}

/** A member joins with the membership of the moment. */
function matches(store: FakeStore, initialCluster: string): boolean {
  const urls = initialCluster.split(',').map((peer) => peer.slice(peer.indexOf('=') + 1));
  const present = store.members.map(({ peerUrl }) => peerUrl);
  return urls.sort().join() === present.sort().join();
}

function homeOf(volume: PersistentVolumeClaim | undefined): string | undefined {
  return volume?.metadata.annotations?.[selectedNode];
}

function cpusOf(pod: Pod): number {
  const resources = pod.spec.containers[0]?.['resources'] as
    | { readonly requests?: { readonly cpu?: string } }
    | undefined;
  const cpu = resources?.requests?.cpu;
  if (cpu === undefined) return 0;
  return cpu.endsWith('m') ? Number(cpu.slice(0, -1)) / 1_000 : bytesOf(cpu);
}

function isCopy({ metadata }: Pod): boolean {
  return metadata.labels?.['app.kubernetes.io/component'] === 'copy';
}

export function hasForceFlag(pod: Pod): boolean {
  return pod.spec.containers[0]?.args?.includes(forceFlag) ?? false;
}

export function flagOf(pod: Pod, name: string): string {
  const prefix = `--${name}=`;
  const flag = pod.spec.containers[0]?.args?.find((arg) => arg.startsWith(prefix));
  return flag?.slice(prefix.length) ?? '';
}
