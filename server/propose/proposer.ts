import type { Clock } from '../base/clock.ts';
import { type ErrorName, EtcdError } from '../base/errors.ts';
import type { Term } from '../base/ids.ts';
import type { Random } from '../base/random.ts';
import { randomId } from '../base/random.ts';
import type { EntryKind } from '../raft/entry.ts';
import type { Proposal } from '../raft/messages.ts';
import type { ProposeOutcome } from '../raft/raft.ts';

/** What applying the entry answered. */
export interface Applied {
  /** The RPC's response message; its header, where it has one, carries the revision. */
  readonly response?: object | undefined;
  readonly error?: EtcdError | undefined;
  /** MVCC's revision after it. */
  readonly revision: number;
}

/** Called once: with what applying answered, or with why it is not known whether it was (or will be) applied. */
export type ProposalDone = (error: EtcdError | undefined, applied: Applied | undefined) => void;

export interface ProposerModules {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly random: Random;
  readonly raft: { propose(proposals: readonly Proposal[]): ProposeOutcome };
  /** There is something to propose: `flush` soon. */
  readonly wake: () => void;
  /** Why a request timed out, as etcd tells it apart. */
  readonly timeoutError: (startedMs: number) => ErrorName;
}

export interface ProposerOptions {
  readonly timeoutMs: number;
  readonly requestBytesMax: number;
  readonly inFlightMax: number;
  readonly bytesInFlightMax: number;
  /** What goes to raft at once, and to a leader elsewhere in one message. A single larger one goes alone. */
  readonly batchBytesMax: number;
}

interface Waiter {
  readonly id: bigint;
  readonly proposal: Proposal;
  readonly startedMs: number;
  readonly done: ProposalDone;
  /** The term it was last given to raft in; undefined while it waits to be. */
  sentTerm: Term | undefined;
  /** Where it was last forwarded with; undefined while it was not. */
  forwarded: Forwarded | undefined;
}

/** What went to a leader elsewhere together. */
interface Forwarded {
  readonly batchId: number;
  readonly waiters: readonly Waiter[];
  /** How many of them wait yet: without any, nothing is to be known of it any more. */
  waiting: number;
}

/**
 * From a client's intent to its own apply: every proposal gets an id, goes through raft, and is answered when the entry
 * with that id is applied here. One that surely was not appended, nor will be, is proposed again.
 */
export class Proposer {
  readonly #modules: ProposerModules;
  readonly #options: ProposerOptions;
  readonly #waiters = new Map<bigint, Waiter>();
  readonly #forwarded = new Map<number, Forwarded>();
  #unsent: Waiter[] = [];
  #bytesInFlight = 0;
  #appliedTerm: Term = 0;
  #nextId: bigint;
  /** What is answered to all that comes, once nothing is taken any more. */
  #refusesWith: 'NoLeader' | 'Stopped' | undefined;
  /** Since the process began: proposals of which it is not known, or known not, that they were applied. */
  readonly counters = { failed: 0 };

  constructor(modules: ProposerModules, options: ProposerOptions) {
    this.#modules = modules;
    this.#options = options;
    this.#nextId = randomId(modules.random);
  }

  get inFlight(): number {
    return this.#waiters.size;
  }

  /** Batches that a leader elsewhere may yet refuse. */
  get forwardedCount(): number {
    return this.#forwarded.size;
  }

