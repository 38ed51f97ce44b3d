/** Keys from `start` to before `end`, in latin-1. */
export interface Span {
  readonly start: string;
  readonly end: string;
}

/** A union of spans: disjoint and sorted, so that a large transaction costs no more than its size. */
export class KeySpans {
  #spans: readonly Span[];

  constructor(spans: readonly Span[]) {
    this.#spans = united(spans);
  }

  add(other: KeySpans): void {
    if (other.#spans.length > 0) this.#spans = united([...this.#spans, ...other.#spans]);
  }

  has(key: string): boolean {
    const at = this.#countUpTo(key);
    const last = this.#spans[at - 1];
    return last !== undefined && key < last.end;
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

function united(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans.toSorted((a, b) => (a.start < b.start ? -1 : 1))) {
    if (span.start >= span.end) continue;
    const last = result.at(-1);
    if (last === undefined || last.end < span.start) result.push(span);
    else if (last.end < span.end) result[result.length - 1] = { start: last.start, end: span.end };
  }
  return result;
}
