import type { Buffer } from 'node:buffer';
import { assert } from '../base/assert.ts';
import { latin1 } from '../base/bytes.ts';
import type { Done } from '../base/file-system.ts';
import type { Logger } from '../base/logger.ts';
import { batchBytesMax, batchOpsMax } from '../config/limits.ts';
import { StateDamagedError } from './damage.ts';
import { type Applied, encodeMarker, type Marker, markerKey, nextMarker } from './marker.ts';
import type { OrderedStore, PinnedStore, StoreRange, StoreRecord } from './ordered-store.ts';
import { findInOverlay, mergedScan, type Overlay, Segment } from './overlay.ts';
import { checksumOf, seal, sealInPlace, unseal, valueOf } from './record.ts';
import { type RestoredState, restoreState, type StatePart } from './restore.ts';
import { formatKey, formatVersion } from './schema.ts';
import { StateHash } from './state-hash.ts';

interface FlushWaiter {
  /** The last segment that has to be durable. */
  readonly until: Segment;
  readonly done: Done;
}

export interface BackendModules {
  readonly logger: Logger;
}

/**
 * The applied state: records by key, over an {@link OrderedStore} that is not trusted.
 *
 * Changes gather in memory, readable at once, and go down as one synced batch at a time, together with the applied
 * index, never without. Every record carries its checksum, every batch a marker chained to the one before, and the
 * newest marker a hash over the whole set of records; see restore.ts for what is verified on opening.
 *
 * Invariant: between two applied entries the records are exactly the effects of the entries up to `applied`.
 */
export class Backend {
  readonly #logger: Logger;
  #store: OrderedStore | undefined = undefined;
  /** Oldest first. All but the last are closed; the first may be on its way to the store. */
  #segments: Segment[] = [new Segment()];
  /** Of the records as they are now, the overlay included. */
  #stateHash = new StateHash();
  #inUseBytes = 0;
  /** Of the newest batch that was given to the store. */
  #marker: Marker | undefined = undefined;
  #applied: Applied = { index: 0, term: 0 };
  #durableApplied: Applied = this.#applied;
  #waiters: FlushWaiter[] = [];
  readonly #pinned = new Set<PinnedState>();
  #isWriting = false;
  #failure: Error | undefined = undefined;

  constructor(modules: BackendModules) {
    this.#logger = modules.logger;
  }

  /**
   * Verifies and reads the state in the store and takes it over, in place of a former one (whose store the caller
   * closes). Until then the former state is served on; nothing may be written meanwhile.
   * Throws {@link StateDamagedError} or `FormatError`, and then nothing has changed.
   */
  async open(store: OrderedStore, parts: readonly StatePart[]): Promise<void> {
    const { marker, sizeBytes } = await this.#restore(store, parts);
    assert(!this.#isWriting, 'no batch is under way while the state is replaced');
    this.#store = store;
    this.#segments = [new Segment()];
    this.#stateHash = marker?.stateHash.clone() ?? new StateHash();
    this.#inUseBytes = sizeBytes;
    this.#marker = marker;
    this.#applied = marker?.applied ?? { index: 0, term: 0 };
    this.#durableApplied = this.#applied;
    if (marker === undefined) this.append(formatKey, Uint8Array.of(formatVersion));
    for (const part of parts) part.restoreEnd();
  }

  async #restore(store: OrderedStore, parts: readonly StatePart[]): Promise<RestoredState> {
    const { suspicion } = store;
    try {
      const restored = await restoreState(store, parts);
      store.verified();
      if (suspicion !== undefined) {
        this.#logger.warn({ suspicion }, 'the store cut a torn tail; what it holds is whole');
      }
      return restored;
    } catch (error) {
      if (!(error instanceof StateDamagedError) || suspicion === undefined) throw error;
      throw new StateDamagedError(`${error.reason} (${suspicion})`, { cause: error });
    }
  }

  /** The last entry whose effects are in the records that are read. */
  get applied(): Applied {
    return this.#applied;
  }

  /** The last entry whose effects are durable: the log is needed only after it. */
  get durableApplied(): Applied {
    return this.#durableApplied;
  }

