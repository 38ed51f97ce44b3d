import type { JsonSchema } from '../json-schema.ts';
import { service } from './service.ts';
import { quantityMap, quantityPattern } from './values.ts';

export const observersMax = 8;
export const maxStalenessSecondsDefault = 10;

export const observers = {
  type: 'object',
  description:
    'Observers: members that serve reads and watches and have no vote. They have a Service of their own, NAME-observers. What happens to them touches no write.',
  required: ['replicas'],
  properties: {
    replicas: {
      type: 'integer',
      format: 'int32',
      description: 'How many, 0 to 8. Each is sent every write: the leader pays for it.',
      'x-kubernetes-validations': [
        {
          rule: `self >= 0 && self <= ${observersMax}`,
          message: `observers.replicas must be from 0 to ${observersMax}: the leader sends every write to each of them`,
        },
      ],
    },
    maxStalenessSeconds: {
      type: 'integer',
      format: 'int32',
      description:
        'An observer whose state may be older than this answers no reads and ends its watches. A change restarts the observers one at a time.',
      default: maxStalenessSecondsDefault,
      'x-kubernetes-validations': [
        {
          rule: 'self >= 1 && self <= 3600',
          message:
            'observers.maxStalenessSeconds must be from 1 to 3600: below a second or so, each change of leader would stop them',
        },
      ],
    },
    resources: {
      type: 'object',
      description:
        "Requests and limits of each observer's container; without it, those of the other members.",
      properties: {
        requests: { ...quantityMap, description: 'What a node must have free.' },
        limits: { ...quantityMap, description: 'What an observer may take at most.' },
      },
    },
    storage: {
      type: 'object',
      description: 'The volume of each observer; without it, as that of the other members.',
      required: ['size'],
      properties: {
        size: {
          type: 'string',
          description:
            'Size of each volume. An observer holds all that the others hold: less than storage.size is only for a store that never fills it.',
          maxLength: 32,
          pattern: quantityPattern,
          'x-kubernetes-validations': [
            {
              rule: 'quantity(self).compareTo(quantity(oldSelf)) >= 0',
              message:
                'observers.storage.size cannot shrink, a volume only grows: keep the present size or ask for a larger one',
            },
            {
              rule: "quantity(self).compareTo(quantity('64Mi')) >= 0",
              message:
                'observers.storage.size is too small for the log of a store: ask for at least 64Mi',
            },
          ],
        },
      },
    },
    service: {
      ...service,
      description: "The observers' Service: that of the ready ones, named NAME-observers.",
      'x-kubernetes-validations': service['x-kubernetes-validations'].map(({ rule, message }) => ({
        rule,
        message: `observers.${message}`,
      })),
    },
  },
} as const satisfies JsonSchema;
