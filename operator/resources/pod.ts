import type { CompleteSpec } from '../api/defaults.ts';
import { clientPort, metricsPort, peerPort } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import { bytesOf } from '../api/quantity.ts';
import type { StoreCluster } from '../api/types.ts';
import { tagOf } from '../api/versions.ts';
import { encryptionFlags, encryptionMount } from './encryption.ts';
import {
  beginsAnnotation,
  childLabels,
  ownerReference,
  type PodRole,
  roleLabel,
  selectorLabels,
  templateAnnotation,
} from './labels.ts';
import {
  clientTlsSecretName,
  clientUrl,
  memberHost,
  namespaceOf,
  peersServiceName,
  peerTlsSecretName,
  peerUrl,
  schemeOf,
} from './names.ts';
import { observerSpec } from './observers.ts';
import { forceFlag, templateFingerprint } from './template.ts';

export const dataMountPath = '/var/lib/mainstay';
export const clientTlsMountPath = '/etc/mainstay/client-tls';
/** Clients must show a certificate, and may be known by it alone. */
export const clientCertFlag = '--client-cert-auth';
export const peerTlsMountPath = '/etc/mainstay/peer-tls';

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
  /** Goes on with the data of this member alone; the store does it once, whatever the flag says later. */
  readonly forceNewCluster?: boolean;
}

/** The pod of one member on its volume. */
export function buildPod(cluster: StoreCluster, specOfAll: CompleteSpec, request: PodRequest): Pod {
  const { member, role } = request;
  const spec = role === 'observer' ? observerSpec(specOfAll) : specOfAll;
  const { labels, annotations, spec: further } = spec.podTemplate ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: member,
      namespace: namespaceOf(cluster),
      labels: { ...labels, ...childLabels(cluster), [roleLabel]: request.role },
      annotations: {
        ...annotations,
        [templateAnnotation]: templateFingerprint(spec),
        ...(request.clusterState === 'new' ? { [beginsAnnotation]: 'true' } : {}),
      },
      ownerReferences: [ownerReference(cluster)],
    },
    spec: {
      terminationGracePeriodSeconds: 30,
      ...further,
      hostname: member,
      subdomain: peersServiceName(cluster),
      restartPolicy: 'Always',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: podSecurity,
      ...podPlacement(cluster, spec.placement ?? {}),
      ...(spec.imagePullSecrets === undefined ? {} : { imagePullSecrets: spec.imagePullSecrets }),
      containers: [buildContainer(cluster, spec, request)],
      volumes: buildVolumes(cluster, member),
    },
  };
}

/** What the "restricted" Pod Security standard asks for. */
export const podSecurity = {
  runAsNonRoot: true,
  runAsUser: 10001,
  runAsGroup: 10001,
  fsGroup: 10001,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

export const containerSecurity = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
} as const;

function buildContainer(cluster: StoreCluster, spec: CompleteSpec, request: PodRequest) {
  const { imagePullPolicy, resources } = spec;
  const heapMiB = heapMiBOf(resources?.limits?.['memory']);
  return {
    name: 'store',
    image: spec.image,
    ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }),
    command: ['node', ...(heapMiB === undefined ? [] : [`--max-old-space-size=${heapMiB}`])].concat(
      ['dist/server/main.js'],
    ),
    args: storeFlags(cluster, spec, request),
    env: [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
    ports: [
      { name: 'client', containerPort: clientPort, protocol: 'TCP' },
      { name: 'peer', containerPort: peerPort, protocol: 'TCP' },
      { name: 'metrics', containerPort: metricsPort, protocol: 'TCP' },
    ],
    ...(resources === undefined ? {} : { resources }),
    securityContext: containerSecurity,
    // Replaying a long log may take its time; it must not end in a restart that replays it again.
    startupProbe: { tcpSocket: { port: peerPort }, periodSeconds: 2, failureThreshold: 1800 },
    // Never quorum-aware: a partition would make the kubelet kill every member.
    livenessProbe: { tcpSocket: { port: peerPort }, periodSeconds: 10, failureThreshold: 6 },
    readinessProbe: {
      httpGet: { path: '/readyz', port: metricsPort },
      periodSeconds: 2,
      timeoutSeconds: 2,
      failureThreshold: 3,
    },
    volumeMounts: [
      { name: 'data', mountPath: dataMountPath },
      ...secretMounts(cluster).map(({ name, mountPath }) => ({ name, mountPath, readOnly: true })),
    ],
  };
}

function buildVolumes(cluster: StoreCluster, member: string) {
  return [
    { name: 'data', persistentVolumeClaim: { claimName: member } },
    ...secretMounts(cluster).map(({ name, secretName }) => ({ name, secret: { secretName } })),
  ];
}

