import { hasEnded, isPodReady, isTerminating, type MemberView } from '../observe/view.ts';
import { act, type Decision } from './decision.ts';

/** Why a member is not healthy, in words that stay the same while nothing changes. */
export function diagnose({ name, volume, pod, status }: MemberView): string {
  if (volume === undefined) return `${name} has no volume`;
  if (pod === undefined) return `${name} has no pod`;
  if (isTerminating(pod)) return `the pod ${name} is stopping`;
  const unscheduled = (pod.status?.conditions ?? []).find(
    (condition) => condition.type === 'PodScheduled' && condition.status === 'False',
  );
  if (unscheduled !== undefined) {
    return `the pod ${name} finds no node (${unscheduled.message ?? unscheduled.reason})`;
  }
  const container = pod.status?.containerStatuses?.[0];
  const waiting = container?.state?.waiting?.reason;
  if (waiting !== undefined) {
    const ended = container?.lastState?.terminated?.exitCode;
    const how = ended === undefined ? '' : `, last exit status ${ended}${whyOf(name, ended)}`;
    return `the container of ${name} does not run (${waiting}${how})`;
  }
  if (pod.status?.phase !== 'Running') return `the pod ${name} is being started`;
  if (status === undefined) return `${name} does not answer`;
  if (status.leaderId === '0') return `${name} knows no leader`;
  if (!isPodReady(pod)) return `the pod ${name} is not ready`;
  return `${name} is starting`;
}

/** Members say what they refuse. */
function whyOf(pod: string, exitStatus: number): string {
  return exitStatus === 2 ? `: kubectl logs ${pod} says what it refuses` : '';
}

/** A pod that has ended for good only stands in the way of its successor. */
export function endedPod({ name, pod }: MemberView): Decision | undefined {
  if (pod === undefined || isTerminating(pod) || !hasEnded(pod)) return undefined;
  const why = pod.status?.reason ?? pod.status?.phase;
  return act('PodDeleted', `The pod ${name} has ended (${why}); it will be started anew.`, {
    kind: 'deletePod',
    pod,
  });
}
