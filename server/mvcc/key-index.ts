import type { Revision } from '../base/ids.ts';
import { OrderedMap, type Visit } from '../base/ordered-map.ts';
import { KeyEntry } from './key-entry.ts';
import type { KeyRange } from './key-range.ts';
import { LifeLog } from './life-log.ts';
import type { PrefixUsage } from './prefix-usage.ts';
import type { RevisionPair } from './revision.ts';

/** A power of two. So many maps instead of one, for none of them to stop everything while it grows. */
const shardCount = 64;

/**
 * All keys that have a version: which revisions wrote each. A hash table finds one key, a tree walks and counts ranges,
 * and a log of births and deaths tells what a count was a while ago.
 */
export class KeyIndex {
  readonly #shards = Array.from({ length: shardCount }, () => new Map<string, KeyEntry>());
  readonly #ordered = new OrderedMap<KeyEntry>({
    weightOf: (entry) => (entry.isTombstone ? 0 : 1),
  });
  readonly #lifeLog = new LifeLog();
  /** Told of every change, where someone has set it. */
  usage: PrefixUsage | undefined;

  /** Keys with a version, deleted ones included. */
  get size(): number {
    return this.#ordered.size;
  }

  get(key: string): KeyEntry | undefined {
    return this.#shardOf(key).get(key);
  }

  /** Adds a version of the key that brings it (back) to life, if it is not alive. */
  put(key: string, { main, sub }: RevisionPair, valueBytes: number): KeyEntry {
    const shard = this.#shardOf(key);
    const existing = shard.get(key);
    if (existing !== undefined && !existing.isTombstone) {
      this.usage?.add(key, valueBytes - existing.valueBytes);
      existing.put(main, sub, valueBytes);
      return existing;
    }
    this.usage?.add(key, key.length + valueBytes);
    this.#lifeLog.add({ key, main, delta: 1 });
    if (existing === undefined) {
      return this.#create(shard, key, (entry) => entry.put(main, sub, valueBytes));
    }
    existing.put(main, sub, valueBytes);
    this.#ordered.addWeight(key, 1);
    return existing;
  }

  /** Adds a tombstone. */
  delete(key: string, main: Revision, sub: number): KeyEntry {
    const shard = this.#shardOf(key);
    const entry = shard.get(key);
    if (entry === undefined) return this.#create(shard, key, (made) => made.delete(main, sub));
    if (!entry.isTombstone) {
      this.#lifeLog.add({ key, main, delta: -1 });
      this.#ordered.addWeight(key, -1);
      this.usage?.add(key, -key.length - entry.valueBytes);
    }
    entry.delete(main, sub);
    return entry;
  }

  /** Removes a key of which no version is left. */
  remove(key: string): void {
    this.#shardOf(key).delete(key);
    this.#ordered.delete(key);
  }

  forEach(range: KeyRange, visit: Visit<KeyEntry>): void {
    this.#ordered.forEach(range.start, range.end, visit);
  }

  forEachReverse(range: KeyRange, visit: Visit<KeyEntry>): void {
    this.#ordered.forEachReverse(range.start, range.end, visit);
  }

  /**
   * How many keys of the range exist as of the revision, which is not compacted; undefined where that is so long ago that
   * each of them has to be looked at.
   */
  knownCountAt(range: KeyRange, revision: Revision): number | undefined {
    if (range.single) return this.get(range.start)?.isLiveAt(revision) === true ? 1 : 0;
    const bornSince = this.#lifeLog.sumAfter(revision, range);
    if (bornSince === undefined) return undefined;
    return this.#ordered.count(range.start, range.end) - bornSince;
  }

  /** The same, by looking where it has to. */
  countAt(range: KeyRange, revision: Revision): number {
    const known = this.knownCountAt(range, revision);
    if (known !== undefined) return known;
    let count = 0;
    this.forEach(range, (entry) => {
      if (entry.isLiveAt(revision)) count++;
    });
    return count;
  }

  #create(
    shard: Map<string, KeyEntry>,
    key: string,
    addVersion: (entry: KeyEntry) => void,
  ): KeyEntry {
    const entry = new KeyEntry(key);
    addVersion(entry);
    shard.set(key, entry);
    this.#ordered.set(key, entry);
    return entry;
  }

  /** By the key's end, where keys differ. */
  #shardOf(key: string): Map<string, KeyEntry> {
    const { length } = key;
    const hash = key.charCodeAt(length - 1) + 31 * key.charCodeAt(length - 2) + 7 * length;
    return this.#shards[hash & (shardCount - 1)] as Map<string, KeyEntry>;
  }
}
