import type { JsonSchema } from '../json-schema.ts';
import { quantityPattern } from './values.ts';

export const storage = {
  type: 'object',
  description: 'The volume of each member.',
  required: ['size'],
  properties: {
    size: {
      type: 'string',
      description:
        'Size of each volume, for example 10Gi. It can grow while the store serves, also when it is full; never shrink.',
      maxLength: 32,
      pattern: quantityPattern,
      'x-kubernetes-validations': [
        {
          rule: 'quantity(self).compareTo(quantity(oldSelf)) >= 0',
          message:
            'storage.size cannot shrink, a volume only grows: keep the present size or ask for a larger one',
        },
        {
          rule: "quantity(self).compareTo(quantity('64Mi')) >= 0",
          message: 'storage.size is too small for the log of a store: ask for at least 64Mi',
        },
      ],
    },
    storageClassName: {
      type: 'string',
      description: 'StorageClass of the volumes; without it, the default class of the Kubernetes.',
      minLength: 1,
      maxLength: 253,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: 'has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)',
      message:
        'storage.storageClassName cannot change, volumes do not move between classes: keep the present class, or create a new StoreCluster with the other one',
    },
  ],
} as const satisfies JsonSchema;
