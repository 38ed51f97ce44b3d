import { Buffer } from 'node:buffer';
import { latin1 } from '../base/bytes.ts';
import { parseEtcdRevisionKey } from '../mvcc/revision.ts';
import { metaName } from '../snapshot/bolt-schema.ts';
import { BackupError } from './failure.ts';
import type { KeyTable } from './key-table.ts';
import { type KvFacts, PassingHash, type PassingVersion, PassingVersions } from './kv-facts.ts';
import { SnapshotPages } from './snapshot-pages.ts';

type OnVersion = (version: PassingVersion, record: readonly [Buffer, Buffer]) => void;

/** Reads a snapshot as it passes by, chunk after chunk without the checksum at its end. */
export class SnapshotReading {
  readonly #versions: PassingVersions;
  readonly #pages: SnapshotPages;
  readonly #onVersion: OnVersion;
  #former: Buffer = Buffer.of();

  /** `upTo`: later revisions do not come into the table. */
  constructor(upTo?: number, onVersion: OnVersion = () => {}) {
    this.#versions = new PassingVersions(upTo);
    this.#onVersion = onVersion;
    this.#pages = new SnapshotPages((key, value) => this.#record(key, value));
  }

  get table(): KeyTable {
    return this.#versions.table;
  }

  /** Throws `Damaged`. */
  add(chunk: Uint8Array): void {
    this.#pages.add(chunk);
  }

  end(): KvFacts {
    this.#pages.end();
    return this.#versions.facts;
  }

  #record(key: Buffer, value: Buffer): void {
    const pair = parseEtcdRevisionKey(key);
    if (pair !== undefined) {
      this.#checkOrder(key);
      const { main, isTombstone } = pair;
      this.#onVersion(this.#versions.add(main, value, isTombstone), [key, value]);
    } else if (isCompaction(key)) {
      const main = parseEtcdRevisionKey(value)?.main;
      if (main !== undefined) this.#versions.compacted(main);
    }
  }

  #checkOrder(key: Buffer): void {
    if (Buffer.compare(this.#former, key) >= 0) {
      throw new BackupError(
        'Damaged',
        'the versions in the snapshot are not in order: only members of Mainstay can be backed up; for etcd itself use: mainstayctl snapshot save',
      );
    }
    this.#former = Buffer.from(key);
  }
}

function isCompaction(key: Buffer): boolean {
  const name = latin1(key);
  return name === metaName.scheduledCompaction || name === metaName.finishedCompaction;
}

/** HashKV of a snapshot that passes by again. See {@link PassingHash} for the table. */
export class SnapshotHash {
  readonly #hash: PassingHash;
  readonly #reading: SnapshotReading;

  constructor(facts: KvFacts, table: KeyTable) {
    this.#hash = new PassingHash(facts, table);
    this.#reading = new SnapshotReading(0, (version, record) => this.#hash.add(version, record));
  }

  add(chunk: Uint8Array): void {
    this.#reading.add(chunk);
  }

  end(): number {
    this.#reading.end();
    return this.#hash.hash;
  }
}
