import type { Revision } from '../base/ids.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import type { RevisionPair } from './revision.ts';

/**
 * The versions of one key: which revisions wrote it and which of them are tombstones. The values are in the backend.
 *
 * etcd keeps lists of generations (mvcc/key_index.go); this is the same knowledge in fewer words. A generation ends with its
 * tombstone, and only of the newest one the creation and the version counter are ever asked for.
 */
export class KeyEntry {
  readonly key: string;
  /** The newest version. */
  main: Revision = 0;
  sub = 0;
  isTombstone = true;
  /** Of the newest version; 0 when it is a tombstone. */
  createRevision: Revision = 0;
  version = 0;
  /** Of its value; 0 when it is a tombstone. */
  valueBytes = 0;
  /** The versions before it, oldest first: main revision, then twice the sub revision, plus one for a tombstone. */
  older: number[] | undefined = undefined;
  /** The newest version decoded, while it is among the recently used ones. */
  recent: KeyValue | undefined = undefined;
  recentSlot = 0;

  constructor(key: string) {
    this.key = key;
  }

  /** Adds a version as the newest one. */
  put(main: Revision, sub: number, valueBytes: number): void {
    const isNew = this.isTombstone || this.main === 0;
    this.#retire();
    this.main = main;
    this.sub = sub;
    this.isTombstone = false;
    this.createRevision = isNew ? main : this.createRevision;
    this.version = isNew ? 1 : this.version + 1;
    this.valueBytes = valueBytes;
  }

  /** Adds a tombstone as the newest version. */
  delete(main: Revision, sub: number): void {
    this.#retire();
    this.main = main;
    this.sub = sub;
    this.isTombstone = true;
    this.createRevision = 0;
    this.version = 0;
    this.valueBytes = 0;
  }

  /** Whether the key exists as of the revision. */
  isLiveAt(revision: Revision): boolean {
    if (this.main <= revision) return !this.isTombstone;
    return this.pairAt(revision) !== undefined;
  }

  /** The version that the revision sees; undefined when there is none or it is a tombstone. */
  pairAt(revision: Revision): RevisionPair | undefined {
    if (this.main <= revision) return this.isTombstone ? undefined : this;
    const { older } = this;
    const at = older === undefined ? -1 : lastAtOrBelow(older, revision);
    if (older === undefined || at < 0) return undefined;
    const subAndKind = older[at + 1] as number;
    if (subAndKind % 2 === 1) return undefined;
    return { main: older[at] as number, sub: subAndKind / 2 };
  }

  /**
   * Forgets, oldest first, at most `max` versions that no revision from `compactRevision` on can see: all before the
   * newest one at or below it, and that one too if it is a tombstone below it (a tombstone exactly there is kept, as
   * etcd does since 3.5.16). Returns what was forgotten. When nothing is left, {@link isEmpty}.
   */
  forget(compactRevision: Revision, max: number): RevisionPair[] {
    const { older } = this;
    let count = 0;
    let newestToo = false;
    if (older !== undefined) {
      const at =
        this.main <= compactRevision ? older.length : lastAtOrBelow(older, compactRevision);
      count = Math.max(0, at / 2);
      if (at >= 0 && at < older.length && isForgettableTombstone(older, at, compactRevision))
        count++;
    }
    if (this.main < compactRevision && this.isTombstone) newestToo = count < max;
    const forgotten = this.#dropOlder(Math.min(count, max));
    if (newestToo && this.main !== 0) {
      forgotten.push({ main: this.main, sub: this.sub });
      this.main = 0;
    }
    return forgotten;
  }

  get isEmpty(): boolean {
    return this.main === 0;
  }

  /** The newest version becomes an older one. */
  #retire(): void {
    if (this.main === 0) return;
    this.older ??= [];
    this.older.push(this.main, this.sub * 2 + (this.isTombstone ? 1 : 0));
  }

  #dropOlder(count: number): RevisionPair[] {
    const { older } = this;
    if (older === undefined || count === 0) return [];
    const dropped = older.splice(0, 2 * count);
    if (older.length === 0) this.older = undefined;
    const pairs: RevisionPair[] = [];
    for (let at = 0; at < dropped.length; at += 2) {
      pairs.push({ main: dropped[at] as number, sub: (dropped[at + 1] as number) >>> 1 });
    }
    return pairs;
  }
}

function isForgettableTombstone(older: number[], at: number, compactRevision: Revision): boolean {
  return (older[at + 1] as number) % 2 === 1 && (older[at] as number) < compactRevision;
}

/** The place of the newest version at or below the revision; negative when there is none. */
function lastAtOrBelow(older: readonly number[], revision: Revision): number {
  let low = 0;
  let high = older.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((older[2 * middle] as number) <= revision) low = middle + 1;
    else high = middle;
  }
  return 2 * (low - 1);
}
