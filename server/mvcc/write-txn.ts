import { assert } from '../base/assert.ts';
import type { LeaseId, Revision } from '../base/ids.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import { type Predecessors, type StoredRevision, VersionEvent } from './events.ts';
import type { KeyRange } from './key-range.ts';
import { type RangeQuery, type RangeResult, type RangeView, readRange } from './range.ts';
import type { StoreCounters } from './store.ts';

export interface WriteTxnModules {
  /** The store's, before the transaction. */
  readonly view: RangeView;
  readonly predecessors: Predecessors;
  readonly counters: Omit<StoreCounters, 'erasedVersions'>;
  /** Takes over the revision when the transaction ends. */
  readonly commit: (revision: Revision) => void;
}

/**
 * The one transaction that writes. All of its changes get one main revision, numbered within by their order; a
 * transaction that changes nothing does not use a revision up. There is no way back: check first, then write.
 */
export class WriteTxn {
  readonly #modules: WriteTxnModules;
  readonly #main: Revision;
  readonly #events: VersionEvent[] = [];
  #opCount = 0;
  #isEnded = false;

  constructor(modules: WriteTxnModules) {
    this.#modules = modules;
    this.#main = modules.view.revision + 1;
  }

  /** What a range in this transaction sees as current: the store's revision, or, after a change, the new one. */
  get revision(): Revision {
    return this.#events.length === 0 ? this.#main - 1 : this.#main;
  }

  get isChanged(): boolean {
    return this.#events.length > 0;
  }

  /** The value is copied. */
  put(key: string, value: Uint8Array, lease: LeaseId): KeyValue {
    assert(!this.#isEnded, 'the transaction goes on');
    const { index, versions } = this.#modules.view;
    const entry = index.put(key, { main: this.#main, sub: this.#events.length }, value.length);
    const kv = versions.write(entry, value, lease);
    const { counters } = this.#modules;
    counters.puts++;
    counters.putBytes += key.length + value.length;
    this.#opCount++;
    this.#events.push(new VersionEvent('put', kv, this.#modules.predecessors, key));
    return kv;
  }

  /** Deletes what is there; returns the keys, ascending. */
  deleteRange(range: KeyRange): string[] {
    this.#modules.counters.deletes++;
    this.#opCount++;
    const keys = this.#liveKeys(range);
    for (const key of keys) this.#delete(key);
    return keys;
  }

  /** The key's value with this transaction's changes. */
  get(key: string): KeyValue | undefined {
    const { index, versions } = this.#modules.view;
    const entry = index.get(key);
    return entry === undefined ? undefined : versions.readAt(entry, this.revision);
  }

  /** Sees this transaction's changes. Throws EtcdError `Compacted` or `FutureRevision`. */
  range(query: RangeQuery): RangeResult {
    const { index, versions, compactRevision } = this.#modules.view;
    this.#modules.counters.ranges++;
    this.#opCount++;
    return readRange({ index, versions, compactRevision, revision: this.revision }, query);
  }

  /** Makes the changes the current revision. Returns it (the former one, if nothing was changed) and its events. */
  end(): StoredRevision {
    assert(!this.#isEnded, 'a transaction ends once');
    this.#isEnded = true;
    if (this.#opCount > 1) this.#modules.counters.txns++;
    this.#modules.commit(this.revision);
    return { revision: this.revision, events: this.#events };
  }

  #liveKeys(range: KeyRange): string[] {
    const { index } = this.#modules.view;
    if (range.single) return index.get(range.start)?.isTombstone === false ? [range.start] : [];
    const keys: string[] = [];
    index.forEach(range, (entry, key) => {
      if (!entry.isTombstone) keys.push(key);
    });
    return keys;
  }

  #delete(key: string): void {
    assert(!this.#isEnded, 'the transaction goes on');
    const { index, versions } = this.#modules.view;
    const kv = versions.writeTombstone(index.delete(key, this.#main, this.#events.length));
    this.#events.push(new VersionEvent('delete', kv, this.#modules.predecessors, key));
  }
}
