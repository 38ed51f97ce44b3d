import { isLearner, joinedMembers, type MemberView } from '../observe/view.ts';
import { type Rule, waitFor } from './decision.ts';
import { minutes } from './limits.ts';
import { leave, mayLeave } from './quorum.ts';

/** More members than wanted: one leaves. */
export const scaleDown: Rule = (view) => {
  const { replicas } = view.observation.spec;
  const joined = joinedMembers(view);
  const candidate =
    joined.length > view.membersMax ? joined.toSorted(leavesFirst).at(0) : undefined;
  if (candidate === undefined) return undefined;
  if (mayLeave(view, candidate)) return leave(view, candidate, `replicas is ${replicas}`);
  return waitFor(
    'QuorumAtRisk',
    `${candidate.name} should leave, but too few healthy members would be left to go on without it.`,
    minutes(10),
  );
};

/** Learners, then the sick, then followers, the leader last; among equals the outdated first, then the newest. */
function leavesFirst(a: MemberView, b: MemberView): number {
  return (
    leaveRank(a) - leaveRank(b) ||
    Number(b.isOutdated) - Number(a.isOutdated) ||
    b.serial - a.serial
  );
}

function leaveRank(member: MemberView): number {
  if (isLearner(member)) return 0;
  if (member.isLeader) return 3;
  return member.isHealthy ? 2 : 1;
}
