import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import { checkDeleteRange, checkPut, checkRange, checkTxn } from '../../../server/api/validate.ts';
import { type ErrorName, EtcdError } from '../../../server/base/errors.ts';
import {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
} from '../../../server/proto/gen/rpc.ts';

function told(check: () => void): ErrorName | undefined {
  try {
    check();
  } catch (error) {
    assert(error instanceof EtcdError, String(error));
    return error.error;
  }
  return undefined;
}

const key = Buffer.from('k');
const put = (name: string): RequestOp => ({
  request: { kind: 'requestPut', value: PutRequest.create({ key: Buffer.from(name) }) },
});
const get = (name: string): RequestOp => ({
  request: { kind: 'requestRange', value: RangeRequest.create({ key: Buffer.from(name) }) },
});
const del = (name: string, end = ''): RequestOp => ({
  request: {
    kind: 'requestDeleteRange',
    value: DeleteRangeRequest.create({ key: Buffer.from(name), rangeEnd: Buffer.from(end) }),
  },
});
const nested = (success: RequestOp[], failure: RequestOp[] = []): RequestOp => ({
  request: { kind: 'requestTxn', value: TxnRequest.create({ success, failure }) },
});
const times = (count: number, op: (at: number) => RequestOp): RequestOp[] =>
  Array.from({ length: count }, (_, at) => op(at));
const txn = (success: RequestOp[], failure: RequestOp[] = [], opsMax = 128) =>
  told(() => {
    checkTxn(TxnRequest.create({ success, failure }), opsMax);
  });

suite('single requests', () => {
  test('range', () => {
    assert.equal(
      told(() => checkRange(RangeRequest.create({ key }))),
      undefined,
    );
    assert.equal(
      told(() => checkRange(RangeRequest.create())),
      'EmptyKey',
    );
    const order = RangeRequest.create({ key, sortOrder: 3 as never });
    assert.equal(
      told(() => checkRange(order)),
      'InvalidSortOption',
    );
    const target = RangeRequest.create({ key, sortTarget: 5 as never });
    assert.equal(
      told(() => checkRange(target)),
      'InvalidSortOption',
    );
  });

  test('put and delete', () => {
    const value = Buffer.from('v');
    const cases: readonly [Partial<PutRequest>, ErrorName | undefined][] = [
      [{ key }, undefined],
      [{ value }, 'EmptyKey'],
      [{ key, ignoreValue: true }, undefined],
      [{ key, value, ignoreValue: true }, 'ValueProvided'],
      [{ key, lease: 1n, ignoreLease: true }, 'LeaseProvided'],
      [{ key, value, ignoreValue: true, lease: 1n, ignoreLease: true }, 'ValueProvided'],
    ];
    for (const [request, expected] of cases) {
      assert.equal(
        told(() => checkPut(PutRequest.create(request))),
        expected,
      );
    }
    assert.equal(
      told(() => checkDeleteRange(DeleteRangeRequest.create())),
      'EmptyKey',
    );
  });
});

suite('transactions', () => {
  test('an empty one is legal; an empty operation, compare or key is not', () => {
    assert.equal(txn([]), undefined);
    assert.equal(txn([{ request: undefined }]), 'KeyNotFound');
    assert.equal(txn([put('')]), 'EmptyKey');
    assert.equal(txn([], [get('')]), 'EmptyKey');
    const compare = TxnRequest.create({ compare: [Compare.create()] });
    assert.equal(
      told(() => checkTxn(compare, 1)),
      'EmptyKey',
    );
  });

  test('the longest list counts, and a nested transaction gets what is left', () => {
    assert.equal(txn(times(128, () => get('a'))), undefined);
    assert.equal(txn(times(129, () => get('a'))), 'TooManyOps');
    assert.equal(
      txn(
        [],
        times(129, () => get('a')),
      ),
      'TooManyOps',
    );
    const compares = Array.from({ length: 129 }, () => Compare.create({ key }));
    const many = TxnRequest.create({ compare: compares });
    assert.equal(
      told(() => checkTxn(many, 128)),
      'TooManyOps',
    );
    const leaves = (count: number) => times(count, () => get('a'));
    assert.equal(txn([nested(leaves(127))]), undefined);
    assert.equal(txn([nested(leaves(128))]), 'TooManyOps');
    assert.equal(txn([nested([nested(leaves(126))])]), undefined);
    assert.equal(txn([nested([nested(leaves(127))])]), 'TooManyOps');
    assert.equal(txn(times(128, () => nested([get('a')]))), 'TooManyOps');
  });

  test('the first fault in request order is the one that is told', () => {
    assert.equal(txn([put('a'), put('a'), put('')]), 'EmptyKey');
    assert.equal(txn([{ request: undefined }, put('')]), 'KeyNotFound');
  });

  const overlaps: readonly [string, RequestOp[], ErrorName | undefined][] = [
    ['put put', [put('a'), put('a')], 'DuplicateKey'],
    ['put other', [put('a'), put('b')], undefined],
    ['put then delete it', [put('a'), del('a')], 'DuplicateKey'],
    ['delete it then put', [del('a'), put('a')], 'DuplicateKey'],
    ['delete range', [del('a', 'c'), put('b')], 'DuplicateKey'],
    ['the end of a range is outside', [del('a', 'c'), put('c')], undefined],
    ['a range upside down holds nothing', [del('c', 'a'), put('b')], undefined],
    ['from-key holds nothing here, as in etcd', [del('a', '\0'), put('b')], undefined],
    ['deletes may overlap', [del('a', 'c'), del('b', 'd')], undefined],
    ['ranges never conflict', [get('a'), put('a')], undefined],
    ['put in a child', [put('a'), nested([put('a')])], 'DuplicateKey'],
    ['put in both branches of a child', [nested([put('a')], [put('a')])], undefined],
    ['put in two children', [nested([put('a')]), nested([put('a')])], 'DuplicateKey'],
    [
      'put in else of two children',
      [nested([put('b')], [put('a')]), nested([], [put('a')])],
      'DuplicateKey',
    ],
    ['delete above, put in a child', [del('a'), nested([put('a')])], 'DuplicateKey'],
    ['delete in a child, put above', [nested([del('a')]), put('a')], 'DuplicateKey'],
    ['delete in an earlier child', [nested([del('a')]), nested([put('a')])], 'DuplicateKey'],
    ['delete in a later child', [nested([put('a')]), nested([del('a')])], undefined],
    ['put and delete in different branches', [nested([put('a')], [del('a')])], undefined],
    ['deep', [del('a'), nested([nested([], [put('a')])])], 'DuplicateKey'],
  ];
  for (const [name, ops, expected] of overlaps) {
    test(name, () => {
      assert.equal(txn(ops), expected);
      assert.equal(txn([], ops), expected);
    });
  }

  test('the two branches at the top may share keys', () => {
    assert.equal(txn([put('a')], [put('a'), get('b')]), undefined);
  });

  test('the work grows with the request, not with its square', () => {
    const leaf = (at: number, inner: number) =>
      nested(
        times(44, (op) => put(`p${at}.${inner}.${op}`)),
        times(44, (op) => del(`d${at}.${inner}.${op}`)),
      );
    const ops = times(42, (at) => nested(times(42, (inner) => leaf(at, inner))));
    const start = performance.now();
    assert.equal(txn(ops), undefined);
    assert(performance.now() - start < 5000);
  });
});
