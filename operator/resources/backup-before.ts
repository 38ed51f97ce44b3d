import type { StoreBackup, StoreBackupSchedule } from '../api/backup-types.ts';
import { apiVersion, group } from '../api/schema.ts';
import type { StoreCluster } from '../api/types.ts';
import { scheduleLabel } from './backup-pod.ts';
import { namespaceOf } from './names.ts';

/** Short enough for a label, as the name of a StoreBackup has to be. `nonce`: fresh, no earlier one has this name. */
export function backupBeforeName({ metadata }: StoreCluster, nonce: string): string {
  return `${metadata.name}-before-${nonce.slice(0, 8)}`;
}

/** A backup before a change: to the target of the schedule, and kept as the schedule's own are. */
export function buildBackupBefore(
  cluster: StoreCluster,
  { metadata, spec }: StoreBackupSchedule,
  name: string,
): StoreBackup {
  return {
    apiVersion: `${group}/${apiVersion}`,
    kind: 'StoreBackup',
    metadata: {
      name,
      namespace: namespaceOf(cluster),
      labels: { [scheduleLabel]: metadata.name },
    },
    spec: {
      cluster: cluster.metadata.name,
      target: spec.target,
      ...(spec.encryption === undefined ? {} : { encryption: spec.encryption }),
      verify: spec.verifyEvery !== 0,
    },
  };
}
