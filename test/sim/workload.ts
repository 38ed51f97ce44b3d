import type { MemberPort } from '../../server/api/member-port.ts';
import type { Caller } from '../../server/auth/access.ts';
import { EtcdError } from '../../server/base/errors.ts';
import type { Applied } from '../../server/propose/proposer.ts';
import type { InternalRequestRequest } from '../../server/proto/gen/internal.ts';
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  CompactionRequest,
  LeaseGrantRequest,
} from '../../server/proto/gen/rpc.ts';
import type { ClientHistory, WriteRequest } from './checkers/client-history.ts';
import type { KeySpan } from './checkers/event-log.ts';
import type { KvCompare, KvOp, KvTxn } from './checkers/kv-model.ts';
import { demand } from './checkers/violation.ts';
import type { Counters } from './counters.ts';
import type { SimReplica } from './member.ts';
import type { SimProcess } from './process.ts';
import type { SeededRandom } from './random.ts';
import { SimUser } from './rules.ts';
import type { Scheduler } from './scheduler.ts';
import type { OpKind, SwarmConfig } from './swarm.ts';
import { kvsOf, rangeMessage, resultOf, writeMessage } from './wire.ts';

/** A member that serves, as a client sees it. */
export interface Endpoint {
  readonly name: string;
  readonly port: MemberPort;
  readonly replica: SimReplica;
  readonly process: SimProcess;
}

export interface ClientModules {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly counters: Counters;
  readonly history: ClientHistory;
  /** The members that can be asked now; where `paused` is said, those too that will answer later. */
  readonly endpoints: (options?: { paused: boolean }) => readonly Endpoint[];
  readonly openWatches: (
    endpoint: Endpoint,
    spans: readonly KeySpan[],
    random: SeededRandom,
  ) => void;
}

/** A client gives up on an answer after this; the operation may still happen. */
const patienceMs = 8_000;

/** Rejections that promise that nothing happened, nor will. */
const refusals: readonly string[] = ['RequestTooLarge', 'TooManyRequests'];

interface Lease {
  readonly id: bigint;
  readonly ttlMs: number;
}

type Write = Exclude<WriteRequest, { kind: 'leaseRevoke' }>;

/** One client: one operation at a time, each on a member of its choice, values that are never used twice. */
export class SimClient {
  readonly #modules: ClientModules;
  readonly #config: SwarmConfig;
  readonly #name: string;
  #leases: Lease[] = [];
  readonly #keys: readonly string[];
  readonly #user: SimUser;
  #nextValue = 1;
  /** One at a time, also when the client has lost its patience: they are all the same alarm. */
  #isAlarming = false;
  /** A disarming had no answer: it may take effect while a later alarm is raised. */
  #disarmsLate = false;
  #stopped = false;
  /** Operations begun and not yet answered or given up. */
  pending = 0;
  answered = 0;

  constructor(modules: ClientModules, config: SwarmConfig, name: string) {
    this.#modules = modules;
    this.#config = config;
    this.#name = name;
    this.#user = new SimUser(name);
    this.#keys = Array.from({ length: config.keys }, (_, at) => `k${at}`);
  }

  start(): void {
    this.#think();
  }

  stop(): void {
    this.#stopped = true;
  }

  #think(): void {
    const { scheduler, random } = this.#modules;
    // Often at once: what was just written is read elsewhere before it can have settled.
    const meanMs = random.chance(0.3) ? 1 : this.#config.thinkMs;
    scheduler.after(random.exponential(meanMs), () => {
      if (!this.#stopped) this.#act();
    });
  }

  #act(): void {
    const { random, endpoints } = this.#modules;
    const live = endpoints({ paused: random.chance(0.3) });
    if (live.length === 0) {
      this.#think();
      return;
    }
    const endpoint = random.pick(live);
    // A leader that slept does not know that it leads no more.
    const renews = endpoint.process.paused && this.#leases.length > 0 && random.chance(0.7);
    this.operate(renews ? 'leaseKeepAlive' : random.weighted(this.#config.mix), endpoint);
  }

  /** One operation; the next one is thought of when it has ended or the client has lost its patience. */
  operate(kind: OpKind, endpoint: Endpoint): void {
    const { scheduler } = this.#modules;
    this.pending++;
    let ended = false;
    const end = (): void => {
      if (ended) return;
      ended = true;
      this.pending--;
      patience.cancel();
      this.#think();
    };
    const patience = scheduler.after(patienceMs, end);
    this.#arrive(endpoint, () => this.#begin(kind, endpoint)).then(
      (answered) => {
        if (answered) this.answered++;
        end();
      },
      (error: unknown) => {
        if (!(error instanceof EtcdError)) throw error;
        this.#modules.counters.add(`error.${error.error}`);
        end();
      },
    );
  }