function secretMounts(cluster: StoreCluster) {
  const { client, peer } = cluster.spec.tls ?? {};
  return [
    ...(client === undefined
      ? []
      : [
          {
            name: 'client-tls',
            secretName: clientTlsSecretName(cluster),
            mountPath: clientTlsMountPath,
          },
        ]),
    ...(peer === undefined
      ? []
      : [
          { name: 'peer-tls', secretName: peerTlsSecretName(cluster), mountPath: peerTlsMountPath },
        ]),
    ...encryptionMount(cluster.spec),
  ];
}

/** Share of the memory limit for JavaScript's heap; the rest is for buffers, LevelDB and the process itself. */
const heapShare = 0.6;

function heapMiBOf(memoryLimit: string | number | undefined): number | undefined {
  if (memoryLimit === undefined) return undefined;
  return Math.max(64, Math.floor((bytesOf(memoryLimit) * heapShare) / 1024 ** 2));
}

function storeFlags(cluster: StoreCluster, spec: CompleteSpec, request: PodRequest): string[] {
  const { member } = request;
  const { client, peer } = cluster.spec.tls ?? {};
  return [
    `--name=${member}`,
    `--data-dir=${dataMountPath}/data`,
    `--listen-client-urls=${schemeOf(client)}://$(POD_IP):${clientPort}`,
    `--advertise-client-urls=${clientUrl(cluster, member)}`,
    `--listen-peer-urls=${schemeOf(peer)}://$(POD_IP):${peerPort}`,
    `--initial-advertise-peer-urls=${peerUrl(cluster, member)}`,
    `--listen-metrics-urls=http://$(POD_IP):${metricsPort}`,
    ...auditFlags(spec),
    ...encryptionFlags(spec),
    initialClusterFlag(request.initialCluster),
    `--initial-cluster-state=${request.clusterState}`,
    `--initial-cluster-token=${request.token}`,
    ...optionFlags(spec),
    ...limitFlags(spec),
    ...(hasConsole(spec) ? ['--enable-console'] : []),
    ...tlsFlags(cluster, member),
    ...(spec.observerFlags ?? []),
    ...(request.forceNewCluster === true ? [forceFlag] : []),
  ];
}

export function initialClusterFlag(peers: readonly Peer[]): string {
  return `--initial-cluster=${peers.map((peer) => `${peer.name}=${peer.peerUrl}`).join(',')}`;
}

function optionFlags({ options = {}, quotaBytes }: CompleteSpec): string[] {
  const { mode = 'Periodic', retention = '1h' } = options.autoCompaction ?? {};
  const compaction =
    mode === 'Off'
      ? []
      : [
          `--auto-compaction-mode=${mode.toLowerCase()}`,
          `--auto-compaction-retention=${retention}`,
        ];
  const flags = {
    'snapshot-count': options.snapshotCount,
    'heartbeat-interval': options.heartbeatIntervalMs,
    'election-timeout': options.electionTimeoutMs,
    'max-request-bytes':
      options.maxRequestSize === undefined ? undefined : bytesOf(options.maxRequestSize),
    'max-txn-ops': options.maxTxnOps,
    'max-concurrent-streams': options.maxConcurrentStreams,
    'log-level': options.logLevel?.toLowerCase(),
  };
  return [`--quota-backend-bytes=${quotaBytes}`, ...compaction, ...setFlags(flags)];
}

function setFlags(flags: Readonly<Record<string, string | number | undefined>>): string[] {
  return Object.entries(flags).flatMap(([flag, value]) =>
    value === undefined ? [] : [`--${flag}=${value}`],
  );
}

/** As {@link auditFlags}, for members of 0.1. */
function limitFlags({ limits = {}, image }: CompleteSpec): string[] {
  if (tagOf(image).startsWith('0.1.')) return [];
  const { user = {}, connection = {}, expensive = {}, prefixQuotas = [] } = limits;
  const quotas = prefixQuotas.map(({ prefix, size }) => `${listText(prefix)}=${bytesOf(size)}`);
  return setFlags({
    'limit-user-requests-per-second': user.requestsPerSecond,
    'limit-user-in-flight': user.inFlight,
    'limit-connection-requests-per-second': connection.requestsPerSecond,
    'limit-connection-in-flight': connection.inFlight,
    'limit-expensive-in-flight': expensive.inFlight,
    'limit-prefix-quotas': quotas.length === 0 ? undefined : quotas.join(','),
  });
}

/** A member of 0.1 would not start with a flag that it does not know; an upgrade makes its pod anew. */
function hasConsole({ console: page, image }: CompleteSpec): boolean {
  return page?.enabled === true && !tagOf(image).startsWith('0.1.');
}

