/** Counts values by size, as prometheus' histograms do: plain numbers, cheap enough for a hot path. */
export class Histogram {
  /** Upper bounds, ascending; the last bucket, without one, is implied. */
  readonly bounds: readonly number[];
  /** How many values fell in each bucket, not cumulated. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > (this.bounds[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += value;
  }
}

/** `start`, and each bound `factor` times the one before. */
export function exponentialBounds(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => start * factor ** at);
}
