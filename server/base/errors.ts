/**
 * What a client can be told, by name; `api/errors.ts` maps each to etcd's gRPC code and exact text.
 * Source of the set: etcd api/v3rpc/rpctypes/error.go.
 */
export type ErrorName =
  | 'EmptyKey'
  | 'KeyNotFound'
  | 'ValueProvided'
  | 'LeaseProvided'
  | 'TooManyOps'
  | 'DuplicateKey'
  | 'InvalidClientApiVersion'
  | 'InvalidSortOption'
  | 'Compacted'
  | 'FutureRevision'
  | 'NoSpace'
  | 'LeaseNotFound'
  | 'LeaseExists'
  | 'LeaseTtlTooLarge'
  | 'MemberExists'
  | 'PeerUrlExists'
  | 'MemberNotEnoughStarted'
  | 'MemberBadUrls'
  | 'MemberNotFound'
  | 'MemberNotLearner'
  | 'LearnerNotReady'
  | 'TooManyLearners'
  | 'TooManyObservers'
  | 'ObserverNotPromotable'
  | 'ObserverNotCapable'
  | 'ObserverStale'
  | 'ClusterIdMismatch'
  | 'RequestTooLarge'
  | 'TooManyRequests'
  | 'NotLeader'
  | 'LeaderChanged'
  | 'NotCapable'
  | 'Stopped'
  | 'Timeout'
  | 'TimeoutLeaderTransfer'
  | 'TimeoutDueToLeaderFail'
  | 'TimeoutDueToConnectionLost'
  | 'TimeoutWaitAppliedIndex'
  | 'Unhealthy'
  | 'Corrupt'
  | 'NoLeader'
  | 'NotSupportedForLearner'
  | 'BadLeaderTransferee'
  | 'RootUserNotExist'
  | 'RootRoleNotExist'
  | 'UserAlreadyExist'
  | 'UserEmpty'
  | 'UserNotFound'
  | 'RoleAlreadyExist'
  | 'RoleNotFound'
  | 'RoleEmpty'
  | 'AuthFailed'
  | 'NoPasswordUser'
  | 'PermissionNotGiven'
  | 'PermissionDenied'
  | 'RoleNotGranted'
  | 'PermissionNotGranted'
  | 'AuthNotEnabled'
  | 'AuthOldRevision'
  | 'InvalidAuthToken'
  | 'InvalidAuthMgmt'
  | 'WatchCanceled'
  | 'RequestCanceled'
  | 'WrongDowngradeVersion'
  | 'InvalidDowngradeTarget'
  | 'DowngradeInProgress'
  | 'NoInflightDowngrade'
  | 'DeadlineExceeded'
  | 'Unimplemented';

/** An expected failure that a client is told. Everything else that is thrown is a fault of ours. */
export class EtcdError extends Error {
  override name = 'EtcdError';
  readonly error: ErrorName;

  constructor(error: ErrorName, options?: { cause?: unknown }) {
    super(error, options);
    this.error = error;
  }
}
