import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { UnknownEntryError } from '../../../server/apply/applier.ts';
import { readTxnSteps } from '../../../server/apply/txn.ts';
import { fromLatin1 } from '../../../server/base/bytes.ts';
import { InternalRequest, LeaseRevokeInternal } from '../../../server/proto/gen/internal.ts';
import {
  AlarmAction,
  type AlarmResponse,
  AlarmType,
  CompactionRequest,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  type LeaseGrantResponse,
  type PutResponse,
  TxnRequest,
  type TxnResponse,
  WatchCreateRequest,
  type WatchResponse,
} from '../../../server/proto/gen/rpc.ts';
import {
  Applying,
  brief,
  briefOp,
  compare,
  deleteOp,
  putOp,
  putRequest,
  rangeOp,
  txnOp,
} from './applying.ts';

function value(applying: Applying, key: string): string {
  return brief(applying.store.get(key));
}

suite('every entry moves the applied index', () => {
  test('an empty one, a failed one and a good one', async () => {
    const applying = await Applying.open();
    assert.deepEqual(applying.applyData(new Uint8Array()), { id: 0n, revision: 1, costBytes: 0 });
    assert.equal(applying.put('a', '1', { lease: 9n }).error?.error, 'LeaseNotFound');
    assert.equal(applying.put('a', '1').revision, 2);
    assert.deepEqual(applying.backend.applied, { index: 3, term: 1 });
  });

  test('an entry that was applied is not applied again', async () => {
    const applying = await Applying.open();
    const data = InternalRequest.encode(
      InternalRequest.create({ id: 5n, request: { kind: 'put', value: putRequest('a', '1') } }),
    );
    assert.equal(applying.applier.apply({ index: 4, term: 1, data }).id, 5n);
    assert.deepEqual(applying.applier.apply({ index: 4, term: 1, data }), {
      id: 0n,
      revision: 2,
      costBytes: 0,
    });
    assert.deepEqual(applying.applier.apply({ index: 3, term: 1, data }), {
      id: 0n,
      revision: 2,
      costBytes: 0,
    });
    assert.equal(value(applying, 'a'), 'a=1(2,2,1,0)');
  });

  test('one of a kind that is not known ends the process and leaves no trace', async () => {
    const applying = await Applying.open();
    const unknown = Uint8Array.of(8, 1, 0xfa, 0x3f, 0); // id 1, field 1023
    assert.throws(() => applying.applyData(unknown), UnknownEntryError);
    assert.equal(applying.backend.applied.index, 0);
  });
});

suite('put', () => {
  test('every put is a new revision; the previous value on demand', async () => {
    const applying = await Applying.open();
    applying.put('a', '1');
    applying.put('a', '1');
    const first = applying.put('b', '', { prevKv: true }).response as PutResponse;
    assert.deepEqual(first, { header: header(4), prevKv: undefined });
    const second = applying.put('a', '', { prevKv: true }).response as PutResponse;
    assert.equal(brief(second.prevKv), 'a=1(2,3,2,0)');
    assert.equal(value(applying, 'a'), 'a=(2,5,3,0)');
  });

  test('what is kept must be there; the lease is looked at first', async () => {
    const applying = await Applying.open();
    assert.equal(applying.put('a', '', { ignoreValue: true }).error?.error, 'KeyNotFound');
    assert.equal(applying.put('a', '1', { ignoreLease: true }).error?.error, 'KeyNotFound');
    const both = applying.put('a', '', { ignoreValue: true, lease: 7n });
    assert.equal(both.error?.error, 'LeaseNotFound');
    applying.grant(7n);
    applying.put('a', 'old', { lease: 7n });
    applying.put('a', 'new', { ignoreLease: true });
    assert.equal(value(applying, 'a'), 'a=new(2,3,2,7)');
    applying.put('a', '', { ignoreValue: true });
    assert.equal(value(applying, 'a'), 'a=new(2,4,3,0)');
  });

  test('a put without a lease detaches the key from the one it had', async () => {
    const applying = await Applying.open();
    applying.grant(1n);
    applying.grant(2n);
    applying.put('a', '', { lease: 1n });
    applying.put('a', '', { lease: 2n });
    assert.deepEqual([applying.lessor.keysOf(1n), applying.lessor.keysOf(2n)], [[], ['a']]);
    applying.put('a', '');
    assert.deepEqual(applying.lessor.keysOf(2n), []);
  });
});

