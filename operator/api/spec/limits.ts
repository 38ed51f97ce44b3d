import type { JsonSchema } from '../json-schema.ts';
import { quantityPattern } from './values.ts';

const requestsPerSecond = {
  type: 'integer',
  format: 'int32',
  description: 'Requests in a second, and at once after a second of rest. Without it, any number.',
  minimum: 1,
  maximum: 1_000_000,
} as const satisfies JsonSchema;

const inFlight = {
  type: 'integer',
  format: 'int32',
  description: 'Requests that are not answered yet. Without it, any number.',
  minimum: 1,
  maximum: 1_000_000,
} as const satisfies JsonSchema;

/** What each may ask of a member, and what keys may take, so that one does not take it all. */
export const limits = {
  type: 'object',
  description:
    'What each user and connection may ask of each member; more is refused with when to ask again. A change restarts the members one at a time. Members of a release before 0.2 have no limits.',
  properties: {
    user: {
      type: 'object',
      description: "Each user's, on each member; root has none. Needs auth.",
      properties: { requestsPerSecond, inFlight },
    },
    connection: {
      type: 'object',
      description: "Each connection's.",
      properties: { requestsPerSecond, inFlight },
    },
    expensive: {
      type: 'object',
      description: 'Requests for more than 10000 keys, which wait apart from small ones.',
      properties: {
        inFlight: {
          ...inFlight,
          description: 'Those that run at once on each member; 16 if not set.',
        },
      },
    },
    prefixQuotas: {
      type: 'array',
      description:
        'What keys may take with their values. Puts that would make it more are refused, with that prefix and nowhere else; deletes go on.',
      maxItems: 64,
      items: {
        type: 'object',
        required: ['prefix', 'size'],
        properties: {
          prefix: {
            type: 'string',
            description: 'What the keys begin with.',
            minLength: 1,
            maxLength: 256,
          },
          size: {
            type: 'string',
            description: 'Bytes of the keys and their newest values together: 100Mi.',
            maxLength: 32,
            pattern: quantityPattern,
          },
        },
      },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['prefix'],
    },
  },
} as const satisfies JsonSchema;
