// The buckets and names of an etcd database file (etcd server/storage/schema/bucket.go). Integers are big-endian.

export const bucketName = {
  /** main revision u64, `_`, sub revision u64, and `t` for a tombstone -> mvccpb.KeyValue. */
  key: 'key',
  /** Single facts, see {@link metaName}. */
  meta: 'meta',
  /** id u64 -> leasepb.Lease. */
  lease: 'lease',
  /** etcdserverpb.AlarmMember -> nothing. */
  alarm: 'alarm',
  /** `clusterVersion`, `downgrade`. */
  cluster: 'cluster',
  /** id in hex -> JSON. */
  members: 'members',
  /** id in hex -> `removed`. */
  membersRemoved: 'members_removed',
  /** `authEnabled`: 0 or 1 in a byte, `authRevision`: u64. */
  auth: 'auth',
  /** name -> authpb.User. */
  authUsers: 'authUsers',
  /** name -> authpb.Role. */
  authRoles: 'authRoles',
} as const;

export const metaName = {
  /** u64: of the last applied entry. */
  consistentIndex: 'consistent_index',
  /** u64: of the same entry. */
  term: 'term',
  /** raftpb.ConfState as JSON. */
  confState: 'confState',
  /** Since etcd 3.6. */
  storageVersion: 'storageVersion',
  /** A revision as in the bucket `key`: the compaction that was begun last. */
  scheduledCompaction: 'scheduledCompactRev',
  /** The same: the one that was finished last. */
  finishedCompaction: 'finishedCompactRev',
} as const;
