/** One that waits for its turn. Exactly one of `start` and `drop` is called, once. */
export interface Waiter {
  /** Nobody waits for its answer any more. */
  isOver(): boolean;
  /** It may begin; whoever was started calls {@link FairQueue.leave} at its end. */
  start(): void;
  /** It was over before it could begin. */
  drop(): void;
}

export interface FairQueueOptions {
  /** Above 0. */
  readonly atOnceMax: number;
  readonly waitingMax: number;
  /** Of one owner, who alone cannot fill the queue. */
  readonly waitingOfOneMax: number;
}

/** So many at once; the others wait, each owner's in their order, and the owners take turns. */
export class FairQueue {
  readonly #options: FairQueueOptions;
  /** By owner, the next in turn first; no list is empty. */
  readonly #waiting = new Map<string, Waiter[]>();
  #waitingCount = 0;
  #running = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waitingCount;
  }

  get running(): number {
    return this.#running;
  }

  /** False: the queue is full, and nothing is called. */
  enter(owner: string, waiter: Waiter): boolean {
    if (this.#running < this.#options.atOnceMax) {
      this.#running++;
      waiter.start();
      return true;
    }
    if (!this.#hasRoom(owner)) this.#dropOver();
    if (!this.#hasRoom(owner)) return false;
    const own = this.#waiting.get(owner);
    if (own === undefined) this.#waiting.set(owner, [waiter]);
    else own.push(waiter);
    this.#waitingCount++;
    return true;
  }

  leave(): void {
    this.#running--;
    while (this.#running < this.#options.atOnceMax) {
      const next = this.#next();
      if (next === undefined) return;
      if (next.isOver()) next.drop();
      else {
        this.#running++;
        next.start();
      }
    }
  }

  #hasRoom(owner: string): boolean {
    const ofOne = this.#waiting.get(owner)?.length ?? 0;
    const { waitingMax, waitingOfOneMax } = this.#options;
    return ofOne < waitingOfOneMax && this.#waitingCount < waitingMax;
  }

  #next(): Waiter | undefined {
    for (const [owner, own] of this.#waiting) {
      const next = own.shift();
      // Behind all others.
      this.#waiting.delete(owner);
      if (own.length > 0) this.#waiting.set(owner, own);
      this.#waitingCount--;
      return next;
    }
    return undefined;
  }

  #dropOver(): void {
    for (const [owner, own] of this.#waiting) {
      const over = own.filter((waiter) => waiter.isOver());
      if (over.length === 0) continue;
      const left = own.filter((waiter) => !over.includes(waiter));
      if (left.length === 0) this.#waiting.delete(owner);
      else this.#waiting.set(owner, left);
      this.#waitingCount -= over.length;
      for (const waiter of over) waiter.drop();
    }
  }
}
