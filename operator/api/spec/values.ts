import type { JsonSchema } from '../json-schema.ts';

// Shapes that several parts of the spec use.

/** A size as Kubernetes writes it. */
export const quantityPattern = '^[0-9]+(\\.[0-9]+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$';

/** Requests or limits. */
export const quantityMap = {
  type: 'object',
  maxProperties: 16,
  additionalProperties: {
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    maxLength: 32,
    'x-kubernetes-int-or-string': true,
  },
} as const satisfies JsonSchema;

export const secretName = {
  type: 'string',
  description: 'Name of a Secret in the namespace of this object.',
  minLength: 1,
  maxLength: 253,
  pattern: '^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$',
} as const satisfies JsonSchema;

export const secretKey = {
  type: 'object',
  description: 'One key of a Secret in the namespace of this object.',
  required: ['name'],
  properties: {
    name: secretName,
    key: {
      type: 'string',
      description: 'Key of the Secret whose value is taken, without a line end behind it.',
      default: 'password',
      minLength: 1,
      maxLength: 253,
    },
  },
} as const satisfies JsonSchema;

const labelValue = { type: 'string', maxLength: 63 } as const satisfies JsonSchema;

/** Labels that select. */
export const selectorMap = {
  type: 'object',
  maxProperties: 16,
  additionalProperties: labelValue,
} as const satisfies JsonSchema;

const reservedPrefixRule = {
  rule: "self.all(key, !key.startsWith('mainstay.dev/') && !key.startsWith('app.kubernetes.io/'))",
  message:
    'keys that begin with mainstay.dev/ or app.kubernetes.io/ are set by the operator: use a prefix of your own',
} as const;

export const labelMap = {
  ...selectorMap,
  'x-kubernetes-validations': [reservedPrefixRule],
} as const satisfies JsonSchema;

export const annotationMap = {
  type: 'object',
  maxProperties: 32,
  additionalProperties: { type: 'string', maxLength: 4096 },
  'x-kubernetes-validations': [reservedPrefixRule],
} as const satisfies JsonSchema;
