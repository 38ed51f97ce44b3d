import type { KubeObject, Labels, OwnerReference } from '../api/objects.ts';
import { apiVersion, fieldManager, group } from '../api/schema.ts';
import type { StoreCluster } from '../api/types.ts';

export const finalizer = `${group}/cleanup`;

export const clusterLabel = `${group}/cluster`;
/** UID of the StoreCluster that made a child: children of another object of the same name are not ours. */
export const clusterUidLabel = `${group}/cluster-uid`;
export const roleLabel = `${group}/role`;

/** On a volume, from before the first pod mounts it: id of the Raft member whose data it holds. */
export const memberIdAnnotation = `${group}/member-id`;
/** On a volume: the `--initial-cluster-token` of its member. */
export const tokenAnnotation = `${group}/cluster-token`;
/** On a pod: fingerprint of the spec that it was made of, see `template.ts`. */
export const templateAnnotation = `${group}/template`;
/** On the first pod of a store: with an empty data directory it would begin the store once more. */
export const beginsAnnotation = `${group}/begins-store`;
/** On the volume of a survivor: the store was forced to go on with it alone. */
export const recoveredAnnotation = `${group}/recovered`;

/** On the volume of a first member: the restore that filled it. */
export const restoredAnnotation = `${group}/restored`;
/** On a pod that checks a backup or puts it on a volume: the restore that it is for. */
export const restoreLabel = `${group}/restore`;
/** On the pods that follow the source of a store and cut over from it: that store's name. No selector of the members has it. */
export const mirrorLabel = `${group}/mirror`;
/** On a volume that was kept aside when another took its place: the cluster that it was of. */
export const parkedLabel = `${group}/parked-from`;
/** And the UID of that cluster. */
export const parkedUidLabel = `${group}/parked-from-uid`;

/** By Kubernetes, on a volume that is made where its first pod runs: that node. */
export const selectedNodeAnnotation = 'volume.kubernetes.io/selected-node';
/** On the Secret of a CA: the value of `tls.rotateCA` that it was made for. */
export const rotationAnnotation = `${group}/rotation`;
/** On a Secret of ours: when its contents changed last. */
export const writtenAnnotation = `${group}/written`;

/** On pods, and on the volumes of observers. */
export type PodRole = 'voter' | 'learner' | 'observer';

export function selectorLabels(cluster: StoreCluster): Labels {
  return { [clusterLabel]: cluster.metadata.name };
}

/** Only voters serve clients and count for the disruption budget. */
export function voterLabels(cluster: StoreCluster): Labels {
  return { ...selectorLabels(cluster), [roleLabel]: 'voter' };
}

export function observerLabels(cluster: StoreCluster): Labels {
  return { ...selectorLabels(cluster), [roleLabel]: 'observer' };
}

export function childLabels(cluster: StoreCluster): Labels {
  return {
    'app.kubernetes.io/name': 'mainstay',
    'app.kubernetes.io/instance': cluster.metadata.name,
    'app.kubernetes.io/component': 'store',
    'app.kubernetes.io/managed-by': fieldManager,
    ...selectorLabels(cluster),
    [clusterUidLabel]: uidOf(cluster),
  };
}

/** For children that go with the StoreCluster. Volumes never get one: garbage collection must not reach data. */
export function ownerReference(cluster: StoreCluster): OwnerReference {
  return {
    apiVersion: `${group}/${apiVersion}`,
    kind: 'StoreCluster',
    name: cluster.metadata.name,
    uid: uidOf(cluster),
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function isOurs(cluster: StoreCluster, child: Pick<KubeObject, 'metadata'>): boolean {
  return child.metadata.labels?.[clusterUidLabel] === uidOf(cluster);
}

function uidOf(cluster: StoreCluster): string {
  return cluster.metadata.uid ?? '';
}
