import type { KeyValue } from '../proto/gen/kv.ts';
import {
  type Compare,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  KV,
  Lease,
  type LeaseGrantResponse,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  type LeaseTimeToLiveResponse,
  type PutResponse,
  RangeRequest,
  type RangeResponse,
  ResponseHeader,
  TxnRequest,
  type TxnResponse,
} from '../proto/gen/rpc.ts';
import { type CallOptions, type Calls, idempotentWrite, localRead, read, write } from './calls.ts';
import { Election } from './election.ts';
import { etcdTexts } from './etcd-texts.ts';
import { type Bytes, bytesOf, type Keys, keysUnder, oneKey } from './keys.ts';
import { renewOnce } from './lease-renewal.ts';
import { acquire, type Lock, type LockOptions } from './lock.ts';
import { entries, type PageOptions, pages } from './pages.ts';
import { Prefix } from './prefix.ts';
import { Session, type SessionOptions } from './session.ts';
import { runStm, type StmAttempt, type StmOptions } from './stm.ts';
import {
  type DeleteFields,
  isReadOnly,
  type PutFields,
  putRequest,
  type RangeFields,
  Txn,
  type TxnOptions,
} from './txn.ts';
import { Watch, type WatchOptions } from './watch.ts';

export type RangeOptions = RangeFields & CallOptions;

/** An answer, of which every one has a header: the store's revision when it was given. */
export type Headed<Response> = Response & { header: ResponseHeader };

interface Repeatable {
  /**
   * Whether it may be sent again when it is not known whether it took effect. Then it can take effect twice, and the
   * second time after what others wrote meanwhile.
   */
  readonly mayRepeat?: boolean | undefined;
}

export interface PutOptions extends PutFields, CallOptions, Repeatable {}
export interface DeleteOptions extends DeleteFields, CallOptions, Repeatable {}

export interface LeaseTimeToLiveOptions extends CallOptions {
  /** Also the keys that live with it. */
  readonly keys?: boolean | undefined;
}

/**
 * Keys and what is done with them: the whole store, or a namespace of it, in which every key begins with a prefix that
 * neither the caller nor the answers show. Leases are the store's, whatever the namespace.
 */
export class KeySpace {
  readonly #calls: Calls;
  readonly #prefix: Prefix;

  constructor(calls: Calls, prefix: Prefix) {
    this.#calls = calls;
    this.#prefix = prefix;
  }

  /** The keys of this one that begin with a prefix, as a key space of its own. */
  namespace(prefix: Bytes): KeySpace {
    return new KeySpace(this.#calls, new Prefix(this.#prefix.join(bytesOf(prefix))));
  }

