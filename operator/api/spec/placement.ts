import type { JsonSchema } from '../json-schema.ts';
import { annotationMap, labelMap, selectorMap } from './values.ts';

const spread = {
  type: 'string',
  enum: ['Preferred', 'Required', 'None'],
  default: 'Preferred',
} as const satisfies JsonSchema;

const toleration = {
  type: 'object',
  properties: {
    key: {
      type: 'string',
      description: 'Taint that is tolerated; without it, all.',
      maxLength: 316,
    },
    operator: {
      type: 'string',
      description: 'Exists for any value, Equal for the value given.',
      enum: ['Exists', 'Equal'],
    },
    value: { type: 'string', description: 'Value of the taint.', maxLength: 63 },
    effect: {
      type: 'string',
      description: 'Which effect is tolerated; without it, all.',
      enum: ['NoSchedule', 'PreferNoSchedule', 'NoExecute'],
    },
    tolerationSeconds: {
      type: 'integer',
      format: 'int64',
      description: 'How long a NoExecute taint is borne; without it, for ever.',
      minimum: 0,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
      message: 'tolerationSeconds needs effect NoExecute',
    },
    {
      rule: "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
      message: 'a toleration without a key needs operator Exists',
    },
    {
      rule: "!has(self.value) || !has(self.operator) || self.operator == 'Equal'",
      message: 'a toleration with operator Exists has no value',
    },
  ],
} as const satisfies JsonSchema;

export const placement = {
  type: 'object',
  description: 'On which nodes members run. A change moves them one at a time.',
  properties: {
    nodes: {
      ...spread,
      description:
        'Members on different nodes: Preferred where there are enough, Required always, None wherever.',
    },
    zones: {
      ...spread,
      description:
        'Members spread over zones (topology.kubernetes.io/zone): Preferred, Required or None.',
    },
    nodeSelector: { ...selectorMap, description: 'Only nodes with these labels.' },
    tolerations: {
      type: 'array',
      description: 'Taints of nodes that members bear.',
      maxItems: 32,
      items: toleration,
      'x-kubernetes-list-type': 'atomic',
    },
    priorityClassName: {
      type: 'string',
      description: 'PriorityClass of the pods.',
      minLength: 1,
      maxLength: 253,
    },
    affinity: {
      type: 'object',
      description: "The pods' affinity as Kubernetes has it, instead of nodes.",
      'x-kubernetes-preserve-unknown-fields': true,
    },
  },
} as const satisfies JsonSchema;

const description = 'Refused: decided by the operator.';
const anyObject = {
  type: 'object',
  description,
  'x-kubernetes-preserve-unknown-fields': true,
} as const satisfies JsonSchema;
const anyList = {
  type: 'array',
  description,
  maxItems: 64,
  items: anyObject,
} as const satisfies JsonSchema;
const text = { type: 'string', description, maxLength: 253 } as const satisfies JsonSchema;
const flag = { type: 'boolean', description } as const satisfies JsonSchema;

/** What the operator itself decides in a pod. Rules can only speak of fields that have a type. */
const reservedPodFields = {
  containers: anyList,
  initContainers: anyList,
  ephemeralContainers: anyList,
  volumes: anyList,
  hostname: text,
  subdomain: text,
  restartPolicy: text,
  securityContext: anyObject,
  hostNetwork: flag,
  hostPID: flag,
  hostIPC: flag,
  nodeName: text,
  affinity: anyObject,
  nodeSelector: anyObject,
  tolerations: anyList,
  topologySpreadConstraints: anyList,
  priorityClassName: text,
  imagePullSecrets: anyList,
  automountServiceAccountToken: flag,
  enableServiceLinks: flag,
} as const satisfies Readonly<Record<string, JsonSchema>>;

export const podTemplate = {
  type: 'object',
  description: 'What else the pods of members carry.',
  properties: {
    labels: { ...labelMap, description: 'Further labels of the pods.' },
    annotations: { ...annotationMap, description: 'Further annotations of the pods.' },
    spec: {
      type: 'object',
      description:
        'Further fields of the pod spec, such as dnsConfig, runtimeClassName, schedulerName or serviceAccountName. What the operator decides is refused.',
      'x-kubernetes-preserve-unknown-fields': true,
      properties: reservedPodFields,
      'x-kubernetes-validations': Object.keys(reservedPodFields).map((field) => ({
        rule: `!has(self.${field})`,
        message: `podTemplate.spec.${field} is decided by the operator: leave it out${insteadOf(field)}`,
      })),
    },
  },
} as const satisfies JsonSchema;

function insteadOf(field: string): string {
  switch (field) {
    case 'affinity':
    case 'nodeSelector':
    case 'tolerations':
    case 'priorityClassName':
      return `, use placement.${field}`;
    case 'topologySpreadConstraints':
      return ', use placement.zones and placement.nodes';
    case 'imagePullSecrets':
      return ', use imagePullSecrets of this spec';
    default:
      return '';
  }
}
