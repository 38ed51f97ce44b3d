import type { JsonSchema } from '../json-schema.ts';
import { annotationMap, selectorMap } from './values.ts';

export const service = {
  type: 'object',
  description: 'The Service that clients connect to; it has the name of this object.',
  properties: {
    type: {
      type: 'string',
      description: 'ClusterIP for clients inside, NodePort or LoadBalancer for clients outside.',
      enum: ['ClusterIP', 'NodePort', 'LoadBalancer'],
      default: 'ClusterIP',
    },
    annotations: {
      ...annotationMap,
      description: 'Annotations of the Service, for example those that a cloud reads.',
    },
    nodePort: {
      type: 'integer',
      format: 'int32',
      description: 'Port on every node; without it, Kubernetes takes a free one.',
      minimum: 30_000,
      maximum: 32_767,
    },
    loadBalancerClass: {
      type: 'string',
      description: 'Which load balancer takes it.',
      minLength: 1,
      maxLength: 253,
    },
  },
  'x-kubernetes-validations': [
    {
      rule: "!has(self.nodePort) || (has(self.type) && self.type != 'ClusterIP')",
      message: 'service.nodePort needs type NodePort or LoadBalancer',
    },
    {
      rule: "!has(self.loadBalancerClass) || (has(self.type) && self.type == 'LoadBalancer')",
      message: 'service.loadBalancerClass needs type LoadBalancer',
    },
  ],
} as const satisfies JsonSchema;

export const consolePage = {
  type: 'object',
  description:
    'A page for people, at /console/ on the port for clients, with their TLS and users. A change restarts the members one at a time, the leader last.',
  properties: {
    enabled: {
      type: 'boolean',
      description: 'Whether the members serve it. Members of a release before 0.2 have none.',
      default: false,
    },
  },
} as const satisfies JsonSchema;

export const networkPolicy = {
  type: 'object',
  description:
    'With this field, the members take connections from each other, the operator and these clients only.',
  properties: {
    clients: {
      type: 'array',
      description:
        'Who may connect as a client; nobody else. Without it, every pod of the namespace.',
      maxItems: 32,
      items: {
        type: 'object',
        properties: {
          podLabels: { ...selectorMap, description: 'Pods with these labels.' },
          namespaceLabels: {
            ...selectorMap,
            description: "Namespaces with these labels; without it, this object's own.",
          },
        },
      },
      'x-kubernetes-list-type': 'atomic',
    },
  },
} as const satisfies JsonSchema;
