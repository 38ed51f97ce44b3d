import { type ErrorName, EtcdError } from '../base/errors.ts';

/** gRPC's status codes, by their names in the specification. */
export const GrpcCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type GrpcCode = (typeof GrpcCode)[keyof typeof GrpcCode];

/** What ends a call. Clients decide by `message`, so its text is etcd's to the letter. */
export interface Status {
  readonly code: GrpcCode;
  readonly message: string;
  /** When it is worth while to ask again, where that is told. */
  readonly retryAfterMs?: number;
}

type Row = readonly [code: keyof typeof GrpcCode, text: string];

/** Those whose text has no `etcdserver: ` before it. */
type UnprefixedName = 'DeadlineExceeded' | 'NoPasswordUser' | 'Unimplemented';

/**
 * etcd's table (api/v3rpc/rpctypes/error.go); every text is preceded by `etcdserver: `. Two errors have the code UNKNOWN
 * although that file says otherwise: etcd's server maps them to the client's variant, which is no gRPC status.
 */
const table: Readonly<Record<Exclude<ErrorName, UnprefixedName>, Row>> = {
  EmptyKey: ['INVALID_ARGUMENT', 'key is not provided'],
  KeyNotFound: ['INVALID_ARGUMENT', 'key not found'],
  ValueProvided: ['INVALID_ARGUMENT', 'value is provided'],
  LeaseProvided: ['INVALID_ARGUMENT', 'lease is provided'],
  TooManyOps: ['INVALID_ARGUMENT', 'too many operations in txn request'],
  DuplicateKey: ['INVALID_ARGUMENT', 'duplicate key given in txn request'],
  InvalidClientApiVersion: ['INVALID_ARGUMENT', 'invalid client api version'],
  InvalidSortOption: ['INVALID_ARGUMENT', 'invalid sort option'],
  MemberBadUrls: ['INVALID_ARGUMENT', 'given member URLs are invalid'],
  RequestTooLarge: ['INVALID_ARGUMENT', 'request is too large'],
  Compacted: ['OUT_OF_RANGE', 'mvcc: required revision has been compacted'],
  FutureRevision: ['OUT_OF_RANGE', 'mvcc: required revision is a future revision'],
  LeaseTtlTooLarge: ['OUT_OF_RANGE', 'too large lease TTL'],
  NoSpace: ['RESOURCE_EXHAUSTED', 'mvcc: database space exceeded'],
  TooManyRequests: ['UNKNOWN', 'too many requests'],
  LeaseNotFound: ['NOT_FOUND', 'requested lease not found'],
  MemberNotFound: ['NOT_FOUND', 'member not found'],
  LeaseExists: ['FAILED_PRECONDITION', 'lease already exists'],
  MemberExists: ['FAILED_PRECONDITION', 'member ID already exist'],
  PeerUrlExists: ['FAILED_PRECONDITION', 'Peer URLs already exists'],
  MemberNotEnoughStarted: ['UNKNOWN', 're-configuration failed due to not enough started members'],
  MemberNotLearner: ['FAILED_PRECONDITION', 'can only promote a learner member'],
  LearnerNotReady: [
    'FAILED_PRECONDITION',
    'can only promote a learner member which is in sync with leader',
  ],
  TooManyLearners: ['FAILED_PRECONDITION', 'too many learner members in cluster'],
  // The next four are our own: etcd has no observers.
  TooManyObservers: [
    'FAILED_PRECONDITION',
    'too many observers in cluster: --max-observers of the member that was asked allows no more',
  ],
  ObserverNotPromotable: [
    'FAILED_PRECONDITION',
    'an observer stays an observer: remove it, and add a learner or a voter in its place',
  ],
  ObserverNotCapable: [
    'FAILED_PRECONDITION',
    'an observer can be added once every member that was started answers and is of a release that knows observers',
  ],
  ObserverStale: [
    'UNAVAILABLE',
    'this observer may be older than --observer-max-staleness allows: ask another member',
  ],
  ClusterIdMismatch: ['FAILED_PRECONDITION', 'cluster ID mismatch'],
  NotLeader: ['FAILED_PRECONDITION', 'not leader'],
  NotCapable: ['FAILED_PRECONDITION', 'not capable'],
  NotSupportedForLearner: ['FAILED_PRECONDITION', 'rpc not supported for learner'],
  BadLeaderTransferee: ['FAILED_PRECONDITION', 'bad leader transferee'],
  NoLeader: ['UNAVAILABLE', 'no leader'],
  LeaderChanged: ['UNAVAILABLE', 'leader changed'],
  Stopped: ['UNAVAILABLE', 'server stopped'],
  Timeout: ['UNAVAILABLE', 'request timed out'],
  TimeoutDueToLeaderFail: [
    'UNAVAILABLE',
    'request timed out, possibly due to previous leader failure',
  ],
  TimeoutDueToConnectionLost: ['UNAVAILABLE', 'request timed out, possibly due to connection lost'],
  TimeoutWaitAppliedIndex: [
    'UNAVAILABLE',
    'request timed out, waiting for the applied index took too long',
  ],
  TimeoutLeaderTransfer: ['UNKNOWN', 'request timed out, leader transfer took too long'],
  Unhealthy: ['UNAVAILABLE', 'unhealthy cluster'],
  Corrupt: ['DATA_LOSS', 'corrupt cluster'],
  RootUserNotExist: ['FAILED_PRECONDITION', 'root user does not exist'],
  RootRoleNotExist: ['FAILED_PRECONDITION', 'root user does not have root role'],
  UserAlreadyExist: ['FAILED_PRECONDITION', 'user name already exists'],
  UserEmpty: ['INVALID_ARGUMENT', 'user name is empty'],
  UserNotFound: ['FAILED_PRECONDITION', 'user name not found'],
  RoleAlreadyExist: ['FAILED_PRECONDITION', 'role name already exists'],
  RoleNotFound: ['FAILED_PRECONDITION', 'role name not found'],
  RoleEmpty: ['INVALID_ARGUMENT', 'role name is empty'],
  AuthFailed: ['INVALID_ARGUMENT', 'authentication failed, invalid user ID or password'],
  PermissionNotGiven: ['INVALID_ARGUMENT', 'permission not given'],
  PermissionDenied: ['PERMISSION_DENIED', 'permission denied'],
  RoleNotGranted: ['FAILED_PRECONDITION', 'role is not granted to the user'],
  PermissionNotGranted: ['FAILED_PRECONDITION', 'permission is not granted to the role'],
  AuthNotEnabled: ['FAILED_PRECONDITION', 'authentication is not enabled'],
  AuthOldRevision: ['INVALID_ARGUMENT', 'revision of auth store is old'],
  InvalidAuthToken: ['UNAUTHENTICATED', 'invalid auth token'],
  InvalidAuthMgmt: ['INVALID_ARGUMENT', 'invalid auth management'],
  WrongDowngradeVersion: ['INVALID_ARGUMENT', 'wrong downgrade target version format'],
  InvalidDowngradeTarget: ['INVALID_ARGUMENT', 'invalid downgrade target version'],
  DowngradeInProgress: ['FAILED_PRECONDITION', 'cluster has a downgrade job in progress'],
  NoInflightDowngrade: ['FAILED_PRECONDITION', 'no inflight downgrade job'],
  WatchCanceled: ['CANCELLED', 'watch canceled'],
  RequestCanceled: ['CANCELLED', 'request canceled'],
};

