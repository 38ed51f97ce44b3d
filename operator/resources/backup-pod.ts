import type { BackupKey, BackupTarget } from '../api/backup-types.ts';
import type { CompleteSpec } from '../api/defaults.ts';
import { clientPort } from '../api/defaults.ts';
import type { Container, Labels, OwnerReference, Pod } from '../api/objects.ts';
import { fieldManager, group } from '../api/schema.ts';
import type { StoreCluster } from '../api/types.ts';
import {
  clientServiceName,
  clientTlsSecretName,
  namespaceOf,
  operatorAuthSecretName,
  operatorTlsSecretName,
  schemeOf,
} from './names.ts';
import { containerSecurity, podSecurity } from './pod.ts';

// Pods that work on backups: `mainstayctl backup ...` of the store's own image, with what it needs mounted. They alone
// talk to buckets; the operator reads their one line of result.

/** On a pod: what it works for, so that its end is noticed. */
export const backupLabel = `${group}/backup`;
export const scheduleLabel = `${group}/schedule`;

/** Where a container leaves its result for `terminated.message`; 4 KiB at most. */
export const resultFile = '/dev/termination-log';
const targetPath = '/var/lib/mainstay-backups';
const scratchPath = '/var/lib/mainstay-scratch';
const keyPath = '/etc/mainstay/backup-key';
const targetCaPath = '/etc/mainstay/target-ca';
const storeTlsPath = '/etc/mainstay/store-tls';

export interface BackupPodRequest {
  readonly name: string;
  readonly owner: OwnerReference;
  readonly labels: Labels;
  /** After `mainstayctl backup`. */
  readonly command: readonly string[];
  readonly target: BackupTarget;
  readonly encryption: BackupKey | undefined;
  /** Whether it asks the store. */
  readonly asksStore: boolean;
  /** Whether it needs room for a whole database. */
  readonly needsScratch: boolean;
  readonly restartPolicy: 'Never' | 'Always';
  /** The volume of a member, to be filled. */
  readonly dataVolume?: { readonly claimName: string; readonly mountPath: string };
}

interface Mount {
  readonly volume: Readonly<Record<string, unknown>> & { readonly name: string };
  readonly mountPath: string;
  readonly readOnly?: true;
}

/** One pod for one piece of work. It has no rights in Kubernetes. */
export function buildBackupPod(
  cluster: StoreCluster,
  spec: CompleteSpec,
  request: BackupPodRequest,
): Pod {
  const mounts = mountsOf(cluster, request);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: request.name,
      namespace: namespaceOf(cluster),
      labels: {
        'app.kubernetes.io/name': 'mainstay',
        'app.kubernetes.io/instance': cluster.metadata.name,
        'app.kubernetes.io/component': 'backup',
        'app.kubernetes.io/managed-by': fieldManager,
        ...request.labels,
      },
      ownerReferences: [request.owner],
    },
    spec: {
      restartPolicy: request.restartPolicy,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: podSecurity,
      ...placementOf(spec),
      containers: [buildContainer(cluster, spec, { ...request, mounts })],
      volumes: mounts.map(({ volume }) => volume),
    },
  };
}

function placementOf({ placement, imagePullSecrets }: CompleteSpec) {
  return {
    ...(placement?.tolerations === undefined ? {} : { tolerations: placement.tolerations }),
    ...(imagePullSecrets === undefined ? {} : { imagePullSecrets }),
  };
}

function buildContainer(
  cluster: StoreCluster,
  { image, imagePullPolicy }: CompleteSpec,
  request: BackupPodRequest & { readonly mounts: readonly Mount[] },
): Container {
  return {
    name: 'backup',
    image,
    ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }),
    command: ['node', '--max-old-space-size=128', 'dist/server/ctl/main.js', 'backup'],
    args: [
      ...request.command,
      ...targetFlags(request.target),
      // The volume is mounted, or there were no pod: what is missing is its directory alone.
      ...(['save', 'list'].includes(request.command[0] ?? '') &&
      request.target.volume?.path !== undefined
        ? ['--create-target']
        : []),
      ...(request.encryption === undefined
        ? []
        : [`--encryption-key-file=${keyPath}/${request.encryption.key ?? 'key'}`]),
      ...(request.asksStore ? storeFlags(cluster) : []),
      ...(request.needsScratch ? [`--scratch-dir=${scratchPath}`] : []),
      `--result-file=${resultFile}`,
    ],
    env: [...targetEnv(request.target), ...(request.asksStore ? storeEnv(cluster) : [])],
    terminationMessagePath: resultFile,
    terminationMessagePolicy: 'FallbackToLogsOnError',
    resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '256Mi' } },
    securityContext: containerSecurity,
    volumeMounts: request.mounts.map(({ volume, mountPath, readOnly }) => ({
      name: volume.name,
      mountPath,
      ...(readOnly === undefined ? {} : { readOnly }),
    })),
  };
}

