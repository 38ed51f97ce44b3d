import type { JsonSchema } from './json-schema.ts';
import { audit } from './spec/audit.ts';
import { auth } from './spec/auth.ts';
import { bootstrap, restoreInPlace } from './spec/backup.ts';
import { encryption } from './spec/encryption.ts';
import { adoptFrom, recovery, update } from './spec/life.ts';
import { limits } from './spec/limits.ts';
import { observers } from './spec/observers.ts';
import { options } from './spec/options.ts';
import { placement, podTemplate } from './spec/placement.ts';
import { consolePage, networkPolicy, service } from './spec/service.ts';
import { storage } from './spec/storage.ts';
import { tls } from './spec/tls.ts';
import { quantityMap, secretName } from './spec/values.ts';

// The one source of StoreCluster: `types.ts` infers the TypeScript types from it, `crd.ts` makes the
// CustomResourceDefinition of it. Every string and list is bounded, or CEL's cost budget refuses the rules.

export const group = 'mainstay.dev';
export const apiVersion = 'v1alpha1';
/** Who we are to the API server: the owner of the fields that we write, and the label of what we made. */
export const fieldManager = 'mainstay-operator';

export const replicasDefault = 3;
export const replicasMax = 7;
/** Members and observers while some are being replaced, and those that another tool added. */
export const membersMax = 24;
/** What is told in the status, in characters. */
export const messageLengthMax = 4_096;
/** Volumes that were kept aside, as the status names them. */
export const parkedMax = 100;
/** Of members, CAs, the operator and users. */
export const certificatesMax = 128;
export const deletionPolicyDefault = 'Retain';

export const mirrorPhases = ['Following', 'CuttingOver', 'Done', 'Failed'] as const;

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
    imagePullPolicy: {
      type: 'string',
      description: 'When nodes fetch the image; without it, as Kubernetes does by its tag.',
      enum: ['Always', 'IfNotPresent', 'Never'],
    },
    imagePullSecrets: {
      type: 'array',
      description: 'Secrets with the credentials of the registry.',
      maxItems: 16,
      items: {
        type: 'object',
        required: ['name'],
        properties: { name: secretName },
      },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    },
    storage,
    options,
    resources: {
      type: 'object',
      description:
        "Requests and limits of each member's container. The memory limit also sets how much the store may keep in memory.",
      properties: {
        requests: { ...quantityMap, description: 'What a node must have free.' },
        limits: { ...quantityMap, description: 'What a member may take at most.' },
      },
    },
    observers,
    placement,
    podTemplate,
    tls,
    auth,
    audit,
    encryption,
    limits,
    service,
    console: consolePage,
    networkPolicy,
    disruptionBudget: {
      type: 'string',
      description:
        'Whether evictions are kept from taking the quorum. With one replica, Enabled refuses every drain of its node; Disabled lets it stop the store.',
      enum: ['Enabled', 'Disabled'],
      default: 'Enabled',
    },
    update,
    paused: {
      type: 'boolean',
      description: 'Whether the operator leaves everything as it is; the status stays up to date.',
      default: false,
    },
    deletionPolicy: {
      type: 'string',
      description:
        'What becomes of the volumes when this object is deleted: Retain keeps them, Delete removes them with all data.',
      enum: ['Retain', 'Delete'],
      default: deletionPolicyDefault,
    },
    adoptFrom,
    bootstrap,
    restore: restoreInPlace,
    recovery,
  },
  'x-kubernetes-validations': [
    {
      rule: '!(has(self.image) && has(self.version))',
      message: 'image and version exclude each other: give version, or an image with its tag',
    },
    {
      rule: '!has(self.bootstrap) || has(oldSelf.bootstrap)',
      message:
        'bootstrap cannot be given to a store that has begun: to restore into it, use spec.restore',
    },
    {
      rule: 'has(self.bootstrap) || !has(oldSelf.bootstrap) || !has(oldSelf.bootstrap.mirrorFrom)',
      message:
        'bootstrap.mirrorFrom cannot be taken from a store: delete this StoreCluster to give up; after the cut-over it does nothing any more',
    },
    {
      rule: '!(has(self.restore) && has(self.bootstrap) && has(self.bootstrap.mirrorFrom)) || (has(self.bootstrap.mirrorFrom.cutOver) && self.bootstrap.mirrorFrom.cutOver)',
      message:
        'a store that follows another one cannot be restored into: cut it over first, or create a new StoreCluster with bootstrap.restore',
    },
    {
      rule: 'has(self.tls) == has(oldSelf.tls)',
      message:
        'tls cannot be switched on or off on a running store: create a new StoreCluster and move the data there',
    },
    {
      rule: '!has(oldSelf.encryption) || has(self.encryption)',
      message:
        'encryption cannot be removed, what is on the volumes is encrypted: to leave it, restore a backup into a new StoreCluster without it',
    },
    {
      rule: "!(has(self.encryption) && has(self.version) && self.version.startsWith('0.1.'))",
      message:
        'encryption needs version 0.2.0 or later: members of 0.1 cannot encrypt and cannot read what is encrypted',
    },
    {
      rule: "!(has(self.observers) && self.observers.replicas > 0 && has(self.version) && self.version.startsWith('0.1.'))",
      message:
        'observers need version 0.2.0 or later: members of 0.1 would take them for learners to be promoted',
    },
    {
      rule: "!(has(self.bootstrap) && has(self.bootstrap.mirrorFrom) && has(self.version) && self.version.startsWith('0.1.'))",
      message: 'bootstrap.mirrorFrom needs version 0.2.0 or later: 0.1 has no mirror',
    },
  ],
} as const satisfies JsonSchema;

