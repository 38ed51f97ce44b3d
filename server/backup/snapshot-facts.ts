import { Buffer } from 'node:buffer';
import { latin1 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { parseEtcdRevisionKey } from '../mvcc/revision.ts';
import { KeyValue } from '../proto/gen/kv.ts';
import { bucketName, metaName } from '../snapshot/bolt-schema.ts';
import { BackupError } from './failure.ts';
import { KeyTable } from './key-table.ts';
import { SnapshotPages } from './snapshot-pages.ts';

/** What a snapshot holds, as it can be told after it has passed by once. */
export interface SnapshotFacts {
  readonly revision: number;
  /** -1: never compacted. */
  readonly compactRevision: number;
  readonly keys: number;
}

interface Version {
  readonly main: number;
  readonly number: number;
  readonly isTombstone: boolean;
  readonly key: Uint8Array;
}

/** Reads a snapshot as it passes by, chunk after chunk without the checksum at its end. */
export class SnapshotReading {
  readonly table = new KeyTable();
  readonly #pages: SnapshotPages;
  readonly #upTo: number;
  readonly #onVersion: (version: Version, record: readonly [Buffer, Buffer]) => void;
  #former: Buffer = Buffer.of();
  #newest = 1;
  #compacted = -1;
  #count = 0;

  /** `upTo`: later revisions do not come into the table. */
  constructor(
    onVersion: (version: Version, record: readonly [Buffer, Buffer]) => void = () => {},
    upTo: number = Number.POSITIVE_INFINITY,
  ) {
    this.#onVersion = onVersion;
    this.#upTo = upTo;
    this.#pages = new SnapshotPages((key, value) => this.#record(key, value));
  }

  /** Throws `Damaged`. */
  add(chunk: Uint8Array): void {
    this.#pages.add(chunk);
  }

  end(): SnapshotFacts {
    this.#pages.end();
    const revision = Math.max(this.#newest, this.#compacted);
    return { revision, compactRevision: this.#compacted, keys: this.table.liveKeys };
  }

  #record(key: Buffer, value: Buffer): void {
    const pair = parseEtcdRevisionKey(key);
    if (pair !== undefined) this.#version(key, value, pair);
    else if (isCompaction(key)) {
      const main = parseEtcdRevisionKey(value)?.main;
      if (main !== undefined) this.#compacted = Math.max(this.#compacted, main);
    }
  }

  #version(
    key: Buffer,
    value: Buffer,
    { main, isTombstone }: { readonly main: number; readonly isTombstone: boolean },
  ): void {
    if (Buffer.compare(this.#former, key) >= 0) {
      throw new BackupError(
        'Damaged',
        'the versions in the snapshot are not in order: only members of Mainstay can be backed up; for etcd itself use: mainstayctl snapshot save',
      );
    }
    this.#former = Buffer.from(key);
    this.#newest = main;
    const number = this.#count++;
    // What a restore with a new revision leaves is a version of no key.
    const { key: of } = value.length === 0 ? { key: value } : KeyValue.decode(value);
    const isGone = isTombstone || value.length === 0;
    const version = { main, number, isTombstone: isGone, key: of };
    if (main <= this.#upTo) this.table.set(of, number, !isGone);
    this.#onVersion(version, [key, value]);
  }
}

function isCompaction(key: Buffer): boolean {
  const name = latin1(key);
  return name === metaName.scheduledCompaction || name === metaName.finishedCompaction;
}

/** The name of the bucket, where etcd begins. */
const hashOfNone = crc32c(Buffer.from(bucketName.key));

/**
 * HashKV at a snapshot's revision, as `mvcc/hash.ts` has it, without an index of the keys. Needs the facts, so the
 * snapshot has to pass by twice; where no key is left at the revision, three times: what counts are then the versions
 * that the compaction left.
 */
export class SnapshotHash {
  readonly #compactRevision: number;
  readonly #table: KeyTable;
  readonly #reading: SnapshotReading;
  #hash = hashOfNone;

  /** `table`: of all versions, or, where no key is left, of those up to the compacted revision. */
  constructor({ compactRevision }: SnapshotFacts, table: KeyTable) {
    this.#compactRevision = compactRevision;
    this.#table = table;
    this.#reading = new SnapshotReading((version, [recordKey, value]) => {
      if (this.#counts(version)) this.#hash = crc32c(value, crc32c(recordKey, this.#hash));
    }, 0);
  }

  add(chunk: Uint8Array): void {
    this.#reading.add(chunk);
  }

  end(): number {
    this.#reading.end();
    return this.#hash;
  }

  #counts({ main, number, isTombstone, key }: Version): boolean {
    if (main > this.#compactRevision) return true;
    if (isTombstone) return false;
    return this.#table.isLast(key, number);
  }
}
