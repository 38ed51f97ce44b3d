import type { Scheduler } from './scheduler.ts';

/** Thrown at code that goes on after its process was killed; it must reach nothing and nobody. */
export class DeadProcessError extends Error {
  override name = 'DeadProcessError';
}

/**
 * One incarnation of a member's process. Whatever reaches a member (timers, messages, completed I/O) comes through
 * {@link deliver}, so that a pause holds it back and a kill ends it for good.
 */
export class SimProcess {
  readonly #scheduler: Scheduler;
  readonly #held: Array<() => void> = [];
  #state: 'running' | 'paused' | 'dead' = 'running';
  #draining = false;
  /** Side effects left until the process is killed in the middle of what it does; see {@link effect}. */
  #effectsLeft = Number.POSITIVE_INFINITY;
  #onKilledByEffect: () => void = () => {};
  #onRun: () => void = () => {};

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  get alive(): boolean {
    return this.#state !== 'dead';
  }

  get paused(): boolean {
    return this.#state === 'paused';
  }

  /** Runs `callback` in the process: now, after the pause, or never. */
  deliver(callback: () => void): void {
    if (this.#state === 'dead') return;
    if (this.#state === 'paused' || this.#draining) this.#held.push(callback);
    else this.#run(callback);
  }

  /** As {@link deliver}, but after a pause it comes first: what waits on one connection overtakes what waits on others. */
  deliverFirst(callback: () => void): void {
    if (this.#state === 'paused') this.#held.unshift(callback);
    else this.deliver(callback);
  }

  /** `onRun` is told each time that something runs in the process. */
  watch(onRun: () => void): void {
    this.#onRun = onRun;
  }

  kill(): void {
    this.#state = 'dead';
    this.#held.length = 0;
  }

  /** As SIGSTOP. */
  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  /** As SIGCONT: what was held back comes at once, in its order. */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    if (!this.#draining) this.#drain();
  }

  /** Kills the process at its `count`-th side effect from now, between two statements of whatever it is doing then. */
  killAtEffect(count: number, killed: () => void): void {
    this.#effectsLeft = count;
    this.#onKilledByEffect = killed;
  }

  /** Called before each side effect (a write, a sync, a message); false when the process did not live to do it. */
  effect(): boolean {
    if (this.#state === 'dead') return false;
    if (--this.#effectsLeft > 0) return true;
    this.#onKilledByEffect();
    return this.alive;
  }

  #run(callback: () => void): void {
    this.#onRun();
    try {
      callback();
    } catch (error) {
      if (this.alive) throw error;
    }
  }

  #drain(): void {
    this.#draining = this.#held.length > 0;
    if (!this.#draining) return;
    this.#scheduler.after(0, () => {
      if (this.#state === 'running') {
        const callback = this.#held.shift();
        if (callback !== undefined) this.#run(callback);
        this.#drain();
      } else {
        this.#draining = false;
      }
    });
  }
}