  /** At a paused member: when it goes on, before or after all else that waits there. */
  #arrive<T>({ process }: Endpoint, begin: () => Promise<T>): Promise<T> {
    if (!process.paused) return begin();
    return new Promise((resolve, reject) => {
      const arrived = (): void => void begin().then(resolve, reject);
      if (this.#modules.random.chance(0.7)) process.deliverFirst(arrived);
      else process.deliver(arrived);
    });
  }

  /** Resolves to whether there was an answer. */
  async #begin(kind: OpKind, endpoint: Endpoint): Promise<boolean> {
    this.#modules.counters.add(`op.${kind}`);
    switch (kind) {
      case 'put':
        return this.#answered(this.#write(endpoint, this.#put()));
      case 'delete':
        return this.#answered(
          this.#write(endpoint, { kind: 'delete', span: { start: this.#key() } }),
        );
      case 'deleteRange':
        return this.#answered(this.#write(endpoint, { kind: 'delete', span: this.#span() }));
      case 'txn':
        return this.#answered(this.#write(endpoint, this.#txn()));
      case 'read':
        return this.#read(endpoint);
      case 'readSerializable':
        return this.#readSerializable(endpoint);
      case 'readOld':
        return this.#readOld(endpoint);
      case 'compact':
        return this.#compact(endpoint);
      case 'leaseGrant':
        return this.#grant(endpoint);
      case 'leaseKeepAlive':
        return this.#keepAlive(endpoint);
      case 'leaseRevoke':
        return this.#revoke(endpoint);
      case 'alarm':
        return this.#alarm(endpoint);
      case 'rule':
        return this.#rule(endpoint);
      case 'watch':
        return this.#watch(endpoint);
    }
  }

  #watch(endpoint: Endpoint): boolean {
    const { openWatches, random } = this.#modules;
    openWatches(
      endpoint,
      Array.from({ length: 1 + random.below(3) }, () => this.#span()),
      random,
    );
    return true;
  }

  async #answered(outcome: Promise<Applied | 'refused' | 'unknown'>): Promise<boolean> {
    return typeof (await outcome) === 'object';
  }

  /** A change of the client's user, or a write by it: which has to be as the client knows that it may. */
  async #rule(endpoint: Endpoint): Promise<boolean> {
    const user = this.#user;
    const { mayWrite, changes } = user;
    if (mayWrite === undefined || this.#modules.random.chance(0.5)) {
      return user.change((request) => this.#propose(endpoint, request));
    }
    const caller = user.callerAt(endpoint.port.auth.revision);
    const outcome = await this.#write(endpoint, this.#put(), caller);
    if (typeof outcome !== 'object' || user.changes !== changes) return typeof outcome === 'object';
    const error = outcome.error?.error;
    this.#modules.counters.add('checked.rights');
    demand(mayWrite ? error !== 'PermissionDenied' : error !== undefined, () => {
      return `a user that ${mayWrite ? 'may' : 'may not'} write is told ${error ?? 'that it has'}`;
    });
    return true;
  }

  async #write(
    endpoint: Endpoint,
    request: Write,
    caller?: Caller,
  ): Promise<Applied | 'refused' | 'unknown'> {
    const { history } = this.#modules;
    const call = history.beginWrite(this.#nowMs, request);
    const applied = await this.#propose(endpoint, writeMessage(request), caller);
    if (applied === 'unknown') return applied;
    const span = { invokedAtMs: call.invokedAtMs, answeredAtMs: this.#nowMs };
    if (applied === 'refused' || applied.error !== undefined) {
      history.writeRefused(call);
      if (applied !== 'refused' && applied.error?.error === 'NoSpace') history.alarms.refused(span);
    } else {
      if (takesSpace(request)) history.alarms.put(span);
      const result = resultOf(request, applied.response ?? {});
      history.writeAcknowledged(call, applied.revision, result);
    }
    return applied;
  }

  /** What became of a proposal, as far as this client was told. Without a caller it is root's, once there is root. */
  async #propose(
    endpoint: Endpoint,
    request: InternalRequestRequest,
    caller = { username: 'root', authRevision: endpoint.port.auth.revision },
  ): Promise<Applied | 'refused' | 'unknown'> {
    try {
      const applied = await endpoint.port.propose(request, caller);
      return endpoint.process.effect() ? applied : 'unknown';
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.#modules.counters.add(`error.${error.error}`);
      const isRefused = refusals.includes(error.error) && endpoint.process.effect();
      return isRefused ? 'refused' : 'unknown';
    }
  }

  async #read(endpoint: Endpoint): Promise<boolean> {
    const { history } = this.#modules;
    const call = history.beginRead(this.#nowMs);
    const span = this.#span();
    await endpoint.port.linearizableRead();
    if (!endpoint.process.effect()) return false;
    const response = endpoint.port.range(rangeMessage(span));
    history.linearizableRead(call, span, response.header?.revision ?? 0, kvsOf(response));
    return true;
  }

  async #readSerializable(endpoint: Endpoint): Promise<boolean> {
    const { history } = this.#modules;
    const call = history.beginRead(this.#nowMs);
    const span = this.#span();
    const response = endpoint.port.range(rangeMessage(span, { serializable: true }));
    history.serializableRead(call, span, response.header?.revision ?? 0, kvsOf(response));
    return true;
  }

  /** A read of the past: the truth of then, or gone. */
  async #readOld(endpoint: Endpoint): Promise<boolean> {
    const { history, random } = this.#modules;
    const call = history.beginRead(this.#nowMs);
    const span = this.#span();
    const newest = endpoint.port.revision();
    // Often about where it was compacted: what is below must be refused.
    const isNear = history.compaction > 0 && random.chance(0.5);
    const drawn = isNear ? history.compaction + random.below(5) - 3 : newest - random.below(30);
    const revision = Math.max(1, Math.min(newest, drawn));
    const response = endpoint.port.range(rangeMessage(span, { revision, serializable: true }));
    const current = response.header?.revision ?? 0;
    demand(current >= revision, () => `a read of revision ${revision} has the header's ${current}`);
    history.serializableRead(call, span, revision, kvsOf(response));
    return true;
  }

  async #compact(endpoint: Endpoint): Promise<boolean> {
    const { history, random } = this.#modules;
    const revision = history.knownRevision - random.below(20);
    if (revision < 2) return true;
    history.compactionAsked(revision);
    const value = CompactionRequest.create({ revision });
    const applied = await this.#propose(endpoint, { kind: 'compaction', value });
    return typeof applied === 'object';
  }

  async #grant(endpoint: Endpoint): Promise<boolean> {
    const { history, random } = this.#modules;
    const seconds = random.chance(0.5) ? 2 + random.below(6) : 8 + random.below(4);
    const lease = { id: endpoint.port.newLeaseId(), ttlMs: seconds * 1000 };
    history.leaseAsked(lease.id, lease.ttlMs, this.#nowMs);
    const value = LeaseGrantRequest.create({ ID: lease.id, TTL: seconds });
    const applied = await this.#propose(endpoint, { kind: 'leaseGrant', value });
    if (typeof applied !== 'object' || applied.error !== undefined) return false;
    this.#leases.push(lease);
    if (this.#leases.length > 4) this.#leases.shift();
    this.#renewLate(lease);
    return true;
  }

  async #keepAlive(endpoint: Endpoint): Promise<boolean> {
    if (this.#leases.length === 0) return true;
    return this.#renew(endpoint, this.#modules.random.pick(this.#leases));
  }

  async #renew(endpoint: Endpoint, lease: Lease): Promise<boolean> {
    const { history } = this.#modules;
    const invokedAtMs = this.#nowMs;
    const seconds = await endpoint.port.renewLease(lease.id);
    if (!endpoint.process.effect()) return false;
    if (seconds > 0) {
      history.leaseKept(lease.id, invokedAtMs);
      this.#renewLate(lease);
    } else this.#leases = this.#leases.filter((kept) => kept !== lease);
    return true;
  }

  /** Now and then somebody asks for more time when there is hardly any left, or none. */
  #renewLate(lease: Lease): void {
    const { random, scheduler, counters, endpoints } = this.#modules;
    if (!random.chance(0.3)) return;
    scheduler.after(lease.ttlMs + random.between(-200, 1500), () => {
      const live = endpoints();
      if (this.#stopped || live.length === 0 || !this.#leases.includes(lease)) return;
      counters.add('op.leaseKeepAliveLate');
      this.#renew(random.pick(live), lease).catch((error: unknown) => {
        if (!(error instanceof EtcdError)) throw error;
        counters.add(`error.${error.error}`);
      });
    });
  }

  async #revoke(endpoint: Endpoint): Promise<boolean> {
    const { history, random } = this.#modules;
    if (this.#leases.length === 0) return true;
    const lease = random.pick(this.#leases);
    history.beginWrite(this.#nowMs, { kind: 'leaseRevoke', lease: lease.id });
    const value = { id: lease.id, term: 0 };
    const applied = await this.#propose(endpoint, { kind: 'leaseRevoke', value });
    return typeof applied === 'object';
  }

  /** Raises the alarm that space has run out, and disarms it after a while. */
  async #alarm(endpoint: Endpoint): Promise<boolean> {
    const { history, random, scheduler } = this.#modules;
    if (this.#isAlarming) return true;
    this.#isAlarming = true;
    const raised = history.alarms.asked(this.#nowMs);
    // Without an answer it may be raised all the same, and keep everybody from writing.
    const isRaised = await this.#setAlarm(endpoint, AlarmAction.ACTIVATE);
    if (isRaised && !this.#disarmsLate) raised.raisedAtMs = this.#nowMs;
    await new Promise<void>((resolve) => {
      scheduler.after(random.between(10, 2000), resolve);
    });
    raised.disarmAskedAtMs = this.#nowMs;
    for (;;) {
      const other = random.pick(await this.#someEndpoints());
      if (await this.#setAlarm(other, AlarmAction.DEACTIVATE)) break;
      this.#disarmsLate = true;
    }
    raised.disarmedAtMs = this.#nowMs;
    this.#isAlarming = false;
    return raised.raisedAtMs !== undefined;
  }

  async #setAlarm(endpoint: Endpoint, action: AlarmAction): Promise<boolean> {
    const memberID = BigInt(this.#name.slice(1)) + 1n;
    const value = AlarmRequest.create({ action, memberID, alarm: AlarmType.NOSPACE });
    const impatience = new Promise<'unknown'>((resolve) => {
      this.#modules.scheduler.after(patienceMs, () => resolve('unknown'));
    });
    // A process that dies does not answer.
    const outcome = this.#propose(endpoint, { kind: 'alarm', value });
    const applied = await Promise.race([outcome, impatience]);
    return typeof applied === 'object' && applied.error === undefined;
  }

  /** Waits until there is one. */
  async #someEndpoints(): Promise<readonly Endpoint[]> {
    for (;;) {
      await new Promise<void>((resolve) => {
        this.#modules.scheduler.after(50, resolve);
      });
      const endpoints = this.#modules.endpoints();
      if (endpoints.length > 0) return endpoints;
    }
  }

  get #nowMs(): number {
    return this.#modules.scheduler.nowMs;
  }

  /** To the key, or to any; what has a lease often to a key of the lease's own, which nobody else puts. */
  #put(key?: string): KvOp & { kind: 'put' } {
    const { random } = this.#modules;
    const value = `${this.#name}-${this.#nextValue++}`;
    const lease = this.#leases.length > 0 && random.chance(0.3) ? random.pick(this.#leases).id : 0n;
    const isOwn = lease !== 0n && key === undefined && random.chance(0.5);
    return { kind: 'put', key: isOwn ? `k-${lease}` : (key ?? this.#key()), value, lease };
  }

  /** Compares, then operations on different keys: etcd refuses two puts of one key. */
  #txn(): KvTxn {
    const { random } = this.#modules;
    const compares = random.chance(0.8) ? [this.#compare()] : [];
    if (random.chance(0.2)) compares.push(this.#compare());
    return { kind: 'txn', compares, success: this.#branch(), failure: this.#branch() };
  }

  #branch(): KvOp[] {
    const { random } = this.#modules;
    const keys = random.shuffle(this.#keys).slice(0, random.below(4));
    return keys.map((key) => {
      if (random.chance(0.5)) return this.#put(key);
      const span = { start: key };
      return random.chance(0.5) ? { kind: 'delete', span } : { kind: 'range', span };
    });
  }

  #compare(): KvCompare {
    const { random, history } = this.#modules;
    const key = this.#key();
    const result = random.pick(['equal', 'notEqual', 'greater', 'less'] as const);
    const target = random.pick(['create', 'mod', 'version', 'value'] as const);
    if (target === 'value')
      return { key, target, result, expected: `${this.#name}-${random.below(99)}` };
    if (target === 'version') return { key, target, result, expected: random.below(4) };
    const expected = random.chance(0.5) ? 0 : random.below(history.knownRevision + 1);
    return { key, target, result, expected };
  }

  #key(): string {
    return this.#modules.random.pick(this.#keys);
  }

  #span(): KeySpan {
    const { random } = this.#modules;
    if (random.chance(0.4)) return { start: this.#key() };
    const [start = '', end = ''] = [this.#key(), this.#key()].sort();
    return random.chance(0.3) ? { start: 'k', end: 'l' } : { start, end: `${end}~` };
  }
}

/** The alarm looks at both branches, whichever was taken. */
function takesSpace(request: Write): boolean {
  if (request.kind === 'put') return true;
  if (request.kind !== 'txn') return false;
  return [...request.success, ...request.failure].some(({ kind }) => kind === 'put');
}
