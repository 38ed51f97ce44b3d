import type { Observation } from '../observe/observation.ts';
import { type ClusterView, isTerminating, type MemberView } from '../observe/view.ts';
import { tokenAnnotation } from '../resources/labels.ts';
import { memberOfPeerUrl, peerUrl } from '../resources/names.ts';
import { buildPod, initialClusterFlag, type Peer } from '../resources/pod.ts';
import { act, type Decision, type Rule } from './decision.ts';
import { endedPod } from './diagnose.ts';
import { roleOf } from './roles.ts';

/**
 * A member without a pod gets one on its volume, under the same name: nothing is lost, so nothing has to be asked
 * first. While the store is silent this is what can bring a quorum back; the volume itself says that it is a member's.
 */
export const restart: Rule = (view) => {
  for (const member of view.members) {
    const decision = restartMember(view, member);
    if (decision !== undefined) return decision;
  }
  return undefined;
};

function restartMember(view: ClusterView, member: MemberView): Decision | undefined {
  const { volume, pod, name, recordedId } = member;
  if (volume === undefined || isTerminating(volume) || !isMember(view, member)) return undefined;
  if (pod !== undefined) return endedPod(member) ?? staleLearner(view, member);
  // Before the volume names its member, a pod could put data on it that nobody would know again.
  if (recordedId === undefined && !isUnrecordedSeed(view.observation, name)) return undefined;
  const { cluster, spec } = view.observation;
  return act('PodCreated', `Starting ${name} on its volume.`, {
    kind: 'createPod',
    pod: buildPod(cluster, spec, {
      member: name,
      role: roleOf(member),
      clusterState: 'existing',
      initialCluster: initialCluster(view),
      token: volume.metadata.annotations?.[tokenAnnotation] ?? '',
    }),
  });
}

function isMember(view: ClusterView, { raft, recordedId, name }: MemberView): boolean {
  if (view.answered) return raft !== undefined && (recordedId ?? raft.id) === raft.id;
  return recordedId !== undefined || isUnrecordedSeed(view.observation, name);
}

/** The store was seen with this seed, but the operator ended before it wrote the member id on the volume. */
function isUnrecordedSeed({ cluster }: Observation, name: string): boolean {
  return cluster.status?.clusterID !== undefined && cluster.status.bootstrap?.seed === name;
}

/**
 * A learner that never started is given the MemberList at its creation and refuses to start when that has changed
 * since; it would hold up every later change for ever (cozystack/etcd-operator#352).
 */
function staleLearner(view: ClusterView, member: MemberView): Decision | undefined {
  const { pod, raft, name } = member;
  const neverStarted = raft?.learner === true && raft.name === '' && member.status === undefined;
  if (pod === undefined || isTerminating(pod) || !neverStarted) return undefined;
  const args = pod.spec.containers[0]?.args ?? [];
  if (args.includes(initialClusterFlag(initialCluster(view)))) return undefined;
  const message = `The members have changed since ${name} was created; it starts anew with the present ones.`;
  return act('PodDeleted', message, { kind: 'deletePod', pod });
}

/** The MemberList word for word; by the volumes where nobody can say it (a member with data does not read it). */
function initialCluster({ observation, members }: ClusterView): Peer[] {
  const { cluster, store } = observation;
  if (store.kind === 'silent') {
    return members
      .filter((member) => member.volume !== undefined)
      .map(({ name }) => ({ name, peerUrl: peerUrl(cluster, name) }));
  }
  return store.members.flatMap((member) =>
    member.peerUrls.map((url) => ({
      name: (memberOfPeerUrl(cluster, url) ?? member.name) || member.id,
      peerUrl: url,
    })),
  );
}