suite('delete', () => {
  test('a range in one revision, previous values in key order; nothing deleted, no revision', async () => {
    const applying = await Applying.open();
    applying.grant(1n);
    for (const key of ['c', 'a', 'b']) applying.put(key, key, { lease: 1n });
    const request = { key: fromLatin1('a'), rangeEnd: fromLatin1('c'), prevKv: true };
    const value = DeleteRangeRequest.create(request);
    const answer = applying.apply({ kind: 'deleteRange', value }).response as DeleteRangeResponse;
    assert.equal(answer.deleted, 2);
    assert.deepEqual(answer.prevKvs.map(brief), ['a=a(3,3,1,1)', 'b=b(4,4,1,1)']);
    assert.deepEqual(answer.header, header(5));
    assert.deepEqual(applying.lessor.keysOf(1n), ['c']);
    const again = applying.apply({ kind: 'deleteRange', value }).response as DeleteRangeResponse;
    assert.deepEqual(again, { header: header(5), deleted: 0, prevKvs: [] });
  });
});

suite('txn', () => {
  test('all writes have one revision; later ranges see earlier writes; headers inside', async () => {
    const applying = await Applying.open();
    applying.put('a', '0');
    const { response } = applying.txn({
      compare: [compare('a', 'VALUE', 'EQUAL', { kind: 'value', value: fromLatin1('0') })],
      success: [
        rangeOp('a', 'z'),
        putOp('b', '1', { prevKv: true }),
        txnOp({ compare: [compare('b', 'VERSION', 'GREATER')], failure: [putOp('c', '2')] }),
        rangeOp('a', 'z', { countOnly: true }),
        deleteOp('a', '', true),
        rangeOp('a', 'z'),
      ],
    });
    const txn = response as TxnResponse;
    assert.deepEqual(txn.header, header(3));
    assert.equal(txn.succeeded, true);
    assert.deepEqual(txn.responses.map(briefOp), [
      'range@2 a=0(2,2,1,0) count=1',
      'put@3 -',
      'txn@0 false [put@3 -]',
      'range@3 count=3',
      'delete@3 1 a=0(2,2,1,0)',
      'range@3 b=1(3,3,1,0) c=2(3,3,1,0) count=2',
    ]);
  });

  test('nothing is changed: the revision stays', async () => {
    const applying = await Applying.open();
    const { response } = applying.txn({ success: [deleteOp('a'), txnOp({})] });
    assert.deepEqual((response as TxnResponse).responses.map(briefOp), [
      'delete@1 0',
      'txn@0 true []',
    ]);
    assert.equal(applying.store.revision, 1);
  });

  test('one bad operation, however deep, and nothing happens', async () => {
    const applying = await Applying.open();
    applying.put('a', '1');
    const bad: [string, ReturnType<typeof putOp>][] = [
      ['LeaseNotFound', putOp('b', '', { lease: 9n })],
      ['KeyNotFound', putOp('b', '', { ignoreValue: true })],
      ['KeyNotFound', putOp('b', '', { ignoreLease: true, lease: 9n })],
      ['FutureRevision', rangeOp('a', '', { revision: 3 })],
      ['FutureRevision', rangeOp('a', '', { revision: Number.MAX_SAFE_INTEGER })],
      ['Compacted', rangeOp('a', '', { revision: -2 })],
    ];
    for (const [error, op] of bad) {
      const result = applying.txn({ success: [putOp('a', '2'), txnOp({ success: [op] })] });
      assert.equal(result.error?.error, error);
      assert.equal(applying.txn({ failure: [op], success: [] }).error, undefined);
    }
    const mixed = applying.txn({
      success: [rangeOp('a', '', { revision: 9 }), putOp('b', '', { lease: 9n })],
    });
    assert.equal(mixed.error?.error, 'LeaseNotFound', 'as etcd 3.5: puts are checked first');
    assert.equal(applying.store.revision, 2);
  });

  test('what a put keeps must be there before the transaction', async () => {
    const applying = await Applying.open();
    const result = applying.txn({
      success: [putOp('a', '1'), txnOp({ success: [putOp('a', '', { ignoreValue: true })] })],
    });
    assert.equal(result.error?.error, 'KeyNotFound');
  });

  test('the range of a compare: every key must satisfy it; a missing value never does', async () => {
    const applying = await Applying.open();
    for (const key of ['a', 'b']) applying.put(key, 'x');
    const cases: [ReturnType<typeof compare>, boolean][] = [
      [compare('a', 'CREATE', 'GREATER', { kind: 'createRevision', value: 1 }, 'c'), true],
      [compare('a', 'CREATE', 'GREATER', { kind: 'createRevision', value: 2 }, 'c'), false],
      [compare('a', 'MOD', 'LESS', { kind: 'modRevision', value: 4 }, '\0'), true],
      [compare('c', 'VERSION', 'EQUAL'), true],
      [compare('c', 'VERSION', 'NOT_EQUAL', undefined, 'd'), false],
      [compare('c', 'LEASE', 'EQUAL', { kind: 'lease', value: 0n }), true],
      [compare('c', 'LEASE', 'LESS', { kind: 'lease', value: 1n }), true],
      [compare('c', 'VALUE', 'NOT_EQUAL', { kind: 'value', value: fromLatin1('x') }), false],
      [compare('c', 'VALUE', 'EQUAL', { kind: 'value', value: fromLatin1('') }), false],
      [compare('a', 'VALUE', 'GREATER'), true],
      [compare('a', 'VERSION', 'EQUAL', { kind: 'modRevision', value: 1 }), false],
    ];
    cases.forEach(([compare, expected], position) => {
      const { response } = applying.txn({ compare: [compare] });
      assert.equal((response as TxnResponse).succeeded, expected, `case ${position}`);
    });
  });

  test('a compacted revision is refused; the compact revision is not', async () => {
    const applying = await Applying.open();
    for (const value of ['1', '2', '3']) applying.put('a', value);
    applying.apply({ kind: 'compaction', value: CompactionRequest.create({ revision: 3 }) });
    const at = (revision: number) =>
      applying.txn({ success: [rangeOp('a', '', { revision })] }).error?.error;
    assert.deepEqual(
      [at(0), at(-1), at(2), at(3), at(4), at(5)],
      [undefined, 'Compacted', 'Compacted', undefined, undefined, 'FutureRevision'],
    );
  });

  test('one that only reads gives the same answer without an entry', async () => {
    const applying = await Applying.open();
    applying.put('a', '1');
    const request = TxnRequest.create({
      compare: [compare('a', 'VERSION', 'EQUAL', { kind: 'version', value: 1 })],
      success: [rangeOp('a', '\0'), rangeOp('a', '', { revision: 1 })],
    });
    assert.deepEqual(whole(readTxnSteps(applying.store, request)), applying.txn(request).response);
    const future = TxnRequest.create({ success: [rangeOp('a', '', { revision: 9 })] });
    assert.throws(() => whole(readTxnSteps(applying.store, future)), { error: 'FutureRevision' });
  });

  test('a long one is of one revision, whatever is written between its steps', async () => {
    const applying = await Applying.open();
    for (let key = 0; key < 2_500; key++) applying.put(`k${key}`, '1');
    const twice = [rangeOp('k', 'l'), rangeOp('k', 'l', { revision: -1 }), rangeOp('new', '')];
    const request = TxnRequest.create({ success: twice });
    const before = applying.txn(request).response;
    const steps = readTxnSteps(applying.store, request);
    let step = steps.next();
    let stepCount = 0;
    for (; step.done !== true; step = steps.next(), stepCount++) applying.put('new', '2');
    assert.ok(stepCount >= 4);
    assert.deepEqual(step.value, before);
  });
});

