import {
  storeBackupScheduleSpec,
  storeBackupScheduleStatus,
  storeBackupSpec,
  storeBackupStatus,
} from './backup-schema.ts';
import type { JsonSchema, ValidationRule } from './json-schema.ts';
import { apiVersion, group, storeClusterSpec, storeClusterStatus } from './schema.ts';

interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly priority?: number;
}

interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly description: string;
  readonly columns: readonly Column[];
  readonly spec: JsonSchema;
  readonly status: JsonSchema;
  readonly rules: readonly ValidationRule[];
  readonly scale?: object;
}

const age: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

function definition(of: Kind) {
  const root: JsonSchema = {
    type: 'object',
    description: of.description,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: of.spec,
      status: of.status,
    },
    ...(of.rules.length === 0 ? {} : { 'x-kubernetes-validations': of.rules }),
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${of.plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind: of.kind,
        listKind: `${of.kind}List`,
        plural: of.plural,
        singular: of.kind.toLowerCase(),
        shortNames: [of.shortName],
        categories: ['mainstay'],
      },
      versions: [
        {
          name: apiVersion,
          served: true,
          storage: true,
          additionalPrinterColumns: of.columns,
          subresources: { status: {}, ...(of.scale === undefined ? {} : { scale: of.scale }) },
          schema: { openAPIV3Schema: root },
        },
      ],
    },
  } as const;
}

/** The CustomResourceDefinition of StoreCluster, as it is in `crds/`. */
export const storeClusterDefinition = definition({
  kind: 'StoreCluster',
  plural: 'storeclusters',
  shortName: 'msc',
  description:
    'A StoreCluster is a replicated key-value store that speaks the etcd v3 API. The operator keeps it as its spec says.',
  columns: [
    { name: 'Ready', type: 'string', jsonPath: '.status.ready' },
    { name: 'Desired', type: 'integer', jsonPath: '.spec.replicas' },
    { name: 'Version', type: 'string', jsonPath: '.status.version' },
    { name: 'Leader', type: 'string', jsonPath: '.status.leader' },
    age,
    { name: 'Doing', type: 'string', jsonPath: '.status.plan.reason', priority: 1 },
    { name: 'Why', type: 'string', jsonPath: '.status.plan.message', priority: 1 },
  ],
  spec: storeClusterSpec,
  status: storeClusterStatus,
  rules: [
    {
      rule: "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
      message:
        'metadata.name becomes part of DNS names: use at most 40 lower-case letters, digits and dashes, a letter first',
    },
  ],
  scale: {
    specReplicasPath: '.spec.replicas',
    statusReplicasPath: '.status.replicas',
    labelSelectorPath: '.status.selector',
  },
});

export const storeBackupDefinition = definition({
  kind: 'StoreBackup',
  plural: 'storebackups',
  shortName: 'msb',
  description:
    'A StoreBackup is one backup of a StoreCluster, made once and, if wanted, proven by restoring it.',
  columns: [
    { name: 'Cluster', type: 'string', jsonPath: '.spec.cluster' },
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Revision', type: 'integer', jsonPath: '.status.revision' },
    { name: 'Size', type: 'string', jsonPath: '.status.size' },
    { name: 'Verified', type: 'date', jsonPath: '.status.verifiedAt' },
    age,
    { name: 'Message', type: 'string', jsonPath: '.status.message', priority: 1 },
  ],
  spec: storeBackupSpec,
  status: storeBackupStatus,
  rules: [
    {
      rule: 'self.metadata.name.size() <= 63',
      message:
        'metadata.name becomes part of the names of pods and a label: use at most 63 characters',
    },
  ],
});

export const storeBackupScheduleDefinition = definition({
  kind: 'StoreBackupSchedule',
  plural: 'storebackupschedules',
  shortName: 'msbs',
  description: 'A StoreBackupSchedule makes StoreBackups by the clock and removes old ones.',
  columns: [
    { name: 'Cluster', type: 'string', jsonPath: '.spec.cluster' },
    { name: 'Schedule', type: 'string', jsonPath: '.spec.schedule' },
    { name: 'Last Backup', type: 'date', jsonPath: '.status.lastBackup.at' },
    { name: 'Last Verified', type: 'date', jsonPath: '.status.lastVerified.at' },
    { name: 'Next', type: 'string', jsonPath: '.status.next' },
    age,
    { name: 'Message', type: 'string', jsonPath: '.status.message', priority: 1 },
  ],
  spec: storeBackupScheduleSpec,
  status: storeBackupScheduleStatus,
  rules: [
    {
      rule: 'self.metadata.name.size() <= 40',
      message: 'metadata.name becomes part of the names of its backups: use at most 40 characters',
    },
  ],
});

export const definitions = [
  storeClusterDefinition,
  storeBackupDefinition,
  storeBackupScheduleDefinition,
] as const;
