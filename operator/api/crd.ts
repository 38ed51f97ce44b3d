import type { JsonSchema } from './json-schema.ts';
import { apiVersion, group, storeClusterSpec, storeClusterStatus } from './schema.ts';

const columns = [
  { name: 'Ready', type: 'string', jsonPath: '.status.ready' },
  { name: 'Desired', type: 'integer', jsonPath: '.spec.replicas' },
  { name: 'Version', type: 'string', jsonPath: '.status.version' },
  { name: 'Leader', type: 'string', jsonPath: '.status.leader' },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  { name: 'Doing', type: 'string', jsonPath: '.status.plan.reason', priority: 1 },
  { name: 'Why', type: 'string', jsonPath: '.status.plan.message', priority: 1 },
] as const;

const root: JsonSchema = {
  type: 'object',
  description:
    'A StoreCluster is a replicated key-value store that speaks the etcd v3 API. The operator keeps it at the number of members that the spec wants.',
  required: ['spec'],
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: { type: 'object' },
    spec: storeClusterSpec,
    status: storeClusterStatus,
  },
  'x-kubernetes-validations': [
    {
      rule: "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
      message:
        'metadata.name becomes part of DNS names: use at most 40 lower-case letters, digits and dashes, a letter first',
    },
  ],
};

/** The CustomResourceDefinition of StoreCluster, as it is in `crds/`. */
export const storeClusterDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `storeclusters.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: {
      kind: 'StoreCluster',
      listKind: 'StoreClusterList',
      plural: 'storeclusters',
      singular: 'storecluster',
      shortNames: ['msc'],
      categories: ['mainstay'],
    },
    versions: [
      {
        name: apiVersion,
        served: true,
        storage: true,
        additionalPrinterColumns: columns,
        subresources: {
          status: {},
          scale: {
            specReplicasPath: '.spec.replicas',
            statusReplicasPath: '.status.replicas',
            labelSelectorPath: '.status.selector',
          },
        },
        schema: { openAPIV3Schema: root },
      },
    ],
  },
} as const;
