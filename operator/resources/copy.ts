import type { CompleteSpec } from '../api/defaults.ts';
import type { PersistentVolumeClaim, Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { childLabels, ownerReference } from './labels.ts';
import { namespaceOf } from './names.ts';
import { containerSecurity, podSecurity } from './pod.ts';
import { buildVolume } from './volume.ts';

// A copy of a member's volume as it is, before something is done to it that cannot be undone.

/** Of the volume and of the pod that fills it. No member has such a name. */
export function copyName(member: string): string {
  return `${member}-copy`;
}

export function buildCopyVolume(
  cluster: StoreCluster,
  spec: CompleteSpec,
  member: string,
): PersistentVolumeClaim {
  const built = buildVolume(cluster, spec, { member: copyName(member), token: '' });
  const { annotations: _annotations, ...metadata } = built.metadata;
  return { ...built, metadata };
}

const componentLabel = 'app.kubernetes.io/component';

export function isCopyPod({ metadata }: Pod): boolean {
  return metadata.labels?.[componentLabel] === 'copy';
}

const [from, to] = ['/var/lib/mainstay-from', '/var/lib/mainstay-to'];
/** An earlier try may have left half a copy. One that is whole stays: whoever comes late finds the member at work again. */
const program = `
const { cpSync, existsSync, renameSync, rmSync } = require('node:fs');
const [from, to] = process.argv.slice(1);
if (!existsSync(to + '/data')) {
  rmSync(to + '/half', { recursive: true, force: true });
  cpSync(from + '/data', to + '/half', { recursive: true, preserveTimestamps: true });
  renameSync(to + '/half', to + '/data');
}
`;

export function buildCopyPod(cluster: StoreCluster, spec: CompleteSpec, member: string): Pod {
  const name = copyName(member);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: namespaceOf(cluster),
      labels: { ...childLabels(cluster), [componentLabel]: 'copy' },
      ownerReferences: [ownerReference(cluster)],
    },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: podSecurity,
      ...(spec.placement?.tolerations === undefined
        ? {}
        : { tolerations: spec.placement.tolerations }),
      ...(spec.imagePullSecrets === undefined ? {} : { imagePullSecrets: spec.imagePullSecrets }),
      containers: [
        {
          name: 'copy',
          image: spec.image,
          ...(spec.imagePullPolicy === undefined ? {} : { imagePullPolicy: spec.imagePullPolicy }),
          command: ['node', '-e', program, '--', from, to],
          securityContext: containerSecurity,
          volumeMounts: [
            { name: 'from', mountPath: from },
            { name: 'to', mountPath: to },
          ],
        },
      ],
      volumes: [
        { name: 'from', persistentVolumeClaim: { claimName: member } },
        { name: 'to', persistentVolumeClaim: { claimName: name } },
      ],
    },
  };
}
