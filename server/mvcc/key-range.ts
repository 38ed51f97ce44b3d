import { latin1 } from '../base/bytes.ts';

/** A range of keys as latin-1 strings: `start <= key < end`. */
export interface KeyRange {
  readonly start: string;
  /** Undefined: to the last key. */
  readonly end: string | undefined;
  /** Exactly one key, as a request without range_end means. */
  readonly single: boolean;
}

/**
 * The range that a request means by `key` and `range_end`: without range_end the key alone, with range_end `\0` all
 * keys from `key` on, otherwise the half-open interval, which is empty when `key >= range_end`.
 */
export function keyRange(key: Uint8Array, rangeEnd: Uint8Array): KeyRange {
  const start = latin1(key);
  if (rangeEnd.length === 0) return singleKey(start);
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0;
  return { start, end: isOpen ? undefined : latin1(rangeEnd), single: false };
}

export function singleKey(key: string): KeyRange {
  return { start: key, end: `${key}\0`, single: true };
}

export function isInRange(range: KeyRange, key: string): boolean {
  if (range.single) return key === range.start;
  return key >= range.start && (range.end === undefined || key < range.end);
}

export function isEmptyRange(range: KeyRange): boolean {
  return range.end !== undefined && range.start >= range.end;
}
