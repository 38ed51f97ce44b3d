import { completeSpec } from '../../../operator/api/defaults.ts';
import type { PersistentVolumeClaim, Pod } from '../../../operator/api/objects.ts';
import { objectPath } from '../../../operator/kube/paths.ts';
import { isPodReady } from '../../../operator/observe/view.ts';
import { quorumOf } from '../../../operator/resources/budget.ts';
import { clusterUidLabel, finalizer } from '../../../operator/resources/labels.ts';
import { isOutdated } from '../../../operator/resources/template.ts';
import type { Stored } from '../support/fake-kube.ts';
import type { FakeMember, FakeStore, StoreChange } from '../support/fake-store.ts';
import { clusterPath, key } from './children.ts';
import { flagOf } from './kubelet.ts';
import { isMirror } from './mirrors.ts';
import type { World } from './world.ts';

/** Who writes: what it believes, and whether it may be wrong. */
export interface Writer {
  /** UID of the StoreCluster that it works for. */
  readonly uid: string | undefined;
  /**
   * Whether it read what was out of date, or was held up: then it may do what was right before. What no moment allows, it
   * may not do either.
   */
  readonly isStale: boolean;
}

/** O1 to O5, O8: looks at every change that the operator makes, with the world as it truly is at that moment. */
export class Invariants {
  writer: Writer = { uid: undefined, isStale: false };
  readonly #world: World;
  /** Ids of voters that the operator stopped and that are not back yet. */
  readonly #disrupted: Set<string>;

  constructor(world: World, from?: Invariants) {
    this.#world = world;
    this.#disrupted = new Set(from === undefined ? [] : from.#disrupted);
    world.kube.hooks.after = (verb, path, present) => this.#afterWrite(verb, path, present);
    world.admin.hooks.after = (change) => this.#afterChange(change);
  }

  describe(): unknown {
    return [...this.#disrupted];
  }

  /** After the world has moved: who is back? */
  turn(): void {
    const store = this.#world.store();
    for (const id of this.#disrupted) {
      const member = store?.member(id);
      const isBack = member !== undefined && store !== undefined && this.#isHealthy(store, member);
      if (member === undefined || isBack) this.#disrupted.delete(id);
    }
  }

  #afterWrite(verb: string, path: string, present: Stored | undefined): void {
    if (path.startsWith(clusterPath)) return this.#checkCluster(present);
    if (verb === 'create') return this.#checkCreation(path);
    if (present === undefined) return;
    if (verb === 'apply' && ['Pod', 'PersistentVolumeClaim'].includes(present.kind)) {
      this.#world.violate(`O8: ${path} is there already, and is written over`);
    }
    this.#checkOwner(path, present);
    if (present.metadata.deletionTimestamp !== undefined || verb !== 'remove') return;
    if (present.kind === 'Pod') this.#checkPodRemoval(present as unknown as Pod);
    if (present.kind === 'PersistentVolumeClaim') {
      this.#checkVolumeRemoval(present as unknown as PersistentVolumeClaim);
    }
  }

