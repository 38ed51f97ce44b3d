import type { KeyValue } from '../proto/gen/kv.ts';
import {
  type Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
  type TxnResponse,
} from '../proto/gen/rpc.ts';
import type { CallOptions } from './calls.ts';
import type { Headed } from './key-space.ts';
import { type Bytes, bytesOf, type Keys, keysOf } from './keys.ts';

export type RangeFields = Partial<Omit<RangeRequest, 'key' | 'rangeEnd'>>;

export interface PutFields {
  /** The lease that the key is to live with. Without one, a lease that it has is taken off. */
  readonly lease?: bigint | undefined;
  /** The answer also has the key as it was. */
  readonly prevKv?: boolean | undefined;
  /** Keep the value: `value` must be empty and the key be there. */
  readonly ignoreValue?: boolean | undefined;
  /** Keep the lease: the key must be there. */
  readonly ignoreLease?: boolean | undefined;
}

export interface DeleteFields {
  /** The answer also has the keys as they were. */
  readonly prevKv?: boolean | undefined;
}

export interface TxnOptions extends CallOptions {
  /** Whether it may be sent again when it is not known whether it took effect: it is so written that twice is as once. */
  readonly mayRepeat?: boolean | undefined;
}

/** One operation, or a whole transaction in the place of one. */
export type Operation = RequestOp | Txn;

export function putOp(key: Bytes, value: Bytes, fields: PutFields = {}): RequestOp {
  return { request: { kind: 'requestPut', value: putRequest(key, value, fields) } };
}

export function rangeOp(keys: Bytes | Keys, fields: RangeFields = {}): RequestOp {
  const value = RangeRequest.create({ ...fields, ...keysOf(keys) });
  return { request: { kind: 'requestRange', value } };
}

export function deleteOp(keys: Bytes | Keys, fields: DeleteFields = {}): RequestOp {
  const value = DeleteRangeRequest.create({ ...keysOf(keys), prevKv: fields.prevKv ?? false });
  return { request: { kind: 'requestDeleteRange', value } };
}

export function putRequest(key: Bytes, value: Bytes, fields: PutFields): PutRequest {
  const { lease = 0n, prevKv = false, ignoreValue = false, ignoreLease = false } = fields;
  const [keyBytes, valueBytes] = [bytesOf(key), bytesOf(value)];
  return { key: keyBytes, value: valueBytes, lease, prevKv, ignoreValue, ignoreLease };
}

/** A transaction being written: which compares, what to do when all hold, what otherwise. Nothing is sent before `commit`. */
export class Txn {
  readonly #request: TxnRequest;
  readonly #send:
    | ((request: TxnRequest, options: TxnOptions) => Promise<Headed<TxnResponse>>)
    | undefined;

  constructor(
    compares: readonly Compare[],
    send?: (request: TxnRequest, options: TxnOptions) => Promise<Headed<TxnResponse>>,
  ) {
    this.#request = TxnRequest.create({ compare: [...compares] });
    this.#send = send;
  }

  /** What is done, in this order, when every compare holds. */
  do(...operations: readonly Operation[]): this {
    this.#request.success.push(...operations.map(opOf));
    return this;
  }

  /** What is done, in this order, when a compare fails. */
  otherwise(...operations: readonly Operation[]): this {
    this.#request.failure.push(...operations.map(opOf));
    return this;
  }

  /** The request as it goes over the wire. */
  get request(): TxnRequest {
    return this.#request;
  }

  commit(options: TxnOptions = {}): Promise<Headed<TxnResponse>> {
    if (this.#send === undefined) throw new TypeError('part of a transaction has no commit');
    return this.#send(this.#request, options);
  }
}

/** A transaction inside of another: {@link Txn.do} and {@link Txn.otherwise} take it. */
export function nested(...compares: readonly Compare[]): Txn {
  return new Txn(compares);
}

function opOf(operation: Operation): RequestOp {
  if (!(operation instanceof Txn)) return operation;
  return { request: { kind: 'requestTxn', value: operation.request } };
}

/** Whether nothing in it writes, so that doing it twice is harmless. */
export function isReadOnly({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(({ request }) => {
    if (request?.kind === 'requestTxn') return isReadOnly(request.value);
    return request?.kind === 'requestRange';
  });
}

/** What the range operation at that place of the branch that was taken has found. */
export function kvsAt({ responses }: TxnResponse, place: number): KeyValue[] {
  const response = responses[place]?.response;
  if (response?.kind !== 'responseRange') throw new TypeError(`operation ${place} is no range`);
  return response.value.kvs;
}
