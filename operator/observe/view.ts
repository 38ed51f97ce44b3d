import type { PersistentVolumeClaim, Pod } from '../api/objects.ts';
import type { MemberRecord } from '../api/types.ts';
import { isOurs, memberIdAnnotation, roleLabel } from '../resources/labels.ts';
import { memberOfPeerUrl, serialOf } from '../resources/names.ts';
import { observerSpec } from '../resources/observers.ts';
import { isOutdated } from '../resources/template.ts';
import type { Alarm, MemberStatus, Observation, RaftMember } from './observation.ts';

/** One member, joined from its volume, its pod and its entry in the MemberList; at least one of them is there. */
export interface MemberView {
  readonly name: string;
  readonly serial: number;
  readonly volume: PersistentVolumeClaim | undefined;
  readonly pod: Pod | undefined;
  readonly raft: RaftMember | undefined;
  readonly status: MemberStatus | undefined;
  /** Id that the volume says it holds the data of. */
  readonly recordedId: string | undefined;
  readonly isLeader: boolean;
  /** By the MemberList; before it is in there, by its volume. It is no learner to anybody here. */
  readonly isObserver: boolean;
  /** In the MemberList, itself answering under that id, and knowing a leader. */
  readonly isAnswering: boolean;
  /** Answering, and its pod ready and not going. */
  readonly isHealthy: boolean;
  /** The spec wants another pod than the one that it has. */
  readonly isOutdated: boolean;
  readonly alarms: readonly Alarm['kind'][];
}

/** The observation, arranged for decisions. */
export interface ClusterView {
  readonly observation: Observation;
  readonly answered: boolean;
  /** By the word of the highest term that knows a leader. */
  readonly leaderId: string | undefined;
  /** Ours, by serial. */
  readonly members: readonly MemberView[];
  /** Members of the store that are not this operator's; left alone, but they count for the quorum. */
  readonly strangers: readonly RaftMember[];
  readonly voterCount: number;
  readonly healthyVoterCount: number;
  /** Members that there may be now: the wanted ones, and one more while outdated ones are replaced. */
  readonly membersMax: number;
}

export function viewOf(observation: Observation): ClusterView {
  const raftMembers = observation.store.kind === 'answered' ? observation.store.members : [];
  const leaderId = leaderOf([...observation.memberStatuses.values()]);
  const members = joinMembers(observation, raftMembers, leaderId);
  const known = new Set(members.map((member) => member.raft));
  const { replicas, update } = observation.spec;
  const isSurging = update?.surge === true && members.some(isReplacedBySurge);
  return {
    observation,
    membersMax: replicas + (isSurging ? 1 : 0),
    answered: observation.store.kind === 'answered',
    leaderId,
    members,
    strangers: raftMembers.filter((member) => !known.has(member)),
    voterCount: raftMembers.filter((member) => !member.learner).length,
    healthyVoterCount: members.filter((member) => isVoter(member) && member.isHealthy).length,
  };
}

/** A voter by the MemberList; nobody is while the store is silent. */
export function isVoter(member: MemberView): boolean {
  return member.raft?.learner === false;
}

/** By what the status has recorded of a member. */
export function hasNoVote({ role }: Pick<MemberRecord, 'role'>): boolean {
  return role === 'learner' || role === 'observer';
}

/** On its way to become a voter. */
export function isLearner(member: MemberView): boolean {
  return member.raft?.learner === true && !member.isObserver;
}

/** A member of the store whose place another takes. */
export function isReplacedBySurge({ raft, isOutdated, isObserver }: MemberView): boolean {
  return raft !== undefined && isOutdated && !isObserver;
}

/** Nothing of it was ever started. */
export function isNew({ observation, members }: ClusterView): boolean {
  return observation.cluster.status?.clusterID === undefined && members.length === 0;
}

/** Members by the MemberList, learners included, observers not. */
export function joinedMembers({ members }: ClusterView): readonly MemberView[] {
  return members.filter((member) => member.raft !== undefined && !member.isObserver);
}

