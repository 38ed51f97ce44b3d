import { setTimeout as pause } from 'node:timers/promises';
import { hostLookup } from '../base/hosts.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import {
  Cluster,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  KV,
  Lease,
  LeaseGrantRequest,
  type LeaseGrantResponse,
  LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
  Maintenance,
  type MemberAddResponse,
  type MemberListResponse,
  PutRequest,
  type PutResponse,
  RangeRequest,
  type RangeResponse,
  type SnapshotResponse,
  type StatusResponse,
  TxnRequest,
  type TxnResponse,
} from '../proto/gen/rpc.ts';
import type { Method } from '../proto/wire.ts';
import { Endpoint, type EndpointOptions, type TlsOptions } from './endpoint.ts';
import { ClientError, mayRetry, type Repeat } from './errors.ts';
import { type Bytes, bytesOf, type Keys, oneKey } from './keys.ts';
import { renewOnce } from './lease-renewal.ts';
import { Watch, type WatchOptions } from './watch.ts';

export interface ClientOptions {
  /** Client URLs of members, `http://host:port`, `https://host:port` or `host:port`; the one that answered last is asked first. */
  readonly endpoints: readonly string[];
  /** How long a call may take, every attempt included. 5 s by default. */
  readonly timeoutMs?: number;
  /** Lines of `IP name name...` that are asked before DNS; by default what MAINSTAY_HOSTS_FILE names. */
  readonly hostsFile?: string;
  /** For endpoints of https, and those without a scheme. */
  readonly tls?: TlsOptions;
}

export interface PutOptions {
  readonly lease?: bigint;
  readonly prevKv?: boolean;
  /**
   * Whether the put may be sent again when it is not known whether it took effect. Then it can be written twice, and
   * the second time after what others wrote meanwhile.
   */
  readonly mayRepeat?: boolean;
}

interface Attempt {
  readonly repeat: Repeat;
  /** Only this one is asked. */
  readonly endpoint?: Endpoint;
}

const read: Attempt = { repeat: 'harmless' };
const write: Attempt = { repeat: 'never' };

const backoffMsMin = 25;
const backoffMsMax = 500;
/** What a call that may be repeated waits for one member, before it asks the next. */
const attemptMsMin = 1_000;

/**
 * A client of the etcd v3 API. Calls go to one endpoint and move on to the next when that is safe: reads whenever a
 * member is unavailable, writes only when the request provably had no effect. Failures are {@link ClientError}s.
 */
export class Client {
  readonly #timeoutMs: number;
  readonly #connection: EndpointOptions;
  readonly #endpoints: Endpoint[];
  /** Of the endpoint that answered last. */
  #current = 0;

  constructor(options: ClientOptions) {
    if (options.endpoints.length === 0) throw new TypeError('a client needs an endpoint');
    this.#timeoutMs = options.timeoutMs ?? 5_000;
    const lookup = hostLookup(options.hostsFile ?? process.env['MAINSTAY_HOSTS_FILE']);
    this.#connection = { lookup, tls: options.tls };
    this.#endpoints = options.endpoints.map((url) => new Endpoint(url, this.#connection));
  }

  get endpoints(): string[] {
    return this.#endpoints.map(({ url }) => url);
  }

