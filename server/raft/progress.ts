import { assert } from '../base/assert.ts';
import type { LogIndex } from '../base/ids.ts';

/**
 * What the leader knows of one follower's log.
 * probe: one message at a time until the logs agree; replicate: a pipeline; snapshot: nothing until it has been installed.
 *
 * Invariant: match < next
 */
export class Progress {
  match: LogIndex;
  next: LogIndex;
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  /** Heard from since the last quorum check (thesis §6.2). */
  recentlyActive = false;
  /** A probe is on its way: wait for its answer, or for the next heartbeat's. */
  paused = false;
  /** The snapshot on its way. Only in state `snapshot`. */
  pendingSnapshot: LogIndex = 0;
  /** Last indexes of append messages that were sent and not yet answered, oldest first. */
  readonly #inflight: LogIndex[] = [];
  readonly #inflightMax: number;

  constructor(next: LogIndex, inflightMax: number) {
    this.match = 0;
    this.next = next;
    this.#inflightMax = inflightMax;
  }

  get isPaused(): boolean {
    switch (this.state) {
      case 'probe':
        return this.paused;
      case 'replicate':
        return this.#inflight.length >= this.#inflightMax;
      case 'snapshot':
        return true;
    }
  }

  becomeProbe(): void {
    const pending = this.state === 'snapshot' ? this.pendingSnapshot : 0;
    this.#reset('probe');
    this.next = Math.max(this.match, pending) + 1;
  }

  becomeReplicate(): void {
    this.#reset('replicate');
    this.next = this.match + 1;
  }

  becomeSnapshot(index: LogIndex): void {
    this.#reset('snapshot');
    this.pendingSnapshot = index;
  }

  #reset(state: Progress['state']): void {
    this.state = state;
    this.paused = false;
    this.pendingSnapshot = 0;
    this.#inflight.length = 0;
  }

  /** An append up to `last` was sent. An empty one moves nothing: only probes pause on it. */
  sent(last: LogIndex, isEmpty: boolean): void {
    if (this.state === 'probe') this.paused = true;
    if (this.state !== 'replicate' || isEmpty) return;
    this.next = last + 1;
    this.#inflight.push(last);
  }

  /** The follower holds everything up to `index`; false when that was known (a late or repeated answer). */
  maybeUpdate(index: LogIndex): boolean {
    this.next = Math.max(this.next, index + 1);
    while ((this.#inflight[0] ?? Infinity) <= index) this.#inflight.shift();
    if (index <= this.match) return false;
    this.match = index;
    this.paused = false;
    return true;
  }

  /** Frees a slot when a heartbeat is answered, so that a lost message never stops the pipeline for good. */
  resume(): void {
    this.paused = false;
    if (this.#inflight.length >= this.#inflightMax) this.#inflight.shift();
  }

  /**
   * The append after `rejected` did not match; false when the answer is out of date. Rejecting what it acknowledged last,
   * a pipelined follower is asked again, by a probe: the answer may be an old one.
   */
  maybeDecrease(rejected: LogIndex, hint: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (rejected < this.match) return false;
      this.next = this.match + 1;
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.paused = false;
    assert(this.match < this.next, 'progress: next <= match');
    return true;
  }

  /** The answer to the probe at `match`: what was acknowledged is not there any more, though the follower does not know. */
  lacksAcknowledged(rejected: LogIndex): boolean {
    return this.state === 'probe' && rejected === this.match && rejected === this.next - 1;
  }

  /** The follower lost entries that it had acknowledged. */
  lostLog(hint: LogIndex): void {
    this.match = Math.min(this.match, hint);
    this.becomeProbe();
    this.next = hint + 1;
  }
}
