import { hash } from 'node:crypto';

const slotsMin = 1 << 12;
const liveBit = 0x8000_0000;

/**
 * For each key, which of the records that came was its last, and whether the key is there since: twelve bytes a slot, so
 * that millions of keys fit where a backup runs. Keys are known by 64 bits of their SHA-256.
 */
export class KeyTable {
  #high = new Uint32Array(slotsMin);
  #low = new Uint32Array(slotsMin);
  /** The record's number, from 1 on, and the live bit; 0: the slot is free. */
  #last = new Uint32Array(slotsMin);
  #size = 0;
  #liveKeys = 0;

  get liveKeys(): number {
    return this.#liveKeys;
  }

  /** `number`: of the record, below 2^31. */
  set(key: Uint8Array, number: number, isLive: boolean): void {
    const digest = hash('sha256', key, 'buffer');
    const [high, low] = [digest.readUInt32LE(0), digest.readUInt32LE(4)];
    const at = this.#slotOf(high, low);
    const before = this.#last[at] as number;
    if (before === 0) this.#size++;
    if (before >= liveBit) this.#liveKeys--;
    if (isLive) this.#liveKeys++;
    this.#high[at] = high;
    this.#low[at] = low;
    this.#last[at] = number + 1 + (isLive ? liveBit : 0);
    if (this.#size * 3 > this.#last.length * 2) this.#grow();
  }

  /** Whether the record is the key's last one, and the key is there. */
  isLast(key: Uint8Array, number: number): boolean {
    const digest = hash('sha256', key, 'buffer');
    const at = this.#slotOf(digest.readUInt32LE(0), digest.readUInt32LE(4));
    return this.#last[at] === number + 1 + liveBit;
  }

  /** The key's, or the free one where it would be. */
  #slotOf(high: number, low: number): number {
    const mask = this.#last.length - 1;
    for (let at = low & mask; ; at = (at + 1) & mask) {
      if (this.#last[at] === 0) return at;
      if (this.#high[at] === high && this.#low[at] === low) return at;
    }
  }

  #grow(): void {
    const [high, low, last] = [this.#high, this.#low, this.#last];
    this.#high = new Uint32Array(2 * last.length);
    this.#low = new Uint32Array(2 * last.length);
    this.#last = new Uint32Array(2 * last.length);
    for (let from = 0; from < last.length; from++) {
      if (last[from] === 0) continue;
      const at = this.#slotOf(high[from] as number, low[from] as number);
      this.#high[at] = high[from] as number;
      this.#low[at] = low[from] as number;
      this.#last[at] = last[from] as number;
    }
  }
}
