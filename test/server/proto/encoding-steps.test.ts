import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodingSteps } from '../../../server/proto/encoding-steps.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';
import {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  type ResponseOp,
  TxnResponse,
} from '../../../server/proto/gen/rpc.ts';
import type { MessageType } from '../../../server/proto/wire.ts';

const header = ResponseHeader.create({
  clusterId: 1n << 63n,
  memberId: 2n,
  revision: 3,
  raftTerm: 4,
});

function kvs(count: number, valueBytes = 5): KeyValue[] {
  return Array.from({ length: count }, (_, at) =>
    KeyValue.create({
      key: Buffer.from(`key-${at}`),
      value: Buffer.alloc(valueBytes, at % 256),
      modRevision: at * 2 ** 30,
      createRevision: 1,
      version: 1,
      lease: BigInt(at) << 50n,
    }),
  );
}

/** The steps that were taken. */
function assertSame<T>(type: MessageType<T>, message: T): number {
  const steps = encodingSteps(type, message);
  assert(steps !== undefined, 'it is long');
  let stepCount = 1;
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) stepCount++;
  assert(Buffer.concat(step.value).equals(type.encode(message)), 'the same bytes');
  return stepCount;
}

suite('encoding in steps', () => {
  test('what is short is not', () => {
    assert.equal(encodingSteps(RangeResponse, RangeResponse.create({ kvs: kvs(500) })), undefined);
    assert.equal(encodingSteps(PutResponse, PutResponse.create({ header })), undefined);
    assert.equal(encodingSteps(TxnResponse, TxnResponse.create({ header })), undefined);
  });

  test('a range, by its keys and by their bytes', () => {
    const more = { header, more: true, count: 1_000_000 };
    assert(assertSame(RangeResponse, RangeResponse.create({ ...more, kvs: kvs(10_000) })) >= 10);
    assert.equal(
      assertSame(RangeResponse, RangeResponse.create({ header, kvs: kvs(6, 200_000) })),
      3,
    );
    // Exactly at a step's end.
    assertSame(RangeResponse, RangeResponse.create({ header, kvs: kvs(2, 1 << 20) }));
  });

  test('a deletion with what was there', () => {
    const response = DeleteRangeResponse.create({ header, deleted: 3_000, prevKvs: kvs(3_000) });
    assert(assertSame(DeleteRangeResponse, response) >= 3);
  });

  test('a transaction, and those nested in it', () => {
    const range = (count: number): ResponseOp => ({
      response: { kind: 'responseRange', value: RangeResponse.create({ header, kvs: kvs(count) }) },
    });
    const deletion: ResponseOp = {
      response: {
        kind: 'responseDeleteRange',
        value: DeleteRangeResponse.create({ deleted: 2_000, prevKvs: kvs(2_000) }),
      },
    };
    const put: ResponseOp = { response: { kind: 'responsePut', value: PutResponse.create() } };
    const inner = TxnResponse.create({ succeeded: true, responses: [range(4_000), put] });
    const nested: ResponseOp = { response: { kind: 'responseTxn', value: inner } };
    const none: ResponseOp = { response: undefined };
    const responses = [put, range(3), range(5_000), none, deletion, nested];
    assert(assertSame(TxnResponse, TxnResponse.create({ header, responses })) >= 10);
    // None of them long alone.
    const many = Array.from({ length: 100 }, () => range(500));
    assert(assertSame(TxnResponse, TxnResponse.create({ header, responses: many })) >= 30);
  });
});
