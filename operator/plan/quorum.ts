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
  const successor = member.isLeader ? successorOf(view, member) : undefined;
  if (successor?.raft !== undefined) {
    const message = `${successor.name} takes the lead from ${name}: ${why}.`;
    const action = { target: successor.name, targetId: successor.raft.id };
    return act('LeaderMoved', message, { kind: 'moveLeader', ...action });
  }
  return act('MemberRemoved', `${name} leaves the store: ${why}.`, {
    kind: 'removeMember',
    member: name,
    id: raft.id,
  });
}

function successorOf(view: ClusterView, leader: MemberView): MemberView | undefined {
  return view.members.find(
    (member) => member !== leader && isVoter(member) && member.isHealthy && member.volume,
  );
}
