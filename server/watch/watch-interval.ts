import { latin1 } from '../base/bytes.ts';
import type { Interval } from './interval-index.ts';

/** The keys a watch asks for; undefined when there can be none. No key at all means the smallest one. */
export function watchInterval(key: Uint8Array, rangeEnd: Uint8Array): Interval | undefined {
  const start = key.length === 0 ? '\0' : latin1(key);
  if (rangeEnd.length === 0) return { start, end: `${start}\0`, single: true };
  const end = latin1(rangeEnd);
  if (end === '\0') return { start, end: undefined, single: false };
  return start < end ? { start, end, single: false } : undefined;
}
