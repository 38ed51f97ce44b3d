import type { BackupKey, BackupTarget } from '../api/backup-types.ts';
import type { CompleteSpec } from '../api/defaults.ts';
import type { Labels, OwnerReference, Pod } from '../api/objects.ts';
import { group } from '../api/schema.ts';
import type { StoreCluster } from '../api/types.ts';
import {
  buildToolPod,
  fromSecret,
  type Mount,
  secretMount,
  storeReach,
  tlsFlags,
  tmpMount,
  userEnv,
} from './tool-pod.ts';

// Pods that work on backups: `mainstayctl backup ...`. They alone talk to buckets.

/** On a pod: what it works for, so that its end is noticed. */
export const backupLabel = `${group}/backup`;
export const scheduleLabel = `${group}/schedule`;

const targetPath = '/var/lib/mainstay-backups';
const scratchPath = '/var/lib/mainstay-scratch';
const keyPath = '/etc/mainstay/backup-key';
const targetCaPath = '/etc/mainstay/target-ca';

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

/** One pod for one piece of work. It has no rights in Kubernetes. */
export function buildBackupPod(
  cluster: StoreCluster,
  spec: CompleteSpec,
  request: BackupPodRequest,
): Pod {
  const { name, owner, labels, restartPolicy, target } = request;
  const reach = request.asksStore ? storeReach(cluster) : undefined;
  return buildToolPod(cluster, spec, {
    name,
    owner,
    labels,
    restartPolicy,
    component: 'backup',
    command: 'backup',
    args: [
      ...request.command,
      ...targetFlags(target),
      // The volume is mounted, or there were no pod: what is missing is its directory alone.
      ...(['save', 'list'].includes(request.command[0] ?? '') && target.volume?.path !== undefined
        ? ['--create-target']
        : []),
      ...(request.encryption === undefined
        ? []
        : [`--encryption-key-file=${keyPath}/${request.encryption.key ?? 'key'}`]),
      ...(reach === undefined ? [] : [`--endpoints=${reach.endpoint}`, ...tlsFlags(reach)]),
      ...(request.needsScratch ? [`--scratch-dir=${scratchPath}`] : []),
    ],
    env: [...targetEnv(target), ...userEnv('MAINSTAYCTL', reach?.userSecret)],
    mounts: mountsOf(request, reach?.mounts ?? []),
    memory: { heap: 128, request: 128, limit: 256 },
  });
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

function mountsOf(request: BackupPodRequest, storeMounts: readonly Mount[]): readonly Mount[] {
  const { s3, volume } = request.target;
  return [
    tmpMount,
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
    ...storeMounts,
    ...(request.needsScratch
      ? [{ volume: { name: 'scratch', emptyDir: {} }, mountPath: scratchPath }]
      : []),
  ];
}
