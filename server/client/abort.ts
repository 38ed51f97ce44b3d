import { setMaxListeners } from 'node:events';

/** What ends a wait early: its `reason` is then thrown. */
export type Stop = AbortSignal | undefined;

export function throwIfAborted(stops: readonly Stop[]): void {
  for (const stop of stops) stop?.throwIfAborted();
}

/** The promise, or the reason of the first signal that is aborted before. Leaves no listener behind. */
export async function orAborted<T>(promise: Promise<T>, stops: readonly Stop[]): Promise<T> {
  const signals = stops.filter((stop) => stop !== undefined);
  if (signals.length === 0) return promise;
  // What comes of it is told through the signal, when that was first.
  promise.catch(() => {});
  throwIfAborted(signals);
  let stopped = () => {};
  const aborted = new Promise<void>((resolve) => {
    stopped = resolve;
  });
  for (const signal of signals) whenAborted(signal, stopped);
  try {
    return await Promise.race([
      promise,
      aborted.then((): Promise<never> => Promise.reject(reasonOf(signals))),
    ]);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stopped);
  }
}

/** Any number of calls may share a signal: that is no leak to warn of. */
export function whenAborted(signal: AbortSignal, listener: () => void): void {
  setMaxListeners(0, signal);
  signal.addEventListener('abort', listener);
}

/** Waits, unless a signal is aborted: then its reason is thrown. */
export async function pause(ms: number, stops: readonly Stop[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await orAborted(over, stops);
  } finally {
    clearTimeout(timer);
  }
}

function reasonOf(stops: readonly Stop[]): unknown {
  return stops.find((stop) => stop?.aborted === true)?.reason;
}
