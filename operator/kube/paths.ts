import type { KubeObject } from '../api/objects.ts';
import { apiVersion, group } from '../api/schema.ts';

export type Kind =
  | 'StoreCluster'
  | 'StoreBackup'
  | 'StoreBackupSchedule'
  | 'Pod'
  | 'PersistentVolumeClaim'
  | 'Service'
  | 'PodDisruptionBudget'
  | 'NetworkPolicy'
  | 'Secret'
  | 'Node'
  | 'Event'
  | 'Lease';

const resources: Readonly<Record<Kind, readonly [root: string, plural: string]>> = {
  StoreCluster: [`/apis/${group}/${apiVersion}`, 'storeclusters'],
  StoreBackup: [`/apis/${group}/${apiVersion}`, 'storebackups'],
  StoreBackupSchedule: [`/apis/${group}/${apiVersion}`, 'storebackupschedules'],
  Pod: ['/api/v1', 'pods'],
  PersistentVolumeClaim: ['/api/v1', 'persistentvolumeclaims'],
  Service: ['/api/v1', 'services'],
  PodDisruptionBudget: ['/apis/policy/v1', 'poddisruptionbudgets'],
  NetworkPolicy: ['/apis/networking.k8s.io/v1', 'networkpolicies'],
  Secret: ['/api/v1', 'secrets'],
  Node: ['/api/v1', 'nodes'],
  Event: ['/api/v1', 'events'],
  Lease: ['/apis/coordination.k8s.io/v1', 'leases'],
};

/** Path of all objects of a kind; in every namespace when `namespace` is undefined. */
export function collectionPath(kind: Kind, namespace: string | undefined): string {
  const [root, plural] = resources[kind];
  return namespace === undefined
    ? `${root}/${plural}`
    : `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`;
}

export function nodePath(name: string): string {
  return `${collectionPath('Node', undefined)}/${encodeURIComponent(name)}`;
}

export function objectPath(
  kind: Kind,
  at: { readonly namespace: string; readonly name: string },
  subresource?: 'status',
): string {
  const path = `${collectionPath(kind, at.namespace)}/${encodeURIComponent(at.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

export function pathOf(
  object: KubeObject & { readonly kind: Kind },
  subresource?: 'status',
): string {
  const { namespace, name } = object.metadata;
  return objectPath(object.kind, { namespace: namespace ?? 'default', name }, subresource);
}
