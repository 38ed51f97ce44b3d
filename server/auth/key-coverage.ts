import { type KeyRange, keyRange } from '../mvcc/key-range.ts';

/** A span of keys as latin-1 strings, from `start` to before `end`; undefined: to the last key. */
interface Span {
  readonly start: string;
  readonly end: string | undefined;
}

/**
 * The keys that a set of permissions covers: ranges that overlap or touch are one, so that a request over several of them
 * is allowed, as in etcd. Disjoint and sorted: a look-up costs the logarithm of their number.
 */
export class KeyCoverage {
  readonly #spans: readonly Span[];

  constructor(ranges: readonly KeyRange[]) {
    this.#spans = merged(ranges);
  }

  /**
   * Whether every key of the range is covered. Of a range that holds no key (start at or behind its end) etcd asks
   * whether its start is.
   */
  covers(key: Uint8Array, rangeEnd: Uint8Array): boolean {
    const { start, end } = keyRange(key, rangeEnd);
    const span = this.#spans[this.#countUpTo(start) - 1];
    if (span === undefined || (span.end !== undefined && span.end <= start)) return false;
    if (span.end === undefined) return true;
    return end !== undefined && (end <= start || end <= span.end);
  }

  /** How many spans start at or before the key. */
  #countUpTo(key: string): number {
    let low = 0;
    let high = this.#spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const span = this.#spans[middle];
      if (span !== undefined && span.start <= key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function merged(ranges: readonly KeyRange[]): Span[] {
  const spans: Span[] = [];
  for (const { start, end } of ranges.toSorted((a, b) => (a.start < b.start ? -1 : 1))) {
    if (end !== undefined && end <= start) continue;
    const last = spans.at(-1);
    if (last === undefined || (last.end !== undefined && last.end < start)) {
      spans.push({ start, end });
    } else if (last.end !== undefined && (end === undefined || last.end < end)) {
      spans[spans.length - 1] = { start: last.start, end };
    }
  }
  return spans;
}