  // Keys and values

  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<Headed<PutResponse>> {
    const request = putRequest(this.#prefix.key(bytesOf(key)), value, options);
    const how = options.mayRepeat === true ? idempotentWrite : write;
    return headed(
      this.#prefix.ofPut(await this.#calls.unary(KV.methods.put, request, how, options)),
    );
  }

  /** The key's value, undefined when it is not there. */
  async get(key: Bytes, options: RangeOptions = {}): Promise<KeyValue | undefined> {
    const { kvs } = await this.range(oneKey(key), options);
    return kvs[0];
  }

  async range(keys: Keys, options: RangeOptions = {}): Promise<Headed<RangeResponse>> {
    const request = RangeRequest.create({ ...options, ...this.#prefix.keys(keys) });
    const how = request.serializable ? localRead : read;
    return headed(
      this.#prefix.ofRange(await this.#calls.unary(KV.methods.range, request, how, options)),
    );
  }

  /** A range of any size: see {@link pages}. */
  pages(keys: Keys, options: PageOptions = {}): AsyncGenerator<Headed<RangeResponse>, void, void> {
    return pages((...page) => this.range(...page), keys, options);
  }

  /** The same, key by key. */
  entries(keys: Keys, options: PageOptions = {}): AsyncGenerator<KeyValue, void, void> {
    return entries(this.pages(keys, options));
  }

  async delete(keys: Keys, options: DeleteOptions = {}): Promise<Headed<DeleteRangeResponse>> {
    const prevKv = options.prevKv ?? false;
    const request = DeleteRangeRequest.create({ ...this.#prefix.keys(keys), prevKv });
    const how = options.mayRepeat === true ? idempotentWrite : write;
    const answer = await this.#calls.unary(KV.methods.deleteRange, request, how, options);
    return headed(this.#prefix.ofDelete(answer));
  }

  /** A transaction in one piece; {@link when} writes one step by step. One that only reads may be repeated. */
  async txn(request: Partial<TxnRequest>, options: TxnOptions = {}): Promise<Headed<TxnResponse>> {
    const whole = TxnRequest.create(request);
    const isRepeatable = options.mayRepeat === true || isReadOnly(whole);
    const how = isRepeatable ? idempotentWrite : write;
    const sent = this.#prefix.request(whole);
    return headed(this.#prefix.ofTxn(await this.#calls.unary(KV.methods.txn, sent, how, options)));
  }

  /** Begins a transaction: `when(isMissing('k')).do(putOp('k', 'v')).otherwise(rangeOp('k')).commit()`. */
  when(...compares: readonly Compare[]): Txn {
    return new Txn(compares, (request, options) => this.txn(request, options));
  }

  /** Events of the keys, from now or from `startRevision`, without gap or repetition over reconnections. */
  watch(keys: Keys, options: WatchOptions = {}): Watch {
    const isEmpty = keys.key.length === 0;
    const target = this.#prefix.keys(isEmpty ? { ...keys, key: keysUnder('').key } : keys);
    return new Watch(this.#calls, { keys: target, prefix: this.#prefix }, options);
  }

  /** Software transactional memory: runs `apply` until nothing that it has read changed before its writes took effect. */
  stm<T>(
    apply: (attempt: StmAttempt) => Promise<T>,
    options: StmOptions = {},
  ): Promise<{ result: T; response: Headed<TxnResponse> }> {
    return runStm(this, apply, options);
  }

  // Leases

  /** Without an id the server picks one. Then it may be asked twice: what is granted in vain expires. */
  async leaseGrant(
    ttlSeconds: number,
    id = 0n,
    options: CallOptions = {},
  ): Promise<Headed<LeaseGrantResponse>> {
    const how = id === 0n ? idempotentWrite : write;
    const request = { TTL: ttlSeconds, ID: id };
    return headed(await this.#calls.unary(Lease.methods.leaseGrant, request, how, options));
  }

  /** Fails with `requested lease not found` when it was not there, unless an attempt before may have revoked it. */
  async leaseRevoke(id: bigint, options: CallOptions = {}): Promise<void> {
    let mayBeGone = false;
    await this.#calls.attempt(idempotentWrite, options, async (endpoint, how) => {
      try {
        await endpoint.unary(Lease.methods.leaseRevoke, { ID: id }, how);
      } catch (error) {
        const failure = endpoint.failure(error);
        if (!(mayBeGone && failure.text === etcdTexts.leaseNotFound)) {
          mayBeGone ||= failure.isUncertain;
          throw failure;
        }
      }
    });
  }

  /** Renews the lease once; its TTL in seconds, 0 when it is not there. */
  async leaseKeepAlive(id: bigint, options: CallOptions = {}): Promise<number> {
    return (await this.leaseRenewal(id, options)).TTL;
  }

  /** The same, with all that the server answers. */
  leaseRenewal(id: bigint, options: CallOptions = {}): Promise<LeaseKeepAliveResponse> {
    return this.#calls.attempt(read, options, (endpoint, how) => renewOnce(endpoint, id, how));
  }

  /** TTL -1: it is not there. `keys` are those of this key space. */
  async leaseTimeToLive(
    id: bigint,
    options: LeaseTimeToLiveOptions | boolean = {},
  ): Promise<Headed<LeaseTimeToLiveResponse>> {
    const { keys = false, ...rest } = typeof options === 'boolean' ? { keys: options } : options;
    const { leaseTimeToLive } = Lease.methods;
    const answer = await this.#calls.unary(leaseTimeToLive, { ID: id, keys }, read, rest);
    answer.keys = this.#prefix.ofKeys(answer.keys);
    return headed(answer);
  }

  async leases(options: CallOptions = {}): Promise<Headed<LeaseLeasesResponse>> {
    return headed(await this.#calls.unary(Lease.methods.leaseLeases, {}, read, options));
  }

  /** A lease that is kept alive until the session, or the client, is closed. */
  session(options: SessionOptions = {}): Promise<Session> {
    const closeWith = (session: Session) => this.#calls.closeWithClient(session);
    return Session.open(this, { ...options, closeWith });
  }

  // Coordination

  /** Waits until it holds the lock of that name. */
  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    const lock = await acquire(this, name, { ...options, tries: false });
    if (lock === undefined) throw new TypeError('a lock that is waited for is had');
    return lock;
  }

  /** Undefined when another holds it. */
  tryLock(name: string, options: LockOptions = {}): Promise<Lock | undefined> {
    return acquire(this, name, { ...options, tries: true });
  }

  election(name: string): Election {
    return new Election(this, name);
  }
}

function headed<T extends { header: ResponseHeader | undefined }>(answer: T): Headed<T> {
  const header = answer.header ?? ResponseHeader.create();
  return Object.assign(answer, { header });
}