function targetFlags({ s3, volume }: BackupTarget): string[] {
  if (volume !== undefined) {
    return [`--target=${targetPath}${volume.path === undefined ? '' : `/${volume.path}`}`];
  }
  if (s3 === undefined) return [];
  return [
    `--target=s3://${s3.bucket}${s3.prefix === undefined ? '' : `/${s3.prefix}`}`,
    `--s3-endpoint=${s3.endpoint}`,
    `--s3-region=${s3.region ?? 'us-east-1'}`,
    `--s3-addressing=${s3.virtualHosted === true ? 'virtual' : 'path'}`,
    ...(s3.ca === undefined ? [] : [`--s3-ca-file=${targetCaPath}/${s3.ca.key ?? 'ca.crt'}`]),
    ...(s3.serverSideEncryption === undefined ? [] : [`--s3-sse=${s3.serverSideEncryption}`]),
  ];
}

function targetEnv({ s3 }: BackupTarget) {
  if (s3 === undefined) return [];
  return [
    fromSecret('AWS_ACCESS_KEY_ID', s3.credentialsSecretName, 'accessKeyId'),
    fromSecret('AWS_SECRET_ACCESS_KEY', s3.credentialsSecretName, 'secretAccessKey'),
  ];
}

function storeFlags(cluster: StoreCluster): string[] {
  const { client } = cluster.spec.tls ?? {};
  const host = `${clientServiceName(cluster)}.${namespaceOf(cluster)}.svc`;
  return [
    `--endpoints=${schemeOf(client)}://${host}:${clientPort}`,
    ...(client === undefined ? [] : [`--cacert=${storeTlsPath}/ca.crt`]),
    ...(client?.verifyClients === true
      ? [`--cert=${storeTlsPath}/tls.crt`, `--key=${storeTlsPath}/tls.key`]
      : []),
  ];
}

function storeEnv(cluster: StoreCluster) {
  if (cluster.spec.auth === undefined) return [];
  const secret = operatorAuthSecretName(cluster);
  return [
    fromSecret('MAINSTAYCTL_USER', secret, 'username'),
    fromSecret('MAINSTAYCTL_PASSWORD', secret, 'password'),
  ];
}

function fromSecret(name: string, secret: string, key: string) {
  return { name, valueFrom: { secretKeyRef: { name: secret, key } } };
}

function mountsOf(cluster: StoreCluster, request: BackupPodRequest): readonly Mount[] {
  const { s3, volume } = request.target;
  const { client } = cluster.spec.tls ?? {};
  const storeTls =
    client?.verifyClients === true ? operatorTlsSecretName(cluster) : clientTlsSecretName(cluster);
  return [
    { volume: { name: 'tmp', emptyDir: {} }, mountPath: '/tmp' },
    ...(volume === undefined
      ? []
      : [
          {
            volume: { name: 'target', persistentVolumeClaim: { claimName: volume.claimName } },
            mountPath: targetPath,
          },
        ]),
    ...(request.dataVolume === undefined
      ? []
      : [
          {
            volume: {
              name: 'data',
              persistentVolumeClaim: { claimName: request.dataVolume.claimName },
            },
            mountPath: request.dataVolume.mountPath,
          },
        ]),
    ...secretMount('target-ca', s3?.ca?.name, targetCaPath),
    ...secretMount('key', request.encryption?.name, keyPath),
    ...secretMount(
      'store-tls',
      request.asksStore && client !== undefined ? storeTls : undefined,
      storeTlsPath,
    ),
    ...(request.needsScratch
      ? [{ volume: { name: 'scratch', emptyDir: {} }, mountPath: scratchPath }]
      : []),
  ];
}

function secretMount(name: string, secretName: string | undefined, mountPath: string): Mount[] {
  if (secretName === undefined) return [];
  return [{ volume: { name, secret: { secretName } }, mountPath, readOnly: true }];
}
