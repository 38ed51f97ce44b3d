import { Buffer } from 'node:buffer';
import type { Backend } from '../backend/backend.ts';
import { StateDamagedError } from '../backend/damage.ts';
import type { StatePart } from '../backend/restore.ts';
import { metaKey, prefix } from '../backend/schema.ts';
import { assert } from '../base/assert.ts';
import { asBuffer, latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { Done } from '../base/file-system.ts';
import type { LeaseId, Revision } from '../base/ids.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import { Compaction } from './compaction.ts';
import { CompactionHashes, type CompactionHashModules } from './compaction-hashes.ts';
import { type Predecessors, type StoredRevision, VersionEvent } from './events.ts';
import { hashKv, type KvHash } from './hash.ts';
import { KeyIndex } from './key-index.ts';
import { PrefixUsage } from './prefix-usage.ts';
import {
  type RangeQuery,
  type RangeResult,
  type RangeView,
  rangeSteps,
  readRange,
} from './range.ts';
import { Restoring } from './restoring.ts';
import { Versions } from './versions.ts';
import { WriteTxn, type WriteTxnModules } from './write-txn.ts';

/** Since the process began: what `etcd_mvcc_*` tells. */
export interface StoreCounters {
  ranges: number;
  puts: number;
  /** Requests to delete, whatever they found. */
  deletes: number;
  /** Transactions of more than one operation. */
  txns: number;
  /** Keys and values that were put. */
  putBytes: number;
  /** By compactions. */
  erasedVersions: number;
}

export interface StoreModules {
  readonly backend: Backend;
}

/**
 * Keys, their values and all versions of them since the compacted revision. The index of the keys is in memory, the
 * versions are in the backend. Give it to {@link Backend.open} as a part before using it.
 */
export class Store implements StatePart, RangeView, Predecessors {
  readonly prefixes = [prefix.meta, prefix.revision];
  readonly counters: StoreCounters = {
    ranges: 0,
    puts: 0,
    deletes: 0,
    txns: 0,
    putBytes: 0,
    erasedVersions: 0,
  };
  readonly #backend: Backend;
  #index = new KeyIndex();
  #versions: Versions;
  #compaction: Compaction;
  #compactionHashes: CompactionHashes | undefined = undefined;
  #revision: Revision = 1;
  #compactRevision: Revision = -1;
  #restoring: Restoring | undefined = undefined;
  #leases: ReadonlyMap<string, LeaseId> = new Map();
  #txn: WriteTxn | undefined = undefined;
  readonly #txnModules: WriteTxnModules = {
    view: this,
    predecessors: this,
    counters: this.counters,
    commit: (revision) => {
      this.#revision = revision;
      this.#txn = undefined;
    },
  };

  constructor(modules: StoreModules) {
    this.#backend = modules.backend;
    this.#versions = new Versions(this.#backend);
    this.#compaction = this.#newCompaction();
  }

  /** The current one; 1 before the first write. */
  get revision(): Revision {
    return this.#revision;
  }

  /** Revisions before it cannot be read any more; -1 before the first compaction. */
  get compactRevision(): Revision {
    return this.#compactRevision;
  }

  get index(): KeyIndex {
    return this.#index;
  }

  get versions(): Versions {
    return this.#versions;
  }

  /** Throws EtcdError `Compacted` or `FutureRevision`. */
  range(query: RangeQuery): RangeResult {
    this.counters.ranges++;
    return readRange(this, query);
  }

  /**
   * The same in steps of about a millisecond, for large ranges: `next()` until done. Throws EtcdError `Compacted` also
   * when a compaction overtakes the revision between two steps.
   */
  rangeSteps(query: RangeQuery): Generator<void, RangeResult> {
    this.counters.ranges++;
    return rangeSteps(this, query);
  }

  /** The key's value at the current revision. */
  get(key: string): KeyValue | undefined {
    const entry = this.#index.get(key);
    return entry === undefined ? undefined : this.#versions.readAt(entry, this.#revision);
  }

  /** Keeps from now on what the keys with these prefixes take: {@link usage}. Looks at all keys once. */
  keepUsageOf(prefixes: readonly string[]): void {
    const usage = new PrefixUsage(prefixes);
    const everything = { start: '', end: undefined, single: false };
    this.#index.forEach(everything, ({ isTombstone, valueBytes }, key) => {
      if (!isTombstone) usage.add(key, key.length + valueBytes);
    });
    this.#index.usage = usage;
  }

  /** Undefined unless {@link keepUsageOf} was called. */
  get usage(): PrefixUsage | undefined {
    return this.#index.usage;
  }

  /** One at a time, from begin to end without a pause. */
  beginWrite(): WriteTxn {
    assert(this.#txn === undefined, 'one transaction writes at a time');
    this.#txn = new WriteTxn(this.#txnModules);
    return this.#txn;
  }

  /**
   * The changes of the revisions from `from` to `to`, both included, ascending; reads as it is iterated, so the
   * consumer may pause. Valid for `from >= compactRevision`: throws EtcdError `Compacted` otherwise, also when a
   * compaction overtakes it. Revisions that do not exist are left out.
   */
  *readRevisions(from: Revision, to: Revision): Generator<StoredRevision> {
    for (let revision = from; revision <= Math.min(to, this.#revision); revision++) {
      if (revision < this.#compactRevision) throw new EtcdError('Compacted');
      const events = this.#eventsOf(revision);
      if (events.length > 0) yield { revision, events };
    }
  }

  /** {@link Predecessors}. */
  before(key: string, revision: Revision): KeyValue | undefined {
    if (revision - 1 < this.#compactRevision) return undefined;
    const entry = this.#index.get(key);
    return entry === undefined ? undefined : this.#versions.readAt(entry, revision - 1);
  }

  /**
   * Makes the revisions before `revision` unreadable at once, and schedules the erasing of what none of the others
   * sees: {@link compactionStep} does it; `done` when that is durable.
   * Throws EtcdError `Compacted` (not above the last one) or `FutureRevision`.
   */
  compact(revision: Revision, done: Done = () => {}): void {
    if (revision <= this.#compactRevision) throw new EtcdError('Compacted');
    if (revision > this.#revision) throw new EtcdError('FutureRevision');
    this.#compactionHashes?.compacting({ revision, before: this.#compactRevision });
    this.#compactRevision = revision;
    this.#backend.put(metaKey.scheduledCompaction, encodeRevision(revision));
    this.#compaction.schedule(revision, done);
  }

  /** Does a few milliseconds of erasing; call it only between two entries. Returns whether there is more to do. */
  compactionStep(): boolean {
    return this.#compaction.step();
  }

  /** Whether {@link compactionStep} has nothing to do. */
  get isCompactionIdle(): boolean {
    return this.#compaction.isIdle;
  }

  /** HashKV of `revision`, 0 for the current one. Throws EtcdError `Compacted` or `FutureRevision`. */
  hashKv(revision: Revision): Promise<KvHash> {
    return hashKv({ backend: this.#backend, view: this }, revision);
  }

  /** Remembers from now on what each compaction takes away. */
  rememberCompactionHashes(modules: Pick<CompactionHashModules, 'pause' | 'failed'>): void {
    const { pause, failed } = modules;
    this.#compactionHashes = new CompactionHashes({
      backend: this.#backend,
      view: this,
      pause,
      failed,
    });
  }

  /** What the hash of a compaction keeps from being given back on disk is let go; that compaction is then not compared. */
  async abandonCompactionHash(): Promise<void> {
    await this.#compactionHashes?.abandon();
  }

  /** The hashes of the newest compactions, the newest first. */
  get compactionHashes(): readonly KvHash[] {
    return this.#compactionHashes?.newest ?? [];
  }

  /** Resolves once {@link compactionHashes} has that of the last compaction, if it will ever have it. */
  async whenCompactionHashed(): Promise<void> {
    await this.#compactionHashes?.settled;
  }

  /** The lease of each key that has one, as they were read when the state was opened; given once. */
  takeRestoredLeases(): ReadonlyMap<string, LeaseId> {
    const leases = this.#leases;
    this.#leases = new Map();
    return leases;
  }

  restoreBegin(): void {
    const { usage } = this.#index;
    this.#restoring = new Restoring(usage && new PrefixUsage(usage.prefixes));
  }

  restoreRecord(key: Uint8Array, value: Uint8Array): void {
    assert(this.#restoring !== undefined, 'restoreBegin was called');
    if (key[0] === prefix.revision) this.#restoring.addVersion(key, value);
    else this.#restoring.addMeta(latin1(key), asBuffer(value));
  }

  restoreEnd(): void {
    const restored = this.#restoring;
    assert(restored !== undefined && this.#txn === undefined, 'restoreBegin was called');
    this.#restoring = undefined;
    this.#index = restored.index;
    this.#leases = restored.leases;
    this.#compactRevision = restored.compactRevision;
    this.#revision = restored.revision;
    this.#versions = new Versions(this.#backend);
    this.#compactionHashes?.clear();
    this.#compaction = this.#newCompaction();
    if (restored.isCompactionUnfinished) {
      this.#compaction.schedule(restored.compactRevision, () => {});
    }
  }

  #newCompaction(): Compaction {
    return new Compaction({
      index: this.#index,
      versions: this.#versions,
      backend: this.#backend,
      counters: this.counters,
      finish: (revision, done) => {
        this.#backend.put(metaKey.finishedCompaction, encodeRevision(revision));
        this.#backend.flush(done);
      },
    });
  }

  /** Above the compacted revision every revision has records: a transaction without a change does not make one. */
  #eventsOf(revision: Revision): VersionEvent[] {
    const events: VersionEvent[] = [];
    for (let sub = 0; ; sub++) {
      const kv = this.#versions.read({ main: revision, sub });
      if (kv === undefined) break;
      if (kv.modRevision !== 0) events.push(new VersionEvent('put', kv, this));
      else events.push(new VersionEvent('delete', { ...kv, modRevision: revision }, this));
    }
    const mayBeEmpty = revision <= Math.max(1, this.#compactRevision);
    if (events.length === 0 && !mayBeEmpty) {
      throw new StateDamagedError(`the records of revision ${revision} are missing`);
    }
    return events;
  }
}

/** The record of a compaction. */
export function encodeRevision(revision: Revision): Uint8Array {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(BigInt(revision));
  return bytes;
}