suite('compaction', () => {
  test('only forward, and not into the future', async () => {
    const applying = await Applying.open();
    const compact = (revision: number) => {
      const value = CompactionRequest.create({ revision });
      return applying.apply({ kind: 'compaction', value }).error?.error;
    };
    for (const value of ['1', '2']) applying.put('a', value);
    assert.deepEqual(
      [compact(-1), compact(4), compact(0), compact(0), compact(3), compact(3)],
      ['Compacted', 'FutureRevision', undefined, 'Compacted', undefined, 'Compacted'],
    );
  });
});

suite('leases', () => {
  test('a grant answers with what it was given', async () => {
    const applying = await Applying.open();
    const response = applying.grant(-5n, 30).response as LeaseGrantResponse;
    assert.deepEqual(response, { header: header(1), ID: -5n, TTL: 30, error: '' });
    assert.equal(applying.grant(-5n, 30).error?.error, 'LeaseExists');
    assert.equal(applying.grant(6n, 9_000_000_001).error?.error, 'LeaseTtlTooLarge');
  });

  test('a revocation deletes the keys in one revision, in order', async () => {
    const applying = await Applying.open();
    const received: WatchResponse[] = [];
    const stream = applying.watches.openStream({
      send: (response) => {
        received.push(response);
        return true;
      },
    });
    stream.create(WatchCreateRequest.create({ key: fromLatin1('\0'), rangeEnd: fromLatin1('\0') }));
    applying.grant(1n);
    for (const key of ['b', 'c', 'a', '\xff']) applying.put(key, '', { lease: 1n });
    applying.put('c', '');
    received.length = 0;
    assert.equal(revoke(applying, 1n).error, undefined);
    assert.equal(applying.store.revision, 7);
    assert.deepEqual(
      received.map(({ events }) => events.map(({ kv }) => brief(kv))),
      [['a=(0,7,0,0)', 'b=(0,7,0,0)', '\xff=(0,7,0,0)']],
    );
    assert.equal(revoke(applying, 1n).error?.error, 'LeaseNotFound');
    assert.equal(value(applying, 'c'), 'c=(3,6,2,0)');
  });

  test('a lease without keys goes without a revision', async () => {
    const applying = await Applying.open();
    applying.grant(1n);
    assert.equal(revoke(applying, 1n).revision, 1);
    assert.equal(applying.lessor.has(1n), false);
  });

  test('an expiry that an earlier leader saw is dropped (etcd#15247)', async () => {
    const applying = await Applying.open();
    applying.grant(1n);
    applying.put('a', '', { lease: 1n });
    applying.term = 3;
    assert.equal(revoke(applying, 1n, 2).error, undefined);
    assert.equal(applying.lessor.has(1n), true);
    assert.equal(applying.store.revision, 2);
    revoke(applying, 1n, 3);
    assert.equal(applying.lessor.has(1n), false);
    assert.equal(applying.store.revision, 3);
  });

  test('leases, their keys, checkpoints and alarms outlive a restart', async () => {
    const before = await Applying.open();
    before.grant(1n, 100);
    before.grant(2n, 200);
    before.grant(3n, 300);
    before.put('a', '', { lease: 1n });
    before.put('b', '', { lease: 1n });
    before.put('b', '', { lease: 2n });
    before.put('c', '', { lease: 2n });
    before.put('c', '');
    revoke(before, 3n);
    const checkpoint = { checkpoints: [{ ID: 2n, remainingTTL: 50 }] };
    before.apply({ kind: 'leaseCheckpoint', value: checkpoint });
    raise(before, AlarmType.NOSPACE, 0xffff_ffff_ffff_ffffn);
    const after = await before.reopen();
    assert.deepEqual(after.lessor.ids(), [1n, 2n]);
    assert.deepEqual([after.lessor.keysOf(1n), after.lessor.keysOf(2n)], [['a'], ['b']]);
    assert.deepEqual(after.alarms.list(AlarmType.NONE), [
      { memberID: 0xffff_ffff_ffff_ffffn, alarm: AlarmType.NOSPACE },
    ]);
    after.lessor.promote(0);
    assert.deepEqual([after.lessor.remaining(1n), after.lessor.remaining(2n)], [100, 50]);
    assert.deepEqual(after.backend.applied, before.backend.applied);
  });
});

