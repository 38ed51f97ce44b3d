import type { Done } from '../base/file-system.ts';

/** One change of a batch. Keys and values are not changed after they were given away. */
export type StoreOp =
  | { readonly kind: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: Uint8Array };

export type StoreRecord = readonly [key: Uint8Array, value: Uint8Array];

/** `gte <= key < lt`, bytewise; without a bound, from the first or to the last key. */
export interface StoreRange {
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
}

/** Records in key order, in chunks of at most `scanChunkRecordsMax`; each is fetched without holding the event loop. */
export type StoreScan = AsyncIterable<readonly StoreRecord[]>;

/**
 * Ordered keys and values on disk: LevelDB, or its twin in memory. Both pass one contract suite.
 * What it gives back is not trusted: {@link Backend} checks every record.
 */
export interface OrderedStore {
  /** Synchronous. Throws {@link StateDamagedError} when the store itself notices damage. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** Whether each key has a record, looked up without holding the event loop. */
  hasMany(keys: readonly Uint8Array[]): Promise<readonly boolean[]>;
  /**
   * Applies the batch atomically; it is durable when `done(null)` is called, later and never synchronously.
   * One batch at a time: the next begins after `done`. Whether a read sees a batch under way is undefined.
   */
  write(batch: readonly StoreOp[], done: Done): void;
  scan(range: StoreRange): StoreScan;
  /** A view that later batches do not change. */
  pin(): PinnedStore;
  /** Bytes on disk. */
  sizeBytes(): number;
  /** Gives back what overwritten and deleted records still take, without holding the event loop. */
  compact(): Promise<void>;
  /** What made the store suspect damage while it opened: not a proof, for a torn tail leaves the same trace. */
  readonly suspicion: string | undefined;
  /** To be called when everything in the store was read and found right. */
  verified(): void;
  /** After it, reading throws and a write fails. */
  close(): Promise<void>;
}

export interface PinnedStore {
  get(key: Uint8Array): Uint8Array | undefined;
  scan(range: StoreRange): StoreScan;
  release(): void;
}
