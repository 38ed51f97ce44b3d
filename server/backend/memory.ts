import { copyBytes, fromLatin1, latin1 } from '../base/bytes.ts';
import type { Done } from '../base/file-system.ts';
import { OrderedMap } from '../base/ordered-map.ts';
import { type Random, randomBelow } from '../base/random.ts';
import { scanChunkRecordsMax } from '../config/limits.ts';
import {
  type OrderedStore,
  type PinnedStore,
  type StoreOp,
  type StoreRange,
  type StoreRecord,
  type StoreScan,
} from './ordered-store.ts';

interface PendingBatch {
  readonly ops: readonly StoreOp[];
}

/** What survives a crash: give the same disk to the next {@link MemoryStore}. */
export class MemoryDisk {
  records: OrderedMap<Uint8Array> = new OrderedMap();
  sizeBytes = 0;
  readonly #pending: PendingBatch[] = [];
  #isShared = false;
  /** Every durable batch, for {@link loseBatch}; kept only when asked for. */
  readonly #history: (readonly StoreOp[])[] | undefined;
  #life = 0;

  constructor(options: { keepsHistory?: boolean } = {}) {
    this.#history = options.keepsHistory === true ? [] : undefined;
  }

  /** Changes with each crash: a store of an earlier life is dead. */
  get life(): number {
    return this.#life;
  }

  begin(ops: readonly StoreOp[]): PendingBatch {
    const batch = { ops };
    this.#pending.push(batch);
    return batch;
  }

  end(batch: PendingBatch): void {
    this.#pending.splice(this.#pending.indexOf(batch), 1);
    this.#apply(batch.ops);
  }

  /** The batches under way are lost or kept whole, in order: any number of the first ones may have reached the disk. */
  crash(random: Random): void {
    this.#life++;
    const kept = randomBelow(random, this.#pending.length + 1);
    for (const batch of this.#pending.splice(0).slice(0, kept)) this.#apply(batch.ops);
  }

  /** As LevelDB after one flipped bit in its log: an acknowledged batch is gone, the later ones are there. */
  loseBatch(index: number): void {
    const history = this.#history ?? [];
    const batches = history.splice(0).toSpliced(index, 1);
    this.records = new OrderedMap();
    this.sizeBytes = 0;
    for (const ops of batches) this.#apply(ops);
  }

  get batchCount(): number {
    return this.#history?.length ?? 0;
  }

  /** Flips one bit in the key or the value of a random record. */
  flipBit(random: Random): void {
    this.#unshare();
    const all: [string, Uint8Array][] = [];
    this.records.forEach('', undefined, (value, key) => {
      all.push([key, value]);
    });
    const chosen = all[randomBelow(random, all.length)];
    if (chosen === undefined) return;
    const [key, value] = chosen;
    const bit = randomBelow(random, 8 * (key.length + value.length));
    this.records.delete(key);
    if (bit < 8 * key.length) this.records.set(latin1(flipped(fromLatin1(key), bit)), value);
    else this.records.set(key, flipped(value, bit - 8 * key.length));
  }

  /** The records as they are now, whatever is written later. */
  share(): OrderedMap<Uint8Array> {
    this.#isShared = true;
    return this.records;
  }

  #apply(ops: readonly StoreOp[]): void {
    this.#unshare();
    this.#history?.push(ops);
    for (const op of ops) {
      const key = latin1(op.key);
      const before = this.records.get(key);
      if (before !== undefined) this.sizeBytes -= key.length + before.length;
      if (op.kind === 'delete') {
        this.records.delete(key);
        continue;
      }
      this.records.set(key, copyBytes(op.value));
      this.sizeBytes += key.length + op.value.length;
    }
  }

  /** Copy on write: a pinned view keeps the map it has. */
  #unshare(): void {
    if (!this.#isShared) return;
    this.#isShared = false;
    const copy = new OrderedMap<Uint8Array>();
    this.records.forEach('', undefined, (value, key) => copy.set(key, value));
    this.records = copy;
  }
}

export interface MemoryStoreModules {
  readonly disk: MemoryDisk;
  /** Runs the end of a write later: the simulator decides when. */
  readonly schedule?: (end: () => void) => void;
}

/** The twin of LevelDB in memory. The disk stands apart from it, so that a simulated crash can part them. */
export class MemoryStore implements OrderedStore {
  readonly suspicion = undefined;
  readonly #disk: MemoryDisk;
  readonly #schedule: (end: () => void) => void;
  readonly #life: number;
  #isClosed = false;

  constructor(modules: MemoryStoreModules = { disk: new MemoryDisk() }) {
    this.#disk = modules.disk;
    this.#life = modules.disk.life;
    this.#schedule = modules.schedule ?? queueMicrotask;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    return this.#disk.records.get(latin1(key));
  }

  async hasMany(keys: readonly Uint8Array[]): Promise<readonly boolean[]> {
    return keys.map((key) => this.get(key) !== undefined);
  }

  write(batch: readonly StoreOp[], done: Done): void {
    if (this.#isClosed) {
      this.#schedule(() => done(new Error('the store is closed')));
      return;
    }
    const pending = this.#disk.begin(batch);
    this.#schedule(() => {
      if (this.#life !== this.#disk.life) return;
      this.#disk.end(pending);
      done(null);
    });
  }

  scan(range: StoreRange): StoreScan {
    this.#assertOpen();
    return scanRecords(this.#disk.share(), range);
  }

  pin(): PinnedStore {
    this.#assertOpen();
    const records = this.#disk.share();
    return {
      get: (key) => records.get(latin1(key)),
      scan: (range) => scanRecords(records, range),
      release() {},
    };
  }

  sizeBytes(): number {
    return this.#disk.sizeBytes;
  }

  async compact(): Promise<void> {}

  verified(): void {}

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error('the store is closed');
  }
}

async function* scanRecords(
  records: OrderedMap<Uint8Array>,
  range: StoreRange,
): AsyncGenerator<readonly StoreRecord[]> {
  const end = range.lt === undefined ? undefined : latin1(range.lt);
  let start = range.gte === undefined ? '' : latin1(range.gte);
  for (;;) {
    const chunk: StoreRecord[] = [];
    records.forEach(start, end, (value, key) => {
      chunk.push([fromLatin1(key), value]);
      start = `${key}\0`;
      return chunk.length < scanChunkRecordsMax;
    });
    if (chunk.length > 0) yield chunk;
    if (chunk.length < scanChunkRecordsMax) return;
  }
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = copyBytes(bytes);
  copy[bit >>> 3] = (copy[bit >>> 3] as number) ^ (1 << (bit & 7));
  return copy;
}
