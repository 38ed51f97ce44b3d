import { clientPort, metricsPort, peerPort } from '../api/defaults.ts';
import type { NetworkPolicy } from '../api/objects.ts';
import type { StoreCluster, StoreClusterSpec } from '../api/types.ts';
import { childLabels, ownerReference, selectorLabels } from './labels.ts';
import { namespaceOf } from './names.ts';
import { toolSelectors } from './tool-pod.ts';

/** Labels of the operator's own pods, in whatever namespace they run. */
export const operatorLabels = {
  'app.kubernetes.io/name': 'mainstay',
  'app.kubernetes.io/component': 'operator',
} as const;

type Wanted = NonNullable<StoreClusterSpec['networkPolicy']>;

/** Members talk to each other; the operator, pods that back up or mirror, and the clients named talk to members; metrics are for whoever scrapes. */
export function buildNetworkPolicy(cluster: StoreCluster, wanted: Wanted): NetworkPolicy {
  const clients = wanted.clients?.map(peerOf) ?? [{ podSelector: {} }];
  const operator = { namespaceSelector: {}, podSelector: { matchLabels: operatorLabels } };
  const tools = toolSelectors(cluster).map((matchLabels) => ({ podSelector: { matchLabels } }));
  const members = { podSelector: { matchLabels: selectorLabels(cluster) } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: {
      name: cluster.metadata.name,
      namespace: namespaceOf(cluster),
      labels: childLabels(cluster),
      ownerReferences: [ownerReference(cluster)],
    },
    spec: {
      podSelector: { matchLabels: selectorLabels(cluster) },
      policyTypes: ['Ingress'],
      ingress: [
        { from: [members], ports: [port(peerPort), port(clientPort)] },
        { from: [operator, ...tools, ...clients], ports: [port(clientPort)] },
        { ports: [port(metricsPort)] },
      ],
    },
  };
}

type Client = NonNullable<Wanted['clients']>[number];

function peerOf({ podLabels, namespaceLabels }: Client) {
  return {
    podSelector: podLabels === undefined ? {} : { matchLabels: podLabels },
    ...(namespaceLabels === undefined
      ? {}
      : { namespaceSelector: { matchLabels: namespaceLabels } }),
  };
}

function port(number: number) {
  return { protocol: 'TCP', port: number };
}
