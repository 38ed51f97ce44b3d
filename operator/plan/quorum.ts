import { type ClusterView, isVoter, type MemberView } from '../observe/view.ts';
import { quorumOf } from '../resources/budget.ts';
import { act, type Decision } from './decision.ts';

/**
 * Whether a member may leave: the voters of now can commit it, and those that are left are healthy enough to go on.
 * A learner may always.
 */
export function mayLeave(view: ClusterView, member: MemberView): boolean {
  if (!isVoter(member)) return true;
  const remainingHealthy = view.healthyVoterCount - (member.isHealthy ? 1 : 0);
  return (
    view.voterCount > 1 &&
    view.healthyVoterCount >= quorumOf(view.voterCount) &&
    remainingHealthy >= quorumOf(view.voterCount - 1)
  );
}

/** Whether the voters of now can commit it, and with one more, a healthy one, still can. */
export function mayJoin({ healthyVoterCount, voterCount }: ClusterView): boolean {
  return (
    healthyVoterCount >= quorumOf(voterCount) && healthyVoterCount + 1 >= quorumOf(voterCount + 1)
  );
}

/** Takes a member out of Raft; a leader hands over first. Pod and volume follow by `finishRemoval`. */
export function leave(view: ClusterView, member: MemberView, why: string): Decision | undefined {
  const { name, raft } = member;
  if (raft === undefined) return undefined;
  const handover = member.isLeader ? moveLeader(view, member, why) : undefined;
  if (handover !== undefined) return handover;
  return act('MemberRemoved', `${name} leaves the store: ${why}.`, {
    kind: 'removeMember',
    member: name,
    id: raft.id,
  });
}

/** To another healthy voter; undefined when there is none. */
export function moveLeader(
  view: ClusterView,
  leader: MemberView,
  why: string,
): Decision | undefined {
  const successor = successorOf(view, leader);
  if (successor?.raft === undefined) return undefined;
  const message = `${successor.name} takes the lead from ${leader.name}: ${why}.`;
  const action = { target: successor.name, targetId: successor.raft.id };
  return act('LeaderMoved', message, { kind: 'moveLeader', ...action });
}

/** Rather one that stays as it is and where it is: every move costs clients a moment. */
function successorOf(view: ClusterView, leader: MemberView): MemberView | undefined {
  const unrest = (member: MemberView) =>
    2 * Number(isCordoned(view, member)) + Number(member.isOutdated);
  return view.members
    .filter((member) => member !== leader && isVoter(member) && member.isHealthy && member.volume)
    .sort((a, b) => unrest(a) - unrest(b) || a.serial - b.serial)
    .at(0);
}

/** Whether its node takes no new pods, as before a drain. */
export function isCordoned({ observation: { nodes } }: ClusterView, { pod }: MemberView): boolean {
  return nodes?.get(pod?.spec.nodeName ?? '')?.spec.unschedulable === true;
}

/** The end of the log as far as anybody says: the leader may be a member that is not ours, or not have answered. */
export function newestIndex({ members }: ClusterView): number {
  return Math.max(0, ...members.map(({ status }) => status?.raftIndex ?? 0));
}
