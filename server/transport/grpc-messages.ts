import { Buffer } from 'node:buffer';
import { StatusError } from '../api/errors.ts';

// gRPC's framing of messages inside a stream: one byte of flags, four of length, the message.

const prefixBytes = 5;

/** The message with its prefix. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/** Takes chunks as they come and gives whole messages, which are views into the chunks where one chunk holds them. */
export class MessageReader {
  readonly #messageBytesMax: number;
  readonly #encoding: string | undefined;
  #chunks: Buffer[] = [];
  #length = 0;

  /** `encoding`: the call's `grpc-encoding`. */
  constructor(messageBytesMax: number, encoding: string | undefined) {
    this.#messageBytesMax = messageBytesMax;
    this.#encoding = encoding;
  }

  /** Whether nothing of a next message has come yet. */
  get isEmpty(): boolean {
    return this.#length === 0;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** The next message, undefined until all of it has come. Throws a StatusError with grpc-go's text. */
  take(): Uint8Array | undefined {
    if (this.#length < prefixBytes) return undefined;
    const prefix = this.#gathered(prefixBytes);
    if (prefix[0] !== 0) throw compressed(this.#encoding);
    const messageBytes = prefix.readUInt32BE(1);
    if (messageBytes > this.#messageBytesMax) {
      const sizes = `(${messageBytes} vs. ${this.#messageBytesMax})`;
      throw new StatusError(
        'RESOURCE_EXHAUSTED',
        `grpc: received message larger than max ${sizes}`,
      );
    }
    const frameBytes = prefixBytes + messageBytes;
    if (this.#length < frameBytes) return undefined;
    const buffer = this.#gathered(frameBytes);
    this.#chunks[0] = buffer.subarray(frameBytes);
    if (buffer.length === frameBytes) this.#chunks.shift();
    this.#length -= frameBytes;
    return buffer.subarray(prefixBytes, frameBytes);
  }

  /** The first chunk, joined with the next ones until it holds so many bytes. They have come. */
  #gathered(bytes: number): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= bytes) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}

function compressed(encoding: string | undefined): StatusError {
  return encoding === undefined || encoding === 'identity'
    ? new StatusError('INTERNAL', 'grpc: compressed flag set with identity or empty encoding')
    : new StatusError(
        'UNIMPLEMENTED',
        `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`,
      );
}
