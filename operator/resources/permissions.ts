import { group } from '../api/schema.ts';

/** rbac.authorization.k8s.io/v1 PolicyRule. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** What the operator does in a namespace that it looks after: the rules of a Role, or of a ClusterRole for all. */
export const workRules: readonly PolicyRule[] = [
  { apiGroups: [group], resources: ['storeclusters'], verbs: ['get', 'list', 'watch', 'patch'] },
  { apiGroups: [group], resources: ['storeclusters/status'], verbs: ['update'] },
  // To be named as the owner that blocks its own deletion, where the API server checks that.
  { apiGroups: [group], resources: ['storeclusters/finalizers'], verbs: ['update'] },
  {
    apiGroups: [group],
    resources: ['storebackups'],
    verbs: ['get', 'list', 'watch', 'create', 'delete'],
  },
  { apiGroups: [group], resources: ['storebackupschedules'], verbs: ['get', 'list', 'watch'] },
  {
    apiGroups: [group],
    resources: ['storebackups/status', 'storebackupschedules/status'],
    verbs: ['update'],
  },
  {
    apiGroups: [group],
    resources: ['storebackups/finalizers', 'storebackupschedules/finalizers'],
    verbs: ['update'],
  },
  {
    apiGroups: [''],
    resources: ['pods', 'persistentvolumeclaims'],
    verbs: ['list', 'watch', 'create', 'patch', 'delete'],
  },
  // How far a backup or a mirror is, its pod says in its log.
  { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
  // Server-side apply is a patch, and a create where there is none yet.
  { apiGroups: [''], resources: ['services'], verbs: ['get', 'create', 'patch', 'delete'] },
  {
    apiGroups: ['policy'],
    resources: ['poddisruptionbudgets'],
    verbs: ['get', 'create', 'patch', 'delete'],
  },
  {
    apiGroups: ['networking.k8s.io'],
    resources: ['networkpolicies'],
    verbs: ['get', 'create', 'patch', 'delete'],
  },
  // By name: its own, and those that a spec names. It may not look for others.
  { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'create', 'patch', 'delete'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create'] },
];

/** What it may see beyond a namespace, where a ClusterRole lets it: drains and dead nodes. It works without. */
export const nodeRules: readonly PolicyRule[] = [
  { apiGroups: [''], resources: ['nodes'], verbs: ['get'] },
];

/** What it does in the namespace of its leader lease. */
export const leaseRules: readonly PolicyRule[] = [
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['get', 'create', 'update'],
  },
];

/** Everything that it may do anywhere; a Role holds all but `nodeRules`. */
export const allRules: readonly PolicyRule[] = [...workRules, ...nodeRules, ...leaseRules];
