import type { Pod, PodDisruptionBudget } from '../../../operator/api/objects.ts';
import { objectPath } from '../../../operator/kube/paths.ts';
import { isPodReady } from '../../../operator/observe/view.ts';
import { quorumOf } from '../../../operator/resources/budget.ts';
import { key } from './children.ts';
import type { World } from './world.ts';

/** What the eviction API says: undefined when the budget allows it. Checks what the budget is there for. */
export function mayEvict(world: World, pod: Pod): string | undefined {
  const budget = world.kube.read(objectPath('PodDisruptionBudget', key)) as
    | (PodDisruptionBudget & Record<string, unknown>)
    | undefined;
  if (pod.metadata.deletionTimestamp !== undefined || budget === undefined) return undefined;
  const { minAvailable, selector } = budget.spec;
  const isCovered = (each: Pod) =>
    Object.entries(selector.matchLabels).every(
      ([label, value]) => each.metadata.labels?.[label] === value,
    );
  if (!isCovered(pod)) return undefined;
  const ready = world
    .pods()
    .filter((each) => isCovered(each) && isPodReady(each) && !isGoing(each));
  const allowed = ready.length - minAvailable;
  if (isPodReady(pod) ? allowed < 1 : allowed < 0) return 'the disruption budget needs it';
  checkFloor(world, pod);
  return undefined;
}

/** O1: what the budget allows leaves a quorum, as far as Kubernetes knows of the members. */
function checkFloor(world: World, pod: Pod): void {
  const reached = world.kubelet.memberOf(pod);
  const voters = reached?.store.voters() ?? [];
  if (reached === undefined || !voters.some(({ id }) => id === reached.id)) return;
  const left = voters.filter(({ id, name }) => {
    const other = world.pod(name);
    return id !== reached.id && other !== undefined && isPodReady(other) && !isGoing(other);
  });
  if (left.length >= quorumOf(voters.length) || voters.length < 3) return;
  world.violate(
    `O1: the disruption budget lets go of ${pod.metadata.name}: ${left.length} of ${voters.length} voters are left`,
  );
}

function isGoing({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined;
}
