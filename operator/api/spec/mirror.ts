import type { JsonSchema } from '../json-schema.ts';
import { secretName } from './values.ts';

const prefix = {
  type: 'string',
  maxLength: 1024,
  'x-kubernetes-validations': [
    {
      rule: "!self.startsWith('__mainstay/')",
      message:
        'keys that begin with __mainstay/ are where mirrors keep how far they are, and are never copied: use another prefix',
    },
  ],
} as const satisfies JsonSchema;

/** Field by field, so that a refusal names what was edited. */
function fixed(field: string) {
  return {
    rule: `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
    message: `mirrorFrom.${field} cannot change, what is copied depends on it: create a new StoreCluster that follows the other source`,
  };
}

/** A store that takes the place of another one. */
export const mirrorFrom = {
  type: 'object',
  description:
    'A running etcd, or another Mainstay, that this store follows until cutOver. Nothing else may write to this store until then.',
  required: ['endpoints'],
  properties: {
    endpoints: {
      type: 'array',
      description: 'URLs of its members, for example https://etcd-0.etcd:2379.',
      maxItems: 16,
      items: {
        type: 'string',
        minLength: 1,
        maxLength: 1024,
        pattern: '^https?://[^/?#@, ]+$',
      },
      'x-kubernetes-list-type': 'set',
    },
    prefix: { ...prefix, description: 'Only keys that begin with this are copied.' },
    destPrefix: {
      ...prefix,
      description: 'What stands in this store in place of prefix; without it, prefix.',
    },
    tls: {
      type: 'object',
      description:
        'How the source is reached with TLS. Without it, https endpoints are believed if a public authority has signed for them.',
      required: ['secretName'],
      properties: {
        secretName: {
          ...secretName,
          description:
            'Secret with ca.crt, who signs for the source, and where the source asks for a certificate with tls.crt and tls.key.',
        },
      },
    },
    user: {
      type: 'object',
      description:
        'Who reads at the source, where authentication is on: a user that may read every key that is copied.',
      required: ['secretName'],
      properties: {
        secretName: { ...secretName, description: 'Secret with username and password.' },
      },
    },
    cutOver: {
      type: 'boolean',
      description:
        'Set it to true when nothing writes to the source any more: once both are found equal, the mirror ends for good and this store is on its own.',
      default: false,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: 'self.endpoints.size() > 0',
      message: 'mirrorFrom.endpoints is empty: give the URL of a member of the source',
    },
    {
      rule: "!has(self.tls) || self.endpoints.all(endpoint, endpoint.startsWith('https://'))",
      message:
        'mirrorFrom.tls is for https:// endpoints: give all endpoints as https, or leave tls out',
    },
    fixed('endpoints'),
    fixed('prefix'),
    fixed('destPrefix'),
    fixed('tls'),
    fixed('user'),
    {
      rule: '!(has(oldSelf.cutOver) && oldSelf.cutOver) || (has(self.cutOver) && self.cutOver)',
      message:
        'mirrorFrom.cutOver cannot be taken back, the store may be on its own already: to copy once more, create a new StoreCluster',
    },
  ],
} as const satisfies JsonSchema;
