import { assert } from '../base/assert.ts';
import type { EntryId, LogIndex, Term } from '../base/ids.ts';
import type { Entry, EntryKind } from './entry.ts';

/**
 * The log as raft sees it, all in memory: the entries after `base`, and how far they are durable, committed, applied.
 *
 * Invariant: base.index <= applied <= commit <= lastIndex
 * Invariant: applied <= stable <= lastIndex (nothing is applied that our own disk does not hold)
 * Invariant: stable <= handedOut <= lastIndex (handed out: given to the driver to be made durable)
 */
export class Log {
  /** The entry before the first one: its effects are in the state, its data is gone. */
  #base: EntryId;
  #entries: Entry[];
  #commit: LogIndex;
  #applied: LogIndex;
  #stable: LogIndex;
  #handedOut: LogIndex;
  /** Of all entries held. */
  #sizeBytes = 0;

  constructor(
    base: EntryId,
    entries: readonly Entry[],
    { commit, applied }: { commit: LogIndex; applied: LogIndex },
  ) {
    this.#base = base;
    this.#entries = [...entries];
    for (const entry of entries) this.#sizeBytes += entrySize(entry);
    assert(
      this.#entries.every((entry, at) => entry.index === base.index + 1 + at),
      'log: gap',
    );
    this.#stable = this.lastIndex;
    this.#handedOut = this.lastIndex;
    assert(applied >= base.index && applied <= this.lastIndex, 'log: applied is outside');
    this.#applied = applied;
    this.#commit = Math.max(applied, Math.min(commit, this.lastIndex));
  }

  get firstIndex(): LogIndex {
    return this.#base.index + 1;
  }
  get lastIndex(): LogIndex {
    return this.#base.index + this.#entries.length;
  }
  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#base.term;
  }
  get commit(): LogIndex {
    return this.#commit;
  }
  get applied(): LogIndex {
    return this.#applied;
  }
  get stable(): LogIndex {
    return this.#stable;
  }
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The term of an entry, or undefined when the log does not hold it (compacted, or not there yet). */
  term(index: LogIndex): Term | undefined {
    if (index === this.#base.index) return this.#base.term;
    return this.#entries[index - this.firstIndex]?.term;
  }

  /** What the entry at `index` is; undefined when the log does not hold it. */
  kind(index: LogIndex): EntryKind | undefined {
    return this.#entries[index - this.firstIndex]?.kind;
  }

  matches(id: EntryId): boolean {
    return this.term(id.index) === id.term;
  }

  /** Paper §5.4.1: the later last term wins, then the longer log. */
  isUpToDate(last: EntryId): boolean {
    return (
      last.term > this.lastTerm || (last.term === this.lastTerm && last.index >= this.lastIndex)
    );
  }

  /** Appends a leader's own new entries. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.lastIndex + 1, 'log: append leaves a gap');
      this.#entries.push(entry);
      this.#sizeBytes += entrySize(entry);
    }
  }

  /**
   * A follower's append (paper §5.3): undefined when `previous` does not match; else the last new index.
   * Only entries that conflict are removed, so a late duplicate never shortens the log.
   */
  maybeAppend(previous: EntryId, entries: readonly Entry[]): LogIndex | undefined {
    if (!this.matches(previous)) return undefined;
    for (const [at, entry] of entries.entries()) {
      if (this.matches(entry)) continue;
      if (entry.index <= this.lastIndex) this.#truncateFrom(entry.index);
      this.append(entries.slice(at));
      break;
    }
    return previous.index + entries.length;
  }

  #truncateFrom(index: LogIndex): void {
    assert(index > this.#commit, `log: entry ${index} conflicts with a committed one`);
    this.#forget(this.#entries.splice(index - this.firstIndex));
    this.#stable = Math.min(this.#stable, index - 1);
    this.#handedOut = Math.min(this.#handedOut, index - 1);
  }

  /** The highest index <= `from` whose term is <= `term`: where two logs may still agree (raft thesis §5.3 end). */
  findConflict(from: LogIndex, term: Term): EntryId {
    let index = Math.min(from, this.lastIndex);
    while (index > this.#base.index) {
      const own = this.term(index);
      if (own === undefined || own <= term) break;
      index -= 1;
    }
    return { index, term: this.term(index) ?? 0 };
  }

  /** Entries from `start` that fit in `bytesMax`, at least one when there is one. */
  slice(start: LogIndex, bytesMax: number, end: LogIndex = this.lastIndex): Entry[] {
    const from = start - this.firstIndex;
    const to = end - this.firstIndex + 1;
    let sizeBytes = 0;
    let position = from;
    for (; position < to; position += 1) {
      sizeBytes += entrySize(this.#entries[position]);
      if (sizeBytes > bytesMax && position > from) break;
    }
    return this.#entries.slice(from, position);
  }

  commitTo(index: LogIndex): boolean {
    if (index <= this.#commit) return false;
    assert(
      index <= this.lastIndex,
      `log: commit ${index} is beyond the last index ${this.lastIndex}`,
    );
    this.#commit = index;
    return true;
  }

  /** Entries not yet given to the driver to be made durable; marks them as given. */
  takeUnstable(): Entry[] {
    const entries = this.#entries.slice(this.#handedOut + 1 - this.firstIndex);
    this.#handedOut = this.lastIndex;
    return entries;
  }

  get hasUnstable(): boolean {
    return this.#handedOut < this.lastIndex;
  }

  stableTo(id: EntryId): void {
    if (id.index > this.#stable && this.matches(id)) this.#stable = id.index;
  }

  /** Entries that may be applied now: committed, and durable here. */
  applicable(from: LogIndex, bytesMax: number): Entry[] {
    const to = Math.min(this.#commit, this.#stable);
    return from > to ? [] : this.slice(from, bytesMax, to);
  }

  appliedTo(index: LogIndex): void {
    assert(
      index >= this.#applied && index <= Math.min(this.#commit, this.#stable),
      `log: applied ${index}`,
    );
    this.#applied = index;
  }

  /** Forgets entries up to `index`, whose effects are in the state. */
  compactTo(index: LogIndex): void {
    if (index <= this.#base.index) return;
    assert(index <= this.#applied, 'log: compaction passes the applied index');
    const term = this.term(index);
    assert(term !== undefined, 'log: compaction passes the last index');
    this.#forget(this.#entries.splice(0, index - this.#base.index));
    this.#base = { index, term };
  }

  #forget(entries: readonly Entry[]): void {
    for (const entry of entries) this.#sizeBytes -= entrySize(entry);
  }

  /** Replaces everything by a snapshot's point (paper §7). */
  restore(base: EntryId): void {
    this.#base = base;
    this.#entries = [];
    this.#sizeBytes = 0;
    this.#commit = base.index;
    this.#applied = base.index;
    this.#stable = base.index;
    this.#handedOut = base.index;
  }
}

/** What an entry counts for in limits: its data and a fixed share for the rest. */
export function entrySize(entry: Entry | undefined): number {
  return entry === undefined ? 0 : entry.data.length + 32;
}