suite('alarms', () => {
  test('raise, list, disarm', async () => {
    const applying = await Applying.open();
    assert.deepEqual(raise(applying, AlarmType.NONE, 1n), []);
    assert.deepEqual(raise(applying, AlarmType.CORRUPT, 2n), ['2:2']);
    assert.deepEqual(raise(applying, AlarmType.NOSPACE, 2n), ['2:1']);
    assert.deepEqual(raise(applying, AlarmType.NOSPACE, 1n), ['1:1']);
    assert.deepEqual(raise(applying, AlarmType.NOSPACE, 1n), ['1:1']);
    assert.deepEqual(alarm(applying, AlarmAction.GET, AlarmType.NOSPACE), ['1:1', '2:1']);
    assert.equal(alarm(applying, AlarmAction.GET, AlarmType.NONE).length, 3);
    assert.deepEqual(alarm(applying, AlarmAction.DEACTIVATE, AlarmType.NOSPACE, 1n), ['1:1']);
    assert.deepEqual(alarm(applying, AlarmAction.DEACTIVATE, AlarmType.NOSPACE, 1n), []);
    assert.deepEqual(alarm(applying, AlarmAction.GET, AlarmType.NOSPACE), ['2:1']);
  });

  test('without space: no puts and no leases, but deletions', async () => {
    const applying = await Applying.open();
    applying.grant(1n);
    raise(applying, AlarmType.NOSPACE, 1n);
    const deep = txnOp({ failure: [putOp('a', '')] });
    assert.equal(applying.put('a', '').error?.error, 'NoSpace');
    assert.equal(applying.grant(2n).error?.error, 'NoSpace');
    assert.equal(applying.txn({ failure: [deep] }).error?.error, 'NoSpace');
    assert.equal(applying.txn({ success: [deleteOp('a')] }).error, undefined);
    assert.equal(revoke(applying, 1n).error, undefined);
  });

  test('of a corrupt cluster: nothing that touches keys', async () => {
    const applying = await Applying.open();
    applying.grant(1n);
    raise(applying, AlarmType.CORRUPT, 1n);
    assert.equal(applying.put('a', '').error?.error, 'Corrupt');
    assert.equal(applying.txn({}).error?.error, 'Corrupt');
    assert.equal(revoke(applying, 1n).error?.error, 'Corrupt');
    alarm(applying, AlarmAction.DEACTIVATE, AlarmType.CORRUPT, 1n);
    assert.equal(applying.put('a', '').error, undefined);
  });
});

