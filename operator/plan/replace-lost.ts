import { isTerminating, type MemberView } from '../observe/view.ts';
import type { Rule } from './decision.ts';
import { leave, mayLeave } from './quorum.ts';

/**
 * A member whose volume is gone, or was deleted under it, is not that member any more: it leaves, and a new one with a
 * new name takes its place. So `kubectl delete pvc` replaces a member. Where too few others are healthy, `settle` says so.
 */
export const replaceLost: Rule = (view) => {
  const lost = view.members.find((member) => hasLostVolume(member) && mayLeave(view, member));
  return lost === undefined ? undefined : leave(view, lost, 'it lost its volume');
};

export function hasLostVolume({ raft, volume }: MemberView): boolean {
  return raft !== undefined && (volume === undefined || isTerminating(volume));
}
