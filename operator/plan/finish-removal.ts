import type { Observation } from '../observe/observation.ts';
import { isTerminating, type MemberView } from '../observe/view.ts';
import { act, type Rule, waitFor } from './decision.ts';
import { minutes } from './limits.ts';

/**
 * A member that has left Raft loses its pod, then, once the pod is gone, its volume: an id that was removed never
 * comes back, so the data serves nobody. The next member does not wait for a pod on a dead node.
 */
export const finishRemoval: Rule = (view) => {
  for (const member of view.members) {
    if (!hasLeft(view.observation, member)) continue;
    const { name, pod, volume } = member;
    if (pod !== undefined && !isTerminating(pod)) {
      const message = `Stopping ${name}: it has left the store.`;
      return act('PodDeleted', message, { kind: 'deletePod', pod });
    }
    if (pod === undefined && volume !== undefined && !isTerminating(volume)) {
      const message = `Deleting the volume ${name}: its member has left the store.`;
      return act('VolumeDeleted', message, { kind: 'deleteVolume', volume });
    }
  }
  return undefined;
};

/** Last of all: leftovers hold nothing up, but the work is not done before they are gone. */
export const removalLeftovers: Rule = (view) => {
  const names = view.members
    .filter((member) => hasLeft(view.observation, member))
    .map((member) => member.name);
  if (names.length === 0) return undefined;
  const message = `Pods and volumes of removed members are going: ${names.join(', ')}.`;
  return waitFor('RemovalFinishing', message, minutes(5));
};

/** Was a member, or runs as one, and is not in the MemberList, which was answered. */
export function hasLeft(
  { cluster, store }: Observation,
  { name, raft, recordedId, pod }: MemberView,
): boolean {
  if (store.kind === 'silent') return false;
  if (recordedId !== undefined) return !store.members.some((member) => member.id === recordedId);
  return raft === undefined && (pod !== undefined || cluster.status?.bootstrap?.seed === name);
}
