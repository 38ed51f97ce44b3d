import {
  type ClusterView,
  isLearner,
  isTerminating,
  joinedMembers,
  type MemberView,
} from '../observe/view.ts';
import { act, type Rule } from './decision.ts';
import { mayJoin, newestIndex } from './quorum.ts';

/** Share of the store's log that a learner must have: etcd's own bound, which the server checks again. */
const caughtUpShare = 0.9;

/** A learner that has caught up, and stays, becomes a voter, unless it is one too many. */
export const promote: Rule = (view) => {
  const joined = joinedMembers(view);
  if (joined.length > view.membersMax || !mayJoin(view)) return undefined;
  const learner = joined.find((member) => isLearner(member) && isCaughtUp(view, member));
  if (learner?.raft === undefined) return undefined;
  return act('MemberPromoted', `${learner.name} has caught up and becomes a voter.`, {
    kind: 'promoteLearner',
    member: learner.name,
    id: learner.raft.id,
  });
};

export function isCaughtUp(view: ClusterView, learner: MemberView): boolean {
  if (learner.status === undefined || !learner.isAnswering) return false;
  if (learner.pod === undefined || isTerminating(learner.pod)) return false;
  return learner.status.raftAppliedIndex >= newestIndex(view) * caughtUpShare;
}
