import type { KubeList, Node } from '../../operator/api/objects.ts';
import { KubeError } from '../../operator/kube/errors.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import type { Environment } from './environment.ts';
import { until } from './waiting.ts';

const evictMsMax = 120_000;

export async function nodeNames({ kube }: Environment): Promise<readonly string[]> {
  const { items } = await kube.list<KubeList<Node>>(collectionPath('Node', undefined));
  return items.map(({ metadata }) => metadata.name);
}

/** As `kubectl cordon` and `kubectl uncordon` do it. */
export async function cordon(
  { kube }: Environment,
  node: string,
  isCordoned: boolean,
): Promise<void> {
  const path = `${collectionPath('Node', undefined)}/${node}`;
  await kube.patch(path, { spec: { unschedulable: isCordoned } });
}

/** Whether the eviction was granted; a disruption budget may refuse it. */
export async function evict({ kube, namespace }: Environment, pod: string): Promise<boolean> {
  const path = `${objectPath('Pod', { namespace, name: pod })}/eviction`;
  const eviction = {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name: pod, namespace },
  };
  try {
    await kube.create(path, eviction);
    return true;
  } catch (error) {
    if (error instanceof KubeError && error.code === 429) return false;
    throw error;
  }
}

/** As `kubectl drain` does it: asks until the budget grants it. */
export async function evictWhenGranted(environment: Environment, pod: string): Promise<void> {
  await until(`the eviction of ${pod} is granted`, evictMsMax, () => evict(environment, pod));
}
