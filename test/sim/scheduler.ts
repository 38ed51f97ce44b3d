import type { SeededRandom } from './random.ts';

/** Something that happens at a point in virtual time. */
export interface ScheduledEvent {
  cancel(): void;
}

class HeapEvent implements ScheduledEvent {
  readonly timeMs: number;
  readonly tie: number;
  readonly seq: number;
  run: (() => void) | undefined;

  constructor(timeMs: number, tie: number, seq: number, run: () => void) {
    this.timeMs = timeMs;
    this.tie = tie;
    this.seq = seq;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }

  before(other: HeapEvent): boolean {
    if (this.timeMs !== other.timeMs) return this.timeMs < other.timeMs;
    if (this.tie !== other.tie) return this.tie < other.tie;
    return this.seq < other.seq;
  }
}

/** Events run one after the other between two turns of the real event loop; more only saves overhead. */
const eventsPerTurn = 128;

/** More events than this at one instant set each other off for ever. */
const eventsAtOnceMax = 100_000;

/**
 * Virtual time: a heap of events by (time, tie, order of scheduling). Ties are drawn from the seed, so that events
 * at the same instant run in an order that each seed chooses anew.
 */
export class Scheduler {
  readonly #random: SeededRandom;
  readonly #heap: HeapEvent[] = [];
  #seq = 0;
  #nowMs = 0;
  #events = 0;
  #eventsAtOnce = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events run so far. */
  get events(): number {
    return this.#events;
  }

  after(delayMs: number, run: () => void): ScheduledEvent {
    return this.at(this.#nowMs + Math.max(0, delayMs), run);
  }

  at(timeMs: number, run: () => void): ScheduledEvent {
    const event = new HeapEvent(
      Math.max(timeMs, this.#nowMs),
      this.#random.uint32(),
      this.#seq++,
      run,
    );
    this.#push(event);
    return event;
  }

  /**
   * Runs the events up to `endMs`. `settled` is called after each event, once every promise it set off has settled:
   * each event runs in a `setImmediate` of its own, between which Node drains all microtasks.
   * Rejects with whatever an event or `settled` throws. `stop` ends the run early.
   */
  runUntil(endMs: number, settled: () => void, stop?: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let left = 0;
      let ended = false;
      const end = (error?: unknown): void => {
        ended = true;
        if (error === undefined) resolve();
        else reject(error);
      };
      const step = (): void => {
        left--;
        if (ended) return;
        try {
          settled();
          if (stop?.() === true || !this.#runNext(endMs)) end();
        } catch (error) {
          end(error ?? new Error('an event threw nothing'));
        }
        if (left === 0 && !ended) refill();
      };
      const refill = (): void => {
        for (left = 0; left < eventsPerTurn; left++) setImmediate(step);
      };
      refill();
    });
  }

  #runNext(endMs: number): boolean {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.timeMs > endMs) {
        this.#nowMs = endMs;
        return false;
      }
      this.#pop();
      if (event.run === undefined) continue;
      if (event.timeMs > this.#nowMs) this.#eventsAtOnce = 0;
      if (++this.#eventsAtOnce > eventsAtOnceMax) {
        throw new Error(`time stands still at ${this.#nowMs} ms: what is deferred defers itself`);
      }
      this.#nowMs = event.timeMs;
      this.#events++;
      event.run();
      return true;
    }
  }

  #push(event: HeapEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as HeapEvent;
      if (!event.before(above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as HeapEvent;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right?.before(heap[child] as HeapEvent)) child++;
      const below = heap[child] as HeapEvent;
      if (!below.before(last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}
