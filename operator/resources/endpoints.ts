import { clientPort } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { MemberStatus } from '../observe/observation.ts';
import { roleLabel } from './labels.ts';
import { schemeOf } from './names.ts';

/** Where the operator reaches a pod's member: by address, so that it depends on no DNS. */
export function podEndpoint(cluster: StoreCluster, pod: Pod): string | undefined {
  const address = pod.status?.podIP;
  if (address === undefined || address === '') return undefined;
  const scheme = schemeOf(cluster.spec.tls?.client);
  return `${scheme}://${address.includes(':') ? `[${address}]` : address}:${clientPort}`;
}

/**
 * Members that can answer for the store, because they know a leader: the leader itself first, learners last, since they
 * refuse most questions. Of two that say they lead, the one of the later term. `statuses` is by pod name.
 */
export function storeEndpoints(
  cluster: StoreCluster,
  pods: readonly Pod[],
  statuses: ReadonlyMap<string, MemberStatus>,
): readonly string[] {
  const rankOf = (pod: Pod) => {
    const status = statuses.get(pod.metadata.name);
    if (status?.memberId === status?.leaderId) return 0;
    return pod.metadata.labels?.[roleLabel] === 'voter' ? 1 : 2;
  };
  const termOf = (pod: Pod) => statuses.get(pod.metadata.name)?.raftTerm ?? 0;
  return pods
    .filter((pod) => (statuses.get(pod.metadata.name)?.leaderId ?? '0') !== '0')
    .sort((a, b) => rankOf(a) - rankOf(b) || termOf(b) - termOf(a))
    .map((pod) => podEndpoint(cluster, pod))
    .filter((endpoint) => endpoint !== undefined);
}
