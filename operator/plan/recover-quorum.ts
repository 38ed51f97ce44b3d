import type { PersistentVolumeClaim, Pod } from '../api/objects.ts';
import { type ClusterView, hasEnded, isTerminating, type MemberView } from '../observe/view.ts';
import { quorumOf } from '../resources/budget.ts';
import { buildCopyPod, buildCopyVolume, copyName, isCopyPod } from '../resources/copy.ts';
import { isOurs, recoveredAnnotation, tokenAnnotation } from '../resources/labels.ts';
import { peerUrl } from '../resources/names.ts';
import { buildPod } from '../resources/pod.ts';
import { forceFlag } from '../resources/template.ts';
import { act, type Decision, type Rule, stopUntil, waitFor } from './decision.ts';
import { diagnose } from './diagnose.ts';
import { minutes } from './limits.ts';

/**
 * The quorum is lost for good, and a person has named the member whose data the store goes on with: everything stops, its
 * volume is copied, and it starts as the only member. What the others had is lost; they have then left the store, and
 * `finishRemoval` and `scaleUp` replace them. Done once for each time that the field is set.
 */
export const recoverQuorum: Rule = (view) => {
  const { spec } = view.observation;
  const recovered = view.members.find(isRecovered);
  if (spec.recovery === undefined) return leftover(view) ?? (recovered && forget(recovered));
  if (recovered !== undefined) return leftover(view);
  const forced = view.members.find(isForced);
  if (forced?.volume !== undefined) return awaitForced(forced, forced.volume);
  if (view.answered || refusal(view) !== undefined) return undefined;
  const survivor = survivorOf(view);
  return survivor?.volume && recover(view, survivor, survivor.volume);
};

/** Comes behind `restart`: a recovery that cannot be holds up nothing that may bring the quorum back. */
export const recoveryRefused: Rule = (view) => {
  const isWanted = view.observation.spec.recovery !== undefined && !view.members.some(isRecovered);
  return isWanted && !view.answered ? refusal(view) : undefined;
};

function survivorOf(view: ClusterView): MemberView | undefined {
  return view.members.find(({ name }) => name === view.observation.spec.recovery?.survivor);
}

function refusal(view: ClusterView): Decision | undefined {
  const { cluster, memberStatuses, spec } = view.observation;
  if (spec.recovery?.clusterUID !== cluster.metadata.uid) {
    return stopUntil(
      'RecoveryRefused',
      `spec.recovery.clusterUID is not the uid of this object: to recover this store, write ${cluster.metadata.uid}.`,
    );
  }
  const survivor = survivorOf(view);
  if (survivor?.volume === undefined || survivor.recordedId === undefined) {
    const candidates = view.members.filter(({ recordedId }) => recordedId !== undefined);
    const names = candidates.map(({ name }) => name).join(', ') || 'none';
    return stopUntil(
      'RecoveryRefused',
      `${spec.recovery?.survivor} has no volume with data. Members that have: ${names}.`,
    );
  }
  const known = (cluster.status?.members ?? []).filter(
    ({ role, id }) => id !== undefined && role !== 'learner',
  );
  // A learner that answers elects nobody.
  const answering = known.filter(({ name }) => memberStatuses.has(name)).length;
  if (known.length === 0 || answering < quorumOf(known.length)) return undefined;
  return waitFor(
    'RecoveryRefused',
    `${answering} of ${known.length} members answer, which is a quorum: they are given time to elect a leader. Take spec.recovery away if they do.`,
    minutes(5),
  );
}

/** Stop, copy, start. Each step is seen in the world, so that it can be left and taken up anywhere. */
function recover(view: ClusterView, survivor: MemberView, volume: PersistentVolumeClaim): Decision {
  const { cluster, pods } = view.observation;
  const copying = pods.find(({ metadata }) => metadata.name === copyName(survivor.name));
  const others = pods.filter((pod) => isOurs(cluster, pod) && pod !== copying);
  const running = others.find((pod) => !isTerminating(pod));
  if (running !== undefined) {
    const message = `Stopping ${running.metadata.name}: the store goes on with ${survivor.name} alone.`;
    return act('PodDeleted', message, { kind: 'deletePod', pod: running });
  }
  if (others.length > 0) return waitFor('PodsTerminating', 'The pods are stopping.', minutes(5));
  return copy(view, survivor, copying) ?? start(view, survivor, volume);
}

