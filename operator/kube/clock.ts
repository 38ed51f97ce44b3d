// [io] The clock and the randomness of a real process.
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Clock, Timer } from '../../server/base/clock.ts';
import type { Random } from '../../server/base/random.ts';

/** Node fires longer timers at once; nothing here waits longer. */
const delayMsMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs: number, callback: () => void): Timer {
    const timer = setTimeout(callback, Math.min(delayMs, delayMsMax));
    return { cancel: () => clearTimeout(timer) };
  },
};

export const systemRandom: Random = { uint32: () => randomBytes(4).readUInt32BE() };

/** Ends early, without error, when `signal` is aborted. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      timer.cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.after(delayMs, end);
    signal.addEventListener('abort', end);
  });
}