  /** Bytes that wait for a batch. */
  get pendingBytes(): number {
    let sum = 0;
    for (const segment of this.#segments) sum += segment.bytes;
    const writing = this.#isWriting ? this.#segments[0] : undefined;
    return sum - (writing?.bytes ?? 0);
  }

  /** Whether anything, be it the applied index alone, is not yet durable. */
  get isDirty(): boolean {
    return this.#segments.length > 1 || this.#active.changes.size > 0 || this.#appliedIsAhead;
  }

  /** Bytes on disk, and of what waits to go there. */
  get sizeBytes(): number {
    return this.#opened.sizeBytes() + this.pendingBytes;
  }

  /** Bytes of the records as they are now: what a store that kept nothing else would need. */
  get inUseBytes(): number {
    return this.#inUseBytes;
  }

  /** The value, a view that must not be changed; undefined when there is no such record. Throws {@link StateDamagedError}. */
  get(key: Uint8Array): Uint8Array | undefined {
    const sealed = this.#sealedOf(key);
    return sealed === undefined ? undefined : valueOf(sealed);
  }

  /** Writes a record over what may be there. Key and value are copied. */
  put(key: Uint8Array, value: Uint8Array): void {
    const before = this.#sealedOf(key);
    if (before !== undefined) this.#discount(key, before);
    this.append(key, value);
  }

  /** The same for a key that is known to be new: spares the look. */
  append(key: Uint8Array, value: Uint8Array): void {
    const sealed = seal(key, value);
    this.#count(key, sealed, checksumOf(sealed));
    this.#active.set(latin1(key), sealed);
  }

  /** The same without a copy: `roomy` is the value and {@link roomForSeal} bytes behind it. That is retained. */
  appendRoomy(key: Uint8Array, roomy: Buffer): void {
    this.#count(key, roomy, sealInPlace(key, roomy));
    this.#active.set(latin1(key), roomy);
  }

  /** Deletes the record, if there is one. */
  delete(key: Uint8Array): void {
    const before = this.#sealedOf(key);
    if (before === undefined) return;
    this.#discount(key, before);
    this.#active.set(latin1(key), null);
  }

  /** After each applied entry: its index goes down in the same batch as its effects. */
  setApplied(applied: Applied): void {
    assert(applied.index > this.#applied.index, 'the applied index only grows');
    this.#applied = { index: applied.index, term: applied.term };
    this.boundary();
  }

  /** Says that no entry is half applied: what has gathered becomes a batch of its own, if it is large. */
  boundary(): void {
    const { changes, bytes } = this.#active;
    if (changes.size >= batchOpsMax || bytes >= batchBytesMax) this.#closeActive();
  }

  /**
   * Makes durable everything that was written up to now; call it only between two entries. While a batch is under
   * way the call waits for the next one. After a failure nothing is tried again: the process has to end.
   */
  flush(done: Done): void {
    if (this.#failure !== undefined || !this.isDirty) {
      done(this.#failure ?? null);
      return;
    }
    const activeIsDirty = this.#active.changes.size > 0 || this.#appliedIsAhead;
    const until = activeIsDirty ? this.#active : this.#segments.at(-2);
    this.#waiters.push({ until: until ?? this.#active, done });
    this.#writeNext();
  }

  /** Gives back what overwritten and deleted records still take on disk. Rejects when that fails. */
  async defragment(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.flush((error) => (error === null ? resolve() : reject(error)));
    });
    await this.#opened.compact();
  }

  /** The state at exactly `applied`. Call it only between two entries; release it soon, the store keeps what it shows. */
  pin(): PinnedState {
    if (this.#active.changes.size > 0) this.#closeActive();
    const pinned = new PinnedState(this.#opened.pin(), this.#segments.slice(0, -1), {
      applied: this.#applied,
      stateHash: this.#stateHash.clone(),
    });
    this.#pinned.add(pinned);
    pinned.onRelease = () => this.#pinned.delete(pinned);
    return pinned;
  }

  /** Views of the state that are not released yet. */
  get pinnedCount(): number {
    return this.#pinned.size;
  }

  async close(): Promise<void> {
    await this.#store?.close();
  }

  get #opened(): OrderedStore {
    assert(this.#store !== undefined, 'the backend is open');
    return this.#store;
  }

  get #active(): Segment {
    return this.#segments[this.#segments.length - 1] as Segment;
  }

