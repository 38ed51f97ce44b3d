import type { PodDisruptionBudget } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { childLabels, ownerReference, voterLabels } from './labels.ts';
import { namespaceOf } from './names.ts';

/** More than half. */
export function quorumOf(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1;
}

/**
 * Keeps evictions from taking a quorum. An absolute floor over pods that are labelled as voters: maxUnavailable and
 * percentages re-base on the pods that are left (cozystack/etcd-operator#351: 5 voters drained to 2).
 * With one replica it forbids every eviction; delete it by hand to drain such a node.
 */
export function buildBudget(
  cluster: StoreCluster,
  count: { readonly voters: number; readonly target: number },
): PodDisruptionBudget {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: {
      name: cluster.metadata.name,
      namespace: namespaceOf(cluster),
      labels: childLabels(cluster),
      ownerReferences: [ownerReference(cluster)],
    },
    spec: {
      minAvailable: quorumOf(Math.max(count.voters, count.target)),
      selector: { matchLabels: voterLabels(cluster) },
    },
  };
}