  /** `encode` makes the entry's data once the request's id is known. */
  propose(kind: EntryKind, encode: (id: bigint) => Uint8Array, done: ProposalDone): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      done(new EtcdError(refusal), undefined);
      return;
    }
    this.#nextId = BigInt.asUintN(63, this.#nextId + 1n);
    const id = this.#nextId;
    const data = encode(id);
    if (data.length > this.#options.requestBytesMax) {
      done(new EtcdError('RequestTooLarge'), undefined);
      return;
    }
    const startedMs = this.#modules.clock.nowMs();
    const waiter = {
      id,
      proposal: { kind, data },
      startedMs,
      done,
      sentTerm: undefined,
      forwarded: undefined,
    };
    this.#waiters.set(id, waiter);
    this.#bytesInFlight += data.length;
    this.#unsent.push(waiter);
    this.#modules.wake();
  }

  #refusal(): ErrorName | undefined {
    if (this.#refusesWith !== undefined) return this.#refusesWith;
    const isFull =
      this.#waiters.size >= this.#options.inFlightMax ||
      this.#bytesInFlight >= this.#options.bytesInFlightMax;
    return isFull ? 'TooManyRequests' : undefined;
  }

  /** How many wait for their own apply. */
  get pendingCount(): number {
    return this.#waiters.size;
  }

  /** Gives to raft what waits. Without a leader, or when it is busy, it goes on waiting: `flush` again later. */
  flush(): void {
    if (this.#unsent.length === 0) return;
    this.#unsent = this.#unsent.filter(({ id }) => this.#waiters.has(id));
    while (this.#unsent.length > 0) {
      const batch = this.#nextBatch();
      const outcome = this.#modules.raft.propose(batch.map(({ proposal }) => proposal));
      if (outcome.kind === 'refused') return;
      this.#unsent = this.#unsent.slice(batch.length);
      for (const waiter of batch) waiter.sentTerm = outcome.term;
      if (outcome.kind === 'forwarded') this.#remember(outcome.batchId, batch);
    }
  }

  #remember(batchId: number, waiters: readonly Waiter[]): void {
    const forwarded = { batchId, waiters, waiting: waiters.length };
    this.#forwarded.set(batchId, forwarded);
    for (const waiter of waiters) waiter.forwarded = forwarded;
  }

  /** As many as fit, at least one. */
  #nextBatch(): readonly Waiter[] {
    let sizeBytes = 0;
    const end = this.#unsent.findIndex(({ proposal }) => {
      const isFirst = sizeBytes === 0;
      sizeBytes += proposal.data.length;
      return !isFirst && sizeBytes > this.#options.batchBytesMax;
    });
    return end < 0 ? this.#unsent : this.#unsent.slice(0, end);
  }

  /** The leader did not append this batch, nor will it. */
  refused(batchId: number): void {
    const forwarded = this.#forwarded.get(batchId);
    if (forwarded === undefined) return;
    this.#forwarded.delete(batchId);
    for (const waiter of forwarded.waiters) this.#sendAgain(waiter);
  }

  #sendAgain(waiter: Waiter): void {
    if (!this.#waiters.has(waiter.id) || waiter.sentTerm === undefined) return;
    if (this.#refusesWith !== undefined) {
      this.#fail(waiter, this.#refusesWith);
      return;
    }
    waiter.sentTerm = undefined;
    this.#unsent.push(waiter);
  }

  /** An entry of ours or of others was applied: answers the one who waits for it. */
  applied(id: bigint, applied: Applied): void {
    const waiter = this.#take(id);
    waiter?.done(undefined, applied);
  }

  /**
   * Called for each applied entry's term, after the entry itself. Terms only grow along the log, so when the first entry
   * of a new term is applied, what was proposed in an older term and not applied before it never will be.
   */
  appliedTermIs(term: Term): void {
    if (term <= this.#appliedTerm) return;
    this.#appliedTerm = term;
    this.#forwarded.clear();
    for (const waiter of this.#waiters.values()) {
      if (waiter.sentTerm !== undefined && waiter.sentTerm < term) this.#sendAgain(waiter);
    }
    this.#modules.wake();
  }

  /** A snapshot took the place of entries: whether ours were among them is not known. */
  appliedSnapshot(): void {
    for (const waiter of this.#waiters.values()) {
      if (waiter.sentTerm !== undefined) this.#fail(waiter, 'TimeoutDueToConnectionLost');
    }
  }

  /** Ends what has waited too long; called from time to time. The map is in the order of arrival. */
  expire(): void {
    const nowMs = this.#modules.clock.nowMs();
    for (const waiter of this.#waiters.values()) {
      if (waiter.startedMs + this.#options.timeoutMs > nowMs) break;
      // What no leader would take ends as in etcd, whose Propose waits for a leader until the call's own deadline.
      const isSent = waiter.sentTerm !== undefined;
      this.#fail(
        waiter,
        isSent ? this.#modules.timeoutError(waiter.startedMs) : 'DeadlineExceeded',
      );
    }
  }

  /**
   * This member was removed: no leader takes proposals of it any more. So it takes none, and those that were surely not
   * appended end with an error that says so. What the log may hold goes on waiting for its apply.
   */
  leave(): void {
    this.#refusesWith = 'NoLeader';
    for (const waiter of this.#unsent) {
      if (this.#waiters.has(waiter.id)) this.#fail(waiter, 'NoLeader');
    }
    this.#unsent = [];
  }

  close(): void {
    this.#refusesWith = 'Stopped';
    for (const waiter of this.#waiters.values()) this.#fail(waiter, 'Stopped');
  }

  #fail(waiter: Waiter, error: ErrorName): void {
    this.counters.failed++;
    this.#take(waiter.id);
    waiter.done(new EtcdError(error), undefined);
  }

  #take(id: bigint): Waiter | undefined {
    const waiter = this.#waiters.get(id);
    if (waiter === undefined) return undefined;
    this.#waiters.delete(id);
    this.#bytesInFlight -= waiter.proposal.data.length;
    const { forwarded } = waiter;
    if (forwarded !== undefined && --forwarded.waiting === 0) {
      this.#forwarded.delete(forwarded.batchId);
    }
    return waiter;
  }
}
