import { Buffer } from 'node:buffer';
import { StatusError } from '../api/errors.ts';
import { emptyBytes } from '../base/bytes.ts';
import type { MessageType } from '../proto/wire.ts';
import { uint32At, writeUint32 } from './http2/frames.ts';

// gRPC's framing of messages inside a stream: one byte of flags, four of length, the message.

const prefixBytes = 5;
const heldBytesMin = 1024;

/** The message with its prefix. */
export function framed<T>(type: Pick<MessageType<T>, 'encode'>, message: T): Buffer {
  const frame = type.encode(message, prefixBytes);
  frame[0] = 0;
  writeUint32(frame, 1, frame.length - prefixBytes);
  return frame;
}

/** A message that was encoded in parts, with its prefix. */
export function framedParts(parts: readonly Buffer[]): Buffer[] {
  const prefix = Buffer.alloc(prefixBytes);
  writeUint32(
    prefix,
    1,
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  const [first = emptyBytes, ...rest] = parts;
  return [Buffer.concat([prefix, first]), ...rest];
}

/**
 * Takes the parts of a stream's body as they come and gives whole messages. A message that came in one part is a view into
 * it; what is left of a part is copied by {@link hold}, so that no part is kept.
 */
export class MessageReader {
  readonly #messageBytesMax: number;
  readonly #encoding: string | undefined;
  /** The body from `#start` to `#end` has come and was not taken. */
  #bytes: Uint8Array = emptyBytes;
  #start = 0;
  #end = 0;
  /** `#bytes` is our own memory, whose rest is free. */
  #isHeld = true;

  /** `encoding`: the call's `grpc-encoding`. */
  constructor(messageBytesMax: number, encoding: string | undefined) {
    this.#messageBytesMax = messageBytesMax;
    this.#encoding = encoding;
  }

  /** Whether nothing of a next message has come yet. */
  get isEmpty(): boolean {
    return this.#start === this.#end;
  }

  /** What has come and was not taken. */
  get heldBytes(): number {
    return this.#end - this.#start;
  }

  /** Until {@link hold}, the part must stay as it is. */
  push(bytes: Uint8Array, start: number, end: number): void {
    if (this.isEmpty) {
      this.#bytes = bytes;
      this.#start = start;
      this.#end = end;
      this.#isHeld = false;
      return;
    }
    this.hold();
    this.#makeRoom(end - start);
    this.#bytes.set(bytes.subarray(start, end), this.#end);
    this.#end += end - start;
  }

  /** The next message, undefined until all of it has come. Throws a StatusError with grpc-go's text. */
  take(): Uint8Array | undefined {
    const bytes = this.#bytes;
    const start = this.#start;
    if (this.#end - start < prefixBytes) return undefined;
    if (bytes[start] !== 0) throw compressed(this.#encoding);
    const messageBytes = uint32At(bytes, start + 1);
    if (messageBytes > this.#messageBytesMax) throw tooLarge(messageBytes, this.#messageBytesMax);
    const end = start + prefixBytes + messageBytes;
    if (end > this.#end) return undefined;
    this.#start = end;
    // Not subarray, which takes twice as long.
    return new Uint8Array(bytes.buffer, bytes.byteOffset + start + prefixBytes, messageBytes);
  }

  /** Copies what was not taken, if it is in someone else's memory. Keeps nothing of what was. */
  hold(): void {
    if (this.isEmpty) this.#bytes = emptyBytes;
    if (this.#isHeld) return;
    this.#isHeld = true;
    const bytes = this.#bytes.subarray(this.#start, this.#end);
    this.#bytes = emptyBytes;
    this.#start = 0;
    this.#end = 0;
    if (bytes.length === 0) return;
    this.#makeRoom(bytes.length);
    this.#bytes.set(bytes);
    this.#end = bytes.length;
  }

  /**
   * Grows by doubling, up to the message's end: a length in a prefix is no reason to take that memory. Messages given out
   * keep the memory that they are in.
   */
  #makeRoom(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return;
    const doubled = Math.min(2 * this.heldBytes, this.#wholeBytes());
    const size = Math.max(heldBytesMin, doubled, this.heldBytes + bytes);
    const larger = Buffer.allocUnsafeSlow(size);
    larger.set(this.#bytes.subarray(this.#start, this.#end));
    this.#end -= this.#start;
    this.#start = 0;
    this.#bytes = larger;
  }

  /** The message whose beginning is held, with its prefix. */
  #wholeBytes(): number {
    if (this.heldBytes < prefixBytes) return Number.POSITIVE_INFINITY;
    return prefixBytes + uint32At(this.#bytes, this.#start + 1);
  }
}

/** The message in a part that is exactly one; undefined where {@link MessageReader} has to look closer. */
export function soleMessage(
  part: { bytes: Uint8Array; start: number; end: number },
  messageBytesMax: number,
): Uint8Array | undefined {
  const { bytes, start, end } = part;
  const messageBytes = end - start - prefixBytes;
  const isSole =
    messageBytes >= 0 &&
    messageBytes <= messageBytesMax &&
    bytes[start] === 0 &&
    uint32At(bytes, start + 1) === messageBytes;
  if (!isSole) return undefined;
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start + prefixBytes, messageBytes);
}

function tooLarge(bytes: number, bytesMax: number): StatusError {
  const text = `grpc: received message larger than max (${bytes} vs. ${bytesMax})`;
  return new StatusError('RESOURCE_EXHAUSTED', text);
}

function compressed(encoding: string | undefined): StatusError {
  return encoding === undefined || encoding === 'identity'
    ? new StatusError('INTERNAL', 'grpc: compressed flag set with identity or empty encoding')
    : new StatusError(
        'UNIMPLEMENTED',
        `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`,
      );
}
