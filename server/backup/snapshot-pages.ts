import { Buffer } from 'node:buffer';
import { boltPageRunBytesMax } from '../config/limits.ts';
import { decodeMetaPage, elementBytes, pageFlag, pageHeadBytes } from '../snapshot/bolt-page.ts';
import { BackupError } from './failure.ts';

/** Of the first page, what has to be there to know how large pages are. */
const metaBytes = 512;

/**
 * The records of an etcd database file while it passes by, from its first byte to its last, in the order in which its
 * pages stand. Our members write them sorted; in a file of etcd's own there may be pages that are not in use any more, so
 * a reader of this has to notice when records are out of order. No more than one page run is held.
 */
export class SnapshotPages {
  readonly #onRecord: (key: Buffer, value: Buffer) => void;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #neededBytes = metaBytes;
  #pageBytes = 0;

  constructor(onRecord: (key: Buffer, value: Buffer) => void) {
    this.#onRecord = onRecord;
  }

  /** Throws `Damaged`. The records are views of the bytes: valid only while they are told. */
  add(chunk: Uint8Array): void {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < this.#neededBytes) return;
    let rest = Buffer.concat(this.#held);
    for (;;) {
      this.#neededBytes = this.#neededFor(rest);
      if (rest.length < this.#neededBytes) break;
      this.#page(rest.subarray(0, this.#neededBytes));
      rest = rest.subarray(this.#neededBytes);
    }
    this.#held = rest.length === 0 ? [] : [rest];
    this.#heldBytes = rest.length;
  }

  /** Throws `Damaged` when it ends in the middle of a page. */
  end(): void {
    if (this.#heldBytes > 0 || this.#pageBytes === 0)
      throw damaged('it ends in the middle of a page');
  }

  #neededFor(rest: Buffer): number {
    if (this.#pageBytes === 0) {
      if (rest.length < metaBytes) return metaBytes;
      const meta = decodeMetaPage(rest);
      if (typeof meta === 'string') throw damaged(meta);
      this.#pageBytes = meta.pageBytes;
    }
    if (rest.length < pageHeadBytes) return pageHeadBytes;
    const needed = (1 + rest.readUInt32LE(12)) * this.#pageBytes;
    if (needed > boltPageRunBytesMax) throw damaged(`a page of ${needed} bytes`);
    return needed;
  }

  #page(page: Buffer): void {
    if (page.readUInt16LE(8) !== pageFlag.leaf) return;
    const count = page.readUInt16LE(10);
    for (let index = 0; index < count; index++) {
      const at = pageHeadBytes + index * elementBytes;
      if (at + elementBytes > page.length) throw damaged('an element is cut off');
      if (page.readUInt32LE(at) !== 0) continue;
      const keyAt = at + page.readUInt32LE(at + 4);
      const valueAt = keyAt + page.readUInt32LE(at + 8);
      const end = valueAt + page.readUInt32LE(at + 12);
      if (end > page.length) throw damaged('an element is cut off');
      this.#onRecord(page.subarray(keyAt, valueAt), page.subarray(valueAt, end));
    }
  }
}

function damaged(what: string): BackupError {
  return new BackupError('Damaged', `what the member sends is no snapshot: ${what}`);
}
