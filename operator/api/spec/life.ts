import type { JsonSchema } from '../json-schema.ts';

// How the cluster changes, stops and is brought back.

export const update = {
  type: 'object',
  description: 'How members are changed, one at a time, the leader last.',
  properties: {
    surge: {
      type: 'boolean',
      description:
        'Whether a further member joins while the others change, so that there are never fewer than replicas. It leaves at the end.',
      default: false,
    },
    restart: {
      type: 'string',
      description: 'Any new value restarts every member, one at a time. The time is a good value.',
      maxLength: 64,
    },
  },
} as const satisfies JsonSchema;

export const recovery = {
  type: 'object',
  description:
    'When the quorum is lost for good: goes on with the data of one member alone. What only the others had is lost. The volume is copied first, and the others are replaced.',
  required: ['survivor', 'clusterUID'],
  properties: {
    survivor: {
      type: 'string',
      description:
        'Name of the member whose data is kept; status.members shows who has the highest revision.',
      minLength: 1,
      maxLength: 63,
    },
    clusterUID: {
      type: 'string',
      description: 'The metadata.uid of this object, as a word that it is meant.',
      minLength: 1,
      maxLength: 64,
    },
  },
} as const satisfies JsonSchema;

export const adoptFrom = {
  type: 'string',
  description:
    'Goes on with the retained volumes of an earlier StoreCluster of this name: its metadata.uid.',
  minLength: 1,
  maxLength: 64,
} as const satisfies JsonSchema;
