import { isTerminating } from '../observe/view.ts';
import { type PodRole, roleLabel } from '../resources/labels.ts';
import { act, type Rule } from './decision.ts';

/** Pods carry their member's role: the client Service and the disruption budget select voters by it. */
export const roles: Rule = ({ members }) => {
  for (const { name, pod, raft, isObserver } of members) {
    if (pod === undefined || raft === undefined || isTerminating(pod)) continue;
    const role: PodRole = isObserver ? 'observer' : raft.learner ? 'learner' : 'voter';
    if (pod.metadata.labels?.[roleLabel] === role) continue;
    return act('RoleLabelled', `${name} is ${isObserver ? 'an' : 'a'} ${role}.`, {
      kind: 'labelPod',
      pod,
      role,
    });
  }
  return undefined;
};
