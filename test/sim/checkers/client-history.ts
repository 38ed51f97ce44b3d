import { AlarmCheck } from './alarm-check.ts';
import { type EventLog, type KeySpan, type Kv, sameEvents, sameKvs, show } from './event-log.ts';
import { execute, type KvOp, type KvOpResult, type KvResult, type KvTxn } from './kv-model.ts';
import { demand } from './violation.ts';

/** Clocks run at 0.95 to 1.05 of true time: a lease may seem this much shorter to its client. */
const fastestClock = 1.05;
const slowestClock = 0.95;

export type WriteRequest =
  | Exclude<KvOp, { kind: 'range' }>
  | KvTxn
  | { readonly kind: 'leaseRevoke'; readonly lease: bigint };

/** One request of a client, from its call to its answer. */
export interface ClientCall {
  readonly id: number;
  readonly invokedAtMs: number;
  /** The highest revision that anybody had been told before this call: its answer must not be older. */
  readonly floor: number;
}

interface WriteCall extends ClientCall {
  readonly request: WriteRequest;
  /** unknown: no answer yet, or one that leaves it open. */
  outcome: 'unknown' | 'refused' | 'acknowledged';
}

interface ClaimedRevision {
  readonly call: WriteCall;
  readonly result: KvResult | undefined;
}

interface LeaseTerm {
  readonly ttlMs: number;
  /** The call of the newest grant or keep-alive that was answered. */
  refreshedAtMs: number;
  revokeAskedAtMs: number;
}

/**
 * What the clients were told, against the one history of the keys. Works on plain data only, so that it can judge
 * real processes as well.
 *
 * Linearizability in the fast form: successful writes are ordered by their revisions; each must be newer than all that
 * was known when it was called, and do to the state what it says; each linearizable read must equal the state at a
 * revision that is not older than what was known when it was called.
 */
export class ClientHistory {
  readonly alarms = new AlarmCheck();
  readonly #log: EventLog;
  readonly #claims = new Map<number, ClaimedRevision>();
  readonly #writes: WriteCall[] = [];
  readonly #leases = new Map<bigint, LeaseTerm>();
  /** Answers that are judged once the history has come to their revision. */
  #waiting: Array<{ readonly revision: number; readonly judge: () => void }> = [];
  #nextId = 1;
  #known = 1;
  /** When each of these revisions became known, oldest first. */
  readonly #knownSince: Array<{ readonly revision: number; readonly atMs: number }> = [];
  checks = 0;

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** The highest revision that a client has been told. */
  get knownRevision(): number {
    return this.#known;
  }

