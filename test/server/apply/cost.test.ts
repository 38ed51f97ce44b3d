import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costBytes } from '../../../server/apply/cost.ts';
import {
  DeleteRangeRequest,
  LeaseGrantRequest,
  PutRequest,
  type RequestOp,
  TxnRequest,
} from '../../../server/proto/gen/rpc.ts';

const put = (valueBytes: number): RequestOp => ({
  request: {
    kind: 'requestPut',
    value: PutRequest.create({ key: new Uint8Array(4), value: new Uint8Array(valueBytes) }),
  },
});

function txnCost(success: RequestOp[], failure: RequestOp[]): number {
  return costBytes({ kind: 'txn', value: TxnRequest.create({ success, failure }) });
}

test('what a request may add is estimated as etcd does', () => {
  const single = put(10).request;
  assert.ok(single?.kind === 'requestPut');
  assert.equal(costBytes({ kind: 'put', value: single.value }), 256 + 4 + 10);
  assert.equal(costBytes({ kind: 'leaseGrant', value: LeaseGrantRequest.create() }), 64);
  assert.equal(costBytes({ kind: 'deleteRange', value: DeleteRangeRequest.create() }), 0);
  assert.equal(txnCost([], []), 0);
  assert.equal(txnCost([put(10), put(20)], [put(40)]), 2 * 260 + 30);
  assert.equal(txnCost([put(10)], [put(40)]), 300);
  const nested: RequestOp = {
    request: { kind: 'requestTxn', value: TxnRequest.create({ failure: [put(40), put(40)] }) },
  };
  assert.equal(txnCost([put(0), nested], []), 260 + 600);
});