  /** O3 and O6: the finalizer holds the object until nothing is left that only the operator would find. */
  #checkCluster(present: Stored | undefined): void {
    const { cluster } = this.#world;
    this.#world.mirrors.check('status', this.writer.isStale);
    const had = present?.metadata.finalizers?.includes(finalizer) === true;
    if (!had || cluster?.metadata.finalizers?.includes(finalizer) === true) return;
    const isLeft = ({ metadata }: Pod | PersistentVolumeClaim) =>
      metadata.labels?.[clusterUidLabel] === present.metadata.uid;
    if (this.#world.pods().some(isLeft)) {
      this.#world.violate('O6: the finalizer goes while pods are left');
    }
    const { deletionPolicy } = present['spec'] as { readonly deletionPolicy?: string };
    if (deletionPolicy === 'Delete' && this.#world.volumes().some(isLeft)) {
      this.#world.violate('O6: the finalizer goes while volumes are left');
    }
  }

  #checkCreation(path: string): void {
    const { cluster } = this.#world;
    const created = this.#world.kube.read(path);
    if (cluster === undefined || created === undefined) return;
    const isHeld = cluster.metadata.finalizers?.includes(finalizer) === true;
    if (created.kind === 'PersistentVolumeClaim' && !isHeld && !this.writer.isStale) {
      this.#world.violate(`O6: the volume ${created.metadata.name} is made before the finalizer`);
    }
    if (created.kind !== 'Pod') return;
    const pod = created as unknown as Pod;
    if (isMirror(pod)) this.#world.mirrors.check('pod', this.writer.isStale);
    const disk = this.#world.storage.disk(this.#world.volume(pod.metadata.name));
    const begins = flagOf(pod, 'initial-cluster-state') === 'new';
    if (begins && disk === undefined && cluster.status?.clusterID !== undefined) {
      this.#world.violate('O4: a store is begun though the id of one is recorded');
    }
  }

  /** O8. Adopting is what changes the owner, where it was asked for. */
  #checkOwner(path: string, present: Stored): void {
    const owner = present.metadata.labels?.[clusterUidLabel];
    if (owner === this.writer.uid) return;
    const { adoptFrom } = this.#world.cluster?.spec ?? {};
    if (present.kind === 'PersistentVolumeClaim' && owner !== undefined && owner === adoptFrom)
      return;
    this.#world.violate(`O8: ${path} belongs to ${owner ?? 'nobody'}, not to ${this.writer.uid}`);
  }

  #checkPodRemoval(pod: Pod): void {
    const { name } = pod.metadata;
    const reached = this.#world.kubelet.memberOf(pod);
    const member = reached?.store.member(reached.id);
    if (this.#isDeleting() || reached === undefined || member === undefined || member.learner)
      return;
    const { store, id } = reached;
    if (this.#isRecovering() || !isPodReady(pod)) return;
    const others = store.voters().filter((voter) => voter.id !== id);
    const healthy = others.filter((other) => this.#isHealthy(store, other));
    // Of one or two, none can go without the store standing still for a moment: that is what changing them costs.
    if (others.length > 1 && healthy.length < quorumOf(others.length + 1)) {
      this.#world.violate(
        `O1: ${name} is stopped, ${healthy.length} of ${others.length + 1} voters are left`,
      );
    }
    this.#checkAlone(name, id);
    if (!this.writer.isStale) this.#checkRoll(pod, { store, id, others, healthy });
    this.#disrupted.add(id);
  }

  /** O2 */
  #checkAlone(name: string, id: string): void {
    const [other] = [...this.#disrupted].filter((disrupted) => disrupted !== id);
    if (other === undefined) return;
    this.#world.violate(`O2: ${name} is stopped while ${other} is not back`);
  }

  /** O11, O5: what a roll-out may stop, and when. */
  #checkRoll(pod: Pod, { store, id, others, healthy }: Removal): void {
    const { name } = pod.metadata;
    const isFirst = flagOf(pod, 'initial-cluster-state') === 'new';
    const isAsked = isFirst || isOutdated(pod, specOf(this.#world));
    if (!isAsked) this.#world.violate(`O2: ${name} is stopped, which nothing asks for`);
    const sick = others.find((other) => !healthy.includes(other));
    if (sick !== undefined) {
      this.#world.violate(`O11: ${name} is stopped while ${sick.name || sick.id} is not healthy`);
    }
    if (store.leaderId === id && healthy.length > 0) {
      this.#world.violate(`O5: the leader ${name} is stopped though others could lead`);
    }
    const leader = store.member(store.leaderId);
    const behind = healthy.find(
      (other) => (leader?.applied ?? 0) - other.applied > lagEntriesMax && other !== leader,
    );
    if (behind !== undefined) {
      this.#world.violate(`O2: ${name} is stopped while ${behind.name} has not caught up`);
    }
  }

  /** O3 */
  #checkVolumeRemoval(volume: PersistentVolumeClaim): void {
    const { name } = volume.metadata;
    const disk = this.#world.storage.disk(volume);
    if (disk === undefined) return;
    const { cluster } = this.#world;
    if (cluster === undefined || this.#isDeleting()) {
      if (cluster?.spec.deletionPolicy === 'Delete') return;
      this.#world.violate(`O3: ${name} is deleted though its data is to be retained`);
      return;
    }
    if (name.endsWith('-copy')) this.#world.violate(`O3: the copy ${name} is deleted`);
    if (this.#world.storage.isMember(disk)) {
      this.#world.violate(`O3: ${name} is deleted, which holds the data of a member`);
    }
  }

  #afterChange({ verb, store, id, before }: StoreChange): void {
    const { isStale } = this.writer;
    switch (verb) {
      case 'addVoter':
        return this.#world.violate(`O5: ${id} joins as a voter, not as a learner`);
      case 'addLearner':
        if (before.peerUrls.has(id) && !isStale)
          this.#world.violate(`O6: the name of ${id} is used again`);
        return;
      case 'addObserver':
        return this.#checkObserverAdded(store, before, id);
      case 'removeMember':
        return this.#checkRemoval(store, before, id);
      case 'promote':
        return isStale ? undefined : this.#checkPromotion(store);
      case 'moveLeader':
        return isStale ? undefined : this.#checkMove(store, before, id);
      case 'disarm':
        return isStale ? undefined : this.#checkDisarm(store, before, id);
      case 'defragment':
        return isStale ? undefined : this.#checkDefragment(store, id);
      default:
        return undefined;
    }
  }

  /** O12: an observer comes when all voters that are wanted are there, and never for one of them. */
  #checkObserverAdded(store: FakeStore, before: FakeStore, url: string): void {
    if (before.peerUrls.has(url) && !this.writer.isStale)
      this.#world.violate(`O6: the name of ${url} is used again`);
    const { replicas } = specOf(this.#world);
    const voters = store.voters().length;
    if (!this.writer.isStale && voters < replicas) {
      this.#world.violate(`O12: ${url} joins as an observer while ${voters} of ${replicas} vote`);
    }
  }

  #checkRemoval(store: FakeStore, before: FakeStore, id: string): void {
    const member = before.member(id);
    if (member === undefined || member.learner) return;
    const name = member.name || id;
    const healthy = store.voters().filter((voter) => this.#isHealthy(store, voter));
    const voters = store.voters().length;
    if (healthy.length < quorumOf(voters)) {
      this.#world.violate(`O1: ${name} is removed, ${healthy.length} of ${voters} voters are left`);
    }
    this.#disrupted.delete(id);
    const wasWell = this.#isHealthy(before, member) && !this.#isLost(before, member);
    if (wasWell) this.#checkAlone(name, id);
    if (this.writer.isStale) return;
    if (before.leaderId === id && healthy.length > 0) {
      this.#world.violate(`O5: the leader ${name} is removed though others could lead`);
    }
    const sick = store.voters().find((voter) => !healthy.includes(voter));
    if (sick !== undefined && wasWell) {
      this.#world.violate(`O5: ${name} is removed before ${sick.name || sick.id}, which is sick`);
    }
    const wanted = this.#world.cluster?.spec.replicas ?? 0;
    if (wasWell && voters < wanted) {
      this.#world.violate(
        `O1: ${name} is removed, ${voters} are left of ${wanted} that are wanted`,
      );
    }
    this.#checkBudget(store);
  }

  #checkPromotion(store: FakeStore): void {
    const healthy = store.voters().filter((voter) => this.#isHealthy(store, voter));
    if (healthy.length < quorumOf(store.voters().length)) {
      this.#world.violate(`O1: after a promotion ${healthy.length} voters are healthy`);
    }
    this.#checkBudget(store);
  }

  /** The floor is there before the membership changes. */
  #checkBudget(store: FakeStore): void {
    const budget = this.#world.kube.read(objectPath('PodDisruptionBudget', key));
    if (this.#world.cluster?.spec.disruptionBudget === 'Disabled') return;
    const { minAvailable = 0 } = (budget?.['spec'] ?? {}) as { readonly minAvailable?: number };
    const needed = quorumOf(store.voters().length);
    if (minAvailable >= needed) return;
    this.#world.violate(`O1: the membership changes while evictions may leave ${minAvailable}`);
  }

  #checkMove(store: FakeStore, before: FakeStore, id: string): void {
    const target = store.member(id);
    if (target === undefined) return;
    if (!this.#isHealthy(store, target))
      this.#world.violate(`O5: ${target.name} takes the lead and is sick`);
    const isCordoned = (member: FakeMember) =>
      this.#world.node(this.#world.nodeOf(member.name))?.spec.unschedulable === true;
    const better = store
      .voters()
      .find(
        (voter) =>
          voter.id !== before.leaderId && this.#isHealthy(store, voter) && !isCordoned(voter),
      );
    if (isCordoned(target) && better !== undefined) {
      this.#world.violate(
        `O5: ${target.name} takes the lead on a node that is drained; ${better.name} could`,
      );
    }
  }

  /** Writes are let in again where there is room for them. */
  #checkDisarm(store: FakeStore, before: FakeStore, id: string): void {
    const alarm = before.alarms.find(({ memberId }) => memberId === id);
    if (alarm?.kind === 'CORRUPT' && store.member(id) !== undefined) {
      this.#world.violate(`O5: the alarm CORRUPT of ${id} is disarmed, which is still a member`);
    }
    const full = store.members.find(({ name, databaseBytes }) => {
      const pod = this.#world.pod(name);
      const quota = pod && this.#world.kubelet.quotaOf(pod);
      return quota !== undefined && databaseBytes >= quota;
    });
    const isLast = store.alarms.every(({ kind }) => kind !== 'NOSPACE');
    if (full !== undefined && alarm?.kind === 'NOSPACE' && isLast) {
      this.#world.violate(`O10: writes are let in though ${full.name} has no room`);
    }
  }

  #checkDefragment(store: FakeStore, id: string): void {
    const waiting = store.members.find((member) => {
      const pod = this.#world.pod(member.name);
      const quota = (pod && this.#world.kubelet.quotaOf(pod)) ?? Number.POSITIVE_INFINITY;
      const isFull = member.databaseBytes >= quota && this.#isHealthy(store, member);
      const isDone = this.#world.status?.space?.defragmented.includes(member.name) === true;
      return member.id !== id && isFull && !isDone;
    });
    if (store.leaderId === id && waiting !== undefined) {
      this.#world.violate(`O5: the leader frees its space before ${waiting.name}`);
    }
  }

  #isHealthy(store: FakeStore, { id, name }: FakeMember): boolean {
    const pod = this.#world.pod(name);
    const isUp = pod !== undefined && pod.metadata.deletionTimestamp === undefined;
    return isUp && isPodReady(pod) && store.running.has(id);
  }

  /** Its data is gone, going or wrong: it has to leave. */
  #isLost(store: FakeStore, { id, name }: FakeMember): boolean {
    const volume = this.#world.volume(name);
    const isGoing = volume === undefined || volume.metadata.deletionTimestamp !== undefined;
    return isGoing || store.alarms.some((alarm) => alarm.memberId === id);
  }

  #isDeleting(): boolean {
    const { cluster } = this.#world;
    return cluster === undefined || cluster.metadata.deletionTimestamp !== undefined;
  }

  #isRecovering(): boolean {
    const { recovery } = this.#world.cluster?.spec ?? {};
    return recovery !== undefined && recovery.clusterUID === this.#world.cluster?.metadata.uid;
  }
}

/** The spec as the operator completes it when nothing is out of date. */
export function specOf(world: World) {
  const recorded = world.status?.image;
  const hasBegun = world.status?.clusterID !== undefined;
  const pods = world.pods().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const running = pods.flatMap(({ spec }) => (hasBegun ? spec.containers[0]?.image : []) ?? []);
  const present = [...(recorded === undefined ? [] : [recorded]), ...running];
  return completeSpec(world.cluster?.spec ?? { storage: { size: '1Gi' } }, {
    repository: 'mainstay',
    present,
  });
}

interface Removal {
  readonly store: FakeStore;
  readonly id: string;
  readonly others: readonly FakeMember[];
  readonly healthy: readonly FakeMember[];
}

/** What a member may lack while another is changed: what is on its way under load. */
const lagEntriesMax = 5_000;
