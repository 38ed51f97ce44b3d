import { createHash } from 'node:crypto';
import type { BackupKey, BackupTarget } from '../api/backup-types.ts';
import type { CompleteSpec } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import type { StoreCluster, StoreClusterSpec } from '../api/types.ts';
import { buildBackupPod } from './backup-pod.ts';
import {
  childLabels,
  clusterLabel,
  clusterUidLabel,
  ownerReference,
  restoreLabel,
} from './labels.ts';
import { peerUrl } from './names.ts';
import { dataMountPath } from './pod.ts';

type Wanted = Omit<NonNullable<StoreClusterSpec['restore']>, 'confirmUID'>;

/** A restore with everything that a StoreBackup knows of it. */
export interface RestoreSource {
  /** Tells one restore from another: what was done once is not done again. */
  readonly id: string;
  readonly target: BackupTarget;
  readonly encryption: BackupKey | undefined;
  /** After `mainstayctl backup restore`: which backup. */
  readonly which: readonly string[];
}

export function restoreSource(
  wanted: Wanted,
  backup: { readonly target: BackupTarget; readonly encryption?: BackupKey } & {
    readonly object: string | undefined;
    readonly clusterUID: string | undefined;
  },
): RestoreSource {
  const { name = backup.object, object, revision, time } = wanted;
  const uid = wanted.clusterUID ?? backup.clusterUID;
  const hasPoint = revision !== undefined || time !== undefined;
  return {
    id: restoreId(wanted),
    target: backup.target,
    encryption: wanted.encryption ?? backup.encryption,
    which: [
      ...(name === undefined || hasPoint ? [] : [name]),
      ...(object === undefined ? [] : [`--object=${object}`]),
      ...(revision === undefined ? [] : [`--revision=${revision}`]),
      ...(time === undefined ? [] : [`--time=${time}`]),
      ...(uid === undefined || object !== undefined ? [] : [`--cluster-uid=${uid}`]),
    ],
  };
}

/** What is said of a restore afterwards makes no other one of it. */
export function restoreId({ confirmRestored: _confirmed, ...wanted }: Wanted): string {
  return createHash('sha256').update(JSON.stringify(wanted)).digest('hex').slice(0, 16);
}

/** Whether a backup is to take the place of what the store has, and is not all that it has yet. */
export function isRestoring({ spec, status }: StoreCluster): boolean {
  if (spec.restore === undefined) return false;
  return status?.clusterID === undefined || status.restore?.id !== restoreId(spec.restore);
}

export function restorePodName(member: string): string {
  return `${member}-restore`;
}

export function checkPodName({ metadata }: StoreCluster): string {
  return `${metadata.name}-restore-check`;
}

/** Reads and checks everything, before anything of the store that is there is stopped. */
export function buildCheckPod(
  cluster: StoreCluster,
  spec: CompleteSpec,
  source: RestoreSource,
): Pod {
  return buildBackupPod(cluster, spec, {
    ...common(cluster, source),
    name: checkPodName(cluster),
    command: ['restore', ...source.which, '--dry-run'],
  });
}

export interface RestoreRequest {
  readonly member: string;
  readonly token: string;
  /** The next revision is above it. */
  readonly aboveRevision: number | undefined;
}

/** Fills the volume of a first member. */
export function buildRestorePod(
  cluster: StoreCluster,
  spec: CompleteSpec,
  { source, member, token, aboveRevision }: RestoreRequest & { readonly source: RestoreSource },
): Pod {
  const url = peerUrl(cluster, member);
  const above = aboveRevision === undefined ? [] : [`--above-revision=${aboveRevision}`];
  return buildBackupPod(cluster, spec, {
    ...common(cluster, source),
    name: restorePodName(member),
    command: [
      'restore',
      ...source.which,
      `--restore-id=${source.id}`,
      `--data-dir=${dataMountPath}/data`,
      `--name=${member}`,
      `--initial-cluster=${member}=${url}`,
      `--initial-advertise-peer-urls=${url}`,
      `--initial-cluster-token=${token}`,
      ...above,
    ],
    dataVolume: { claimName: member, mountPath: dataMountPath },
  });
}

function common(cluster: StoreCluster, { id, target, encryption }: RestoreSource) {
  const labels = childLabels(cluster);
  return {
    owner: ownerReference(cluster),
    labels: {
      [clusterLabel]: labels[clusterLabel] ?? '',
      [clusterUidLabel]: labels[clusterUidLabel] ?? '',
      [restoreLabel]: id,
    },
    target,
    encryption,
    asksStore: false,
    needsScratch: false,
    restartPolicy: 'Never',
  } as const;
}