  /** Dates what has become known since the last call. */
  datedAt(nowMs: number): void {
    const last = this.#knownSince.at(-1)?.revision ?? 1;
    if (this.#known > last) this.#knownSince.push({ revision: this.#known, atMs: nowMs });
  }

  beginRead(nowMs: number): ClientCall {
    return { id: this.#nextId++, invokedAtMs: nowMs, floor: this.#known };
  }

  beginWrite(nowMs: number, request: WriteRequest): ClientCall {
    const call: WriteCall = { ...this.beginRead(nowMs), request, outcome: 'unknown' };
    this.#writes.push(call);
    if (request.kind === 'leaseRevoke') {
      const lease = this.#leases.get(request.lease);
      if (lease !== undefined) lease.revokeAskedAtMs = Math.min(lease.revokeAskedAtMs, nowMs);
    }
    return call;
  }

  /** The store said that it did not do it, and never will. */
  writeRefused(call: ClientCall): void {
    (call as WriteCall).outcome = 'refused';
  }

  writeAcknowledged(call: ClientCall, revision: number, result: KvResult | undefined): void {
    this.checks++;
    const write = call as WriteCall;
    write.outcome = 'acknowledged';
    demand(revision >= call.floor, () => {
      return `write ${call.id} was answered with revision ${revision}, but ${call.floor} was known when it was called`;
    });
    this.#known = Math.max(this.#known, revision);
    this.#once(revision, () => this.#judgeWrite(write, revision, result));
  }

  #judgeWrite(write: WriteCall, revision: number, result: KvResult | undefined): void {
    if (this.#wroteNothing(write, revision, result)) return;
    const call = write;
    const other = this.#claims.get(revision);
    demand(other === undefined, () => {
      return `writes ${other?.call.id} and ${call.id} were both acknowledged with revision ${revision}`;
    });
    demand(revision > call.floor, () => {
      return `write ${call.id} was acknowledged with revision ${revision}, which was known before it was called`;
    });
    this.#claims.set(revision, { call, result });
  }

  #once(revision: number, judge: () => void): void {
    if (revision <= this.#log.lastRevision) judge();
    else this.#waiting.push({ revision, judge });
  }

  /** Judges what had to wait for the history. Called now and then, and by {@link finish}. */
  settle(): void {
    if (this.#waiting.length === 0) return;
    const ripe = this.#waiting.filter(({ revision }) => revision <= this.#log.lastRevision);
    if (ripe.length === 0) return;
    this.#waiting = this.#waiting.filter(({ revision }) => revision > this.#log.lastRevision);
    for (const { judge } of ripe) judge();
  }

  /** A delete of nothing, or a transaction that wrote nothing, is a linearizable read. */
  #wroteNothing(write: WriteCall, revision: number, result: KvResult | undefined): boolean {
    const { request } = write;
    if (request.kind === 'put') return false;
    if (request.kind === 'leaseRevoke') return true;
    const expected = execute(this.#log, request, revision + 1);
    return expected.events.length === 0 && sameResult(expected.result, result);
  }

  /** The answer of a linearizable read: at least as new as `call.floor`, and true. */
  linearizableRead(call: ClientCall, span: KeySpan, revision: number, kvs: readonly Kv[]): void {
    demand(revision >= call.floor, () => {
      return `stale read ${call.id}: revision ${revision}, but ${call.floor} was known when it was called`;
    });
    this.#known = Math.max(this.#known, revision);
    this.serializableRead(call, span, revision, kvs);
  }

  /** An observer says that it is not older than so much, by whatever its clock takes for that. */
  observerHas(
    revision: number,
    { nowMs, stalenessMs }: { readonly nowMs: number; readonly stalenessMs: number },
  ): void {
    const thenMs = nowMs - stalenessMs / slowestClock;
    const floor = this.#knownSince.findLast(({ atMs }) => atMs <= thenMs)?.revision ?? 1;
    demand(revision >= floor, () => {
      return `an observer has revision ${revision}, but ${floor} was known ${stalenessMs} ms before`;
    });
  }

  /** The answer of a serializable read: the truth of some revision. */
  serializableRead(call: ClientCall, span: KeySpan, revision: number, kvs: readonly Kv[]): void {
    this.checks++;
    this.#once(revision, () => {
      const expected = this.#log.range(span, revision);
      demand(sameKvs(expected, kvs), () => {
        return `read ${call.id} at revision ${revision} is ${show(kvs)}, should be ${show(expected)}`;
      });
    });
  }

  /** The highest revision that somebody asked to compact to. */
  get compaction(): number {
    return this.#log.compaction;
  }

  compactionAsked(revision: number): void {
    this.#log.compactionAsked(revision);
  }

  /** A grant is on its way; it may take effect without an answer. */
  leaseAsked(lease: bigint, ttlMs: number, nowMs: number): void {
    this.#leases.set(lease, {
      ttlMs,
      refreshedAtMs: nowMs,
      revokeAskedAtMs: Number.POSITIVE_INFINITY,
    });
  }

  /** A keep-alive that was called at `invokedAtMs` has been answered with success. */
  leaseKept(lease: bigint, invokedAtMs: number): void {
    this.checks++;
    const term = this.#leases.get(lease);
    if (term !== undefined) term.refreshedAtMs = Math.max(term.refreshedAtMs, invokedAtMs);
  }

  /**
   * Called when a revision becomes known. Only the deletion of a lease's keys has to be judged at that moment,
   * since later keep-alives would hide that it came too early.
   */
  revisionDefined(revision: number, nowMs: number): void {
    const lease = this.#leaseOf(revision);
    const term = lease === undefined ? undefined : this.#leases.get(lease);
    if (term === undefined || this.#askedToDelete(revision, nowMs)) return;
    const earliestMs = Math.min(
      term.refreshedAtMs + term.ttlMs / fastestClock,
      term.revokeAskedAtMs,
    );
    demand(nowMs >= earliestMs, () => {
      return `lease ${lease} took its keys at ${nowMs} ms (revision ${revision}), but was good until ${earliestMs} ms`;
    });
  }

  /** The lease whose keys, all of them and nothing else, are deleted at this revision. */
  #leaseOf(revision: number): bigint | undefined {
    const leases = new Set<bigint>();
    for (const { kind, kv } of this.#log.eventsAt(revision)) {
      if (kind === 'put') return undefined;
      leases.add(this.#log.get(kv.key, revision - 1)?.lease ?? 0n);
    }
    const [lease] = leases;
    return leases.size === 1 && lease !== 0n ? lease : undefined;
  }

  #askedToDelete(revision: number, nowMs: number): boolean {
    return this.#writes.some(
      (write) =>
        write.outcome !== 'refused' &&
        write.invokedAtMs <= nowMs &&
        this.#explains(write, revision),
    );
  }

  /** Whether the request, executed right before this revision, does exactly what happened there. */
  #explains(write: WriteCall, revision: number): boolean {
    const { request } = write;
    if (request.kind === 'leaseRevoke') return this.#leaseOf(revision) === request.lease;
    return sameEvents(execute(this.#log, request, revision).events, this.#log.eventsAt(revision));
  }

  /** Every revision of the whole history must be what exactly one call asked for, called before it happened. */
  finish(): void {
    this.settle();
    const [lost] = this.#waiting;
    demand(lost === undefined, () => {
      return `revision ${lost?.revision} was told to a client, but nobody has it: it is lost`;
    });
    const pending = new Map(
      this.#writes.filter((write) => write.outcome === 'unknown').map((write) => [write.id, write]),
    );
    const byValue = valuesOf(pending.values());
    for (let revision = 2; revision <= this.#log.lastRevision; revision++) {
      const claim = this.#claims.get(revision);
      if (claim !== undefined) this.#checkClaim(claim, revision);
      else this.#findCause(revision, pending, byValue);
    }
  }

  #checkClaim({ call, result }: ClaimedRevision, revision: number): void {
    this.checks++;
    demand(this.#explains(call, revision), () => {
      return `revision ${revision} was acknowledged to write ${call.id} ${show(call.request)}, but is ${show(this.#log.eventsAt(revision))}`;
    });
    if (call.request.kind === 'leaseRevoke') return;
    const expected = execute(this.#log, call.request, revision).result;
    demand(sameResult(expected, result), () => {
      return `write ${call.id} at revision ${revision} was answered ${show(result)}, should be ${show(expected)}`;
    });
  }

  #findCause(
    revision: number,
    pending: Map<number, WriteCall>,
    byValue: ReadonlyMap<string, WriteCall>,
  ): void {
    const events = this.#log.eventsAt(revision);
    const atMs = this.#log.timeOf(revision);
    const put = events.find((event) => event.kind === 'put');
    const candidates = put === undefined ? pending.values() : [byValue.get(put.kv.value)];
    for (const call of candidates) {
      if (call === undefined || !pending.has(call.id) || call.invokedAtMs > atMs) continue;
      if (!this.#explains(call, revision)) continue;
      // Deletes cannot be told apart, so that one is not used up: puts, which can, are.
      if (put !== undefined) pending.delete(call.id);
      return;
    }
    const isLease = this.#leaseOf(revision) !== undefined;
    demand(
      isLease,
      () => `revision ${revision} was asked for by nobody (or twice): ${show(events)}`,
    );
  }
}

