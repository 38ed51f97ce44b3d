import {
  type ClusterView,
  isTerminating,
  joinedMembers,
  joinedObservers,
  type MemberView,
} from '../observe/view.ts';
import { tokenAnnotation } from '../resources/labels.ts';
import { clusterToken, memberName, peerUrl } from '../resources/names.ts';
import { observersWanted } from '../resources/observers.ts';
import { buildVolume } from '../resources/volume.ts';
import { act, type Decision, type Rule, waitFor } from './decision.ts';
import { hasLeft } from './finish-removal.ts';
import { minutes } from './limits.ts';

// A new member, step by step: its name is reserved in the status, its volume is made, it joins Raft as a learner, its
// id is written on the volume (`identity`), its pod starts (`restart`), it is promoted (`promote`).

/** The reservation ends when the volume has become a member's, or is not wanted any more. */
export const finishJoining: Rule = (view) => {
  const name = view.observation.cluster.status?.joining;
  if (name === undefined) return undefined;
  const member = view.members.find((candidate) => candidate.name === name);
  const isUsed = member?.recordedId !== undefined || (member?.raft && !member.volume);
  const isVoid = member === undefined && !wantsVoter(view) && !wantsObserver(view);
  if (!isUsed && !isVoid) return undefined;
  return act('JoinRecorded', `The name ${name} is used up.`, {
    kind: 'recordStatus',
    fields: { joining: undefined },
  });
};

/**
 * Volumes that no pod has written on and that are not for the member that joins: a change of mind left them, or an
 * operator that was late. Their names were used or may have been; they do not come back.
 */
export const dropUnjoined: Rule = (view) => {
  const joining = view.observation.cluster.status?.joining;
  const dropped = unjoined(view).find(
    (member) =>
      !isTerminating(member.volume) && (member.name !== joining || !isWanted(view, member)),
  );
  if (dropped?.volume === undefined) return undefined;
  const message = `Deleting the volume ${dropped.name}: it is no member's and none is wanted under this name.`;
  return act('VolumeDeleted', message, { kind: 'deleteVolume', volume: dropped.volume });
};

/** Fewer members than wanted: one joins. */
export const scaleUp: Rule = (view) => (wantsVoter(view) ? join(view, 'member') : undefined);

/** The next step towards one more of this kind. */
export function join(view: ClusterView, kind: 'member' | 'observer'): Decision {
  const { cluster } = view.observation;
  const name = cluster.status?.joining;
  if (name === undefined) return reserve(view, kind);
  const member = view.members.find((candidate) => candidate.name === name);
  if (member === undefined) return createVolume(view, name, kind);
  if (isTerminating(member.volume)) {
    return waitFor(
      'VolumeTerminating',
      `The volume ${name} is going; a new one follows.`,
      minutes(5),
    );
  }
  const joining = { member: name, peerUrl: peerUrl(cluster, name) };
  return kind === 'observer'
    ? act('ObserverAdded', `${name} joins as an observer.`, { kind: 'addObserver', ...joining })
    : act('MemberAdded', `${name} joins as a learner.`, { kind: 'addLearner', ...joining });
}

/** Names only grow: an earlier one may belong to a volume, a pod or an id somewhere that nobody sees now. */
function reserve({ observation: { cluster } }: ClusterView, kind: 'member' | 'observer'): Decision {
  const serial = cluster.status?.nextSerial ?? 1;
  const name = memberName(cluster, serial);
  return act('JoinRecorded', `The next ${kind} is ${name}.`, {
    kind: 'recordStatus',
    fields: { nextSerial: serial + 1, joining: name },
  });
}

function createVolume(
  { observation }: ClusterView,
  member: string,
  kind: 'member' | 'observer',
): Decision {
  const { cluster, spec } = observation;
  const token = tokenOf(observation);
  return act('VolumeCreated', `Volume of a new ${kind}, ${member}.`, {
    kind: 'createVolume',
    volume: buildVolume(cluster, spec, { member, token, isObserver: kind === 'observer' }),
  });
}

/** Volumes that were made for a member and never became one's. */
function unjoined({ members, observation }: ClusterView): readonly MemberView[] {
  return members.filter(
    (member) => member.raft === undefined && member.volume && !hasLeft(observation, member),
  );
}

/** Voters come before observers, also to the name that is reserved. */
function isWanted(view: ClusterView, { isObserver }: MemberView): boolean {
  return isObserver ? wantsObserver(view) && !wantsVoter(view) : wantsVoter(view);
}

export function wantsVoter(view: ClusterView): boolean {
  return joinedMembers(view).length < view.membersMax;
}

export function wantsObserver(view: ClusterView): boolean {
  return joinedObservers(view).length < observersWanted(view.observation.spec);
}

function tokenOf({ cluster, volumes }: ClusterView['observation']): string {
  const nonce = cluster.status?.bootstrap?.nonce;
  if (nonce !== undefined) return clusterToken(cluster, nonce);
  const recorded = volumes.map((volume) => volume.metadata.annotations?.[tokenAnnotation]);
  return recorded.find((token) => token !== undefined) ?? clusterToken(cluster, '');
}
