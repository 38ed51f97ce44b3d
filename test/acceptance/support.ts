import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import { bytesOf, type Keys, keysUnder, oneKey } from '../../server/client/keys.ts';
import { EventType, type KeyValue } from '../../server/proto/gen/kv.ts';
import {
  Cluster,
  type CompactionResponse,
  Compare,
  CompareResult,
  CompareTarget,
  type CompareTargetUnion,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type HashKVResponse,
  KV,
  Lease,
  type LeaseGrantResponse,
  type LeaseTimeToLiveResponse,
  Maintenance,
  type Member,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type StatusResponse,
  type TxnRequest,
  type TxnResponse,
  Watch,
  WatchCancelRequest,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../server/proto/gen/rpc.ts';
import type { Method } from '../../server/proto/wire.ts';
import { GrpcChannel, type GrpcStream, type Headers } from '../support/grpc.ts';
import {
  type ClusterOptions,
  type MemberProcess,
  type Program,
  TestCluster,
} from '../support/server-process.ts';

// etcd's own acceptance cases, each under its number and with the names of the upstream tests that it stands for. They say
// what those assert, in our words, on real processes. MAINSTAY_ORACLE=1 runs them on etcd: a case that fails there is wrong.

export const isOracle = process.env['MAINSTAY_ORACLE'] === '1';
export const program: Program = isOracle ? 'etcd' : 'mainstay';

/** Options of a case that etcd 3.5, which the cases are checked with, cannot run. */
export function since(version: '3.6' | '3.7'): { skip: string | false } {
  return { skip: isOracle ? `etcd 3.5 does not have what came with ${version}` : false };
}

type Text = string | Uint8Array;
type StartOptions = Omit<ClusterOptions, 'program'>;

/** One connection to one member: every call either answers or throws what the member said. */
export class Api {
  readonly channel: GrpcChannel;
  readonly #headers: Headers;

  constructor(url: string, headers: Headers = {}) {
    this.channel = new GrpcChannel(url);
    this.#headers = headers;
  }

  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request> = {},
  ): Promise<Response> {
    const outcome = await this.channel.call(method, request, this.#headers);
    if (outcome.kind === 'ok') return outcome.response;
    throw new Error(`${method.name}: ${outcome.code} ${outcome.message}`);
  }

  /** `code message`; fails when the call is answered. */
  async refusal<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request> = {},
  ): Promise<string> {
    const outcome = await this.channel.call(method, request, this.#headers);
    assert(outcome.kind === 'error', `${method.name} was not refused`);
    return `${outcome.code} ${outcome.message}`;
  }

  stream<Request, Response>(method: Method<Request, Response>): GrpcStream<Request, Response> {
    return this.channel.stream(method, this.#headers);
  }

  put(key: Text, value: Text = '', more: Partial<PutRequest> = {}): Promise<PutResponse> {
    return this.call(KV.methods.put, putRequest(key, value, more));
  }

  /** The revision that a put made. */
  async putRevision(key: Text, value: Text = '', more: Partial<PutRequest> = {}): Promise<number> {
    return (await this.put(key, value, more)).header?.revision ?? 0;
  }

  range(keys: string | Keys, more: Partial<RangeRequest> = {}): Promise<RangeResponse> {
    return this.call(KV.methods.range, { ...keysOf(keys), ...more });
  }

  /** The values of the keys, in their order. */
  async values(keys: string | Keys, more: Partial<RangeRequest> = {}): Promise<string[]> {
    return (await this.range(keys, more)).kvs.map(({ value }) => latin1(value));
  }

  delete(
    keys: string | Keys,
    more: Partial<DeleteRangeRequest> = {},
  ): Promise<DeleteRangeResponse> {
    return this.call(KV.methods.deleteRange, { ...keysOf(keys), ...more });
  }

  txn(request: Partial<TxnRequest>): Promise<TxnResponse> {
    return this.call(KV.methods.txn, request);
  }

  compact(revision: number, physical = false): Promise<CompactionResponse> {
    return this.call(KV.methods.compact, { revision, physical });
  }

  async revision(): Promise<number> {
    return (await this.range('revision')).header?.revision ?? 0;
  }

  grant(TTL: number, ID = 0n): Promise<LeaseGrantResponse> {
    return this.call(Lease.methods.leaseGrant, { TTL, ID });
  }

  async revoke(ID: bigint): Promise<void> {
    await this.call(Lease.methods.leaseRevoke, { ID });
  }

  ttl(ID: bigint, keys = false): Promise<LeaseTimeToLiveResponse> {
    return this.call(Lease.methods.leaseTimeToLive, { ID, keys });
  }

  async leases(): Promise<bigint[]> {
    return (await this.call(Lease.methods.leaseLeases)).leases.map(({ ID }) => ID);
  }

  /** Renews a lease once: its TTL, 0 when it is not there. */
  async keepAlive(ID: bigint): Promise<number> {
    const stream = this.stream(Lease.methods.leaseKeepAlive);
    stream.send({ ID });
    try {
      return (await stream.find(0, () => true)).response.TTL;
    } finally {
      stream.cancel();
    }
  }

  status(): Promise<StatusResponse> {
    return this.call(Maintenance.methods.status);
  }

  hashKV(revision = 0): Promise<HashKVResponse> {
    return this.call(Maintenance.methods.hashKV, { revision });
  }

  async members(linearizable = true): Promise<Member[]> {
    return (await this.call(Cluster.methods.memberList, { linearizable })).members;
  }

  watch(): Watching {
    return new Watching(this.stream(Watch.methods.watch));
  }

  /** A stream with one watcher that is there; the created response has been read. */
  async watching(keys: string | Keys, more: Partial<WatchCreateRequest> = {}): Promise<Watching> {
    const watching = this.watch();
    watching.create(keys, more);
    const { created, canceled, cancelReason } = await watching.next();
    assert(created && !canceled, `the watch was refused: ${cancelReason}`);
    return watching;
  }

  close(): void {
    this.channel.close();
  }
}

/** One watch stream, read from its beginning to its end. */
export class Watching {
  readonly stream: GrpcStream<WatchRequest, WatchResponse>;
  #place = 0;

  constructor(stream: GrpcStream<WatchRequest, WatchResponse>) {
    this.stream = stream;
  }

  create(keys: string | Keys, more: Partial<WatchCreateRequest> = {}): void {
    const value = WatchCreateRequest.create({ ...keysOf(keys), ...more });
    this.stream.send({ requestUnion: { kind: 'createRequest', value } });
  }

  cancel(watchId: bigint): void {
    const value = WatchCancelRequest.create({ watchId });
    this.stream.send({ requestUnion: { kind: 'cancelRequest', value } });
  }

  requestProgress(): void {
    this.stream.send({ requestUnion: { kind: 'progressRequest', value: {} } });
  }

  /** The response after the one that was read last. */
  async next(): Promise<WatchResponse> {
    const { response, next } = await this.stream.find(this.#place, () => true);
    this.#place = next;
    return response;
  }

  /** Reads on until there are so many events: `put key=value` or `delete key`. */
  async events(count: number): Promise<string[]> {
    const events: string[] = [];
    while (events.length < count) events.push(...eventTexts(await this.next()));
    return events;
  }

  /** Nothing that was not read comes for a while. */
  async silent(forMs = 150): Promise<void> {
    await sleep(forMs);
    const unread = this.stream.responses.slice(this.#place);
    assert.deepEqual(unread, [], 'the stream was to be silent');
  }

  close(): void {
    this.stream.cancel();
  }
}

/** The members of a cluster with a connection to each. */
export class Store {
  readonly cluster: TestCluster;
  readonly #apis = new Map<MemberProcess, Api>();

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
  }

  /** The member at a place, 0 by default. */
  at(place = 0): Api {
    return this.of(this.cluster.member(place));
  }

  of(member: MemberProcess): Api {
    const known = this.#apis.get(member);
    if (known !== undefined) return known;
    const api = new Api(member.clientUrl);
    this.#apis.set(member, api);
    return api;
  }

  get apis(): Api[] {
    return this.cluster.members.map((member) => this.of(member));
  }

  /** The running member that says it leads, once there is one that the others follow. */
  async leader(): Promise<MemberProcess> {
    let found: MemberProcess | undefined;
    await eventually(async () => {
      const running = this.cluster.members.filter(({ isRunning }) => isRunning);
      const statuses = await Promise.all(running.map((member) => this.of(member).status()));
      const { leader } = statuses[0] ?? { leader: 0n };
      assert(leader !== 0n && statuses.every((status) => status.leader === leader), 'no leader');
      found = running[statuses.findIndex(({ header }) => header?.memberId === leader)];
      assert(found !== undefined, 'the leader is not running');
    });
    assert(found !== undefined);
    return found;
  }

  async followers(): Promise<MemberProcess[]> {
    const leader = await this.leader();
    return this.cluster.members.filter((member) => member !== leader && member.isRunning);
  }

  /** Takes away all keys and leases; the revision then. */
  async clear(): Promise<number> {
    const api = this.at();
    for (const ID of await api.leases()) {
      // It may have expired meanwhile.
      await api.channel.call(Lease.methods.leaseRevoke, { ID });
    }
    return (await api.delete(keysUnder(''))).header?.revision ?? 0;
  }

  /** Resolves when all running members have applied what one of them has applied. */
  async caughtUp(): Promise<void> {
    const revision = Math.max(...(await this.#revisions()));
    await eventually(async () => {
      assert(
        (await this.#revisions()).every((one) => one >= revision),
        'a member is behind',
      );
    });
  }

  #revisions(): Promise<number[]> {
    const running = this.cluster.members.filter(({ isRunning }) => isRunning);
    return Promise.all(
      running.map(async (member) => (await this.of(member).status()).header?.revision ?? 0),
    );
  }

  /** Forgets the connections of members that are stopped: the next call makes new ones. */
  disconnect(): void {
    for (const api of this.#apis.values()) api.close();
    this.#apis.clear();
  }

  async stop(): Promise<void> {
    this.disconnect();
    await this.cluster.stop();
  }
}

/** A cluster for all the tests of a file, which one after the other {@link Store.clear} it. */
export function sharedStore(options: StartOptions = {}): () => Store {
  let store: Store | undefined;
  before(async () => {
    store = new Store(await TestCluster.start(startOptions(options)));
  });
  after(async () => {
    await store?.stop();
  });
  return () => {
    assert(store !== undefined, 'the shared cluster has not started');
    return store;
  };
}

/** A cluster for one test, stopped afterwards; a failure shows the members' logs. */
export async function withStore<T>(
  options: StartOptions,
  body: (store: Store) => Promise<T>,
): Promise<T> {
  const store = new Store(await TestCluster.start(startOptions(options)));
  try {
    return await store.cluster.showLogsOnFailure(() => body(store));
  } finally {
    await store.stop();
  }
}

/** etcd's disk is not what is tested. */
export function startOptions(options: StartOptions): ClusterOptions {
  const flags = [...(options.flags ?? []), ...(isOracle ? ['--unsafe-no-fsync'] : [])];
  return { ...options, program, flags };
}

/** Tries until it does not throw, for at most 40 s: machines may have more to do. */
export async function eventually<T>(attempt: () => Promise<T>, timeoutMs = 40_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(30);
    }
  }
}

/** Resolves with true when the promise settles in time. */
export async function settlesIn(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, sleep(ms, false)]);
}

/** Resolves with true when the promise is fulfilled in time; an answer that comes later is nobody's. */
export async function succeedsIn(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => false,
  );
  return Promise.race([settled, sleep(ms, false)]);
}

function keysOf(keys: string | Keys): Keys {
  return typeof keys === 'string' ? oneKey(keys) : keys;
}

export function putRequest(
  key: Text,
  value: Text = '',
  more: Partial<PutRequest> = {},
): PutRequest {
  const fields = { key: bytesOf(key), value: bytesOf(value), ...more };
  return KV.methods.put.request.create(fields);
}

export function putOp(key: Text, value: Text = '', more: Partial<PutRequest> = {}): RequestOp {
  return { request: { kind: 'requestPut', value: putRequest(key, value, more) } };
}

export function getOp(keys: string | Keys, more: Partial<RangeRequest> = {}): RequestOp {
  const value = KV.methods.range.request.create({ ...keysOf(keys), ...more });
  return { request: { kind: 'requestRange', value } };
}

export function deleteOp(keys: string | Keys): RequestOp {
  const value = KV.methods.deleteRange.request.create(keysOf(keys));
  return { request: { kind: 'requestDeleteRange', value } };
}

export function txnOp(request: Partial<TxnRequest>): RequestOp {
  return { request: { kind: 'requestTxn', value: KV.methods.txn.request.create(request) } };
}

const targets: Record<CompareTargetUnion['kind'], CompareTarget> = {
  version: CompareTarget.VERSION,
  createRevision: CompareTarget.CREATE,
  modRevision: CompareTarget.MOD,
  value: CompareTarget.VALUE,
  lease: CompareTarget.LEASE,
};
const results = {
  '=': CompareResult.EQUAL,
  '>': CompareResult.GREATER,
  '<': CompareResult.LESS,
  '!=': CompareResult.NOT_EQUAL,
};

/** `compare('a', 'version', '>', 1)`; a value as text, a lease as bigint. */
export function compare(
  keys: string | Keys,
  kind: CompareTargetUnion['kind'],
  result: keyof typeof results,
  value: number | bigint | string,
): Compare {
  return Compare.create({
    ...keysOf(keys),
    target: targets[kind],
    result: results[result],
    targetUnion: unionOf(kind, value),
  });
}

function unionOf(
  kind: CompareTargetUnion['kind'],
  value: number | bigint | string,
): CompareTargetUnion {
  if (kind === 'value') return { kind, value: bytesOf(String(value)) };
  if (kind === 'lease') return { kind, value: BigInt(value) };
  return { kind, value: Number(value) };
}

/** `key=value`. */
export function pair({ key, value }: Pick<KeyValue, 'key' | 'value'>): string {
  return `${latin1(key)}=${latin1(value)}`;
}

export function keyTexts({ kvs }: Pick<RangeResponse, 'kvs'>): string[] {
  return kvs.map(({ key }) => latin1(key));
}

export function eventTexts({ events }: Pick<WatchResponse, 'events'>): string[] {
  return events.map(({ type, kv }) => {
    assert(kv !== undefined);
    return type === EventType.PUT ? `put ${pair(kv)}` : `delete ${latin1(kv.key)}`;
  });
}

export function times<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n));
}
