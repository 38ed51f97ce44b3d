import { randomFillSync } from 'node:crypto';
import type { Clock, Timer } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { timerMsMax } from '../config/limits.ts';

/** This machine's clocks. */
export const nodeClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, callback) => new NodeTimer(delayMs, callback),
};

/** A delay that Node's timers cannot hold is waited for in parts. */
class NodeTimer implements Timer {
  #timeout: NodeJS.Timeout;

  constructor(delayMs: number, callback: () => void) {
    this.#timeout = this.#start(delayMs, callback);
  }

  #start(delayMs: number, callback: () => void): NodeJS.Timeout {
    if (delayMs <= timerMsMax) return setTimeout(callback, delayMs);
    return setTimeout(() => {
      this.#timeout = this.#start(delayMs - timerMsMax, callback);
    }, timerMsMax);
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }
}

const pool = new Uint32Array(1024);
let used = pool.length;

/** The system's randomness. */
export const nodeRandom: Random = {
  uint32() {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const value = pool[used] ?? 0;
    used += 1;
    return value;
  },
};
