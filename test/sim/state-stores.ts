import { MemoryDisk, MemoryStore } from '../../server/backend/memory.ts';
import type { OrderedStore } from '../../server/backend/ordered-store.ts';
import type { SimProcess } from './process.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';

const healthyWriteMs = 150;

/** A member's applied state on disk: what is in use, and what a snapshot that is being received has brought so far. */
export class SimStateStores {
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  /** The mean of an exponential. */
  #writeMs: number;
  #current = new MemoryDisk();
  #staged: MemoryDisk | undefined;

  constructor(
    modules: { scheduler: Scheduler; random: SeededRandom },
    options: { readonly stateWriteMs: number },
  ) {
    this.#writeMs = options.stateWriteMs;
    this.#scheduler = modules.scheduler;
    this.#random = modules.random;
  }

  get current(): MemoryDisk {
    return this.#current;
  }

  /** The end of all faults, slowness included. */
  heal(): void {
    this.#writeMs = Math.min(this.#writeMs, healthyWriteMs);
  }

  /** The process is gone: batches under way are there in full or not at all, and so is what was staged. */
  crash(): void {
    this.#current.crash(this.#random);
    this.#staged?.crash(this.#random);
  }

  lose(): void {
    this.#current = new MemoryDisk();
    this.#staged = undefined;
  }

  open(process: SimProcess): OrderedStore {
    return this.#store(this.#current, process);
  }

  stage(process: SimProcess): OrderedStore {
    this.#staged = new MemoryDisk();
    return this.#store(this.#staged, process);
  }

  /** Atomic, as the rename that it stands for. */
  promoteStaged(): void {
    this.#current = this.#staged ?? this.#current;
    this.#staged = undefined;
  }

  discard(): void {
    this.#staged = undefined;
  }

  #store(disk: MemoryDisk, process: SimProcess): OrderedStore {
    const schedule = (end: () => void): void => {
      this.#scheduler.after(this.#random.exponential(this.#writeMs), () => process.deliver(end));
    };
    return new MemoryStore({ disk, schedule });
  }
}
