import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 200;

/** Asks until it is so; an Error that says what was waited for, and `why` it may not be, after `timeoutMs`. */
export async function until(
  what: string,
  timeoutMs: number,
  isSo: () => Promise<boolean>,
  why: () => string = () => '',
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) {
      const because = why();
      throw new Error(
        `not within ${timeoutMs / 1000} s: ${what}${because === '' ? '' : ` (${because})`}`,
      );
    }
    await sleep(pollMs);
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
