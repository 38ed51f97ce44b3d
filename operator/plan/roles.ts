import { isLearner, isTerminating, type MemberView } from '../observe/view.ts';
import { type PodRole, roleLabel } from '../resources/labels.ts';
import { act, type Rule } from './decision.ts';

/** Pods carry their member's role: the client Service and the disruption budget select voters by it. */
export const roles: Rule = ({ members }) => {
  for (const member of members) {
    const { name, pod, raft, isObserver } = member;
    if (pod === undefined || raft === undefined || isTerminating(pod)) continue;
    const role = roleOf(member);
    if (pod.metadata.labels?.[roleLabel] === role) continue;
    return act('RoleLabelled', `${name} is ${isObserver ? 'an' : 'a'} ${role}.`, {
      kind: 'labelPod',
      pod,
      role,
    });
  }
  return undefined;
};

export function roleOf(member: MemberView): PodRole {
  if (member.isObserver) return 'observer';
  return isLearner(member) ? 'learner' : 'voter';
}
