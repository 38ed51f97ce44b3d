import type { JsonSchema } from '../json-schema.ts';
import { quantityPattern } from './values.ts';

/** Who did what: written by each member, of the calls that it was asked. */
export const audit = {
  type: 'object',
  description:
    'With this field, each member writes down who did what: authentication, administration and refusals always, keys by rules, values never. A change restarts the members one at a time. Members of a release before 0.2 write none.',
  properties: {
    target: {
      type: 'string',
      description:
        "Stdout, for whoever gathers the pods' output, if not set; or Volume: the file audit/audit.log beside the data.",
      enum: ['Stdout', 'Volume'],
    },
    rules: {
      type: 'array',
      description:
        'What else is written down: read:PREFIX and write:PREFIX (read:* for any key), lease, inspect.',
      maxItems: 32,
      items: {
        type: 'string',
        maxLength: 512,
        pattern: '^(lease|inspect|(read|write):.*)$',
      },
      'x-kubernetes-list-type': 'atomic',
    },
    maxFileSize: {
      type: 'string',
      description:
        'Size at which the file on the volume is put aside. If not set 100Mi, or less, so that all of them take a twentieth of the volume.',
      maxLength: 32,
      pattern: quantityPattern,
      'x-kubernetes-validations': [
        {
          rule: "quantity(self).compareTo(quantity('1Mi')) >= 0",
          message: 'audit.maxFileSize is too small: ask for at least 1Mi',
        },
      ],
    },
    maxFiles: {
      type: 'integer',
      format: 'int32',
      description: 'Files put aside that are kept, 5 if not set. They take space of the volume.',
      minimum: 1,
      maximum: 1_000,
    },
    whenFull: {
      type: 'string',
      description:
        'When lines come faster than they can be written: Drop loses and counts them, if not set; Block lets the calls wait.',
      enum: ['Drop', 'Block'],
    },
  },
  'x-kubernetes-validations': [
    {
      rule: "!(has(self.maxFileSize) || has(self.maxFiles)) || (has(self.target) && self.target == 'Volume')",
      message: 'audit.maxFileSize and audit.maxFiles need audit.target Volume',
    },
  ],
} as const satisfies JsonSchema;