function tlsFlags(cluster: StoreCluster, member: string): string[] {
  const { client, peer } = cluster.spec.tls ?? {};
  const files = (prefix: string, path: string) => [
    `--${prefix}cert-file=${path}/tls.crt`,
    `--${prefix}key-file=${path}/tls.key`,
  ];
  const trust = (prefix: string, path: string) => `--${prefix}trusted-ca-file=${path}/ca.crt`;
  return [
    ...(client === undefined ? [] : files('', clientTlsMountPath)),
    // As in etcd, to name a CA is to ask every client for a certificate of it.
    ...(client?.verifyClients === true ? [trust('', clientTlsMountPath), clientCertFlag] : []),
    ...(peer === undefined
      ? []
      : [
          ...files('peer-', peerTlsMountPath),
          trust('peer-', peerTlsMountPath),
          '--peer-client-cert-auth',
          // Where a member comes from proves nothing more than its certificate, and a name that DNS does not know yet, or
          // knows with the domain of the Kubernetes cluster behind it, would keep it out.
          '--peer-skip-client-san-verification',
        ]),
    // The operator's CA for peers signs for members alone. One of a person's may sign for others, who are no members: the
    // certificate that members have together is for each of them, so also for this one.
    ...(peer?.secretName === undefined
      ? []
      : [`--peer-cert-allowed-hostname=${memberHost(cluster, member)}`]),
  ];
}

/** A member of 0.1 would not start with flags that it does not know; an upgrade makes its pod anew. */
function auditFlags({ audit, image, storage }: CompleteSpec): string[] {
  if (audit === undefined || tagOf(image).startsWith('0.1.')) return [];
  const { target = 'Stdout', rules = [], whenFull = 'Drop' } = audit;
  const path = target === 'Stdout' ? '-' : `${dataMountPath}/audit/audit.log`;
  return [
    `--audit-log-path=${path}`,
    ...(rules.length === 0 ? [] : [`--audit-log-rules=${rules.map(listText).join(',')}`]),
    ...(target === 'Stdout' ? [] : auditFileFlags(audit, bytesOf(storage.size))),
    `--audit-log-when-full=${whenFull.toLowerCase()}`,
  ];
}

/** Of the volume, what audit files take by default at most: a store whose volume is full stops. */
const auditShare = 0.05;
const auditFilesDefault = 5;
const auditFileMebibytesMax = 100;

function auditFileFlags(
  { maxFileSize, maxFiles = auditFilesDefault }: NonNullable<CompleteSpec['audit']>,
  volumeBytes: number,
): string[] {
  const share = Math.floor((auditShare * volumeBytes) / (maxFiles + 1) / 1024 ** 2);
  const mebibytes =
    maxFileSize === undefined
      ? Math.max(1, Math.min(auditFileMebibytesMax, share))
      : Math.ceil(bytesOf(maxFileSize) / 1024 ** 2);
  return [`--audit-log-max-size-mb=${mebibytes}`, `--audit-log-max-files=${maxFiles}`];
}

/** Commas part rules and quotas, and Kubernetes reads variables where a dollar sign stands in arguments. */
function listText(part: string): string {
  return part.replaceAll(/[%,$ ]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);
}

type Placement = NonNullable<CompleteSpec['placement']>;

function podPlacement(cluster: StoreCluster, placement: Placement) {
  const { nodes = 'Preferred', zones = 'Preferred', affinity } = placement;
  const { nodeSelector, tolerations, priorityClassName } = placement;
  const spreadOver = affinity ?? nodeAffinity(cluster, nodes);
  return {
    ...(spreadOver === undefined ? {} : { affinity: spreadOver }),
    ...(zones === 'None' ? {} : { topologySpreadConstraints: [zoneSpread(cluster, zones)] }),
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
    ...(tolerations === undefined ? {} : { tolerations }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
  };
}

function nodeAffinity(cluster: StoreCluster, nodes: NonNullable<Placement['nodes']>) {
  if (nodes === 'None') return undefined;
  const podAffinityTerm = {
    topologyKey: 'kubernetes.io/hostname',
    labelSelector: { matchLabels: selectorLabels(cluster) },
  };
  const terms =
    nodes === 'Required'
      ? { requiredDuringSchedulingIgnoredDuringExecution: [podAffinityTerm] }
      : { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm }] };
  return { podAntiAffinity: terms };
}

function zoneSpread(cluster: StoreCluster, zones: 'Preferred' | 'Required') {
  return {
    maxSkew: 1,
    topologyKey: 'topology.kubernetes.io/zone',
    whenUnsatisfiable: zones === 'Required' ? 'DoNotSchedule' : 'ScheduleAnyway',
    labelSelector: { matchLabels: selectorLabels(cluster) },
  };
}
