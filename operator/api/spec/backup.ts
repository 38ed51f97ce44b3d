import type { JsonSchema } from '../json-schema.ts';
import { mirrorFrom } from './mirror.ts';
import { secretKey, secretName } from './values.ts';

// What StoreBackup, StoreBackupSchedule and a restore have in common: where backups are, and their key.

const certificateKey = {
  ...secretKey,
  properties: {
    name: secretName,
    key: { ...secretKey.properties.key, default: 'ca.crt' },
  },
} as const satisfies JsonSchema;

const s3 = {
  type: 'object',
  description: 'A bucket of any server that speaks S3.',
  required: ['endpoint', 'bucket', 'credentialsSecretName'],
  properties: {
    endpoint: {
      type: 'string',
      description: 'URL of the server, for example https://s3.eu-central-1.amazonaws.com.',
      maxLength: 1024,
      pattern: '^https?://[^/?#@]+/?$',
    },
    region: {
      type: 'string',
      description: 'Region that requests are signed for. Many servers do not care.',
      default: 'us-east-1',
      minLength: 1,
      maxLength: 64,
    },
    bucket: {
      type: 'string',
      description: 'Name of the bucket; it exists already.',
      minLength: 1,
      maxLength: 255,
      pattern: '^[A-Za-z0-9][-._A-Za-z0-9]*$',
    },
    prefix: {
      type: 'string',
      description: 'What the names of all objects begin with, for example backups/demo.',
      maxLength: 512,
      pattern: '^[^/].*$',
    },
    credentialsSecretName: {
      ...secretName,
      description: 'Secret with the keys accessKeyId and secretAccessKey.',
    },
    ca: {
      ...certificateKey,
      description: "Where the certificate of the server's authority is, when it is a private one.",
    },
    serverSideEncryption: {
      type: 'string',
      description: 'What the server is asked to encrypt the objects with.',
      enum: ['AES256', 'aws:kms'],
    },
    virtualHosted: {
      type: 'boolean',
      description: 'Whether the bucket is part of the host name, as some servers want it.',
      default: false,
    },
  },
} as const satisfies JsonSchema;

const volume = {
  type: 'object',
  description: 'A PersistentVolumeClaim in the namespace of this object.',
  required: ['claimName'],
  properties: {
    claimName: {
      type: 'string',
      description: 'Name of the claim.',
      minLength: 1,
      maxLength: 253,
    },
    path: {
      type: 'string',
      description: 'Directory on the volume; without it, its root.',
      maxLength: 512,
      pattern: '^[^/.][^:]*$',
      'x-kubernetes-validations': [
        {
          rule: "!self.contains('..')",
          message: 'target.volume.path must stay below the root of the volume: leave out ".."',
        },
      ],
    },
  },
} as const satisfies JsonSchema;

export const target = {
  type: 'object',
  description: 'Where backups are kept.',
  properties: { s3, volume },
  'x-kubernetes-validations': [
    {
      rule: 'has(self.s3) != has(self.volume)',
      message: 'a target is a bucket or a volume: give exactly one of target.s3 and target.volume',
    },
  ],
} as const satisfies JsonSchema;

export const encryption = {
  type: 'object',
  description: 'The key with which backups are encrypted (AES-256-GCM). Without it they are not.',
  required: ['name'],
  properties: {
    name: secretName,
    key: {
      type: 'string',
      description: 'Key of the Secret whose value it is: 32 bytes, in base64 or hexadecimal.',
      default: 'key',
      minLength: 1,
      maxLength: 253,
    },
  },
} as const satisfies JsonSchema;

export const clusterName = {
  type: 'string',
  description: 'Name of the StoreCluster, in the namespace of this object.',
  minLength: 1,
  maxLength: 40,
} as const satisfies JsonSchema;

const point = {
  revision: {
    type: 'integer',
    format: 'int64',
    description:
      'Up to this revision; the newest backup before it and the archived changes are used.',
    minimum: 1,
  },
  time: {
    type: 'string',
    description: 'Up to what was written at this time, for example 2026-01-31T12:00:00Z.',
    format: 'date-time',
    maxLength: 64,
  },
} as const;

const sourceFields = {
  backup: {
    type: 'string',
    description: 'Name of a StoreBackup in the namespace of this object.',
    minLength: 1,
    maxLength: 253,
  },
  target,
  clusterUID: {
    type: 'string',
    description:
      'The metadata.uid of the StoreCluster whose backups are meant, when there are those of several in target.',
    minLength: 1,
    maxLength: 64,
  },
  name: {
    type: 'string',
    description: 'Which backup of target; without it, the newest one.',
    minLength: 1,
    maxLength: 253,
  },
  object: {
    type: 'string',
    description: 'An object of target that is a snapshot of etcd, instead of a backup.',
    minLength: 1,
    maxLength: 1024,
  },
  encryption,
  ...point,
} as const;

const sourceRules = [
  {
    rule: 'has(self.backup) != has(self.target)',
    message:
      'a restore is from a StoreBackup or from a target: give exactly one of backup and target',
  },
  {
    rule: '!(has(self.name) || has(self.object) || has(self.clusterUID)) || has(self.target)',
    message: 'name, object and clusterUID name something in target: give target with them',
  },
  {
    rule: '[has(self.name), has(self.object), has(self.revision), has(self.time)].filter(given, given).size() <= 1',
    message:
      'name, object, revision and time exclude each other: give the one that says what to restore',
  },
] as const;

/** From where a store begins. */
export const bootstrap = {
  type: 'object',
  description: 'How the store begins; only mirrorFrom.cutOver can change afterwards.',
  properties: {
    restore: {
      type: 'object',
      description: 'The backup that the store begins with.',
      properties: sourceFields,
      'x-kubernetes-validations': sourceRules,
    },
    mirrorFrom,
  },
  'x-kubernetes-validations': [
    {
      rule: 'has(self.restore) == has(oldSelf.restore) && (!has(self.restore) || self.restore == oldSelf.restore)',
      message:
        'bootstrap cannot change, it says how the store began: to restore into a running store, use spec.restore',
    },
    {
      rule: 'has(self.mirrorFrom) == has(oldSelf.mirrorFrom)',
      message:
        'bootstrap.mirrorFrom cannot be given to a store that has begun, nor be taken from it: create a new StoreCluster, or delete this one to give up',
    },
    {
      rule: '!(has(self.restore) && has(self.mirrorFrom))',
      message:
        'a store begins with a backup or as a mirror: give one of bootstrap.restore and bootstrap.mirrorFrom',
    },
  ],
} as const satisfies JsonSchema;

/** Into a store that is there. */
export const restoreInPlace = {
  type: 'object',
  description:
    'Puts a backup in the place of what the store has now. Name, Service and credentials stay; the old volumes are kept aside, without a label of this cluster, until confirmRestored says that they are not needed.',
  required: ['confirmUID'],
  properties: {
    ...sourceFields,
    confirmUID: {
      type: 'string',
      description: 'The metadata.uid of this object, as a word that it is meant.',
      minLength: 1,
      maxLength: 64,
    },
    confirmRestored: {
      type: 'string',
      description:
        'The status.restore.id, as a word that what was restored is what is wanted: the volumes that were kept aside are deleted.',
      minLength: 1,
      maxLength: 64,
    },
  },
  'x-kubernetes-validations': sourceRules,
} as const satisfies JsonSchema;
