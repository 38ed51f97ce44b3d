import { Buffer } from 'node:buffer';
import {
  ConnectionError,
  frameHeaderBytes,
  framePayloadBytesMax,
  streamIdMax,
  uint32At,
} from './frames.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/**
 * Finds frames in the chunks of a connection, after its preface. A frame is a view into the chunk that it came in; only
 * one that came in several is put together first. After {@link push}, call {@link next} until it says false.
 */
export class FrameReader {
  type = 0;
  flags = 0;
  streamId = 0;
  /** The payload is `bytes` from `start` to `end`. */
  bytes: Buffer;
  start = 0;
  end = 0;
  #chunk: Buffer;
  #at = 0;
  #prefaceSeen = 0;
  /** The frame whose end has not come yet: its first `#partialBytes` bytes. */
  #partial: Buffer | undefined;
  #partialBytes = 0;

  constructor() {
    this.bytes = none;
    this.#chunk = none;
  }

  push(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
    if (this.#prefaceSeen < preface.length) this.#readPreface();
  }

  /** Whether there is one more. Throws a ConnectionError when it is larger than allowed. */
  next(): boolean {
    if (this.#partial !== undefined) return this.#complete(this.#partial);
    const chunk = this.#chunk;
    const left = chunk.length - this.#at;
    if (left < frameHeaderBytes) return this.#keep(left, frameHeaderBytes);
    const frameBytes = frameHeaderBytes + payloadBytesAt(chunk, this.#at);
    if (left < frameBytes) return this.#keep(left, frameBytes);
    this.#at += frameBytes;
    return this.#found(chunk, this.#at - frameBytes, this.#at);
  }

  #readPreface(): void {
    const chunk = this.#chunk;
    while (this.#prefaceSeen < preface.length && this.#at < chunk.length) {
      if (chunk[this.#at++] !== preface[this.#prefaceSeen++]) {
        throw new ConnectionError('PROTOCOL_ERROR', 'not the preface of HTTP/2');
      }
    }
  }

  /** The rest of the chunk is the beginning of a frame. */
  #keep(left: number, frameBytes: number): false {
    const chunk = this.#chunk;
    if (left > 0) {
      this.#partial = Buffer.allocUnsafe(frameBytes);
      chunk.copy(this.#partial, 0, this.#at);
      this.#partialBytes = left;
    }
    this.#chunk = none;
    this.#at = 0;
    return false;
  }

  #complete(partial: Buffer): boolean {
    if (!this.#fill(partial)) return false;
    const frameBytes = frameHeaderBytes + payloadBytesAt(partial, 0);
    if (partial.length === frameBytes) {
      this.#partial = undefined;
      return this.#found(partial, 0, frameBytes);
    }
    // So far it was the head alone.
    const whole = Buffer.allocUnsafe(frameBytes);
    partial.copy(whole);
    this.#partial = whole;
    return this.#complete(whole);
  }

  /** Whether the partial frame is as long as it was known to be. */
  #fill(partial: Buffer): boolean {
    const chunk = this.#chunk;
    const copied = chunk.copy(partial, this.#partialBytes, this.#at);
    this.#partialBytes += copied;
    this.#at += copied;
    return this.#partialBytes === partial.length;
  }

  #found(bytes: Buffer, start: number, end: number): true {
    this.type = bytes[start + 3] as number;
    this.flags = bytes[start + 4] as number;
    this.streamId = uint32At(bytes, start + 5) & streamIdMax;
    this.bytes = bytes;
    this.start = start + frameHeaderBytes;
    this.end = end;
    return true;
  }
}

const none = Buffer.alloc(0);

function payloadBytesAt(bytes: Uint8Array, at: number): number {
  const payloadBytes =
    ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
  if (payloadBytes > framePayloadBytesMax) {
    throw new ConnectionError('FRAME_SIZE_ERROR', 'a frame is larger than SETTINGS_MAX_FRAME_SIZE');
  }
  return payloadBytes;
}
