import { Buffer } from 'node:buffer';
import { crc32c } from '../base/crc32c.ts';
import { KeyValue } from '../proto/gen/kv.ts';
import { bucketName } from '../snapshot/bolt-schema.ts';
import { KeyTable } from './key-table.ts';

// Revision, number of keys and HashKV of a store without an index of its keys: from its versions as they pass by, in order.

export interface KvFacts {
  readonly revision: number;
  /** -1: never compacted. */
  readonly compactRevision: number;
  /** That exist at the revision. */
  readonly keys: number;
}

export interface PassingVersion {
  readonly main: number;
  /** How many came before. */
  readonly number: number;
  readonly isTombstone: boolean;
  readonly key: Uint8Array;
}

/** What can be told when all versions have passed by once. */
export class PassingVersions {
  readonly table = new KeyTable();
  readonly #upTo: number;
  #newest = 1;
  #compacted = -1;
  #count = 0;

  /** `upTo`: later revisions do not come into the table. */
  constructor(upTo: number = Number.POSITIVE_INFINITY) {
    this.#upTo = upTo;
  }

  /** `record`: mvccpb.KeyValue, or nothing, which a restore with a new revision leaves: a version of no key. */
  add(main: number, record: Uint8Array, isTombstone: boolean): PassingVersion {
    const number = this.#count++;
    const { key } = record.length === 0 ? { key: record } : KeyValue.decode(record);
    const version = { main, number, isTombstone: isTombstone || record.length === 0, key };
    this.#newest = main;
    if (main <= this.#upTo) this.table.set(key, number, !version.isTombstone);
    return version;
  }

  compacted(revision: number): void {
    this.#compacted = Math.max(this.#compacted, revision);
  }

  get facts(): KvFacts {
    const revision = Math.max(this.#newest, this.#compacted);
    return { revision, compactRevision: this.#compacted, keys: this.table.liveKeys };
  }
}

/** The name of the bucket, where etcd begins. */
const hashOfNone = crc32c(Buffer.from(bucketName.key));

/**
 * HashKV at the newest revision, as `mvcc/hash.ts` has it. Needs the facts, so all versions have to pass by again. `table`: of
 * all of them, or, where {@link needsEarlyTable}, of those up to the compacted revision: what counts then are the versions
 * that the compaction left.
 */
export class PassingHash {
  readonly #compactRevision: number;
  readonly #table: KeyTable;
  hash = hashOfNone;

  constructor({ compactRevision }: KvFacts, table: KeyTable) {
    this.#compactRevision = compactRevision;
    this.#table = table;
  }

  /** `etcdKey`: under which etcd keeps the record. */
  add(version: PassingVersion, [etcdKey, record]: readonly [Uint8Array, Uint8Array]): void {
    if (this.#counts(version)) this.hash = crc32c(record, crc32c(etcdKey, this.hash));
  }

  #counts({ main, number, isTombstone, key }: PassingVersion): boolean {
    if (main > this.#compactRevision) return true;
    return !isTombstone && this.#table.isLast(key, number);
  }
}

/** No key is left at the revision. */
export function needsEarlyTable({ keys, compactRevision }: KvFacts): boolean {
  return keys === 0 && compactRevision > 0;
}
