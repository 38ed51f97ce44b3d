import type { JsonSchema } from './json-schema.ts';
import { condition, unseen } from './schema.ts';
import { clusterName, encryption, target } from './spec/backup.ts';

// The one source of StoreBackup and StoreBackupSchedule, as `schema.ts` is of StoreCluster.

const time = { type: 'string', format: 'date-time', maxLength: 64 } as const satisfies JsonSchema;

const conditions = {
  type: 'array',
  description: 'What is so and what is not, for people and for `kubectl wait`.',
  maxItems: 16,
  items: condition,
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
} as const satisfies JsonSchema;

export const storeBackupSpec = {
  type: 'object',
  description: 'What to back up, and where to. It cannot change: make another StoreBackup.',
  required: ['cluster', 'target'],
  properties: {
    cluster: clusterName,
    target,
    encryption,
    verify: {
      type: 'boolean',
      description: 'Whether a scratch pod restores the backup and compares it with the store.',
      default: true,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: 'self == oldSelf',
      message: 'the spec of a StoreBackup cannot change, it says what was done: make another one',
    },
  ],
} as const satisfies JsonSchema;

export const backupPhases = ['Pending', 'Running', 'Verifying', 'Complete', 'Failed'] as const;

export const storeBackupStatus = {
  type: 'object',
  description: 'What became of it. Written by the operator only.',
  default: unseen,
  properties: {
    phase: {
      type: 'string',
      description: 'Pending, Running, Verifying, then Complete or Failed.',
      enum: backupPhases,
    },
    message: { type: 'string', description: 'A sentence for people.', maxLength: 4096 },
    object: {
      type: 'string',
      description: 'Name of the backup in its target.',
      maxLength: 1024,
    },
    revision: { type: 'integer', format: 'int64', description: 'Revision that it holds.' },
    keys: { type: 'integer', format: 'int64', description: 'Keys that it holds.' },
    sizeBytes: { type: 'integer', format: 'int64', description: 'Bytes that it takes.' },
    size: { type: 'string', description: 'Bytes that it takes, for reading.', maxLength: 32 },
    hash: { type: 'string', description: 'HashKV at its revision, in decimal.', maxLength: 20 },
    storageVersion: {
      type: 'string',
      description: 'Storage version of the store that it was taken from.',
      maxLength: 32,
    },
    clusterUID: {
      type: 'string',
      description: 'The metadata.uid of the StoreCluster that it was taken from.',
      maxLength: 64,
    },
    progress: {
      type: 'object',
      description: 'How far its pod is, while it runs.',
      required: ['step', 'doneBytes', 'totalBytes'],
      properties: {
        step: { type: 'string', description: 'What it does now.', maxLength: 64 },
        doneBytes: { type: 'integer', format: 'int64', description: 'Bytes that are done.' },
        totalBytes: { type: 'integer', format: 'int64', description: 'Bytes of the whole step.' },
      },
    },
    startedAt: { ...time, description: 'When its pod started.' },
    completedAt: { ...time, description: 'When it was whole in its target.' },
    verifiedAt: { ...time, description: 'When it was restored and found equal.' },
    failures: {
      type: 'integer',
      format: 'int32',
      description: 'Pods that failed; after the third one the backup has.',
    },
    lastFailure: {
      type: 'string',
      description: 'Why the last pod that failed did.',
      maxLength: 4096,
    },
    conditions,
    observedGeneration: {
      type: 'integer',
      format: 'int64',
      description: 'The metadata.generation that this status is about.',
    },
  },
} as const satisfies JsonSchema;

const kept = (what: string) =>
  ({
    type: 'integer',
    format: 'int32',
    description: `How many ${what} are kept.`,
    minimum: 0,
    maximum: 1_000,
  }) as const satisfies JsonSchema;