export const condition = {
  type: 'object',
  required: ['type', 'status', 'lastTransitionTime', 'reason', 'message'],
  properties: {
    type: {
      type: 'string',
      description: 'Available, Progressing, Degraded, Ready, Stalled or Migrated.',
      maxLength: 316,
    },
    status: {
      type: 'string',
      description: 'Whether it is so.',
      enum: ['True', 'False', 'Unknown'],
    },
    observedGeneration: {
      type: 'integer',
      format: 'int64',
      description: 'The metadata.generation that this is about.',
    },
    lastTransitionTime: {
      type: 'string',
      description: 'Since when the status is this one.',
      format: 'date-time',
      maxLength: 64,
    },
    reason: { type: 'string', description: 'One word for programs.', maxLength: 1024 },
    message: { type: 'string', description: 'A sentence for people.', maxLength: 32768 },
  },
} as const satisfies JsonSchema;

const member = {
  type: 'object',
  required: ['name', 'role', 'healthy'],
  properties: {
    name: {
      type: 'string',
      description: 'Name of the member, its pod and its volume.',
      maxLength: 253,
    },
    id: {
      type: 'string',
      description: 'Member id in hexadecimal; absent before the member was added.',
      maxLength: 16,
    },
    role: {
      type: 'string',
      description: 'What it is in Raft; none while that is not known.',
      enum: ['leader', 'follower', 'learner', 'observer', 'none'],
    },
    pod: { type: 'string', description: 'Its pod, while there is one.', maxLength: 253 },
    node: { type: 'string', description: 'Node on which the pod runs.', maxLength: 253 },
    version: { type: 'string', description: 'Tag of the image that runs.', maxLength: 128 },
    revision: {
      type: 'integer',
      format: 'int64',
      description: 'Revision of the store that the member has.',
    },
    databaseSize: {
      type: 'string',
      description: 'Size of its database, rounded, for example 12Mi.',
      maxLength: 32,
    },
    hash: {
      type: 'string',
      description: 'Hash of its keys at that revision; only while the store has no quorum.',
      maxLength: 20,
    },
    outdated: {
      type: 'boolean',
      description: 'Whether the spec wants another pod than the one that runs.',
    },
    healthy: {
      type: 'boolean',
      description: 'Whether it answers, knows a leader and its pod is ready.',
    },
  },
} as const satisfies JsonSchema;

const certificate = {
  type: 'object',
  required: ['name', 'expires'],
  properties: {
    name: { type: 'string', description: 'Secret that it is in.', maxLength: 253 },
    begins: {
      type: 'string',
      description: 'From when on it is valid.',
      format: 'date-time',
      maxLength: 64,
    },
    expires: {
      type: 'string',
      description: 'When it ends.',
      format: 'date-time',
      maxLength: 64,
    },
  },
} as const satisfies JsonSchema;

const planned = {
  type: 'object',
  description: 'What the operator does next or waits for, and why.',
  required: ['decision', 'reason', 'message', 'since'],
  properties: {
    decision: {
      type: 'string',
      description:
        'Act: changes something now. Wait: for what the message says. Idle: all is done.',
      enum: ['Act', 'Wait', 'Idle'],
    },
    reason: { type: 'string', description: 'One word for programs.', maxLength: 64 },
    message: { type: 'string', description: 'A sentence for people.', maxLength: messageLengthMax },
    since: {
      type: 'string',
      description: 'Since when the same is decided.',
      format: 'date-time',
      maxLength: 64,
    },
    deadline: {
      type: 'string',
      description: 'When the wait counts as stuck.',
      format: 'date-time',
      maxLength: 64,
    },
  },
} as const satisfies JsonSchema;

/**
 * The status of what the operator has not looked at yet. API servers show it wherever they have stored none: who judges an
 * object by kstatus takes one without an observed generation, and without conditions, for done.
 */
export const unseen = { observedGeneration: -1 } as const;

