import { compareBytes } from '../base/bytes.ts';
import type { Event, KeyValue } from '../proto/gen/kv.ts';
import type {
  Compare,
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  RequestOp,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from '../proto/gen/rpc.ts';
import { joined, type Keys, openEnd, prefixEnd } from './keys.ts';

/**
 * What the keys of a namespace begin with: put before every key that is sent, and taken off every key that comes back.
 * An empty key stays empty, so that the server refuses it as it does outside of a namespace.
 */
export class Prefix {
  readonly bytes: Uint8Array;
  readonly #end: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#end = prefixEnd(bytes);
  }

  get isEmpty(): boolean {
    return this.bytes.length === 0;
  }

  /** The bytes of a namespace within this one. */
  join(inner: Uint8Array): Uint8Array {
    return joined(this.bytes, inner);
  }

  key(key: Uint8Array): Uint8Array {
    return this.isEmpty || key.length === 0 ? key : joined(this.bytes, key);
  }

  keys({ key, rangeEnd }: Keys): Keys {
    if (this.isEmpty || rangeEnd.length === 0) return { key: this.key(key), rangeEnd };
    const isOpen = rangeEnd.length === 1 && rangeEnd[0] === openEnd[0];
    return { key: this.key(key), rangeEnd: isOpen ? this.#end : joined(this.bytes, rangeEnd) };
  }

  compare(compare: Compare): Compare {
    return { ...compare, ...this.keys(compare) };
  }

  request(request: TxnRequest): TxnRequest {
    if (this.isEmpty) return request;
    return {
      compare: request.compare.map((compare) => this.compare(compare)),
      success: request.success.map((op) => this.#op(op)),
      failure: request.failure.map((op) => this.#op(op)),
    };
  }

  #op({ request }: RequestOp): RequestOp {
    switch (request?.kind) {
      case undefined:
        return { request };
      case 'requestPut':
        return {
          request: { ...request, value: { ...request.value, key: this.key(request.value.key) } },
        };
      case 'requestRange':
        return {
          request: { ...request, value: { ...request.value, ...this.keys(request.value) } },
        };
      case 'requestDeleteRange':
        return {
          request: { ...request, value: { ...request.value, ...this.keys(request.value) } },
        };
      case 'requestTxn':
        return { request: { ...request, value: this.request(request.value) } };
    }
  }

  // What comes back: taken off in place, since nobody else holds the message.

  /** Those that belong to this namespace. */
  ofKeys(keys: Uint8Array[]): Uint8Array[] {
    return keys.filter((key) => this.#has(key)).map((key) => this.#ofKey(key));
  }

  #has(key: Uint8Array): boolean {
    const { length } = this.bytes;
    return key.length >= length && compareBytes(key.subarray(0, length), this.bytes) === 0;
  }

  #ofKey(key: Uint8Array): Uint8Array {
    return key.subarray(this.bytes.length);
  }

  #ofKv(kv: KeyValue | undefined): void {
    if (kv !== undefined) kv.key = this.#ofKey(kv.key);
  }

  ofRange(response: RangeResponse): RangeResponse {
    if (!this.isEmpty) for (const kv of response.kvs) this.#ofKv(kv);
    return response;
  }

  ofPut(response: PutResponse): PutResponse {
    if (!this.isEmpty) this.#ofKv(response.prevKv);
    return response;
  }

  ofDelete(response: DeleteRangeResponse): DeleteRangeResponse {
    if (!this.isEmpty) for (const kv of response.prevKvs) this.#ofKv(kv);
    return response;
  }

  ofTxn(response: TxnResponse): TxnResponse {
    if (!this.isEmpty) for (const op of response.responses) this.#ofOp(op);
    return response;
  }

  ofEvents(events: readonly Event[]): void {
    if (this.isEmpty) return;
    for (const { kv, prevKv } of events) {
      this.#ofKv(kv);
      this.#ofKv(prevKv);
    }
  }

  #ofOp({ response }: ResponseOp): void {
    switch (response?.kind) {
      case undefined:
        return;
      case 'responseRange':
        this.ofRange(response.value);
        return;
      case 'responsePut':
        this.ofPut(response.value);
        return;
      case 'responseDeleteRange':
        this.ofDelete(response.value);
        return;
      case 'responseTxn':
        this.ofTxn(response.value);
    }
  }
}
