import { clientPort, peerPort } from '../api/defaults.ts';
import type { Labels, Service, ServicePort } from '../api/objects.ts';
import type { StoreCluster, StoreClusterSpec } from '../api/types.ts';
import {
  childLabels,
  observerLabels,
  ownerReference,
  selectorLabels,
  voterLabels,
} from './labels.ts';
import { clientServiceName, namespaceOf, observersServiceName, peersServiceName } from './names.ts';

const client: ServicePort = {
  name: 'client',
  port: clientPort,
  protocol: 'TCP',
  targetPort: clientPort,
};
const peer: ServicePort = { name: 'peer', port: peerPort, protocol: 'TCP', targetPort: peerPort };

/** Gives every member its DNS name, from before it is ready: peers have to meet to become ready. */
export function buildPeersService(cluster: StoreCluster): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata(cluster, peersServiceName(cluster)),
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: selectorLabels(cluster),
      ports: [client, peer],
    },
  };
}

/** What applications connect to: the ready voters. A learner would refuse them. */
export function buildClientService(cluster: StoreCluster): Service {
  const name = clientServiceName(cluster);
  return serviceOf(cluster, cluster.spec.service, { name, selector: voterLabels(cluster) });
}

/** What readers connect to: the observers that are ready, which they are while their state is not too old. */
export function buildObserversService(cluster: StoreCluster): Service {
  const name = observersServiceName(cluster);
  const selector = observerLabels(cluster);
  return serviceOf(cluster, cluster.spec.observers?.service, { name, selector });
}

function serviceOf(
  cluster: StoreCluster,
  wanted: StoreClusterSpec['service'],
  { name, selector }: { readonly name: string; readonly selector: Labels },
): Service {
  const { type = 'ClusterIP', annotations, nodePort, loadBalancerClass } = wanted ?? {};
  const port = nodePort === undefined ? client : { ...client, nodePort };
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...metadata(cluster, name),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec: {
      type,
      selector,
      ports: [port],
      ...(loadBalancerClass === undefined ? {} : { loadBalancerClass }),
    },
  };
}

function metadata(cluster: StoreCluster, name: string) {
  return {
    name,
    namespace: namespaceOf(cluster),
    labels: childLabels(cluster),
    ownerReferences: [ownerReference(cluster)],
  };
}
