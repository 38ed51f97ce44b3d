import type { CompleteSpec } from '../api/defaults.ts';
import type { PersistentVolumeClaim } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { childLabels, roleLabel, tokenAnnotation } from './labels.ts';
import { namespaceOf } from './names.ts';
import { observerSpec } from './observers.ts';

/** The volume of one member: its durable identity. It has no owner reference, see `ownerReference`. */
export function buildVolume(
  cluster: StoreCluster,
  spec: CompleteSpec,
  request: { readonly member: string; readonly token: string; readonly isObserver?: boolean },
): PersistentVolumeClaim {
  const isObserver = request.isObserver === true;
  const { size, storageClassName } = (isObserver ? observerSpec(spec) : spec).storage;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: request.member,
      namespace: namespaceOf(cluster),
      labels: { ...childLabels(cluster), ...(isObserver ? { [roleLabel]: 'observer' } : {}) },
      annotations: { [tokenAnnotation]: request.token },
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: size } },
      ...(storageClassName === undefined ? {} : { storageClassName }),
    },
  };
}