  /** Whether `applied` moved since the last segment was closed. */
  get #appliedIsAhead(): boolean {
    const closed = this.#segments.at(-2)?.closing?.applied ?? this.#durableApplied;
    return closed.index !== this.#applied.index;
  }

  #count(key: Uint8Array, sealed: Uint8Array, checksum: number): void {
    this.#stateHash.add(checksum);
    this.#inUseBytes += key.length + sealed.length;
  }

  #discount(key: Uint8Array, sealed: Uint8Array): void {
    this.#stateHash.remove(checksumOf(sealed));
    this.#inUseBytes -= key.length + sealed.length;
  }

  #sealedOf(key: Uint8Array): Uint8Array | undefined {
    const change = findInOverlay(this.#segments, latin1(key));
    if (change !== undefined) return change ?? undefined;
    const sealed = this.#opened.get(key);
    if (sealed !== undefined) verifyRecord(key, sealed);
    return sealed;
  }

  #closeActive(): void {
    this.#active.closing = { applied: this.#applied, stateHash: this.#stateHash.clone() };
    this.#segments.push(new Segment());
  }

  #writeNext(): void {
    if (this.#isWriting || this.#waiters.length === 0) return;
    const segment = this.#segments[0] as Segment;
    if (segment === this.#active) this.#closeActive();
    const { closing } = segment;
    assert(closing !== undefined, 'a segment is closed before it is written');
    const ops = segment.toOps();
    this.#marker = nextMarker(this.#marker, { ops, ...closing });
    const key = markerKey(this.#marker.sequence);
    ops.push({ kind: 'put', key, value: seal(key, encodeMarker(this.#marker)) });
    this.#isWriting = true;
    this.#opened.write(ops, (error) => this.#written(segment, closing.applied, error));
  }

  #written(segment: Segment, applied: Applied, error: Error | null): void {
    this.#isWriting = false;
    if (error !== null) {
      this.#failure = error;
      for (const waiter of this.#waiters.splice(0)) waiter.done(error);
      return;
    }
    this.#segments.shift();
    this.#durableApplied = applied;
    const waiting = this.#waiters.findIndex((waiter) => waiter.until !== segment);
    const ended = this.#waiters.splice(0, waiting === -1 ? this.#waiters.length : waiting);
    this.#writeNext();
    for (const waiter of ended) waiter.done(null);
  }
}

/** One consistent view of the state, unaffected by what is applied later. */
export class PinnedState {
  readonly applied: Applied;
  /** Over all records that {@link scanSealed} gives for the whole range, the markers left out. */
  readonly stateHash: StateHash;
  onRelease: () => void = () => {};
  readonly #store: PinnedStore;
  readonly #overlay: Overlay;

  constructor(
    store: PinnedStore,
    overlay: Overlay,
    at: { readonly applied: Applied; readonly stateHash: StateHash },
  ) {
    this.#store = store;
    this.#overlay = overlay;
    this.applied = at.applied;
    this.stateHash = at.stateHash;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const change = findInOverlay(this.#overlay, latin1(key));
    if (change !== undefined) return change === null ? undefined : valueOf(change);
    const sealed = this.#store.get(key);
    return sealed === undefined ? undefined : verifyRecord(key, sealed);
  }

  /** Records as they are stored, each verified; with the batch markers, where the range includes them. */
  async *scanSealed(range: StoreRange): AsyncGenerator<readonly StoreRecord[]> {
    for await (const chunk of mergedScan(this.#store, this.#overlay, range)) {
      for (const [key, sealed] of chunk) verifyRecord(key, sealed);
      yield chunk;
    }
  }

  /** Keys and values in key order, in chunks. */
  async *scan(range: StoreRange): AsyncGenerator<readonly StoreRecord[]> {
    for await (const chunk of this.scanSealed(range)) {
      yield chunk.map(([key, sealed]) => [key, valueOf(sealed)] as const);
    }
  }

  release(): void {
    this.onRelease();
    this.#store.release();
  }
}

function verifyRecord(key: Uint8Array, sealed: Uint8Array): Uint8Array {
  const value = unseal(key, sealed);
  if (value === undefined) throw new StateDamagedError('a record does not match its checksum');
  return value;
}
