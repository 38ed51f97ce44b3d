import assert from 'node:assert/strict';
import type { CallContext, Requests, StreamCall, UnaryCall } from '../../../server/api/call.ts';
import { toStatus } from '../../../server/api/errors.ts';
import type { WatchSink, WatchStream } from '../../../server/api/member-port.ts';
import type { Services } from '../../../server/api/services.ts';
import { range, rangeSteps } from '../../../server/apply/range.ts';
import { readTxnSteps } from '../../../server/apply/txn.ts';
import type { Caller } from '../../../server/auth/access.ts';
import type { Passwords } from '../../../server/auth/passwords.ts';
import { fromLatin1 } from '../../../server/base/bytes.ts';
import type { PrefixUsage } from '../../../server/mvcc/prefix-usage.ts';
import type { Applied } from '../../../server/propose/proposer.ts';
import type { InternalRequestRequest } from '../../../server/proto/gen/internal.ts';
import type {
  AlarmMember,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../../../server/proto/gen/rpc.ts';
import type { Method } from '../../../server/proto/wire.ts';
import { Applying } from '../apply/applying.ts';
import { contextOf, FakeMember, FakeResponses } from './fake-member.ts';

/** A member of one, in memory: what is proposed is applied at once, by the real applier to the real state. */
export class ApplyingMember extends FakeMember {
  readonly applying: Applying;

  static async open(): Promise<ApplyingMember> {
    return new ApplyingMember(await Applying.open());
  }

  private constructor(applying: Applying) {
    super(applying.auth);
    this.applying = applying;
  }

  override raftStatus() {
    return { ...this.raft, appliedIndex: this.applying.backend.applied.index };
  }

  override async propose(request: InternalRequestRequest, caller?: Caller): Promise<Applied> {
    this.proposed.push(request);
    return this.applying.apply(request, caller);
  }

  override revision(): number {
    return this.applying.store.revision;
  }

  override range(request: RangeRequest): RangeResponse {
    return range(this.applying.store, request);
  }

  override rangeSteps(request: RangeRequest): Generator<void, RangeResponse> {
    return rangeSteps(this.applying.store, request);
  }

  override prefixUsage(): PrefixUsage | undefined {
    return this.applying.store.usage;
  }

  override liveValueBytes(key: string): number | undefined {
    return this.applying.store.get(key)?.value.length;
  }

  override readTxnSteps(request?: TxnRequest): Generator<void, TxnResponse> {
    assert.ok(request !== undefined);
    return readTxnSteps(this.applying.store, request);
  }

  override openWatchStream(sink: WatchSink): WatchStream {
    return this.applying.watches.openStream(sink);
  }

  override alarms(): readonly AlarmMember[] {
    return this.applying.alarms.list(0);
  }

  override async renewLease(id: bigint): Promise<number> {
    return this.applying.lessor.grantedTtl(id) ?? 0;
  }

  override async leaseTimeToLive(id: bigint) {
    const grantedTtl = this.applying.lessor.grantedTtl(id);
    return grantedTtl === undefined ? { ttl: -1, grantedTtl: 0 } : { ttl: grantedTtl, grantedTtl };
  }

  override leaseKeys(id?: bigint): Uint8Array[] {
    return this.applying.lessor.keysOf(id ?? 0n).map(fromLatin1);
  }

  override leases(): bigint[] {
    return this.applying.lessor.ids();
  }
}

/** Passwords that cost nothing: the tests of the thread are elsewhere. */
export const plainPasswords: Passwords = {
  hash: async (password) => `hash of ${password}`,
  verify: async (password, hash) => hash === `hash of ${password}`,
};

/** How a call ended: its response, or the `code message` of its status. */
export type Ending<Response> = { readonly response: Response } | { readonly refusal: string };

export async function call<Request, Response>(
  services: Services,
  method: Method<Request, Response>,
  request: Partial<Request> = {},
  context: CallContext = contextOf(),
): Promise<Ending<Response>> {
  const found = services.find(method.path) as UnaryCall<Request, Response> | undefined;
  if (found === undefined) return { refusal: 'not served' };
  assert.equal(found.kind, 'unary');
  try {
    return { response: await found.run(method.request.create(request), context) };
  } catch (error) {
    return { refusal: textOf(error) };
  }
}

/** Opens a stream, sends one request, and resolves with its first response or how the stream ended. */
export async function streamed<Request, Response>(
  services: Services,
  method: Method<Request, Response>,
  request: Partial<Request>,
  context: CallContext = contextOf(),
): Promise<Ending<Response>> {
  const found = services.find(method.path) as StreamCall<Request, Response> | undefined;
  if (found === undefined) return { refusal: 'not served' };
  const responses = new FakeResponses<Response>();
  let requests: Requests<Request> | undefined;
  try {
    requests = found.open(responses, context);
    await requests.next(method.request.create(request));
  } catch (error) {
    responses.fail(error);
  }
  requests?.closed();
  const [response] = responses.sent;
  if (response !== undefined) return { response };
  if (typeof responses.over === 'object') return { refusal: textOf(responses.over.error) };
  return { refusal: 'no response' };
}

export function must<Response>(ending: Ending<Response>): Response {
  if ('response' in ending) return ending.response;
  throw new Error(ending.refusal);
}

function textOf(error: unknown): string {
  const { code, message } = toStatus(error);
  return `${code} ${message}`;
}
