import { assert } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import { EventType } from '../proto/gen/kv.ts';
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  KV,
  Lease,
  PutRequest,
  RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseHeader,
  type TxnRequest,
  type TxnResponse,
  Watch,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../proto/gen/rpc.ts';
import type { Method } from '../proto/wire.ts';
import type { Call, CallContext, Requests, Responses } from './call.ts';
import { StatusError, toStatus } from './errors.ts';
import { GoneError, type StreamEnd } from './stream-calls.ts';

/** The lease of a session that a client did not name: seconds, etcd's number. */
const sessionTtl = 60;

/**
 * KV, Lease and Watch calls that this member makes to itself on behalf of a client's call: with its token, so that the
 * client may do nothing by them that it may not do by itself. As in etcd, what they are refused with comes back with the
 * code UNKNOWN.
 */
export class InnerCalls {
  readonly #calls: ReadonlyMap<string, Call>;
  readonly #context: CallContext;

  constructor(calls: readonly Call[], context: CallContext) {
    this.#calls = new Map(calls.map((call) => [call.method.path, call]));
    this.#context = innerContext(context);
  }

  range(request: Partial<RangeRequest>): Promise<RangeResponse> {
    return this.#unary(KV.methods.range, request);
  }

  txn(request: Partial<TxnRequest>): Promise<TxnResponse> {
    return this.#unary(KV.methods.txn, request);
  }

  async delete(key: Uint8Array): Promise<ResponseHeader | undefined> {
    return (await this.#unary(KV.methods.deleteRange, { key })).header;
  }

  /** The lease that the client named, or a new one that nobody keeps alive. */
  async session(lease: bigint): Promise<bigint> {
    if (lease !== 0n) return lease;
    return (await this.#unary(Lease.methods.leaseGrant, { TTL: sessionTtl })).ID;
  }

  /**
   * Gives every response with events from `startRevision` on to `seen`, until that returns true. Rejects when the watch
   * ends before, with {@link GoneError} when the client does.
   */
  async watch(
    request: Partial<WatchCreateRequest>,
    end: StreamEnd,
    seen: (response: WatchResponse) => boolean,
  ): Promise<void> {
    const call = this.#find(Watch.methods.watch);
    assert(call.kind === 'stream', 'watching is a stream');
    let requests: Requests<unknown> | undefined;
    let forgetEnd = (): void => {};
    try {
      await new Promise<void>((resolve, reject) => {
        const responses = new WatchResponses(seen, { resolve, reject, end });
        const opened = call.open(responses, this.#context);
        requests = opened;
        end.onRoom = () => opened.drained();
        forgetEnd = end.onClose(() => reject(new GoneError('the client is gone')));
        const value = WatchCreateRequest.create(request);
        const create: WatchRequest = { requestUnion: { kind: 'createRequest', value } };
        Promise.resolve(opened.next(create)).catch(reject);
      });
    } catch (error) {
      throw told(error);
    } finally {
      forgetEnd();
      end.onRoom = undefined;
      requests?.closed();
    }
  }

  async #unary<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request>,
  ): Promise<Response> {
    const call = this.#find(method);
    assert(call.kind === 'unary', 'a unary call');
    try {
      return (await call.run(method.request.create(request), this.#context)) as Response;
    } catch (error) {
      throw told(error);
    }
  }

  #find({ path }: { readonly path: string }): Call {
    const call = this.#calls.get(path);
    assert(call !== undefined, `${path} is served`);
    return call;
  }
}

interface Wait {
  resolve(): void;
  reject(error: unknown): void;
  /** Of the call that is answered: while its client does not read, no events come. */
  readonly end: StreamEnd;
}

/** Takes a watch's responses until the one that was waited for. */
class WatchResponses implements Responses<unknown> {
  readonly #seen: (response: WatchResponse) => boolean;
  readonly #wait: Wait;

  constructor(seen: (response: WatchResponse) => boolean, wait: Wait) {
    this.#seen = seen;
    this.#wait = wait;
  }

  send(message: unknown): boolean {
    const response = message as WatchResponse;
    if (response.canceled) this.#wait.reject(reasonOf(response));
    else if (response.events.length > 0 && this.#seen(response)) this.#wait.resolve();
    return !this.#wait.end.isFull;
  }

  end(): void {
    this.#wait.reject(new StatusError('UNKNOWN', 'lost watcher waiting for delete'));
  }

  fail(error: unknown): void {
    this.#wait.reject(error);
  }
}

function reasonOf({ compactRevision, cancelReason }: WatchResponse): Error {
  if (compactRevision !== 0) return new EtcdError('Compacted');
  return new StatusError('UNKNOWN', cancelReason);
}

function told(error: unknown): unknown {
  const isTold = error instanceof EtcdError || error instanceof StatusError;
  return isTold ? new StatusError('UNKNOWN', toStatus(error).message) : error;
}

/** The client asked for a leader when it called; it is not asked for again with each step. */
function innerContext(outer: CallContext): CallContext {
  // Also for what is to be done after the client has gone.
  const { remoteAddress, commonName } = outer;
  return {
    header: (name) => (name === 'hasleader' ? undefined : outer.header(name)),
    remoteAddress,
    commonName,
    identified: (username) => outer.identified?.(username),
  };
}

// Requests that locks and elections are made of.

export interface OwnedKey {
  readonly key: Uint8Array;
  readonly createRevision: number;
}

/** Holds when the key was created at the revision; 0: when it is not there. */
export function createdAt({ key, createRevision }: OwnedKey): Compare {
  return Compare.create({
    key,
    target: CompareTarget.CREATE,
    result: CompareResult.EQUAL,
    targetUnion: { kind: 'createRevision', value: createRevision },
  });
}

export function putOp(key: Uint8Array, value: Uint8Array, lease: bigint): RequestOp {
  return { request: { kind: 'requestPut', value: PutRequest.create({ key, value, lease }) } };
}

export function rangeOp(request: Partial<RangeRequest>): RequestOp {
  return { request: { kind: 'requestRange', value: RangeRequest.create(request) } };
}

export function deleteOp(key: Uint8Array): RequestOp {
  return { request: { kind: 'requestDeleteRange', value: DeleteRangeRequest.create({ key }) } };
}

export function isDelete(response: WatchResponse): boolean {
  return response.events.some(({ type }) => type === EventType.DELETE);
}