export function joinedObservers({ members }: ClusterView): readonly MemberView[] {
  return members.filter((member) => member.raft !== undefined && member.isObserver);
}

export function isTerminating(object: Pod | PersistentVolumeClaim | undefined): boolean {
  return object?.metadata.deletionTimestamp !== undefined;
}

/** A pod that has ended for good (evicted, for example) and will not be restarted in place. */
export function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
}

export function isPodReady(pod: Pod): boolean {
  return (pod.status?.conditions ?? []).some(
    (condition) => condition.type === 'Ready' && condition.status === 'True',
  );
}

/** Its container waits for an image that the node cannot get. */
export function isImageMissing({ status }: Pod): boolean {
  const reason = status?.containerStatuses?.[0]?.state?.waiting?.reason ?? '';
  return ['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName'].includes(reason);
}

function leaderOf(statuses: readonly MemberStatus[]): string | undefined {
  return statuses
    .filter((status) => status.leaderId !== '0')
    .sort((a, b) => b.raftTerm - a.raftTerm)
    .at(0)?.leaderId;
}

function joinMembers(
  observation: Observation,
  raftMembers: readonly RaftMember[],
  leaderId: string | undefined,
): readonly MemberView[] {
  const { cluster } = observation;
  const volumes = byName(observation.volumes.filter((volume) => isOurs(cluster, volume)));
  const pods = byName(observation.pods.filter((pod) => isOurs(cluster, pod)));
  const raft = new Map<string, RaftMember>();
  for (const member of raftMembers) {
    const name = member.peerUrls.map((url) => memberOfPeerUrl(cluster, url)).find(Boolean);
    if (name !== undefined) raft.set(name, member);
  }
  const views: MemberView[] = [];
  for (const name of new Set([...volumes.keys(), ...pods.keys(), ...raft.keys()])) {
    const serial = serialOf(cluster, name);
    if (serial === undefined) continue;
    const volume = volumes.get(name);
    const recordedId = volume?.metadata.annotations?.[memberIdAnnotation];
    const entry = raft.get(name) ?? raftMembers.find((member) => member.id === recordedId);
    const status = observation.memberStatuses.get(name);
    const pod = pods.get(name);
    const parts = { volume, pod, raft: entry, status };
    const isLeader = entry !== undefined && entry.id === leaderId;
    const isObserver = isObserverBy(entry, volume);
    const spec = isObserver ? observerSpec(observation.spec) : observation.spec;
    const outdated = pod !== undefined && !isTerminating(pod) && isOutdated(pod, spec);
    const alarms = alarmsOf(observation, entry?.id);
    const judged = { ...judge(parts), isObserver, isOutdated: outdated, alarms };
    views.push({ name, serial, ...parts, recordedId, isLeader, ...judged });
  }
  return views.sort((a, b) => a.serial - b.serial);
}

function isObserverBy(
  raft: RaftMember | undefined,
  volume: PersistentVolumeClaim | undefined,
): boolean {
  return raft === undefined
    ? volume?.metadata.labels?.[roleLabel] === 'observer'
    : raft.observer === true;
}

function alarmsOf({ store }: Observation, id: string | undefined): readonly Alarm['kind'][] {
  if (store.kind === 'silent') return [];
  return store.alarms.filter(({ memberId }) => memberId === id).map(({ kind }) => kind);
}

function judge({
  pod,
  raft,
  status,
}: Pick<MemberView, 'pod' | 'raft' | 'status'>): Pick<MemberView, 'isAnswering' | 'isHealthy'> {
  const isAnswering =
    raft !== undefined &&
    status !== undefined &&
    status.leaderId !== '0' &&
    status.memberId === raft.id;
  const isHealthy = isAnswering && pod !== undefined && !isTerminating(pod) && isPodReady(pod);
  return { isAnswering, isHealthy };
}

function byName<Child extends Pod | PersistentVolumeClaim>(
  children: readonly Child[],
): ReadonlyMap<string, Child> {
  return new Map(children.map((child) => [child.metadata.name, child]));
}
