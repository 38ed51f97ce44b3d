import type { Revision } from '../base/ids.ts';
import { OrderedMap, type Visit } from '../base/ordered-map.ts';
import { KeyEntry } from './key-entry.ts';
import type { KeyRange } from './key-range.ts';

/** All keys that have a version, in order: which revisions wrote each. Counts as of any revision without walking the range. */
export class KeyIndex {
  readonly #entries = new OrderedMap<KeyEntry>({
    weightOf: (entry) => (entry.isTombstone ? 0 : 1),
  });

  /** Keys with a version, deleted ones included. */
  get size(): number {
    return this.#entries.size;
  }

  get(key: string): KeyEntry | undefined {
    return this.#entries.get(key);
  }

  /** Adds a version of the key that brings it (back) to life, if it is not alive. */
  put(key: string, main: Revision, sub: number): KeyEntry {
    const entry = this.#entries.upsert(key, main, newEntry);
    const revives = entry.isTombstone && entry.main !== 0;
    entry.put(main, sub);
    if (revives) this.#entries.addWeight(key, 1);
    return entry;
  }

  /** Adds a tombstone. */
  delete(key: string, main: Revision, sub: number): KeyEntry {
    const entry = this.#entries.upsert(key, main, newEntry);
    if (!entry.isTombstone) this.#entries.addWeight(key, -1);
    entry.delete(main, sub);
    return entry;
  }

  /** Removes a key of which no version is left. */
  remove(key: string): void {
    this.#entries.delete(key);
  }

  forEach(range: KeyRange, visit: Visit<KeyEntry>): void {
    this.#entries.forEach(range.start, range.end, visit);
  }

  forEachReverse(range: KeyRange, visit: Visit<KeyEntry>): void {
    this.#entries.forEachReverse(range.start, range.end, visit);
  }

  /** How many keys of the range exist as of the revision. */
  countAt(range: KeyRange, revision: Revision): number {
    if (range.single) return this.get(range.start)?.isLiveAt(revision) === true ? 1 : 0;
    return this.#entries.countAt(range.start, range.end, revision, (entry) =>
      entry.isLiveAt(revision) ? 1 : 0,
    );
  }
}

/** Counts at once as a live key, which its first version nearly always makes it. */
function newEntry(key: string): KeyEntry {
  const entry = new KeyEntry(key);
  entry.isTombstone = false;
  return entry;
}
