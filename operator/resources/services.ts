import { clientPort, peerPort } from '../api/defaults.ts';
import type { Service, ServicePort } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { childLabels, ownerReference, selectorLabels, voterLabels } from './labels.ts';
import { clientServiceName, namespaceOf, peersServiceName } from './names.ts';

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
  const {
    type = 'ClusterIP',
    annotations,
    nodePort,
    loadBalancerClass,
  } = cluster.spec.service ?? {};
  const port = nodePort === undefined ? client : { ...client, nodePort };
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...metadata(cluster, clientServiceName(cluster)),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec: {
      type,
      selector: voterLabels(cluster),
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