  close(): void {
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  // Keys and values

  put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<PutResponse> {
    const { lease, prevKv, mayRepeat } = options;
    const request = PutRequest.create({
      key: bytesOf(key),
      value: bytesOf(value),
      ...(lease === undefined ? {} : { lease }),
      ...(prevKv === undefined ? {} : { prevKv }),
    });
    return this.#call(KV.methods.put, request, mayRepeat === true ? read : write);
  }

  /** The key's value, undefined when it is not there. */
  async get(key: Bytes, options: Partial<RangeRequest> = {}): Promise<KeyValue | undefined> {
    const { kvs } = await this.range(oneKey(key), options);
    return kvs[0];
  }

  range(keys: Keys, options: Partial<RangeRequest> = {}): Promise<RangeResponse> {
    return this.#call(KV.methods.range, RangeRequest.create({ ...options, ...keys }), read);
  }

  delete(keys: Keys, options: Partial<DeleteRangeRequest> = {}): Promise<DeleteRangeResponse> {
    const request = DeleteRangeRequest.create({ ...options, ...keys });
    return this.#call(KV.methods.deleteRange, request, write);
  }

  txn(request: Partial<TxnRequest>): Promise<TxnResponse> {
    return this.#call(KV.methods.txn, TxnRequest.create(request), write);
  }

  /** Events of the keys, from now or from `startRevision`, without gap or repetition over reconnections. */
  watch(keys: Keys, options: WatchOptions = {}): Watch {
    return new Watch(
      {
        keys,
        next: (failed) => (failed === undefined ? this.#endpoint() : this.#after(failed)),
        timeoutMs: this.#timeoutMs,
      },
      options,
    );
  }

  // Leases

  leaseGrant(ttlSeconds: number, id = 0n): Promise<LeaseGrantResponse> {
    const request = LeaseGrantRequest.create({ TTL: ttlSeconds, ID: id });
    return this.#call(Lease.methods.leaseGrant, request, write);
  }

  async leaseRevoke(id: bigint): Promise<void> {
    await this.#call(Lease.methods.leaseRevoke, { ID: id }, write);
  }

  /** Renews the lease once; its TTL in seconds, 0 when it is not there. */
  leaseKeepAlive(id: bigint): Promise<number> {
    return this.#attempt(read, (endpoint, timeoutMs) => renewOnce(endpoint, id, timeoutMs));
  }

  leaseTimeToLive(id: bigint, keys = false): Promise<LeaseTimeToLiveResponse> {
    const request = LeaseTimeToLiveRequest.create({ ID: id, keys });
    return this.#call(Lease.methods.leaseTimeToLive, request, read);
  }

  // Members

  memberList(options: { linearizable?: boolean } = {}): Promise<MemberListResponse> {
    const { linearizable = true } = options;
    return this.#call(Cluster.methods.memberList, { linearizable }, read);
  }

  memberAdd(
    peerURLs: readonly string[],
    options: { isLearner?: boolean } = {},
  ): Promise<MemberAddResponse> {
    const request = { peerURLs: [...peerURLs], isLearner: options.isLearner ?? false };
    return this.#call(Cluster.methods.memberAdd, request, write);
  }

  async memberPromote(id: bigint): Promise<void> {
    await this.#call(Cluster.methods.memberPromote, { ID: id }, write);
  }

  async memberRemove(id: bigint): Promise<void> {
    await this.#call(Cluster.methods.memberRemove, { ID: id }, write);
  }

  /** What one member says of itself. `endpoint` need not be one of this client's. */
  async status(endpoint: string): Promise<StatusResponse> {
    return this.#at(endpoint, (at) => this.#statusOf(at));
  }

  /** Asks the leader, whichever endpoint that is, to hand leadership to a voter. */
  async moveLeader(targetID: bigint): Promise<void> {
    await this.#at(await this.#leaderUrl(), (endpoint) =>
      this.#call(Maintenance.methods.moveLeader, { targetID }, { ...write, endpoint }),
    );
  }

  /**
   * The whole state of one member as etcd's database file, in pieces; the last one is the SHA-256 over all others. Of
   * the first endpoint: which member it was must not change between two pieces.
   */
  async *snapshot(options: { signal?: AbortSignal } = {}): AsyncGenerator<SnapshotResponse> {
    const endpoint = this.#endpoint();
    const timeoutMs = this.#timeoutMs;
    const stream = await endpoint.responses(Maintenance.methods.snapshot, {}, { timeoutMs });
    const cancel = () => stream.cancel();
    options.signal?.addEventListener('abort', cancel, { once: true });
    try {
      for await (const response of stream) yield response as SnapshotResponse;
    } catch (error) {
      throw endpoint.failure(error);
    } finally {
      options.signal?.removeEventListener('abort', cancel);
      cancel();
    }
  }

  #statusOf(endpoint: Endpoint): Promise<StatusResponse> {
    return this.#call(Maintenance.methods.status, {}, { ...read, endpoint });
  }

  async #leaderUrl(): Promise<string> {
    const { endpoint } = await this.#attempt(read, async (at, timeoutMs) => {
      const status = await at.unary(Maintenance.methods.status, {}, { timeoutMs });
      if (status.leader === 0n) throw noLeader(at);
      return { endpoint: status.leader === status.header?.memberId ? at.url : status.leader };
    });
    if (typeof endpoint === 'string') return endpoint;
    const { members } = await this.memberList({ linearizable: false });
    const url = members.find(({ ID }) => ID === endpoint)?.clientURLs[0];
    if (url === undefined) throw noLeader(this.#endpoint());
    return url;
  }

  /** Runs with the endpoint of that URL, ours or one for the time being. */
  async #at<T>(url: string, run: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    const asked = new Endpoint(url, this.#connection);
    const own = this.#endpoints.find((endpoint) => endpoint.url === asked.url);
    if (own !== undefined) return run(own);
    try {
      return await run(asked);
    } finally {
      asked.close();
    }
  }

  #call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    attempt: Attempt,
  ): Promise<Response> {
    return this.#attempt(attempt, (endpoint, timeoutMs) =>
      endpoint.unary(method, request, { timeoutMs }),
    );
  }

  /** Tries one endpoint after the other, as long as there is time and another try is safe. */
  async #attempt<T>(
    { repeat, endpoint }: Attempt,
    run: (endpoint: Endpoint, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const deadline = performance.now() + this.#timeoutMs;
    let backoffMs = backoffMsMin;
    for (let tries = 1; ; tries++) {
      const asked = endpoint ?? this.#endpoint();
      const leftMs = deadline - performance.now();
      try {
        return await run(asked, repeat === 'harmless' ? this.#attemptMs(leftMs) : leftMs);
      } catch (error) {
        const failure = asked.failure(error);
        if (!mayRetry(failure, repeat) || performance.now() + backoffMs >= deadline) throw failure;
        if (endpoint === undefined) this.#after(asked);
      }
      if (endpoint === undefined && tries % this.#endpoints.length !== 0) continue;
      await pause(backoffMs * (0.5 + Math.random() / 2));
      backoffMs = Math.min(2 * backoffMs, backoffMsMax);
    }
  }

  /** A member that hangs must not use up the time that others could answer in. */
  #attemptMs(leftMs: number): number {
    return Math.min(leftMs, Math.max(attemptMsMin, this.#timeoutMs / this.#endpoints.length));
  }

  #endpoint(): Endpoint {
    return this.#endpoints[this.#current % this.#endpoints.length] as Endpoint;
  }

  /** The endpoint after one that failed; the current one when others have moved on already. */
  #after(failed: Endpoint): Endpoint {
    if (this.#endpoint() === failed) this.#current = (this.#current + 1) % this.#endpoints.length;
    return this.#endpoint();
  }
}

function noLeader({ url }: Endpoint): ClientError {
  return new ClientError({
    code: 14,
    text: 'etcdserver: no leader',
    endpoint: url,
    isUncertain: false,
  });
}
