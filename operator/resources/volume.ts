import type { CompleteSpec } from '../api/defaults.ts';
import type { PersistentVolumeClaim } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { childLabels, tokenAnnotation } from './labels.ts';
import { namespaceOf } from './names.ts';

/** The volume of one member: its durable identity. It has no owner reference, see `ownerReference`. */
export function buildVolume(
  cluster: StoreCluster,
  spec: CompleteSpec,
  request: { readonly member: string; readonly token: string },
): PersistentVolumeClaim {
  const { size, storageClassName } = spec.storage;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: request.member,
      namespace: namespaceOf(cluster),
      labels: childLabels(cluster),
      annotations: { [tokenAnnotation]: request.token },
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: size } },
      ...(storageClassName === undefined ? {} : { storageClassName }),
    },
  };
}
