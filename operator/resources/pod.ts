import type { CompleteSpec } from '../api/defaults.ts';
import { clientPort, peerPort } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { childLabels, ownerReference, type PodRole, roleLabel, selectorLabels } from './labels.ts';
import { clientUrl, namespaceOf, peersServiceName, peerUrl } from './names.ts';

export const dataMountPath = '/var/lib/mainstay';

export interface Peer {
  readonly name: string;
  readonly peerUrl: string;
}

export interface PodRequest {
  readonly member: string;
  readonly role: PodRole;
  /** `new` only for the seed of a store that was never seen; a data directory that exists overrides it. */
  readonly clusterState: 'new' | 'existing';
  /** The MemberList, word for word: a joining member is refused with any other. */
  readonly initialCluster: readonly Peer[];
  readonly token: string;
}

/** The pod of one member on its volume. */
export function buildPod(cluster: StoreCluster, spec: CompleteSpec, request: PodRequest): Pod {
  const { member } = request;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: member,
      namespace: namespaceOf(cluster),
      labels: { ...childLabels(cluster), [roleLabel]: request.role },
      ownerReferences: [ownerReference(cluster)],
    },
    spec: {
      hostname: member,
      subdomain: peersServiceName(cluster),
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 10001,
        runAsGroup: 10001,
        fsGroup: 10001,
        fsGroupChangePolicy: 'OnRootMismatch',
        seccompProfile: { type: 'RuntimeDefault' },
      },
      affinity: spreadOverNodes(cluster),
      containers: [buildContainer(cluster, spec, request)],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: member } }],
    },
  };
}

function buildContainer(cluster: StoreCluster, spec: CompleteSpec, request: PodRequest) {
  return {
    name: 'store',
    image: spec.image,
    command: ['node', 'dist/server/main.js'],
    args: storeFlags(cluster, request),
    env: [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
    ports: [
      { name: 'client', containerPort: clientPort, protocol: 'TCP' },
      { name: 'peer', containerPort: peerPort, protocol: 'TCP' },
    ],
    ...(spec.resources === undefined ? {} : { resources: spec.resources }),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    // Replaying a long log may take its time; it must not end in a restart that replays it again.
    startupProbe: { tcpSocket: { port: peerPort }, periodSeconds: 2, failureThreshold: 1800 },
    // Never quorum-aware: a partition would make the kubelet kill every member.
    livenessProbe: { tcpSocket: { port: peerPort }, periodSeconds: 10, failureThreshold: 6 },
    readinessProbe: {
      httpGet: { path: '/readyz', port: clientPort },
      periodSeconds: 2,
      timeoutSeconds: 2,
      failureThreshold: 3,
    },
    volumeMounts: [{ name: 'data', mountPath: dataMountPath }],
  };
}

function storeFlags(cluster: StoreCluster, request: PodRequest): string[] {
  const { member } = request;
  return [
    `--name=${member}`,
    `--data-dir=${dataMountPath}/data`,
    `--listen-client-urls=http://$(POD_IP):${clientPort}`,
    `--advertise-client-urls=${clientUrl(cluster, member)}`,
    `--listen-peer-urls=http://$(POD_IP):${peerPort}`,
    `--initial-advertise-peer-urls=${peerUrl(cluster, member)}`,
    initialClusterFlag(request.initialCluster),
    `--initial-cluster-state=${request.clusterState}`,
    `--initial-cluster-token=${request.token}`,
  ];
}

export function initialClusterFlag(peers: readonly Peer[]): string {
  return `--initial-cluster=${peers.map((peer) => `${peer.name}=${peer.peerUrl}`).join(',')}`;
}

function spreadOverNodes(cluster: StoreCluster) {
  const podAffinityTerm = {
    topologyKey: 'kubernetes.io/hostname',
    labelSelector: { matchLabels: selectorLabels(cluster) },
  };
  return {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm }],
    },
  };
}
