import type { Clock, Timer } from '../../server/base/clock.ts';
import { type Random, randomBelow } from '../../server/base/random.ts';

/** Works on one key; the number of milliseconds after which to look again, or undefined for "on the next event". */
export type Work = (key: string) => Promise<number | undefined>;

export interface WorkQueueOptions {
  /** Keys worked on at the same time. */
  readonly concurrency: number;
  /** First delay after a failure; doubled by each further one. */
  readonly backoffMs: number;
  readonly backoffMsMax: number;
}

export const workQueueDefaults: WorkQueueOptions = {
  concurrency: 4,
  backoffMs: 200,
  backoffMsMax: 30_000,
};

/**
 * Keys to work on. A key is in it once, however often it was added; one key is never worked on twice at the same time;
 * one that was added meanwhile is worked on once more afterwards.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #work: Work;
  readonly #options: WorkQueueOptions;
  /** By key, since when. */
  readonly #waiting = new Map<string, number>();
  readonly #active = new Map<string, { readonly ended: Promise<void>; readonly sinceMs: number }>();
  readonly #timers = new Map<string, Timer>();
  readonly #failures = new Map<string, number>();
  #closed = false;

  constructor(
    modules: { readonly clock: Clock; readonly random: Random; readonly work: Work },
    options: WorkQueueOptions = workQueueDefaults,
  ) {
    this.#clock = modules.clock;
    this.#random = modules.random;
    this.#work = modules.work;
    this.#options = options;
  }

  /** Worked on as soon as a place is free. */
  add(key: string): void {
    if (this.#closed) return;
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
    if (!this.#waiting.has(key)) this.#waiting.set(key, this.#clock.nowMs());
    this.#start();
  }

  /** Keys that wait for a place. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Keys that are worked on now. */
  get activeCount(): number {
    return this.#active.size;
  }

  /** How long the key that waits longest has waited, or what is worked on longest has taken. */
  oldestMs(): number {
    const active = [...this.#active.values()].map(({ sinceMs }) => sinceMs);
    const nowMs = this.#clock.nowMs();
    return nowMs - Math.min(nowMs, ...active, ...this.#waiting.values());
  }

  /** No further work is begun; resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#waiting.clear();
    await Promise.all([...this.#active.values()].map(({ ended }) => ended));
  }

  #start(): void {
    for (const key of this.#waiting.keys()) {
      if (this.#active.size >= this.#options.concurrency) return;
      if (this.#active.has(key)) continue;
      this.#waiting.delete(key);
      this.#active.set(key, { ended: this.#run(key), sinceMs: this.#clock.nowMs() });
    }
  }

  async #run(key: string): Promise<void> {
    // A turn of its own: `add` returns before the work begins, and what is added until then is part of it.
    await Promise.resolve();
    this.#waiting.delete(key);
    const delayMs = await this.#attempt(key);
    this.#active.delete(key);
    if (this.#closed) return;
    if (delayMs !== undefined && !this.#waiting.has(key)) this.#addAfter(key, delayMs);
    this.#start();
  }

  async #attempt(key: string): Promise<number | undefined> {
    try {
      const delayMs = await this.#work(key);
      this.#failures.delete(key);
      return delayMs;
    } catch {
      // `work` has reported it; here it only means: later.
      const failures = this.#failures.get(key) ?? 0;
      this.#failures.set(key, failures + 1);
      return this.#backoffMs(failures);
    }
  }

  #addAfter(key: string, delayMs: number): void {
    if (delayMs === 0) return this.add(key);
    this.#timers.get(key)?.cancel();
    this.#timers.set(
      key,
      this.#clock.after(delayMs, () => this.add(key)),
    );
  }

  #backoffMs(failures: number): number {
    const { backoffMs, backoffMsMax } = this.#options;
    const delayMs = Math.min(backoffMs * 2 ** Math.min(failures, 20), backoffMsMax);
    return delayMs / 2 + randomBelow(this.#random, delayMs / 2 + 1);
  }
}