const statuses = new Map<ErrorName, Status>([
  ['DeadlineExceeded', status('DEADLINE_EXCEEDED', 'context deadline exceeded')],
  ['Unimplemented', status('UNIMPLEMENTED', 'not implemented')],
  [
    'NoPasswordUser',
    status('UNKNOWN', 'auth: authentication failed, password was given for no password user'),
  ],
]);
for (const [name, [code, text]] of Object.entries(table)) {
  statuses.set(name as ErrorName, status(code, `etcdserver: ${text}`));
}

const internal = status('INTERNAL', 'internal error');

function status(code: keyof typeof GrpcCode, message: string): Status {
  return Object.freeze({ code: GrpcCode[code], message });
}

export function statusOf(error: ErrorName): Status {
  return statuses.get(error) ?? internal;
}

/** The status for whatever a call has thrown. What is neither of our two errors is a fault of ours and says no more. */
export function toStatus(error: unknown): Status {
  if (error instanceof EtcdError) return statusOf(error.error);
  return error instanceof StatusError ? error.status : internal;
}

/** An end of a call whose text depends on the call, so that no table has it. */
export class StatusError extends Error {
  override name = 'StatusError';
  readonly status: Status;

  constructor(
    code: keyof typeof GrpcCode,
    message: string,
    hint: { readonly retryAfterMs?: number } = {},
  ) {
    super(message);
    this.status = Object.freeze({ code: GrpcCode[code], message, ...hint });
  }
}

/** A status as Go prints it: what a watch that is refused is told. */
export function goText({ code, message }: Status): string {
  const name = Object.entries(GrpcCode).find(([, value]) => value === code)?.[0] ?? '';
  const words = name.toLowerCase().split('_');
  const goName = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
  return `rpc error: code = ${goName} desc = ${message}`;
}

/** grpc-go's texts for calls that no one serves. */
export function unknownMethod(service: string, method: string): StatusError {
  return new StatusError('UNIMPLEMENTED', `unknown method ${method} for service ${service}`);
}

export function unknownService(service: string): StatusError {
  return new StatusError('UNIMPLEMENTED', `unknown service ${service}`);
}

export function malformedMethod(path: string): StatusError {
  return new StatusError('UNIMPLEMENTED', `malformed method name: ${JSON.stringify(path)}`);
}

/** The HTTP status that grpc-gateway gives a code. */
export function httpStatus(code: GrpcCode): number {
  return httpStatuses[code] ?? 500;
}

const httpStatuses: Partial<Record<GrpcCode, number>> = {
  [GrpcCode.OK]: 200,
  [GrpcCode.CANCELLED]: 499,
  [GrpcCode.INVALID_ARGUMENT]: 400,
  [GrpcCode.DEADLINE_EXCEEDED]: 504,
  [GrpcCode.NOT_FOUND]: 404,
  [GrpcCode.ALREADY_EXISTS]: 409,
  [GrpcCode.PERMISSION_DENIED]: 403,
  [GrpcCode.RESOURCE_EXHAUSTED]: 429,
  [GrpcCode.FAILED_PRECONDITION]: 400,
  [GrpcCode.ABORTED]: 409,
  [GrpcCode.OUT_OF_RANGE]: 400,
  [GrpcCode.UNIMPLEMENTED]: 501,
  [GrpcCode.UNAVAILABLE]: 503,
  [GrpcCode.UNAUTHENTICATED]: 401,
};
