import type { JsonSchema } from '../json-schema.ts';
import { quantityPattern } from './values.ts';

/** etcd's defaults, for the rule that binds the two times to each other. */
const heartbeatMsDefault = 100;
const electionMsDefault = 1_000;

/** The store's own settings: a closed list. A flag that is not here belongs to the operator. */
export const options = {
  type: 'object',
  description:
    'Settings of the store. A change restarts the members one at a time, the leader last.',
  properties: {
    quota: {
      type: 'string',
      description:
        'Size of the database at which writes are refused until space is freed. Without it, half of storage.size, at most 16Gi.',
      maxLength: 32,
      pattern: quantityPattern,
      'x-kubernetes-validations': [
        {
          rule: "quantity(self).compareTo(quantity('16Mi')) >= 0",
          message: 'options.quota is too small to work with: ask for at least 16Mi',
        },
      ],
    },
    autoCompaction: {
      type: 'object',
      description: 'How the history of keys is forgotten. Without it, what is older than 1h is.',
      required: ['mode'],
      properties: {
        mode: {
          type: 'string',
          description:
            'Periodic keeps the history of a time, Revision that of a number of revisions, Off leaves compaction to clients.',
          enum: ['Periodic', 'Revision', 'Off'],
        },
        retention: {
          type: 'string',
          description:
            'What is kept: a time such as 30m or 12h for Periodic, a number of revisions for Revision.',
          maxLength: 16,
          pattern: '^[1-9][0-9]*(s|m|h)?$',
        },
      },
      'x-kubernetes-validations': [
        {
          rule: "(self.mode == 'Off') != has(self.retention)",
          message:
            'autoCompaction needs a retention for the modes Periodic and Revision, and none for Off',
        },
        {
          rule: "!has(self.retention) || (self.mode == 'Revision') == self.retention.matches('^[0-9]+$')",
          message:
            'autoCompaction.retention is a time for Periodic (30m, 12h) and a plain number for Revision (10000)',
        },
      ],
    },
    snapshotCount: {
      type: 'integer',
      format: 'int64',
      description: 'Applied entries after which the log is shortened. 10000 if not set.',
      minimum: 100,
      maximum: 10_000_000,
    },
    heartbeatIntervalMs: {
      type: 'integer',
      format: 'int32',
      description:
        'Milliseconds between the heartbeats of the leader, 100 if not set: about the round trip between members.',
      minimum: 10,
      maximum: 5_000,
    },
    electionTimeoutMs: {
      type: 'integer',
      format: 'int32',
      description:
        'Milliseconds without a heartbeat after which a new leader is elected, 1000 if not set. At least five heartbeats.',
      minimum: 50,
      maximum: 50_000,
    },
    maxRequestSize: {
      type: 'string',
      description: 'Largest request that is taken. 1536Ki if not set.',
      maxLength: 32,
      pattern: quantityPattern,
      'x-kubernetes-validations': [
        {
          rule: "quantity(self).compareTo(quantity('1Ki')) >= 0 && quantity(self).compareTo(quantity('64Mi')) <= 0",
          message: 'options.maxRequestSize must be from 1Ki to 64Mi',
        },
      ],
    },
    maxTxnOps: {
      type: 'integer',
      format: 'int32',
      description: 'Most operations in one transaction. 128 if not set.',
      minimum: 1,
      maximum: 100_000,
    },
    maxConcurrentStreams: {
      type: 'integer',
      format: 'int32',
      description: 'Most calls at the same time on one connection. No such limit if not set.',
      minimum: 1,
      maximum: 1_000_000,
    },
    logLevel: {
      type: 'string',
      description: 'What the members log. Info if not set.',
      enum: ['Debug', 'Info', 'Warn', 'Error'],
    },
  },
  'x-kubernetes-validations': [
    {
      rule: `(has(self.electionTimeoutMs) ? self.electionTimeoutMs : ${electionMsDefault}) >= 5 * (has(self.heartbeatIntervalMs) ? self.heartbeatIntervalMs : ${heartbeatMsDefault})`,
      message:
        'options.electionTimeoutMs (1000 if not set) must be at least five times heartbeatIntervalMs (100 if not set), best ten times, or the store elects for ever',
    },
  ],
} as const satisfies JsonSchema;
