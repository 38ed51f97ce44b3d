const tickMs = 10;
const slotCount = 512;

/** A callback that is due once. */
export class Deadline {
  readonly tick: number;
  readonly callback: () => void;

  constructor(tick: number, callback: () => void) {
    this.tick = tick;
    this.callback = callback;
  }
}

/**
 * Many timers that mostly do not fire: a hashed wheel over one timer of Node's, never early and some 10 ms late. A slot
 * has the deadlines of one tick, and those of whole turns of the wheel later.
 */
export class Deadlines {
  readonly #slots: Array<Set<Deadline> | undefined> = [];
  #count = 0;
  /** All ticks up to it have been seen to. */
  #tick = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerTick = Infinity;

  after(delayMs: number, callback: () => void): Deadline {
    const nowMs = performance.now();
    if (this.#count === 0) this.#tick = Math.floor(nowMs / tickMs);
    const deadline = new Deadline(Math.ceil((nowMs + delayMs) / tickMs), callback);
    const slot = deadline.tick % slotCount;
    const set = (this.#slots[slot] ??= new Set());
    set.add(deadline);
    this.#count++;
    if (deadline.tick < this.#timerTick) this.#startTimer(deadline.tick);
    return deadline;
  }

  cancel(deadline: Deadline): void {
    if (this.#slots[deadline.tick % slotCount]?.delete(deadline) === true) this.#count--;
  }

  #startTimer(tick: number): void {
    clearTimeout(this.#timer);
    this.#timerTick = tick;
    const delayMs = Math.max(1, tick * tickMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timerTick = Infinity;
      this.#fire();
    }, delayMs).unref();
  }

  #fire(): void {
    const nowTick = Math.floor(performance.now() / tickMs);
    const last = Math.min(nowTick, this.#tick + slotCount);
    for (let tick = this.#tick + 1; tick <= last; tick++) this.#fireSlot(tick, nowTick);
    this.#tick = nowTick;
    const next = this.#nextTick();
    if (next !== undefined && next < this.#timerTick) this.#startTimer(next);
  }

  #fireSlot(tick: number, nowTick: number): void {
    const set = this.#slots[tick % slotCount];
    if (set === undefined) return;
    for (const deadline of set) {
      if (deadline.tick > nowTick) continue;
      set.delete(deadline);
      this.#count--;
      deadline.callback();
    }
  }

  /** The first tick to look at again. */
  #nextTick(): number | undefined {
    if (this.#count === 0) return undefined;
    for (let tick = this.#tick + 1; tick <= this.#tick + slotCount; tick++) {
      if ((this.#slots[tick % slotCount]?.size ?? 0) > 0) return tick;
    }
    return undefined;
  }
}