function valuesOf(calls: Iterable<WriteCall>): Map<string, WriteCall> {
  const byValue = new Map<string, WriteCall>();
  for (const call of calls) {
    const { request } = call;
    if (request.kind === 'put') byValue.set(request.value, call);
    if (request.kind !== 'txn') continue;
    for (const op of [...request.success, ...request.failure]) {
      if (op.kind === 'put') byValue.set(op.value, call);
    }
  }
  return byValue;
}

function sameResult(expected: KvResult, actual: KvResult | undefined): boolean {
  if (actual === undefined || expected.kind !== actual.kind) return false;
  if (expected.kind !== 'txn' || actual.kind !== 'txn') {
    return sameOpResult(expected as KvOpResult, actual as KvOpResult);
  }
  return (
    expected.succeeded === actual.succeeded &&
    expected.results.length === actual.results.length &&
    expected.results.every((result, at) => sameOpResult(result, actual.results[at] as KvOpResult))
  );
}

function sameOpResult(expected: KvOpResult, actual: KvOpResult): boolean {
  if (expected.kind === 'delete') {
    return actual.kind === 'delete' && actual.deleted === expected.deleted;
  }
  if (expected.kind === 'range')
    return actual.kind === 'range' && sameKvs(expected.kvs, actual.kvs);
  return actual.kind === 'put';
}
