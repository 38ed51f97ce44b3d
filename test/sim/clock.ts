import type { Clock, Timer } from '../../server/base/clock.ts';
import type { SimProcess } from './process.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** 2026-01-01, where every simulation's wall clocks start. */
const epochMs = 1_767_225_600_000;

export interface ClockOptions {
  /** Monotonic milliseconds per virtual millisecond: 0.95 to 1.05 for a bad quartz. */
  rate: number;
  /** How far the wall clock is off at first. */
  wallOffsetMs: number;
}

/** The clock of one process: its own start and rate, timers a little late, a wall clock that can jump. */
export class MemberClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #process: SimProcess;
  readonly #random: SeededRandom;
  readonly #rate: number;
  readonly #startMs: number;
  readonly #startedAtMs: number;
  #wallOffsetMs: number;

  constructor(
    modules: { scheduler: Scheduler; process: SimProcess; random: SeededRandom },
    options: ClockOptions,
  ) {
    this.#scheduler = modules.scheduler;
    this.#process = modules.process;
    this.#random = modules.random;
    this.#rate = options.rate;
    this.#wallOffsetMs = options.wallOffsetMs;
    this.#startMs = this.#random.below(1_000_000);
    this.#startedAtMs = this.#scheduler.nowMs;
  }

  nowMs(): number {
    return this.#startMs + (this.#scheduler.nowMs - this.#startedAtMs) * this.#rate;
  }

  wallMs(): number {
    return epochMs + this.#scheduler.nowMs + this.#wallOffsetMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    let cancelled = false;
    const lateMs = this.#random.chance(0.01) ? this.#random.between(0, 20) : this.#random.unit();
    const event = this.#scheduler.after(Math.max(0, delayMs) / this.#rate + lateMs, () =>
      this.#process.deliver(() => {
        if (!cancelled) callback();
      }),
    );
    return {
      cancel() {
        cancelled = true;
        event.cancel();
      },
    };
  }

  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }
}
