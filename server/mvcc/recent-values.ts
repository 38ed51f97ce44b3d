import type { KeyValue } from '../proto/gen/kv.ts';
import type { KeyEntry } from './key-entry.ts';

export interface RecentValuesLimits {
  /** Entries. */
  readonly countMax: number;
  /** Bytes of values and keys, together. */
  readonly sizeBytesMax: number;
}

const overheadBytes = 200;

/** The newest versions that were read last, decoded: kept at their index entries, forgotten first in, first out. */
export class RecentValues {
  readonly #limits: RecentValuesLimits;
  /** A ring; an entry stands in it once for each time it was remembered, only the last of which counts. */
  readonly #ring: (KeyEntry | undefined)[] = [];
  #next = 0;
  #oldest = 0;
  #sizeBytes = 0;

  constructor(limits: RecentValuesLimits) {
    this.#limits = limits;
  }

  remember(entry: KeyEntry, kv: KeyValue): void {
    this.forget(entry);
    const size = sizeOf(kv);
    if (size > this.#limits.sizeBytesMax) return;
    while (this.#sizeBytes + size > this.#limits.sizeBytesMax) this.#evictOldest();
    if (this.#next - this.#oldest === this.#limits.countMax) this.#evictOldest();
    entry.recent = kv;
    entry.recentSlot = this.#next;
    this.#ring[this.#next % this.#limits.countMax] = entry;
    this.#next++;
    this.#sizeBytes += size;
  }

  forget(entry: KeyEntry): void {
    if (entry.recent === undefined) return;
    this.#sizeBytes -= sizeOf(entry.recent);
    entry.recent = undefined;
  }

  #evictOldest(): void {
    const slot = this.#oldest++;
    const entry = this.#ring[slot % this.#limits.countMax];
    this.#ring[slot % this.#limits.countMax] = undefined;
    if (entry?.recentSlot === slot) this.forget(entry);
  }
}

function sizeOf(kv: KeyValue): number {
  return kv.key.length + kv.value.length + overheadBytes;
}
