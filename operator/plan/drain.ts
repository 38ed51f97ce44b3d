import { isVoter } from '../observe/view.ts';
import type { Rule } from './decision.ts';
import { isCordoned, moveLeader } from './quorum.ts';

/**
 * The leader's node takes no new pods: it is about to be drained. The lead moves before the eviction comes, so that no
 * client notices.
 */
export const moveLeaderOffDrain: Rule = (view) => {
  const leader = view.members.find(({ isLeader }) => isLeader);
  if (leader === undefined || !isCordoned(view, leader)) return undefined;
  const elsewhere = view.members.some(
    (member) => isVoter(member) && member.isHealthy && !isCordoned(view, member),
  );
  if (!elsewhere) return undefined;
  return moveLeader(view, leader, 'its node is being drained');
};
