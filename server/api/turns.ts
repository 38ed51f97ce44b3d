/**
 * Turns of the event loop from one slice to the next. A write takes several turns itself, from its socket to the log and
 * back: so it does not meet a slice in each. Where there is nothing else to do they pass in microseconds.
 */
const turnsPerSlice = 4;

/** Who waits, in order; `first` of them have had their turn. */
let waiting: (() => void)[] = [];
let first = 0;

/**
 * Resolves when the next slice of long work may run: one slice of all such work in a few turns of the event loop, in the
 * order of asking. So what is small waits for one slice, however many long requests are under way, and those take turns.
 */
export function sliceTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length - first === 1) setImmediate(giveTurn, turnsPerSlice);
  });
}

function giveTurn(turns: number): void {
  if (turns > 1) {
    setImmediate(giveTurn, turns - 1);
    return;
  }
  const next = waiting[first++];
  if (first < waiting.length) setImmediate(giveTurn, turnsPerSlice);
  if (first > waiting.length / 2) {
    waiting = waiting.slice(first);
    first = 0;
  }
  next?.();
}

/** Runs steps to their end, each in a slice of its own. */
export async function inSlices<T>(steps: Generator<void, T>): Promise<T>;
/** The same, but `isOver` ends it before: then undefined. */
export async function inSlices<T>(
  steps: Generator<void, T>,
  isOver: () => boolean,
): Promise<T | undefined>;
export async function inSlices<T>(
  steps: Generator<void, T>,
  isOver?: () => boolean,
): Promise<T | undefined> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await sliceTurn();
    if (isOver?.() === true) return undefined;
  }
}
