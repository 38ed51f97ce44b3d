import { assert, defined } from '../../server/base/assert.ts';
import { emptyBytes, fromLatin1, latin1 } from '../../server/base/bytes.ts';
import type { InternalRequestRequest } from '../../server/proto/gen/internal.ts';
import { Event, EventType, type KeyValue } from '../../server/proto/gen/kv.ts';
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  PutRequest,
  RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseOp,
  TxnRequest,
  type TxnResponse,
} from '../../server/proto/gen/rpc.ts';
import type { KeySpan, Kv, KvEvent } from './checkers/event-log.ts';
import type { KvCompare, KvOp, KvOpResult, KvResult, KvTxn } from './checkers/kv-model.ts';

/** Every key that the simulator's clients use. */
export const everyKey: KeySpan = { start: 'k', end: 'l' };

// Between the checkers' plain words and etcd's messages.

export function writeMessage(
  request: Exclude<KvOp, { kind: 'range' }> | KvTxn,
): InternalRequestRequest {
  switch (request.kind) {
    case 'put':
      return { kind: 'put', value: putMessage(request) };
    case 'delete':
      return { kind: 'deleteRange', value: DeleteRangeRequest.create(spanBytes(request.span)) };
    case 'txn':
      return { kind: 'txn', value: txnMessage(request) };
  }
}

export function rangeMessage(
  span: KeySpan,
  options: { revision?: number; serializable?: boolean } = {},
): RangeRequest {
  return RangeRequest.create({ ...spanBytes(span), ...options });
}

export function kvOf(kv: KeyValue): Kv {
  return {
    key: latin1(kv.key),
    value: latin1(kv.value),
    create: kv.createRevision,
    mod: kv.modRevision,
    version: kv.version,
    lease: kv.lease,
  };
}

export function eventOf(event: Event): KvEvent {
  const kind = event.type === EventType.PUT ? 'put' : 'delete';
  return { kind, kv: kvOf(defined(event.kv, 'the event without a pair')) };
}

/** What a write's answer says, in the words of the model. */
export function resultOf(
  request: Exclude<KvOp, { kind: 'range' }> | KvTxn,
  response: object,
): KvResult {
  switch (request.kind) {
    case 'put':
      return { kind: 'put' };
    case 'delete':
      return { kind: 'delete', deleted: (response as DeleteRangeResponse).deleted };
    case 'txn': {
      const { succeeded, responses } = response as TxnResponse;
      return { kind: 'txn', succeeded, results: responses.map(opResultOf) };
    }
  }
}

export function spanBytes(span: KeySpan): { key: Uint8Array; rangeEnd: Uint8Array } {
  return {
    key: fromLatin1(span.start),
    rangeEnd: span.end === undefined ? emptyBytes : fromLatin1(span.end),
  };
}

function opResultOf({ response }: ResponseOp): KvOpResult {
  switch (response?.kind) {
    case 'responsePut':
      return { kind: 'put' };
    case 'responseDeleteRange':
      return { kind: 'delete', deleted: response.value.deleted };
    case 'responseRange':
      return { kind: 'range', kvs: kvsOf(response.value) };
    default:
      assert(false, `an answer of kind ${response?.kind} was not asked for`);
  }
}

export function kvsOf(response: RangeResponse): Kv[] {
  return response.kvs.map(kvOf);
}

function putMessage(put: { key: string; value: string; lease: bigint }): PutRequest {
  const { key, value, lease } = put;
  return PutRequest.create({ key: fromLatin1(key), value: fromLatin1(value), lease });
}

function txnMessage(txn: KvTxn): TxnRequest {
  return TxnRequest.create({
    compare: txn.compares.map(compareMessage),
    success: txn.success.map(opMessage),
    failure: txn.failure.map(opMessage),
  });
}

function opMessage(op: KvOp): RequestOp {
  switch (op.kind) {
    case 'put':
      return { request: { kind: 'requestPut', value: putMessage(op) } };
    case 'delete': {
      const value = DeleteRangeRequest.create(spanBytes(op.span));
      return { request: { kind: 'requestDeleteRange', value } };
    }
    case 'range':
      return { request: { kind: 'requestRange', value: rangeMessage(op.span) } };
  }
}

const compareResults = {
  equal: CompareResult.EQUAL,
  notEqual: CompareResult.NOT_EQUAL,
  greater: CompareResult.GREATER,
  less: CompareResult.LESS,
} as const;

function compareMessage({ key, target, result, expected }: KvCompare): Compare {
  const base = { key: fromLatin1(key), result: compareResults[result] };
  const number = Number(expected);
  switch (target) {
    case 'value': {
      const value = fromLatin1(String(expected));
      return Compare.create({
        ...base,
        target: CompareTarget.VALUE,
        targetUnion: { kind: 'value', value },
      });
    }
    case 'mod':
      return Compare.create({
        ...base,
        target: CompareTarget.MOD,
        targetUnion: { kind: 'modRevision', value: number },
      });
    case 'create':
      return Compare.create({
        ...base,
        target: CompareTarget.CREATE,
        targetUnion: { kind: 'createRevision', value: number },
      });
    case 'version':
      return Compare.create({
        ...base,
        target: CompareTarget.VERSION,
        targetUnion: { kind: 'version', value: number },
      });
  }
}