export const storeBackupScheduleSpec = {
  type: 'object',
  description: 'When backups are made, where to, and which are kept.',
  required: ['cluster', 'schedule', 'target'],
  properties: {
    cluster: clusterName,
    schedule: {
      type: 'string',
      description: 'When, as cron writes it: minute hour day month weekday, or @hourly, @daily.',
      minLength: 1,
      maxLength: 128,
      pattern: '^(@(hourly|daily|weekly|monthly)|([-*/,0-9A-Za-z]+ +){4}[-*/,0-9A-Za-z]+)$',
    },
    timeZone: {
      type: 'string',
      description: 'Time zone of the schedule, for example Europe/Berlin.',
      default: 'Etc/UTC',
      minLength: 1,
      maxLength: 64,
      pattern: '^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$',
    },
    jitterSeconds: {
      type: 'integer',
      format: 'int32',
      description:
        'Each backup begins up to so many seconds later, always the same for one schedule: so that many do not begin at once.',
      default: 0,
      minimum: 0,
      maximum: 86_400,
    },
    startingDeadlineSeconds: {
      type: 'integer',
      format: 'int64',
      description: 'A backup that could not begin within so many seconds is left out.',
      default: 3_600,
      minimum: 10,
      maximum: 604_800,
    },
    concurrency: {
      type: 'string',
      description: 'Whether a backup begins while the one before it runs: Forbid leaves it out.',
      enum: ['Forbid', 'Allow'],
      default: 'Forbid',
    },
    suspend: {
      type: 'boolean',
      description: 'Whether no further backups begin.',
      default: false,
    },
    immediate: {
      type: 'boolean',
      description: 'Whether the first one begins at once.',
      default: false,
    },
    target,
    encryption,
    verifyEvery: {
      type: 'integer',
      format: 'int32',
      description: 'Every so many backups one is restored and compared; 1: each, 0: none.',
      default: 1,
      minimum: 0,
      maximum: 1_000,
    },
    keep: {
      type: 'object',
      description:
        'Which backups are kept; without it, all. The last good one and the last verified one always are.',
      properties: {
        last: kept('of the newest'),
        daily: kept('days, the last of each'),
        weekly: kept('weeks, the last of each'),
        monthly: kept('months, the last of each'),
      },
      'x-kubernetes-validations': [
        {
          rule: 'has(self.last) || has(self.daily) || has(self.weekly) || has(self.monthly)',
          message: 'keep must say what is kept: give last, daily, weekly or monthly',
        },
      ],
    },
    archive: {
      type: 'object',
      description:
        'Keeps every change since the last backup in the target too, for restores to any revision or time.',
      properties: {
        intervalSeconds: {
          type: 'integer',
          format: 'int32',
          description: 'How often changes are written, and so how much can be lost at most.',
          default: 60,
          minimum: 1,
          maximum: 3_600,
        },
      },
    },
  },
} as const satisfies JsonSchema;

const named = (what: string) =>
  ({
    type: 'object',
    description: what,
    required: ['name', 'at'],
    properties: {
      name: { type: 'string', description: 'Name of the StoreBackup.', maxLength: 253 },
      at: { ...time, description: 'When.' },
    },
  }) as const satisfies JsonSchema;

export const storeBackupScheduleStatus = {
  type: 'object',
  description: 'What was done. Written by the operator only.',
  default: unseen,
  properties: {
    observedGeneration: {
      type: 'integer',
      format: 'int64',
      description: 'The metadata.generation that this status is about.',
    },
    scheduledAt: { ...time, description: 'Time of the schedule that was served last.' },
    next: { ...time, description: 'Time of the schedule that comes next.' },
    lastBackup: named('The last backup that is whole.'),
    lastVerified: named('The last backup that was restored and found equal.'),
    backups: {
      type: 'integer',
      format: 'int32',
      description: 'Backups of the store in this target that have a StoreBackup.',
    },
    prunedAfter: {
      type: 'string',
      description: 'Name of the last backup after which old ones were removed.',
      maxLength: 253,
    },
    listed: {
      type: 'object',
      description:
        'What was looked for in the target: backups that no StoreBackup speaks of any more.',
      properties: {
        before: {
          type: 'string',
          description: 'Those that are older than this one are still to be looked at.',
          maxLength: 253,
        },
        at: { ...time, description: 'When all were looked at.' },
        failedAt: { ...time, description: 'When it could not be done; message says why.' },
      },
    },
    pruneFailedAt: {
      ...time,
      description: 'When old ones could not be removed; message says why.',
    },
    archivedTo: {
      type: 'integer',
      format: 'int64',
      description: 'Revision up to which changes are archived.',
    },
    archivedAt: {
      ...time,
      description: 'Time up to which changes are archived, and so can be restored.',
    },
    message: { type: 'string', description: 'A sentence for people.', maxLength: 4096 },
    conditions,
  },
} as const satisfies JsonSchema;
