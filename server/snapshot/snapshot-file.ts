import { Buffer } from 'node:buffer';
import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BoltFile } from './bolt-reader.ts';

const checksumBytes = 32;
/** Both meta pages, whatever the size of a page. */
const headBytes = 128 * 1024;
const hashChunkBytes = 1024 * 1024;

/** What is in the file is not what was saved. */
export class SnapshotChecksumError extends Error {
  override name = 'SnapshotChecksumError';
}

/** A snapshot on disk: an etcd database file and, unless it was copied from a data directory, the SHA-256 over it. */
export class SnapshotFile {
  readonly #descriptor: number;
  readonly #fileBytes: number;
  readonly hasChecksum: boolean;

  /** Throws the system's error. */
  constructor(path: string) {
    this.#descriptor = openSync(path, 'r');
    this.#fileBytes = fstatSync(this.#descriptor).size;
    // A database is whole pages, and every page size is a multiple of a sector's 512 bytes.
    this.hasChecksum = this.#fileBytes % 512 === checksumBytes;
  }

  /** Of the database. */
  get sizeBytes(): number {
    return this.#fileBytes - (this.hasChecksum ? checksumBytes : 0);
  }

  /** Throws {@link SnapshotChecksumError} when there is no checksum, or another one. */
  async verify(onRead: (sizeBytes: number) => void = () => {}): Promise<void> {
    if (!this.hasChecksum) {
      throw new SnapshotChecksumError(
        'snapshot missing hash: is it cut off? One that was copied from a data directory has none: --skip-hash-check',
      );
    }
    const expected = this.#read(this.sizeBytes, checksumBytes).toString('hex');
    const hash: Hash = createHash('sha256');
    for (let at = 0; at < this.sizeBytes; at += hashChunkBytes) {
      const chunk = this.#read(at, Math.min(hashChunkBytes, this.sizeBytes - at));
      hash.update(chunk);
      onRead(chunk.length);
      await nextTurn();
    }
    const actual = hash.digest('hex');
    if (actual === expected) return;
    throw new SnapshotChecksumError(`expected sha256 ${expected}, got ${actual}`);
  }

  /** Throws {@link BoltDamageError}. */
  database(): BoltFile {
    return new BoltFile({
      sizeBytes: this.sizeBytes,
      read: (position, sizeBytes) => this.#read(position, sizeBytes),
    });
  }

  /** Its first pages and its last bytes, which tell one snapshot from another. */
  ends(): { readonly head: Buffer; readonly tail: Buffer } {
    const tailBytes = Math.min(checksumBytes, this.#fileBytes);
    return {
      head: this.#read(0, Math.min(headBytes, this.#fileBytes)),
      tail: this.#read(this.#fileBytes - tailBytes, tailBytes),
    };
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #read(position: number, sizeBytes: number): Buffer {
    const bytes = Buffer.allocUnsafe(sizeBytes);
    for (let done = 0; done < sizeBytes; ) {
      const count = readSync(this.#descriptor, bytes, done, sizeBytes - done, position + done);
      if (count === 0) throw new SnapshotChecksumError('it became shorter while it was read');
      done += count;
    }
    return bytes;
  }
}
