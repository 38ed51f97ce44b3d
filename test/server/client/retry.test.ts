import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statusOf } from '../../../server/api/errors.ts';
import type { ErrorName } from '../../../server/base/errors.ts';
import { failureOf } from '../../../server/client/errors.ts';
import { etcdTexts } from '../../../server/client/etcd-texts.ts';
import { mayRetry } from '../../../server/client/retry.ts';

/** What is done after each answer of a server: reads again, writes again. */
const rules: Readonly<Partial<Record<ErrorName, readonly [read: boolean, write: boolean]>>> = {
  NoLeader: [true, true],
  NotSupportedForLearner: [true, true],
  NotCapable: [true, true],
  TooManyRequests: [true, true],
  LeaderChanged: [true, false],
  Stopped: [true, false],
  Timeout: [true, false],
  TimeoutDueToLeaderFail: [true, false],
  TimeoutDueToConnectionLost: [true, false],
  TimeoutWaitAppliedIndex: [true, false],
  Unhealthy: [true, false],
  DeadlineExceeded: [true, false],
  EmptyKey: [false, false],
  KeyNotFound: [false, false],
  DuplicateKey: [false, false],
  Compacted: [false, false],
  FutureRevision: [false, false],
  NoSpace: [false, false],
  LeaseNotFound: [false, false],
  LeaseExists: [false, false],
  RequestTooLarge: [false, false],
  NotLeader: [false, false],
  Corrupt: [false, false],
  RequestCanceled: [false, false],
  Unimplemented: [false, false],
};

test('which failures are tried again', () => {
  for (const [name, expected] of Object.entries(rules)) {
    const { code, message: text } = statusOf(name as ErrorName);
    const failure = failureOf({ code, text }, 'http://a');
    const found = [mayRetry(failure, 'harmless'), mayRetry(failure, 'never')];
    assert.deepEqual(found, expected, name);
    assert.equal(failure.isSafeToRetry, expected[1], name);
  }
});

test('the texts are those that the server has', () => {
  const names: Readonly<Partial<Record<keyof typeof etcdTexts, ErrorName>>> = {
    emptyKey: 'EmptyKey',
    keyNotFound: 'KeyNotFound',
    valueProvided: 'ValueProvided',
    leaseProvided: 'LeaseProvided',
    tooManyOps: 'TooManyOps',
    duplicateKey: 'DuplicateKey',
    invalidSortOption: 'InvalidSortOption',
    compacted: 'Compacted',
    futureRevision: 'FutureRevision',
    noSpace: 'NoSpace',
    requestTooLarge: 'RequestTooLarge',
    tooManyRequests: 'TooManyRequests',
    leaseNotFound: 'LeaseNotFound',
    leaseExists: 'LeaseExists',
    leaseTtlTooLarge: 'LeaseTtlTooLarge',
    memberNotFound: 'MemberNotFound',
    memberExists: 'MemberExists',
    peerUrlExists: 'PeerUrlExists',
    memberBadUrls: 'MemberBadUrls',
    memberNotEnoughStarted: 'MemberNotEnoughStarted',
    memberNotLearner: 'MemberNotLearner',
    learnerNotReady: 'LearnerNotReady',
    tooManyLearners: 'TooManyLearners',
    noLeader: 'NoLeader',
    notLeader: 'NotLeader',
    leaderChanged: 'LeaderChanged',
    badLeaderTransferee: 'BadLeaderTransferee',
    notCapable: 'NotCapable',
    notSupportedForLearner: 'NotSupportedForLearner',
    stopped: 'Stopped',
    timeout: 'Timeout',
    unhealthy: 'Unhealthy',
    corrupt: 'Corrupt',
  };
  for (const [key, name] of Object.entries(names)) {
    assert.equal(etcdTexts[key as keyof typeof etcdTexts], statusOf(name).message);
  }
});
