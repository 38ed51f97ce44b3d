import type { JsonSchema } from '../json-schema.ts';
import { secretName } from './values.ts';

const layout =
  'The Secret has tls.crt, tls.key and ca.crt, as cert-manager writes them; new contents are taken while the store serves.';

/** Field by field: a rule on the whole would refuse every edit beside it. */
function fixed(field: string, path: string) {
  return {
    rule: `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
    message: `${path} cannot change on a running store: to rotate, replace the contents of the Secret`,
  };
}

export const tls = {
  type: 'object',
  description:
    'Encryption of what clients and members say. Cannot be switched on or off later. Without a Secret, the operator makes a CA and certificates and renews them.',
  properties: {
    client: {
      type: 'object',
      description: 'TLS on the client port.',
      properties: {
        secretName: {
          ...secretName,
          description: `Secret with the server certificate of all members. ${layout}`,
        },
        operatorSecretName: {
          ...secretName,
          description: `Secret with the client certificate that the operator shows. ${layout}`,
        },
        verifyClients: {
          type: 'boolean',
          description:
            'Whether clients must show a certificate of the CA. Its common name is their user when auth is on.',
          default: false,
        },
        names: {
          type: 'array',
          description:
            'Further DNS names and IP addresses under which clients reach the store; they stand in the certificate.',
          maxItems: 32,
          items: {
            type: 'string',
            minLength: 1,
            maxLength: 253,
            pattern: '^(\\*\\.)?[0-9a-zA-Z]([-.:0-9a-zA-Z]*[0-9a-zA-Z])?$',
          },
          'x-kubernetes-list-type': 'set',
        },
      },
      'x-kubernetes-validations': [
        fixed('secretName', 'tls.client.secretName'),
        fixed('operatorSecretName', 'tls.client.operatorSecretName'),
        {
          rule: '!(has(self.secretName) && has(self.names))',
          message:
            "tls.client.names is for the operator's own certificates: with secretName, put the names into that certificate",
        },
        {
          rule: '!(has(self.secretName) && has(self.verifyClients) && self.verifyClients) || has(self.operatorSecretName)',
          message:
            'tls.client.verifyClients with a Secret of yours needs operatorSecretName: the operator must show a certificate of that CA too',
        },
        {
          rule: '!has(self.operatorSecretName) || has(self.secretName)',
          message:
            'tls.client.operatorSecretName goes with secretName: with its own CA, the operator makes its certificate itself',
        },
      ],
    },
    peer: {
      type: 'object',
      description: 'TLS between the members; each shows and checks certificates.',
      properties: {
        secretName: {
          ...secretName,
          description: `Secret with the certificate of all members, for servers and clients. ${layout}`,
        },
      },
      'x-kubernetes-validations': [fixed('secretName', 'tls.peer.secretName')],
    },
    certificateDays: {
      type: 'integer',
      format: 'int32',
      description:
        "Days for which the operator's certificates are valid; they are renewed after two thirds of that.",
      default: 90,
      minimum: 1,
      maximum: 825,
    },
    rotateCA: {
      type: 'string',
      description:
        "Any new value has the operator's CA replaced: both are trusted, then new certificates, then the old one is dropped. The date is a good value.",
      maxLength: 64,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: 'has(self.client) == has(oldSelf.client) && has(self.peer) == has(oldSelf.peer)',
      message:
        'tls.client and tls.peer cannot be switched on or off on a running store: create a new StoreCluster and move the data there',
    },
    {
      rule: 'has(self.client) || has(self.peer)',
      message: 'tls needs client, peer or both; leave tls out for a store without encryption',
    },
  ],
} as const satisfies JsonSchema;