test('what a member says of itself, and the version of the cluster, go to the cluster state', async () => {
  const applying = await Applying.open();
  const attributes = { memberId: 1n, name: 'a', clientUrls: [], version: '1', incarnation: 'i' };
  applying.apply({ kind: 'memberAttributes', value: attributes });
  applying.apply({ kind: 'clusterVersionSet', value: { version: '3.6.0' } });
  assert.deepEqual(applying.told, [attributes, { version: '3.6.0' }]);
});

function header(revision: number) {
  return { clusterId: 0n, memberId: 0n, revision, raftTerm: 0 };
}

function revoke(applying: Applying, id: bigint, term = 0) {
  return applying.apply({ kind: 'leaseRevoke', value: LeaseRevokeInternal.create({ id, term }) });
}

function raise(applying: Applying, type: AlarmType, memberID: bigint): string[] {
  return alarm(applying, AlarmAction.ACTIVATE, type, memberID);
}

function alarm(applying: Applying, action: AlarmAction, type: AlarmType, memberID = 0n): string[] {
  const result = applying.apply({ kind: 'alarm', value: { action, memberID, alarm: type } });
  const { alarms } = result.response as AlarmResponse;
  return alarms.map(({ memberID, alarm }) => `${memberID}:${alarm}`);
}

function whole<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
