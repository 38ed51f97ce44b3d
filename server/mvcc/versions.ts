import type { Backend } from '../backend/backend.ts';
import { StateDamagedError } from '../backend/damage.ts';
import { emptyBytes } from '../base/bytes.ts';
import type { LeaseId, Revision } from '../base/ids.ts';
import { recentValuesBytesMax, recentValuesMax } from '../config/limits.ts';
import { KeyValue } from '../proto/gen/kv.ts';
import type { KeyEntry } from './key-entry.ts';
import { RecentValues } from './recent-values.ts';
import { encodeVersion } from './record-codec.ts';
import { passingRevisionKey, type RevisionPair } from './revision.ts';

/** The versions' records: written once, as the marshalled mvccpb.KeyValue that etcd stores too. */
export class Versions {
  readonly #backend: Backend;
  readonly #recent = new RecentValues({
    countMax: recentValuesMax,
    sizeBytesMax: recentValuesBytesMax,
  });

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Writes the record of the entry's newest version. The value is copied. */
  write(entry: KeyEntry, value: Uint8Array, lease: LeaseId): KeyValue {
    const { key, createRevision, main: modRevision, version } = entry;
    const encoded = encodeVersion({ key, createRevision, modRevision, version, value, lease });
    this.#backend.appendRoomy(passingRevisionKey(modRevision, entry.sub), encoded.record);
    const kv: KeyValue = {
      key: encoded.key,
      createRevision,
      modRevision,
      version,
      value: encoded.value,
      lease,
    };
    // Not remembered: keeping what is written but never read would cost a put more than all the rest of it.
    this.#recent.forget(entry);
    return kv;
  }

  /** Writes the record of the entry's newest version, a tombstone. Returns what a DELETE event shows. */
  writeTombstone(entry: KeyEntry): KeyValue {
    const { key, main: modRevision } = entry;
    // Written out, because to spread an object takes longer than all the rest.
    const encoded = encodeVersion({
      key,
      createRevision: 0,
      modRevision: 0,
      version: 0,
      value: emptyBytes,
      lease: 0n,
    });
    this.#backend.appendRoomy(passingRevisionKey(modRevision, entry.sub), encoded.record);
    this.#recent.forget(entry);
    return {
      key: encoded.key,
      createRevision: 0,
      modRevision,
      version: 0,
      value: emptyBytes,
      lease: 0n,
    };
  }

  /** The key's value as of the revision; undefined when the key does not exist then. */
  readAt(entry: KeyEntry, revision: Revision): KeyValue | undefined {
    if (entry.main > revision) {
      const pair = entry.pairAt(revision);
      return pair === undefined ? undefined : this.#load(pair);
    }
    if (entry.isTombstone) return undefined;
    if (entry.recent !== undefined) return entry.recent;
    const kv = this.#load(entry);
    this.#recent.remember(entry, kv);
    return kv;
  }

  /** The record of a revision; undefined when there is none. A tombstone has no modRevision. */
  read(pair: RevisionPair): KeyValue | undefined {
    const record = this.#backend.get(passingRevisionKey(pair.main, pair.sub));
    return record === undefined ? undefined : KeyValue.decode(record);
  }

  /** Deletes the records, and what is remembered of the entry. */
  erase(pairs: readonly RevisionPair[]): void {
    for (const pair of pairs) this.#backend.delete(passingRevisionKey(pair.main, pair.sub));
  }

  #load(pair: RevisionPair): KeyValue {
    const kv = this.read(pair);
    if (kv === undefined || kv.modRevision !== pair.main) {
      throw new StateDamagedError(`the record of revision ${pair.main}.${pair.sub} is missing`);
    }
    return kv;
  }
}
