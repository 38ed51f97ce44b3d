import { clientPort } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import { roleLabel } from './labels.ts';

/** Where the operator reaches a pod's member: by address, so that it depends on no DNS. */
export function podEndpoint(pod: Pod): string | undefined {
  const address = pod.status?.podIP;
  if (address === undefined || address === '') return undefined;
  return `http://${address.includes(':') ? `[${address}]` : address}:${clientPort}`;
}

/** Voters that stay first: learners refuse most questions, pods that end may go while they are asked. */
export function endpointsOf(pods: readonly Pod[]): readonly string[] {
  return [...pods]
    .sort((a, b) => rankOf(a) - rankOf(b))
    .map(podEndpoint)
    .filter((endpoint) => endpoint !== undefined);
}

function rankOf({ metadata }: Pod): number {
  const isGoing = metadata.deletionTimestamp !== undefined;
  return (isGoing ? 2 : 0) + (metadata.labels?.[roleLabel] === 'voter' ? 0 : 1);
}
