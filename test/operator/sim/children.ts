import type { KubeObject, Node, Pod } from '../../../operator/api/objects.ts';
import { type Kind, objectPath } from '../../../operator/kube/paths.ts';

/** The StoreCluster of every simulation. */
export const key = { namespace: 'default', name: 'demo' };
export const clusterPath: string = objectPath('StoreCluster', key);

export function isNodeReady(node: Node | undefined): boolean {
  return (node?.status?.conditions ?? []).some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
}

export function pathOf({ kind, metadata }: KubeObject & { readonly kind: Kind }): string {
  return objectPath(kind, { namespace: key.namespace, name: metadata.name });
}

export function uidOf({ metadata }: KubeObject): string {
  return metadata.uid ?? '';
}

/** Names of the volumes that a pod mounts. */
export function claimsOf(pod: Pod): string[] {
  const volumes = (pod.spec['volumes'] ?? []) as readonly {
    readonly persistentVolumeClaim?: { readonly claimName: string };
  }[];
  return volumes.flatMap(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? []);
}
