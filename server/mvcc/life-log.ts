import type { Revision } from '../base/ids.ts';
import { lifeLogMax } from '../config/limits.ts';
import { isInRange, type KeyRange } from './key-range.ts';

/** A key came to life (+1) or died (-1). */
export interface LifeChange {
  readonly key: string;
  readonly main: Revision;
  readonly delta: 1 | -1;
}

/**
 * The newest births and deaths of keys. A page of a list is read at a revision a little in the past, and counted there:
 * that is the count of today without what has changed since.
 */
export class LifeLog {
  /** A ring; the revisions ascend from the oldest. */
  readonly #ring: LifeChange[] = [];
  /** Changes ever added. */
  #added = 0;

  add(change: LifeChange): void {
    this.#ring[this.#added % lifeLogMax] = change;
    this.#added++;
  }

  /** By how much the keys in the range have become more since the revision; undefined when that is too long ago to tell. */
  sumAfter(revision: Revision, range: KeyRange): number | undefined {
    const oldest = Math.max(0, this.#added - lifeLogMax);
    let sum = 0;
    for (let at = this.#added - 1; at >= oldest; at--) {
      const change = this.#ring[at % lifeLogMax] as LifeChange;
      if (change.main <= revision) return sum;
      if (isInRange(range, change.key)) sum += change.delta;
    }
    return oldest === 0 ? sum : undefined;
  }
}
