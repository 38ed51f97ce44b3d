import type { Clock } from '../base/clock.ts';
import { type ErrorName, EtcdError } from '../base/errors.ts';
import type { LogIndex } from '../base/ids.ts';
import type { Random } from '../base/random.ts';
import type { ReadState } from '../raft/read-index.ts';

/** After it, reads of the local state are linearizable; with an error, it could not be had in time. */
export type BarrierDone = (error: EtcdError | undefined) => void;

export interface ReadBarrierModules {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly random: Random;
  readonly raft: { readIndex(requestId: number): void };
  readonly wake: () => void;
  readonly timeoutError: (startedMs: number) => ErrorName;
}

export interface ReadBarrierOptions {
  readonly timeoutMs: number;
  /** An attempt without an answer is given up for a new one. */
  readonly retryMs: number;
  readonly waitingMax: number;
}

interface Read {
  readonly startedMs: number;
  readonly done: BarrierDone;
}

/** All reads that came before the attempt began. */
interface Attempt {
  readonly requestId: number;
  readonly startedMs: number;
  readonly reads: Read[];
}

/**
 * The read barrier (thesis §6.4): one attempt at a time asks for a read index on behalf of all reads that came before it;
 * those that come meanwhile wait for the next. Each attempt has a fresh id, so a late answer to an older one, which knows
 * less, is never taken for it (etcd #20418).
 */
export class ReadBarrier {
  readonly #modules: ReadBarrierModules;
  readonly #options: ReadBarrierOptions;
  #attempt: Attempt | undefined;
  #next: Read[] = [];
  /** Reads with an index that is not yet applied, lowest first. */
  #waiting: Array<{ readonly index: LogIndex; readonly reads: Read[] }> = [];
  #lastRequestId: number;
  /** What is answered to all that comes, once nothing is taken any more. */
  #refusesWith: 'NoLeader' | 'Stopped' | undefined;
  /** Since the process began: attempts that were given up for new ones, and reads that failed. */
  readonly counters = { slow: 0, failed: 0 };

  constructor(modules: ReadBarrierModules, options: ReadBarrierOptions) {
    this.#modules = modules;
    this.#options = options;
    // Unlike any of a former life of this member, whose answers may still be on their way.
    this.#lastRequestId = modules.random.uint32() * 0x10_0000;
  }

  read(done: BarrierDone): void {
    if (this.#refusesWith !== undefined) done(new EtcdError(this.#refusesWith));
    else if (this.#next.length >= this.#options.waitingMax) done(new EtcdError('TooManyRequests'));
    else {
      this.#next.push({ startedMs: this.#modules.clock.nowMs(), done });
      this.#modules.wake();
    }
  }

  /** Begins an attempt when there is none and reads wait. */
  flush(): void {
    if (this.#attempt !== undefined || this.#next.length === 0) return;
    this.#begin(this.#next);
    this.#next = [];
  }

  #begin(reads: Read[]): void {
    this.#lastRequestId += 1;
    const requestId = this.#lastRequestId;
    this.#attempt = { requestId, startedMs: this.#modules.clock.nowMs(), reads };
    this.#modules.raft.readIndex(requestId);
  }

  /** A leader became known: what was asked of nobody, or of the one before, is asked again at once. */
  leaderFound(): void {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    this.#attempt = undefined;
    this.#begin(attempt.reads);
    this.#modules.wake();
  }

  confirmed(state: ReadState): void {
    if (state.requestId !== this.#attempt?.requestId) return;
    this.#waiting.push({ index: state.index, reads: this.#attempt.reads });
    this.#attempt = undefined;
    if (this.#next.length > 0) this.#modules.wake();
  }

  appliedTo(index: LogIndex): void {
    while ((this.#waiting[0]?.index ?? Infinity) <= index) {
      for (const { done } of this.#waiting.shift()?.reads ?? []) done(undefined);
    }
  }

  /** Repeats an attempt that got no answer, ends reads that have waited too long; called from time to time. */
  expire(): void {
    const nowMs = this.#modules.clock.nowMs();
    this.#next = this.#keepFresh(this.#next, nowMs);
    this.#waiting = this.#waiting
      .map(({ index, reads }) => ({ index, reads: this.#keepFresh(reads, nowMs) }))
      .filter(({ reads }) => reads.length > 0);
    const attempt = this.#attempt;
    if (attempt === undefined || attempt.startedMs + this.#options.retryMs > nowMs) return;
    const reads = this.#keepFresh(attempt.reads, nowMs);
    this.#attempt = undefined;
    this.counters.slow++;
    if (reads.length > 0) this.#begin(reads);
  }

  #keepFresh(reads: Read[], nowMs: number): Read[] {
    return reads.filter(({ startedMs, done }) => {
      if (startedMs + this.#options.timeoutMs > nowMs) return true;
      this.counters.failed++;
      done(new EtcdError(this.#modules.timeoutError(startedMs)));
      return false;
    });
  }

  /** This member was removed: it takes no reads any more. Those that the leader was asked for may still be answered. */
  leave(): void {
    this.#refusesWith = 'NoLeader';
    const reads = this.#next;
    this.#next = [];
    for (const { done } of reads) done(new EtcdError('NoLeader'));
  }

  close(): void {
    this.#refusesWith = 'Stopped';
    const waiting = this.#waiting.flatMap(({ reads }) => reads);
    const reads = [...this.#next, ...(this.#attempt?.reads ?? []), ...waiting];
    this.#next = [];
    this.#attempt = undefined;
    this.#waiting = [];
    for (const { done } of reads) done(new EtcdError('Stopped'));
  }
}
