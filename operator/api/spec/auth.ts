import type { JsonSchema } from '../json-schema.ts';
import { secretKey } from './values.ts';

const name = {
  type: 'string',
  minLength: 1,
  maxLength: 40,
  pattern: '^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$',
} as const satisfies JsonSchema;

const key = { type: 'string', minLength: 1, maxLength: 1024 } as const satisfies JsonSchema;

const permission = {
  type: 'object',
  description: 'What a role may do with one key or range of keys.',
  required: ['access'],
  properties: {
    access: {
      type: 'string',
      description: 'What is allowed.',
      enum: ['Read', 'Write', 'ReadWrite'],
    },
    key: { ...key, description: 'The key; with rangeEnd, the first one.' },
    rangeEnd: { ...key, description: 'The first key behind the range.' },
    prefix: {
      type: 'string',
      description: 'All keys that begin with this; the empty text means every key.',
      maxLength: 1024,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: 'has(self.key) != has(self.prefix)',
      message: 'a permission is for a key or for a prefix: give exactly one of them',
    },
    {
      rule: '!has(self.rangeEnd) || has(self.key)',
      message: 'rangeEnd ends the range that key begins: give key with it',
    },
  ],
} as const satisfies JsonSchema;

export const auth = {
  type: 'object',
  description:
    'Who may do what. With this field, authentication is on; users and roles of the store that are not declared here are left alone.',
  required: ['rootPassword'],
  properties: {
    rootPassword: {
      ...secretKey,
      description: 'Where the password of the user root is; a new one there is set in the store.',
    },
    roles: {
      type: 'array',
      description: 'Roles that the store has.',
      maxItems: 64,
      items: {
        type: 'object',
        required: ['name'],
        properties: {
          name: { ...name, description: 'Name of the role.' },
          permissions: {
            type: 'array',
            description: 'All that the role may do.',
            maxItems: 64,
            items: permission,
            'x-kubernetes-list-type': 'atomic',
          },
        },
        'x-kubernetes-validations': [
          {
            rule: "self.name != 'root'",
            message: 'the role root exists by itself: grant it to a user instead',
          },
        ],
      },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    },
    users: {
      type: 'array',
      description:
        'Users that the store has. Each gets a Secret NAME-USER-connection with all that an application needs.',
      maxItems: 64,
      items: {
        type: 'object',
        required: ['name'],
        properties: {
          name: { ...name, description: 'Name of the user.' },
          password: {
            ...secretKey,
            description: 'Where the password is. Without it, the operator makes one.',
          },
          roles: {
            type: 'array',
            description: 'Roles of the user; "root" may do everything.',
            maxItems: 32,
            items: { ...name, description: 'Name of a role.' },
            'x-kubernetes-list-type': 'set',
          },
        },
        'x-kubernetes-validations': [
          {
            rule: "self.name != 'root' && self.name != 'mainstay-operator'",
            message:
              'the users root and mainstay-operator are kept by the operator: use auth.rootPassword for root, another name for others',
          },
        ],
      },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    },
  },
} as const satisfies JsonSchema;
