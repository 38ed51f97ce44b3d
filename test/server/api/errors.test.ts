import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  GrpcCode,
  goText,
  httpStatus,
  StatusError,
  statusOf,
  toStatus,
  unknownMethod,
  unknownService,
} from '../../../server/api/errors.ts';
import { type ErrorName, EtcdError } from '../../../server/base/errors.ts';

/** Code and text as etcd 3.5.30 sends them, `etcdserver: ` left out. */
const expected: readonly (readonly [ErrorName, number, string])[] = [
  ['EmptyKey', 3, 'key is not provided'],
  ['KeyNotFound', 3, 'key not found'],
  ['ValueProvided', 3, 'value is provided'],
  ['LeaseProvided', 3, 'lease is provided'],
  ['TooManyOps', 3, 'too many operations in txn request'],
  ['DuplicateKey', 3, 'duplicate key given in txn request'],
  ['InvalidClientApiVersion', 3, 'invalid client api version'],
  ['InvalidSortOption', 3, 'invalid sort option'],
  ['MemberBadUrls', 3, 'given member URLs are invalid'],
  ['RequestTooLarge', 3, 'request is too large'],
  ['Compacted', 11, 'mvcc: required revision has been compacted'],
  ['FutureRevision', 11, 'mvcc: required revision is a future revision'],
  ['LeaseTtlTooLarge', 11, 'too large lease TTL'],
  ['NoSpace', 8, 'mvcc: database space exceeded'],
  ['TooManyRequests', 2, 'too many requests'],
  ['LeaseNotFound', 5, 'requested lease not found'],
  ['MemberNotFound', 5, 'member not found'],
  ['LeaseExists', 9, 'lease already exists'],
  ['MemberExists', 9, 'member ID already exist'],
  ['PeerUrlExists', 9, 'Peer URLs already exists'],
  ['MemberNotEnoughStarted', 2, 're-configuration failed due to not enough started members'],
  ['MemberNotLearner', 9, 'can only promote a learner member'],
  ['LearnerNotReady', 9, 'can only promote a learner member which is in sync with leader'],
  ['TooManyLearners', 9, 'too many learner members in cluster'],
  ['ClusterIdMismatch', 9, 'cluster ID mismatch'],
  ['NotLeader', 9, 'not leader'],
  ['NotCapable', 9, 'not capable'],
  ['NotSupportedForLearner', 9, 'rpc not supported for learner'],
  ['BadLeaderTransferee', 9, 'bad leader transferee'],
  ['NoLeader', 14, 'no leader'],
  ['LeaderChanged', 14, 'leader changed'],
  ['Stopped', 14, 'server stopped'],
  ['Timeout', 14, 'request timed out'],
  ['TimeoutDueToLeaderFail', 14, 'request timed out, possibly due to previous leader failure'],
  ['TimeoutDueToConnectionLost', 14, 'request timed out, possibly due to connection lost'],
  ['TimeoutWaitAppliedIndex', 14, 'request timed out, waiting for the applied index took too long'],
  ['TimeoutLeaderTransfer', 2, 'request timed out, leader transfer took too long'],
  ['Unhealthy', 14, 'unhealthy cluster'],
  ['Corrupt', 15, 'corrupt cluster'],
  ['RootUserNotExist', 9, 'root user does not exist'],
  ['RootRoleNotExist', 9, 'root user does not have root role'],
  ['UserAlreadyExist', 9, 'user name already exists'],
  ['UserEmpty', 3, 'user name is empty'],
  ['UserNotFound', 9, 'user name not found'],
  ['RoleAlreadyExist', 9, 'role name already exists'],
  ['RoleNotFound', 9, 'role name not found'],
  ['RoleEmpty', 3, 'role name is empty'],
  ['AuthFailed', 3, 'authentication failed, invalid user ID or password'],
  ['PermissionNotGiven', 3, 'permission not given'],
  ['PermissionDenied', 7, 'permission denied'],
  ['RoleNotGranted', 9, 'role is not granted to the user'],
  ['PermissionNotGranted', 9, 'permission is not granted to the role'],
  ['AuthNotEnabled', 9, 'authentication is not enabled'],
  ['AuthOldRevision', 3, 'revision of auth store is old'],
  ['InvalidAuthToken', 16, 'invalid auth token'],
  ['InvalidAuthMgmt', 3, 'invalid auth management'],
  ['WatchCanceled', 1, 'watch canceled'],
  ['RequestCanceled', 1, 'request canceled'],
];

suite('errors', () => {
  test('every error has etcd’s code and text', () => {
    for (const [name, code, text] of expected) {
      assert.deepEqual({ ...statusOf(name) }, { code, message: `etcdserver: ${text}` }, name);
    }
    assert.equal(statusOf('DeadlineExceeded').message, 'context deadline exceeded');
    assert.deepEqual(
      { ...statusOf('NoPasswordUser') },
      {
        code: 2,
        message: 'auth: authentication failed, password was given for no password user',
      },
    );
  });

  test('a status as Go prints it', () => {
    assert.equal(
      goText(statusOf('PermissionDenied')),
      'rpc error: code = PermissionDenied desc = etcdserver: permission denied',
    );
    assert.equal(
      goText(statusOf('UserEmpty')),
      'rpc error: code = InvalidArgument desc = etcdserver: user name is empty',
    );
  });

  test('what is not ours to tell becomes an internal error without a text of its own', () => {
    assert.deepEqual(
      { ...toStatus(new TypeError('secret')) },
      {
        code: GrpcCode.INTERNAL,
        message: 'internal error',
      },
    );
    assert.equal(toStatus(new EtcdError('NoLeader')).code, GrpcCode.UNAVAILABLE);
    assert.equal(toStatus(new StatusError('NOT_FOUND', 'x')).message, 'x');
  });

  test('calls that no one serves get grpc-go’s texts', () => {
    assert.equal(
      unknownMethod('etcdserverpb.KV', 'RangeStream').status.message,
      'unknown method RangeStream for service etcdserverpb.KV',
    );
    assert.deepEqual(
      { ...unknownService('a.B').status },
      { code: 12, message: 'unknown service a.B' },
    );
  });

  test('HTTP statuses are the gateway’s', () => {
    const codes = [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15, 16] as const;
    assert.deepEqual(
      codes.map(httpStatus),
      [200, 499, 500, 400, 504, 404, 403, 429, 400, 400, 501, 500, 503, 500, 401],
    );
  });
});
