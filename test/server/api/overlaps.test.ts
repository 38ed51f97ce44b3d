import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkOverlaps } from '../../../server/api/overlaps.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import {
  DeleteRangeRequest,
  PutRequest,
  type RequestOp,
  TxnRequest,
} from '../../../server/proto/gen/rpc.ts';

// Against etcd's own way of doing it (server/etcdserver/api/v3rpc/key.go, checkIntervals), said with plain sets.

type Op =
  | { readonly put: number }
  | { readonly from: number; readonly to: number }
  | { readonly success: readonly Op[]; readonly failure: readonly Op[] };

interface Written {
  readonly puts: Set<number>;
  readonly deletes: Set<number>;
}

/** Undefined: refused. */
function model(ops: readonly Op[]): Written | undefined {
  const written: Written = { puts: new Set(), deletes: new Set() };
  for (const op of ops) {
    if ('from' in op) for (let key = op.from; key < op.to; key++) written.deletes.add(key);
  }
  for (const op of ops) {
    if (!('success' in op)) continue;
    const [success, failure] = [model(op.success), model(op.failure)];
    if (success === undefined || failure === undefined) return undefined;
    for (const key of success.puts) {
      if (written.puts.has(key) || written.deletes.has(key)) return undefined;
      written.puts.add(key);
    }
    for (const key of failure.puts) {
      const isOthers = written.puts.has(key) && !success.puts.has(key);
      if (isOthers || written.deletes.has(key)) return undefined;
      written.puts.add(key);
    }
    for (const key of [...success.deletes, ...failure.deletes]) written.deletes.add(key);
  }
  for (const op of ops) {
    if (!('put' in op)) continue;
    if (written.puts.has(op.put) || written.deletes.has(op.put)) return undefined;
    written.puts.add(op.put);
  }
  return written;
}

const keyOf = (key: number): Buffer => Buffer.from([65 + key]);

function requestOp(op: Op): RequestOp {
  if ('put' in op) {
    return { request: { kind: 'requestPut', value: PutRequest.create({ key: keyOf(op.put) }) } };
  }
  if ('from' in op) {
    const range = { key: keyOf(op.from), rangeEnd: keyOf(op.to) };
    return { request: { kind: 'requestDeleteRange', value: DeleteRangeRequest.create(range) } };
  }
  const [success, failure] = [op.success.map(requestOp), op.failure.map(requestOp)];
  return { request: { kind: 'requestTxn', value: TxnRequest.create({ success, failure }) } };
}

function isRefused(ops: readonly Op[]): boolean {
  try {
    checkOverlaps(ops.map(requestOp));
    return false;
  } catch (error) {
    assert(error instanceof EtcdError && error.error === 'DuplicateKey');
    return true;
  }
}

/** Few conflicts by chance: many keys, few of them deleted. */
const key = fc.integer({ min: 0, max: 60 });
const { ops } = fc.letrec<{ ops: Op[]; op: Op }>((tie) => ({
  op: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 4, arbitrary: fc.record({ put: key }) },
    {
      weight: 2,
      arbitrary: fc
        .record({ from: key, length: fc.integer({ min: -1, max: 3 }) })
        .map(({ from, length }) => ({ from, to: from + length })),
    },
    { weight: 3, arbitrary: fc.record({ success: tie('ops'), failure: tie('ops') }) },
  ),
  ops: fc.array(tie('op'), { maxLength: 5 }),
}));

test('overlaps are found where etcd finds them', () => {
  const counts = { refused: 0, passed: 0 };
  fc.assert(
    fc.property(ops, (tree) => {
      const expected = model(tree) === undefined;
      counts[expected ? 'refused' : 'passed']++;
      assert.equal(isRefused(tree), expected);
    }),
    { numRuns: 3_000 },
  );
  assert(counts.refused > 200 && counts.passed > 200, JSON.stringify(counts));
});