/** undefined once the copy is there and its pod is gone. */
function copy(
  view: ClusterView,
  survivor: MemberView,
  copying: Pod | undefined,
): Decision | undefined {
  const { cluster, spec, volumes } = view.observation;
  const name = copyName(survivor.name);
  const volume = volumes.find(({ metadata }) => metadata.name === name);
  if (volume === undefined) {
    const message = `Volume for a copy of what ${survivor.name} has.`;
    const built = buildCopyVolume(cluster, spec, survivor.name);
    return act('VolumeCreated', message, { kind: 'createVolume', volume: built });
  }
  if (isCopied(volume)) {
    if (copying === undefined) return undefined;
    if (isTerminating(copying)) {
      return waitFor('PodsTerminating', `The pod ${name} is stopping.`, minutes(5));
    }
    return act('PodDeleted', `The copy ${name} is made.`, { kind: 'deletePod', pod: copying });
  }
  if (copying === undefined) {
    return act('PodCreated', `Copying the volume of ${survivor.name} to ${name}.`, {
      kind: 'createPod',
      pod: buildCopyPod(cluster, spec, survivor.name),
    });
  }
  if (copying.status?.phase === 'Succeeded') {
    const message = `The volume of ${survivor.name} is copied to ${name}.`;
    return act('VolumeCopied', message, { kind: 'markRecovered', volume, isRecovered: true });
  }
  if (hasEnded(copying) && !isTerminating(copying)) {
    return stopUntil(
      'CopyFailed',
      `The pod ${name} could not copy the volume of ${survivor.name}: see its log, then delete the pod to try again.`,
    );
  }
  return waitFor('Copying', `The volume of ${survivor.name} is copied to ${name}.`, minutes(60));
}

function start(
  { observation: { cluster, spec } }: ClusterView,
  { name }: MemberView,
  volume: PersistentVolumeClaim,
): Decision {
  const pod = buildPod(cluster, spec, {
    member: name,
    role: 'voter',
    clusterState: 'existing',
    initialCluster: [{ name, peerUrl: peerUrl(cluster, name) }],
    token: volume.metadata.annotations?.[tokenAnnotation] ?? '',
    forceNewCluster: true,
  });
  return act('PodCreated', `Starting ${name} as the only member.`, { kind: 'createPod', pod });
}

function awaitForced(survivor: MemberView, volume: PersistentVolumeClaim): Decision {
  if (survivor.status !== undefined && survivor.status.leaderId !== '0') {
    const message = `The store goes on with ${survivor.name} alone.`;
    return act('QuorumRecovered', message, { kind: 'markRecovered', volume, isRecovered: true });
  }
  const message = `The survivor starts: ${diagnose(survivor)}.`;
  return waitFor('SurvivorStarting', message, minutes(10));
}

/** A pod that copies, where no recovery goes on: the field was taken back, or somebody was late. */
function leftover({ observation: { cluster, pods } }: ClusterView): Decision | undefined {
  const pod = pods.find((each) => isOurs(cluster, each) && isCopyPod(each) && !isTerminating(each));
  if (pod === undefined) return undefined;
  const message = `Stopping ${pod.metadata.name}: no recovery goes on that needs a copy.`;
  return act('PodDeleted', message, { kind: 'deletePod', pod });
}

/** The field is gone: the next time that it is set, it is meant anew. */
function forget({ name, volume }: MemberView): Decision | undefined {
  if (volume === undefined || isTerminating(volume)) return undefined;
  const message = `The recovery with ${name} is over.`;
  return act('RecoveryRecorded', message, { kind: 'markRecovered', volume, isRecovered: false });
}

function isForced({ pod }: MemberView): boolean {
  return pod?.spec.containers[0]?.args?.includes(forceFlag) ?? false;
}

function isRecovered({ volume }: MemberView): boolean {
  return volume !== undefined && isCopied(volume);
}

/** The same mark: on a copy that it is whole, on a survivor that the store was forced to go on with it. */
function isCopied({ metadata }: PersistentVolumeClaim): boolean {
  return metadata.annotations?.[recoveredAnnotation] !== undefined;
}
