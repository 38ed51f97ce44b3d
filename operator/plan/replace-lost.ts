import type { Node } from '../api/objects.ts';
import { type ClusterView, isTerminating, type MemberView } from '../observe/view.ts';
import { selectedNodeAnnotation } from '../resources/labels.ts';
import type { Rule } from './decision.ts';
import { minutes } from './limits.ts';
import { leave, mayLeave } from './quorum.ts';

/**
 * A member whose data is lost or cannot be trusted is not that member any more: it leaves, and a new one with a new name
 * takes its place. So `kubectl delete pvc` replaces a member. Where too few others are healthy, `settle` says so.
 */
export const replaceLost: Rule = (view) => {
  for (const member of view.members) {
    const loss = lossOf(view, member);
    if (loss !== undefined && mayLeave(view, member)) return leave(view, member, loss);
  }
  return undefined;
};

/** Exit status with which the store says that its data is damaged, foreign or gone: starting it again cannot mend it. */
const exitStatusData = 78;
/** Starts that ended with it. One could be an accident of the moment, such as a peer that knew too little. */
const damagedStartsMin = 2;
const strandedAfterMs = minutes(5);

/** Why a member can never be healthy again with the data that it has; undefined when it can. */
export function lossOf(view: ClusterView, member: MemberView): string | undefined {
  const { raft, volume } = member;
  if (raft === undefined) return undefined;
  // Kubernetes keeps a volume while a pod runs on it: whoever does not see that of a healthy member sees the past.
  const hasLostVolume = volume === undefined ? !member.isHealthy : isTerminating(volume);
  if (hasLostVolume) return 'it lost its volume';
  if (member.alarms.includes('CORRUPT')) return 'its data differs from that of the others';
  if (isDamaged(member)) return 'its data is damaged or gone';
  if (isOnLostNode(view, member)) return 'its node is gone, and its volume with it';
  if (isStranded(view, member)) return 'its node does not answer and keeps its pod';
  return undefined;
}

function isDamaged({ pod }: MemberView): boolean {
  const container = pod?.status?.containerStatuses?.[0];
  const ended = container?.state?.terminated ?? container?.lastState?.terminated;
  const runs = container?.state !== undefined && 'running' in container.state;
  return (
    !runs &&
    ended?.exitCode === exitStatusData &&
    (container?.restartCount ?? 0) >= damagedStartsMin
  );
}

/** The scheduler finds no node for the pod because the volume belongs to one that there is no more. */
function isOnLostNode({ observation }: ClusterView, { pod, volume }: MemberView): boolean {
  const node = volume?.metadata.annotations?.[selectedNodeAnnotation];
  const { nodes } = observation;
  if (node === undefined || nodes === undefined || nodes.has(node)) return false;
  return (pod?.status?.conditions ?? []).some(
    ({ type, status, message = '' }) =>
      type === 'PodScheduled' && status === 'False' && message.includes('volume node affinity'),
  );
}

/** A pod that was deleted long ago, on a node whose kubelet does not see to it. */
function isStranded({ observation }: ClusterView, { pod }: MemberView): boolean {
  const { nodes, now } = observation;
  const deletedAt = pod?.metadata.deletionTimestamp;
  if (deletedAt === undefined || nodes === undefined) return false;
  const node = nodes.get(pod?.spec.nodeName ?? '');
  const isDead = node === undefined || !isNodeReady(node);
  return isDead && Date.parse(now) - Date.parse(deletedAt) >= strandedAfterMs;
}

function isNodeReady({ status }: Node): boolean {
  return (status?.conditions ?? []).some(
    (condition) => condition.type === 'Ready' && condition.status === 'True',
  );
}
