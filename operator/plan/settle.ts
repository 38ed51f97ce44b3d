import { isLearner, joinedMembers } from '../observe/view.ts';
import { type Rule, stopUntil, waitFor } from './decision.ts';
import { diagnose } from './diagnose.ts';
import { minutes } from './limits.ts';
import { lossOf } from './replace-lost.ts';

/** Nothing new is begun before every member is a healthy voter. */
export const settle: Rule = (view) => {
  const joined = joinedMembers(view);
  for (const member of joined) {
    const loss = lossOf(view, member);
    if (loss === undefined) continue;
    return stopUntil(
      'MemberLost',
      `${member.name} cannot be replaced (${loss}): too few healthy members would be left to go on without it. ` +
        'Bring the others back, or ask for more replicas once they are.',
    );
  }
  const sick = joined.filter((member) => !isLearner(member) && !member.isHealthy);
  if (sick.length > 0) {
    const message = `Not healthy: ${sick.map(diagnose).join('; ')}.`;
    return waitFor('MemberNotHealthy', message, minutes(10));
  }
  const learner = joined.find(isLearner);
  if (learner === undefined) return undefined;
  if (!learner.isAnswering) {
    return waitFor('LearnerStarting', `A member joins: ${diagnose(learner)}.`, minutes(10));
  }
  return waitFor('LearnerCatchingUp', `${learner.name} copies the data.`, minutes(30));
};
