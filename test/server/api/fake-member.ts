import assert from 'node:assert/strict';
import type { CallContext, Requests, Responses } from '../../../server/api/call.ts';
import type {
  LeaderStamps,
  MemberPort,
  MembershipChange,
  RaftStatus,
  WatchSink,
  WatchStream,
} from '../../../server/api/member-port.ts';
import type { Caller } from '../../../server/auth/access.ts';
import { AuthStore } from '../../../server/auth/auth-store.ts';
import type { PinnedState } from '../../../server/backend/backend.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import type { KvHash } from '../../../server/mvcc/hash.ts';
import type { PrefixUsage } from '../../../server/mvcc/prefix-usage.ts';
import type { Applied } from '../../../server/propose/proposer.ts';
import { type InternalRequestRequest, Member } from '../../../server/proto/gen/internal.ts';
import {
  type AlarmMember,
  DeleteRangeResponse,
  PutResponse,
  type RangeRequest,
  RangeResponse,
  ResponseHeader,
  TxnResponse,
  type WatchCreateRequest,
  WatchResponse,
} from '../../../server/proto/gen/rpc.ts';

/** A member whose answers a test sets, and that writes down what it was asked. */
export class FakeMember implements MemberPort {
  readonly clusterId = 0xc1n;
  readonly memberId = 0xa1n;
  readonly name = 'a';
  readonly calls: string[] = [];
  readonly proposed: InternalRequestRequest[] = [];
  readonly changes: MembershipChange[] = [];
  readonly streams: FakeWatchStream[] = [];
  raft: { -readonly [Key in keyof RaftStatus]: RaftStatus[Key] } = {
    term: 7,
    leader: 0xa1n,
    isLeader: true,
    isLearner: false,
    isObserver: false,
    commitIndex: 30,
    appliedIndex: 29,
  };
  raised: AlarmMember[] = [];
  currentRevision = 5;
  quotaBytes = -1;
  downgradeTo = '';
  /** What a proposal comes to; by kind. */
  answer: (request: InternalRequestRequest) => Applied | Promise<Applied> = answerOf;
  read: () => Promise<void> = async () => {};
  leaderLost: (() => void)[] = [];
  stale = false;
  becameStale: (() => void)[] = [];
  memberList: Member[] = [
    Member.create({
      id: 0xa1n,
      name: 'a',
      peerUrls: ['http://a:2380'],
      clientUrls: ['http://a:1'],
    }),
    Member.create({ id: 0xb2n, peerUrls: ['http://b:2380'], isLearner: true }),
  ];
  values = new Map<string, Uint8Array>();
  /** Off, unless a test fills it. */
  readonly auth: AuthStore;
  readonly callers: (Caller | undefined)[] = [];

  constructor(auth = new AuthStore({ backend: { put() {}, delete() {} } })) {
    this.auth = auth;
  }
  pin: () => PinnedState = () => assert.fail('the test has no state');
  hashed: KvHash = { hash: 0xfeed, compactRevision: 3, hashRevision: 5 };

  raftStatus(): RaftStatus {
    return this.raft;
  }

  async propose(request: InternalRequestRequest, caller?: Caller): Promise<Applied> {
    this.calls.push(`propose ${request.kind}`);
    this.callers.push(caller);
    this.proposed.push(request);
    return this.answer(request);
  }

  linearizableRead(): Promise<void> {
    this.calls.push('linearizableRead');
    return this.read();
  }

  revision(): number {
    return this.currentRevision;
  }

  range(request: RangeRequest): RangeResponse {
    this.calls.push('range');
    if (request.revision > this.currentRevision) throw new EtcdError('FutureRevision');
    const header = ResponseHeader.create({ revision: this.currentRevision });
    return RangeResponse.create({ header });
  }

  *rangeSteps(request: RangeRequest): Generator<void, RangeResponse> {
    yield;
    return this.range(request);
  }

  stamps: LeaderStamps = {
    leader: 0xa1n,
    askedMs: 8_999,
    nowMs: 9_000,
    revision: 5,
    unknownTo: 2,
    stamps: [],
  };

  async leaderStamps(after: number): Promise<LeaderStamps> {
    this.calls.push(`leaderStamps ${after}`);
    return this.stamps;
  }

  keys = 0;

  keyCount(): number {
    return this.keys;
  }

  prefixUsage(): PrefixUsage | undefined {
    return undefined;
  }

  liveValueBytes(_key: string): number | undefined {
    return undefined;
  }

  *readTxnSteps(): Generator<void, TxnResponse> {
    this.calls.push('readTxn');
    yield;
    const header = ResponseHeader.create({ revision: this.currentRevision });
    return TxnResponse.create({ header, succeeded: true });
  }

  async compactionDone(): Promise<void> {
    this.calls.push('compactionDone');
  }

