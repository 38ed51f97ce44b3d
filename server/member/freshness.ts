import type { Clock } from '../base/clock.ts';

export interface FreshnessModules {
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  /** Whether this member's age matters: others prove nothing. */
  readonly isObserver: () => boolean;
  /** Nothing more is proven then; what was not proven before is as old as ever. */
  readonly isStopped: () => boolean;
  /** A read barrier: when it has passed, the state holds everything that was acknowledged before it was asked for. */
  readonly barrier: () => Promise<void>;
}

export interface FreshnessOptions {
  /** `--observer-max-staleness` */
  readonly stalenessMaxMs: number;
}

/** Between two proofs, however long a state may be without one. */
const proofIntervalMsMax = 1_000;
const proofsPerStalenessMax = 5;

/**
 * How old an observer's state is at most. It asks for a read barrier again and again: one that passes proves that the
 * state holds all that was acknowledged before it was asked for, whoever leads meanwhile. A heartbeat would prove less:
 * a deposed leader sends them too, and says nothing of entries that are still on their way.
 */
export class Freshness {
  readonly #modules: FreshnessModules;
  readonly #stalenessMaxMs: number;
  readonly #callbacks = new Set<() => void>();
  /** The state holds everything that was acknowledged before this moment. */
  #provenMs = Number.NEGATIVE_INFINITY;
  #wasStale = true;
  #isRunning = false;

  constructor(modules: FreshnessModules, options: FreshnessOptions) {
    this.#modules = modules;
    this.#stalenessMaxMs = options.stalenessMaxMs;
  }

  /** The state is not older; infinite until that was proven once. */
  get stalenessMs(): number {
    return this.#modules.clock.nowMs() - this.#provenMs;
  }

  get isStale(): boolean {
    return this.#modules.isObserver() && this.stalenessMs > this.#stalenessMaxMs;
  }

  /** Calls back each time that the state became too old. Returns how to stop it. */
  onStale(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  /** Proves it from now on, for as long as this member is an observer. Called from time to time. */
  keep(): void {
    if (!this.#isRunning) this.#proveAgain();
  }

  #proveAgain(): void {
    const { clock, isObserver, isStopped } = this.#modules;
    this.#isRunning = isObserver() && !isStopped();
    if (!this.#isRunning) return;
    this.#prove();
    const intervalMs = Math.min(proofIntervalMsMax, this.#stalenessMaxMs / proofsPerStalenessMax);
    clock.after(intervalMs, () => this.#proveAgain());
  }

  #prove(): void {
    const { clock, barrier } = this.#modules;
    const startedMs = clock.nowMs();
    barrier().then(
      () => {
        this.#provenMs = Math.max(this.#provenMs, startedMs);
        this.#notice();
      },
      // Whatever the reason: nothing was proven, and the age says so.
      () => {},
    );
    this.#notice();
  }

  #notice(): void {
    const { isStale } = this;
    if (isStale && !this.#wasStale) for (const callback of this.#callbacks) callback();
    this.#wasStale = isStale;
  }
}
