import { fromLatin1 } from '../../../server/base/bytes.ts';
import type { StoredEvent, StoredRevision } from '../../../server/mvcc/events.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';
import type { WatchedStore } from '../../../server/watch/watch-hub.ts';

/** A put of the value, or a deletion when it is undefined. */
export interface Change {
  readonly key: string;
  readonly value: string | undefined;
}

/** A store in its simplest form: every revision's changes, and what follows from them. The tests' model. */
export class History implements WatchedStore {
  /** From revision 2 on, as etcd counts. */
  readonly #revisions: StoredRevision[] = [];
  readonly #versions = new Map<string, KeyValue[]>();
  compactRevision = -1;
  reads = 0;

  get revision(): number {
    return this.#revisions.length + 1;
  }

  /** Undefined when nothing changed: deletions of what is not there. */
  write(changes: readonly Change[]): StoredRevision | undefined {
    const revision = this.revision + 1;
    const events: StoredEvent[] = [];
    for (const change of changes) {
      const event = this.#change(change, revision);
      if (event !== undefined) events.push(event);
    }
    if (events.length === 0) return undefined;
    this.#revisions.push({ revision, events });
    return { revision, events };
  }

  *readRevisions(from: number, to: number): Iterable<StoredRevision> {
    if (from < this.compactRevision) throw new Error('read of a compacted revision');
    for (const entry of this.#revisions.slice(Math.max(0, from - 2), to - 1)) {
      this.reads += 1;
      yield entry;
    }
  }

  /** Undefined when there was none, also for a tombstone. */
  valueAt(key: string, revision: number): KeyValue | undefined {
    const last = this.#versions.get(key)?.findLast((kv) => kv.modRevision <= revision);
    return last === undefined || last.version === 0 ? undefined : last;
  }

  #change({ key, value }: Change, revision: number): StoredEvent | undefined {
    const previous = this.valueAt(key, revision);
    if (value === undefined && previous === undefined) return undefined;
    const kv = KeyValue.create({ key: fromLatin1(key), modRevision: revision });
    if (value !== undefined) {
      kv.value = fromLatin1(value);
      kv.createRevision = previous?.createRevision ?? revision;
      kv.version = (previous?.version ?? 0) + 1;
    }
    const versions = this.#versions.get(key) ?? [];
    versions.push(kv);
    this.#versions.set(key, versions);
    return {
      kind: value === undefined ? 'delete' : 'put',
      key,
      kv,
      prevKv: () =>
        revision - 1 < this.compactRevision ? undefined : this.valueAt(key, revision - 1),
    };
  }
}
