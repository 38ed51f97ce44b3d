import type { FromSchema } from './json-schema.ts';
import type { KubeObject } from './objects.ts';
import type { condition, storeClusterSpec, storeClusterStatus } from './schema.ts';

export interface StoreCluster extends KubeObject {
  readonly kind: 'StoreCluster';
  readonly spec: StoreClusterSpec;
  readonly status?: StoreClusterStatus;
}

export type StoreClusterSpec = FromSchema<typeof storeClusterSpec>;
export type StoreClusterStatus = FromSchema<typeof storeClusterStatus>;
export type MemberRecord = NonNullable<StoreClusterStatus['members']>[number];
export type PlanRecord = NonNullable<StoreClusterStatus['plan']>;
export type MirrorRecord = NonNullable<StoreClusterStatus['mirror']>;
/** metav1.Condition */
export type Condition = FromSchema<typeof condition>;