export const storeClusterStatus = {
  type: 'object',
  description: 'What was observed. Written by the operator only.',
  default: unseen,
  properties: {
    observedGeneration: {
      type: 'integer',
      format: 'int64',
      description: 'The metadata.generation that this status is about.',
    },
    replicas: {
      type: 'integer',
      format: 'int32',
      description: 'Members that there are, learners included, observers not.',
    },
    selector: { type: 'string', description: 'Label selector of the pods.', maxLength: 1024 },
    ready: { type: 'string', description: 'Healthy of wanted members, "3/3".', maxLength: 16 },
    observers: {
      type: 'string',
      description:
        'Healthy of wanted observers, "2/2"; absent where there are none and none are wanted.',
      maxLength: 16,
    },
    version: { type: 'string', description: 'Image tags that run.', maxLength: 512 },
    leader: { type: 'string', description: 'Name of the member that leads.', maxLength: 253 },
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
    image: {
      type: 'string',
      description: 'Image that a member gets while the spec names none.',
      maxLength: 512,
    },
    beforeChange: {
      type: 'object',
      description: 'The backup that is made before the members change to another image.',
      required: ['image', 'backup'],
      properties: {
        image: { type: 'string', description: 'The image that they change to.', maxLength: 512 },
        backup: { type: 'string', description: 'Name of the StoreBackup.', maxLength: 253 },
        takenAt: {
          type: 'string',
          description: 'When it was found to be whole; the members change from then on.',
          format: 'date-time',
          maxLength: 64,
        },
      },
    },
    restore: {
      type: 'object',
      description: 'The restore into this store that is under way, or was the last.',
      required: ['id', 'aboveRevision'],
      properties: {
        id: { type: 'string', description: 'What of spec.restore it is about.', maxLength: 64 },
        aboveRevision: {
          type: 'integer',
          format: 'int64',
          description: 'Revision that the restored store begins above.',
        },
        parked: {
          type: 'array',
          description:
            'Volumes with what the store had before, kept aside until spec.restore.confirmRestored is this id.',
          maxItems: parkedMax,
          items: { type: 'string', maxLength: 253 },
        },
      },
    },
    mirror: {
      type: 'object',
      description: 'How far the store follows the source of bootstrap.mirrorFrom.',
      required: ['phase', 'since'],
      properties: {
        phase: {
          type: 'string',
          description:
            'Following; CuttingOver once cutOver is set, until nothing writes to the source and both are equal; Done: the mirror has ended for good. Failed: it does not go on, the message says why.',
          enum: mirrorPhases,
        },
        since: {
          type: 'string',
          description: 'Since when it is in this phase.',
          format: 'date-time',
          maxLength: 64,
        },
        sourceRevision: {
          type: 'integer',
          format: 'int64',
          description: 'Newest revision of the source that was heard of.',
        },
        revision: {
          type: 'integer',
          format: 'int64',
          description: 'Revision of the source up to which everything is copied.',
        },
        lagSeconds: {
          type: 'integer',
          format: 'int64',
          description: 'How long this store has been behind, in whole seconds.',
        },
        message: {
          type: 'string',
          description: 'A sentence for people.',
          maxLength: messageLengthMax,
        },
      },
    },
    space: {
      type: 'object',
      description: 'What was done about a full database; absent when there is no such alarm.',
      required: ['at', 'compacted', 'defragmented'],
      properties: {
        at: {
          type: 'string',
          description: 'When the last of it was done.',
          format: 'date-time',
          maxLength: 64,
        },
        compacted: {
          type: 'integer',
          format: 'int64',
          description: 'Revision up to which the history was forgotten.',
        },
        defragmented: {
          type: 'array',
          description: 'Members that have freed their space since.',
          maxItems: membersMax,
          items: { type: 'string', maxLength: 253 },
        },
      },
    },
    growthRefused: {
      type: 'object',
      description: 'The size that the volumes were refused; it is tried again after a while.',
      required: ['at', 'size', 'message'],
      properties: {
        at: {
          type: 'string',
          description: 'When it was refused.',
          format: 'date-time',
          maxLength: 64,
        },
        size: { type: 'string', description: 'What was asked for.', maxLength: 32 },
        message: {
          type: 'string',
          description: 'What Kubernetes said.',
          maxLength: messageLengthMax,
        },
      },
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
        nonce: {
          type: 'string',
          description: 'Part of the token that keeps members of other stores out.',
          maxLength: 64,
        },
        seed: { type: 'string', description: 'Name of the first member.', maxLength: 253 },
      },
    },
    members: {
      type: 'array',
      description: 'Each member as it was last seen.',
      maxItems: membersMax,
      items: member,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    },
    certificates: {
      type: 'array',
      description: 'When the certificates of this store end, those of its clients too.',
      maxItems: certificatesMax,
      items: certificate,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    },
    conditions: {
      type: 'array',
      description: 'What is so and what is not, for people and for `kubectl wait`.',
      maxItems: 16,
      items: condition,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
    plan: planned,
  },
} as const satisfies JsonSchema;
