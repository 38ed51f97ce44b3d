import type { JsonSchema } from './json-schema.ts';

// The one source of StoreCluster: `types.ts` infers the TypeScript types from it, `crd.ts` makes the
// CustomResourceDefinition of it. Every string and list is bounded, or CEL's cost budget refuses the rules.

export const group = 'mainstay.dev';
export const apiVersion = 'v1alpha1';
/** Who we are to the API server: the owner of the fields that we write, and the label of what we made. */
export const fieldManager = 'mainstay-operator';

export const replicasDefault = 3;
export const replicasMax = 7;
/** Members while one is being replaced, and those that another tool added. */
export const membersMax = 16;
export const deletionPolicyDefault = 'Retain';

const quantityMap = {
  type: 'object',
  maxProperties: 16,
  additionalProperties: {
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    maxLength: 32,
    'x-kubernetes-int-or-string': true,
  },
} as const satisfies JsonSchema;

const storage = {
  type: 'object',
  description: 'The volume of each member.',
  required: ['size'],
  properties: {
    size: {
      type: 'string',
      description: 'Size of each volume, for example 10Gi. It can grow, never shrink.',
      maxLength: 32,
      pattern: '^[0-9]+(\\.[0-9]+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$',
      'x-kubernetes-validations': [
        {
          rule: 'quantity(self).compareTo(quantity(oldSelf)) >= 0',
          message:
            'storage.size cannot shrink, a volume only grows: keep the present size or ask for a larger one',
        },
        {
          rule: "quantity(self).compareTo(quantity('64Mi')) >= 0",
          message: 'storage.size is too small for the log of a store: ask for at least 64Mi',
        },
      ],
    },
    storageClassName: {
      type: 'string',
      description: 'StorageClass of the volumes; without it, the default class of the Kubernetes.',
      minLength: 1,
      maxLength: 253,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: 'has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)',
      message:
        'storage.storageClassName cannot change, volumes do not move between classes: keep the present class, or create a new StoreCluster with the other one',
    },
  ],
} as const satisfies JsonSchema;

export const storeClusterSpec = {
  type: 'object',
  description: 'What is wanted.',
  required: ['storage'],
  properties: {
    replicas: {
      type: 'integer',
      format: 'int32',
      description:
        'How many members, 1 to 7. Odd numbers are better: 4 members survive no more failures than 3.',
      default: replicasDefault,
      'x-kubernetes-validations': [
        {
          rule: 'self >= 1 && self <= 7',
          message:
            'replicas must be from 1 to 7, best 1, 3 or 5: more members make writes slower and no safer',
        },
      ],
    },
    version: {
      type: 'string',
      description: "Release of Mainstay, x.y.z; without it, the operator's own.",
      maxLength: 32,
      pattern: '^[0-9]+\\.[0-9]+\\.[0-9]+$',
    },
    image: {
      type: 'string',
      description: 'Container image with its tag, instead of version.',
      minLength: 1,
      maxLength: 512,
    },
    storage,
    resources: {
      type: 'object',
      description: "Requests and limits of each member's container.",
      properties: { requests: quantityMap, limits: quantityMap },
    },
    deletionPolicy: {
      type: 'string',
      description:
        'What becomes of the volumes when this object is deleted: Retain keeps them, Delete removes them with all data.',
      enum: ['Retain', 'Delete'],
      default: deletionPolicyDefault,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: '!(has(self.image) && has(self.version))',
      message: 'image and version exclude each other: give version, or an image with its tag',
    },
  ],
} as const satisfies JsonSchema;

export const condition = {
  type: 'object',
  required: ['type', 'status', 'lastTransitionTime', 'reason', 'message'],
  properties: {
    type: { type: 'string', maxLength: 316 },
    status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
    observedGeneration: { type: 'integer', format: 'int64' },
    lastTransitionTime: { type: 'string', format: 'date-time', maxLength: 64 },
    reason: { type: 'string', maxLength: 1024 },
    message: { type: 'string', maxLength: 32768 },
  },
} as const satisfies JsonSchema;

const member = {
  type: 'object',
  required: ['name', 'role', 'healthy'],
  properties: {
    name: { type: 'string', maxLength: 253 },
    id: {
      type: 'string',
      description: 'Member id in hexadecimal; absent before the member was added.',
      maxLength: 16,
    },
    role: { type: 'string', enum: ['leader', 'follower', 'learner', 'none'] },
    pod: { type: 'string', maxLength: 253 },
    healthy: { type: 'boolean' },
  },
} as const satisfies JsonSchema;

const planned = {
  type: 'object',
  description: 'What the operator does next or waits for, and why.',
  required: ['decision', 'reason', 'message', 'since'],
  properties: {
    decision: { type: 'string', enum: ['Act', 'Wait', 'Idle'] },
    reason: { type: 'string', maxLength: 64 },
    message: { type: 'string', maxLength: 4096 },
    since: { type: 'string', format: 'date-time', maxLength: 64 },
    deadline: {
      type: 'string',
      description: 'When the wait counts as stuck.',
      format: 'date-time',
      maxLength: 64,
    },
  },
} as const satisfies JsonSchema;

export const storeClusterStatus = {
  type: 'object',
  description: 'What was observed. Written by the operator only.',
  properties: {
    observedGeneration: { type: 'integer', format: 'int64' },
    replicas: {
      type: 'integer',
      format: 'int32',
      description: 'Members that there are, learners included.',
    },
    selector: { type: 'string', description: 'Label selector of the pods.', maxLength: 1024 },
    ready: { type: 'string', description: 'Healthy of wanted members, "3/3".', maxLength: 16 },
    version: { type: 'string', description: 'Image tags that run.', maxLength: 512 },
    leader: { type: 'string', maxLength: 253 },
    clusterID: {
      type: 'string',
      description: 'Id of the store in hexadecimal; recorded once, never bootstrapped again.',
      maxLength: 16,
    },
    nextSerial: {
      type: 'integer',
      format: 'int64',
      description: 'Serial of the next member name. All below it are taken for ever.',
    },
    joining: {
      type: 'string',
      description: 'Name of the member that is being added; recorded before its volume.',
      maxLength: 253,
    },
    bootstrap: {
      type: 'object',
      description: 'Recorded before the first pod.',
      required: ['nonce', 'seed'],
      properties: {
        nonce: { type: 'string', maxLength: 64 },
        seed: { type: 'string', maxLength: 253 },
      },
    },
    members: {
      type: 'array',
      maxItems: membersMax,
      items: member,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    },
    conditions: {
      type: 'array',
      maxItems: 16,
      items: condition,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
    plan: planned,
  },
} as const satisfies JsonSchema;