  openWatchStream(sink: WatchSink): WatchStream {
    const stream = new FakeWatchStream(sink);
    this.streams.push(stream);
    return stream;
  }

  alarms(): readonly AlarmMember[] {
    return this.raised;
  }

  pinState(): PinnedState {
    this.calls.push('pinState');
    return this.pin();
  }

  async hashKv(revision: number): Promise<KvHash> {
    this.calls.push(`hashKv ${revision}`);
    return this.hashed;
  }

  dbSize() {
    return { sizeBytes: 2000, inUseBytes: 1000, quotaBytes: this.quotaBytes };
  }

  async defragment(): Promise<void> {
    this.calls.push('defragment');
  }

  downgradeTarget(): string {
    return this.downgradeTo;
  }

  newLeaseId(): bigint {
    return 77n;
  }

  async renewLease(id: bigint): Promise<number> {
    this.calls.push(`renewLease ${id}`);
    return id === 1n ? 60 : 0;
  }

  async leaseTimeToLive(id: bigint) {
    return id === 1n ? { ttl: 50, grantedTtl: 60 } : { ttl: -1, grantedTtl: 0 };
  }

  leaseKeys(): Uint8Array[] {
    return [Buffer.from('k')];
  }

  leases(): bigint[] {
    return [1n, -2n];
  }

  members(): Member[] {
    return this.memberList;
  }

  async changeMembership(change: MembershipChange): Promise<Member[]> {
    this.changes.push(change);
    if (change.kind === 'addLearner' || change.kind === 'addVoter') {
      const isLearner = change.kind === 'addLearner';
      const peerUrls = [...change.peerUrls];
      this.memberList.push(Member.create({ id: 0xc3n, peerUrls, isLearner }));
    }
    return this.memberList;
  }

  async transferLeadership(target: bigint): Promise<void> {
    this.calls.push(`transferLeadership ${target.toString(16)}`);
  }

  onLeaderLost(callback: () => void): () => void {
    this.leaderLost.push(callback);
    return () => {};
  }

  isStale(): boolean {
    return this.stale;
  }

  onStale(callback: () => void): () => void {
    this.becameStale.push(callback);
    return () => {};
  }
}

export class FakeWatchStream implements WatchStream {
  readonly calls: string[] = [];
  size = 0;
  readonly #sink: WatchSink;

  constructor(sink: WatchSink) {
    this.#sink = sink;
  }

  create(request: WatchCreateRequest): void {
    this.calls.push(`create ${Buffer.from(request.key).toString()}`);
    const watchId = BigInt(this.size++);
    this.send({ watchId, created: true });
  }

  refuse(cancelReason: string): void {
    this.send({ watchId: -1n, created: true, canceled: true, cancelReason });
  }

  cancel(watchId: bigint): void {
    this.calls.push(`cancel ${watchId}`);
    this.send({ watchId, canceled: true });
  }

  progress(): void {
    this.calls.push('progress');
    this.send({ watchId: -1n });
  }

  notifyProgress(): void {
    this.calls.push('notifyProgress');
  }

  drained(): void {
    this.calls.push('drained');
  }

  close(): void {
    this.calls.push('close');
  }

  send(partial: Partial<WatchResponse>, revision = 5): boolean {
    const header = ResponseHeader.create({ revision });
    return this.#sink.send(WatchResponse.create({ header, ...partial }));
  }
}

export function answerOf(request: InternalRequestRequest): Applied {
  const header = ResponseHeader.create({ revision: 6 });
  switch (request.kind) {
    case 'put':
      return { response: PutResponse.create({ header }), revision: 6 };
    case 'deleteRange':
      return { response: DeleteRangeResponse.create({ header, deleted: 2 }), revision: 6 };
    case 'txn':
      return { response: TxnResponse.create({ header, succeeded: true }), revision: 6 };
    case 'leaseGrant':
      return { response: { header: undefined, ...request.value, error: '' }, revision: 5 };
    default:
      return { response: { header: undefined }, revision: 5 };
  }
}

export function contextOf(headers: Readonly<Record<string, string>> = {}): CallContext {
  return { header: (name) => headers[name], remoteAddress: '127.0.0.1:1', commonName: undefined };
}

/** The transport's end of a stream: keeps what it was sent. */
export class FakeResponses<Response> implements Responses<Response> {
  readonly sent: Response[] = [];
  hasRoom = true;
  over: 'end' | { readonly error: unknown } | undefined;
  requests: Requests<never> | undefined;

  send(response: Response): boolean {
    if (this.over === undefined) this.sent.push(response);
    return this.hasRoom;
  }

  end(): void {
    this.over ??= 'end';
  }

  fail(error: unknown): void {
    this.over ??= { error };
  }
}
