import type { JsonSchema } from '../json-schema.ts';
import { secretName } from './values.ts';

export const encryptionKeyDefault = 'key';
export const formerKeyDefault = 'former';

/** As Kubernetes has the names of a Secret's entries; they become names of files in a list with commas. */
const entryName = {
  type: 'string',
  minLength: 1,
  maxLength: 253,
  pattern: '^[-_a-zA-Z0-9][-._a-zA-Z0-9]*$',
} as const satisfies JsonSchema;

/** Of what members have on their volumes. */
export const encryption = {
  type: 'object',
  description:
    'Encrypts what members write to their volumes (AES-256-GCM). It can be added to a running store, one member at a time; each encrypts its data when it starts, and needs as much room again for that moment. It cannot be removed. Needs version 0.2.0 or later.',
  required: ['secretName'],
  properties: {
    secretName: {
      ...secretName,
      description:
        'Secret with the key. A new key that is written into it is taken while the store serves; keep the former one beside it for some minutes. Without the Secret no member starts: keep a copy of it elsewhere.',
    },
    key: {
      ...entryName,
      description:
        'Entry of the Secret with the key: 32 bytes, as they are, in base64 or hexadecimal.',
      default: encryptionKeyDefault,
    },
    formerKey: {
      ...entryName,
      description:
        'Entry with the key of before, so that a member that starts before it has taken the new one can open its data. It may be missing.',
      default: formerKeyDefault,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: '!(has(self.key) && has(self.formerKey)) || self.key != self.formerKey',
      message:
        'encryption.key and encryption.formerKey name the same entry: give the former key one of its own',
    },
  ],
} as const satisfies JsonSchema;
