import { Buffer } from 'node:buffer';
import { crc32c } from '../base/crc32c.ts';

/** A larger one is a broken peer. An append message may exceed its limit by one entry. */
export const peerFrameBytesMax = 64 * 1024 * 1024;

const headBytes = 8;

/** Size u32, CRC-32C u32, then the message, which comes in parts. */
export function frameHead(message: readonly Uint8Array[]): Buffer {
  const head = Buffer.allocUnsafe(headBytes);
  let [sizeBytes, crc] = [0, 0];
  for (const part of message) {
    sizeBytes += part.length;
    crc = crc32c(part, crc);
  }
  head.writeUInt32LE(sizeBytes, 0);
  head.writeUInt32LE(crc, 4);
  return head;
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #sizeBytes = 0;

  /** Throws a RangeError when the stream is not what a peer sends: the connection is of no use any more. */
  push(chunk: Buffer, onFrame: (message: Buffer) => void): void {
    this.#chunks.push(chunk);
    this.#sizeBytes += chunk.length;
    for (;;) {
      const wanted = this.#wantedBytes();
      if (wanted === undefined || this.#sizeBytes < wanted) return;
      const all = this.#joined();
      const message = all.subarray(headBytes, wanted);
      this.#keep(all.subarray(wanted));
      if (crc32c(message) !== all.readUInt32LE(4)) {
        throw new RangeError('peer: a message does not match its checksum');
      }
      onFrame(message);
    }
  }

  #wantedBytes(): number | undefined {
    if (this.#sizeBytes < headBytes) return undefined;
    const [first] = this.#chunks;
    const head = first !== undefined && first.length >= headBytes ? first : this.#joined();
    const size = head.readUInt32LE(0);
    if (size > peerFrameBytesMax) throw new RangeError('peer: a message is too large');
    return headBytes + size;
  }

  #joined(): Buffer {
    const [first] = this.#chunks;
    const all =
      this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks);
    this.#keep(all);
    return all;
  }

  #keep(rest: Buffer): void {
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#sizeBytes = rest.length;
  }
}
