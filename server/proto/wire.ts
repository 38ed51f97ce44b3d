import { Buffer, isUtf8 } from 'node:buffer';
import { asBuffer, emptyBytes } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';

/** A message type: what the generated code exports beside the interface of the same name. */
export interface MessageType<T> {
  /** A message with proto3's defaults for every field that is left out. */
  create(partial?: Partial<T>): T;
  /**
   * Exactly the bytes of the message, behind `headBytes` (0) for the caller to fill. Throws a RangeError when a 64-bit
   * number is not a safe integer.
   */
  encode(message: T, headBytes?: number): Buffer;
  /**
   * Bytes fields are views into `bytes`. Unknown fields are skipped, and so is a known field of another wire type. Of
   * a field that comes twice the last stands. Enums are open: one may be a number that its type does not list.
   * Throws {@link DecodeError} when the bytes are not a message, EtcdError TooManyOps when it has more messages in lists than
   * {@link listedMessagesFreeMax} says: of what clients send only transactions have any.
   */
  decode(bytes: Uint8Array): T;
}

/** One RPC: `path` as it stands in HTTP/2's `:path`. */
export interface Method<Request, Response> {
  readonly name: string;
  readonly path: string;
  readonly request: MessageType<Request>;
  readonly response: MessageType<Response>;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** The bytes are not a message of the asked type: truncated, overlong, nested too deeply, not UTF-8. */
export class DecodeError extends Error {
  override name = 'DecodeError';
}

/**
 * How deeply messages may be nested; deeper ones are refused, so that none can exhaust the stack. A transaction as deep as
 * `--max-txn-ops` allows, two messages to each level, stays below it: it is refused for its operations, as in etcd.
 */
export const messageDepthMax = 500;
/**
 * Compares and operations of a transaction, those of nested ones included, that are decoded whatever they are. More are
 * only decoded while each takes the bytes of the shortest one that etcd would take: a nested transaction without anything.
 * So many smaller ones hold up the member until the first of them is refused.
 */
export const listedMessagesFreeMax = 10_000;
export const listedMessageBytesMin = 4;
/** The same in JSON: a compare of a key of one byte. */
export const listedJsonBytesMin = 13;
/** What is internal wraps what clients have sent: it must be readable whenever that was. */
const internalDepthMax = messageDepthMax + 10;

/** Fields never carry a greater number; the rest of the tag's bits must be zero. */
const fieldNumberMax = 0x1fff_ffff;
const two32 = 0x1_0000_0000;

/** One 64-bit integer seen as two 32-bit halves: how a bigint is taken apart and put together without arithmetic. */
const halves = new Uint32Array(2);
const asSigned = new BigInt64Array(halves.buffer);
const asUnsigned = new BigUint64Array(halves.buffer);
const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const lowHalf = isLittleEndian ? 0 : 1;
const highHalf = 1 - lowHalf;

/** Reads one message; `end` is the end of the innermost message that is being read. */
export class Reader {
  position = 0;
  end: number;
  readonly #bytes: Uint8Array;
  readonly #buffer: ArrayBufferLike;
  readonly #offset: number;
  readonly #depthMax: number;
  #depth = 0;
  /** Messages in lists that may still come. */
  #listedLeft: number;
  /** The halves of the varint read last, both unsigned. */
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array, isInternal = false) {
    this.#depthMax = isInternal ? internalDepthMax : messageDepthMax;
    this.#listedLeft = isInternal
      ? Number.POSITIVE_INFINITY
      : Math.max(listedMessagesFreeMax, bytes.length / listedMessageBytesMin);
    this.#bytes = bytes;
    this.#buffer = bytes.buffer;
    this.#offset = bytes.byteOffset;
    this.end = bytes.length;
  }

  /** The next field's tag: number and wire type. */
  tag(): number {
    const byte = this.#bytes[this.position] as number;
    if (byte < 0x80 && byte >= 8) {
      this.position++;
      return byte;
    }
    this.#varint();
    const number = this.#low >>> 3;
    if (this.#high !== 0 || number === 0 || number > fieldNumberMax) {
      throw new DecodeError('invalid field number');
    }
    return this.#low;
  }

  /** Enters a nested message or a packed field: {@link end} becomes its end. Returns what {@link leave} needs. */
  enter(): number {
    const length = this.#length();
    if (++this.#depth > this.#depthMax) throw new DecodeError('messages are nested too deeply');
    const outerEnd = this.end;
    this.end = this.position + length;
    return outerEnd;
  }

  /** {@link enter} for a message in a list. */
  enterListed(): number {
    if (--this.#listedLeft < 0) throw new EtcdError('TooManyOps');
    return this.enter();
  }

  leave(outerEnd: number): void {
    this.#depth--;
    this.end = outerEnd;
  }

  bool(): boolean {
    this.#varint();
    return this.#low !== 0 || this.#high !== 0;
  }

  uint32(): number {
    this.#varint();
    return this.#low;
  }

  /** Also enums: proto3's enums are open, so the number need not be one of the known ones. */
  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  /** int64 as a number, clamped to the safe integers. */
  int64Number(): number {
    this.#varint();
    if (this.#high === 0) return this.#low;
    const value = (this.#high | 0) * two32 + this.#low;
    return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
  }

  /** uint64 as a number, clamped to the safe integers. */
  uint64Number(): number {
    this.#varint();
    if (this.#high === 0) return this.#low;
    return Math.min(Number.MAX_SAFE_INTEGER, this.#high * two32 + this.#low);
  }

  int64(): bigint {
    this.#varint();
    halves[lowHalf] = this.#low;
    halves[highHalf] = this.#high;
    return asSigned[0] as bigint;
  }

  uint64(): bigint {
    this.#varint();
    halves[lowHalf] = this.#low;
    halves[highHalf] = this.#high;
    return asUnsigned[0] as bigint;
  }

  /** A view, not a copy. */
  bytes(): Uint8Array {
    const length = this.#length();
    if (length === 0) return emptyBytes;
    const start = this.position;
    this.position = start + length;
    // Twice as fast as subarray, most of all that of a Buffer.
    return new Uint8Array(this.#buffer, this.#offset + start, length);
  }

  string(): string {
    const length = this.#length();
    if (length === 0) return '';
    const bytes = asBuffer(this.#bytes.subarray(this.position, this.position + length));
    if (!isUtf8(bytes)) throw new DecodeError('a string field is not valid UTF-8');
    this.position += length;
    return bytes.toString('utf8');
  }

  /** Skips the field whose tag was just read. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#varint();
        return;
      case 1:
        this.#skipBytes(8);
        return;
      case 2:
        this.#skipBytes(this.#length());
        return;
      case 3:
        this.#skipGroup(tag);
        return;
      case 5:
        this.#skipBytes(4);
        return;
      default:
        throw new DecodeError(`unexpected wire type ${tag & 7}`);
    }
  }

  /** Groups are long out of use; one may still stand among unknown fields. */
  #skipGroup(start: number): void {
    if (++this.#depth > this.#depthMax) throw new DecodeError('messages are nested too deeply');
    while (this.position < this.end) {
      const tag = this.tag();
      if ((tag & 7) === 4) {
        if (tag >>> 3 !== start >>> 3) throw new DecodeError('mismatched end of group');
        this.#depth--;
        return;
      }
      this.skip(tag);
    }
    throw new DecodeError('unexpected end of message');
  }

  #skipBytes(count: number): void {
    if (count > this.end - this.position) throw new DecodeError('unexpected end of message');
    this.position += count;
  }

  /** The length of what follows, checked against the end of the message around it. */
  #length(): number {
    this.#varint();
    if (this.#high !== 0 || this.#low > this.end - this.position) {
      throw new DecodeError('unexpected end of message');
    }
    return this.#low;
  }

  #varint(): void {
    const first = this.position < this.end ? (this.#bytes[this.position] as number) : 0x80;
    if (first < 0x80) {
      this.position++;
      this.#low = first;
      this.#high = 0;
      return;
    }
    this.#longVarint();
  }

  #longVarint(): void {
    const bytes = this.#bytes;
    const end = Math.min(this.end, this.position + 10);
    let low = 0;
    let high = 0;
    let shift = 0;
    for (let position = this.position; position < end; position++, shift += 7) {
      const byte = bytes[position] as number;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        if (shift === 63 && byte > 1) break;
        this.position = position + 1;
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw new DecodeError(
      end === this.end && end < this.position + 10
        ? 'unexpected end of message'
        : 'a varint is longer than 64 bits',
    );
  }
}

/**
 * The sizes of nested messages and strings, in the order in which writing needs them: found in a first pass, so that
 * the second writes into one buffer of the exact size. Encoding is synchronous, so one stack serves all.
 */
const sizes: number[] = [];
let sizesWritten = 0;
let sizesRead = 0;

/** More sizes than this are not kept in memory for the next message. */
const sizesKeptMax = 4096;

/** Begins the sizing of a message. */
export function beginSizing(): void {
  sizesWritten = 0;
  sizesRead = 0;
  if (sizes.length > sizesKeptMax) sizes.length = 0;
}

/** Takes the place of a size that is known only after the nested ones. */
export function reserveSize(): number {
  sizes[sizesWritten] = 0;
  return sizesWritten++;
}

/** Records the size of a nested message and returns it with its length prefix. */
export function sizeOfMessage(place: number, size: number): number {
  sizes[place] = size;
  return sizeOfUint32(size) + size;
}

export function sizeOfBytes(value: Uint8Array): number {
  return sizeOfUint32(value.length) + value.length;
}

export function sizeOfString(value: string): number {
  const size = Buffer.byteLength(value, 'utf8');
  sizes[sizesWritten++] = size;
  return sizeOfUint32(size) + size;
}

export function sizeOfUint32(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

/** int32 and enums: a negative one is written as 64 bits. */
export function sizeOfInt32(value: number): number {
  return value < 0 ? 10 : sizeOfUint32(value);
}

/** A 64-bit integer that is a number: it must be a safe one. */
export function sizeOfInt64Number(value: number): number {
  if (value >= 0 && value < two32) return sizeOfUint32(value);
  if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`);
  return value < 0 ? 10 : sizeOfHalves(Math.floor(value / two32));
}

/** int64 and uint64: the same 64 bits. */
export function sizeOfInt64(value: bigint): number {
  asUnsigned[0] = value;
  const high = halves[highHalf] as number;
  return high === 0 ? sizeOfUint32(halves[lowHalf] as number) : sizeOfHalves(high);
}

/** The size of a varint of more than 32 bits by its upper half. */
function sizeOfHalves(high: number): number {
  if (high < 1 << 3) return 5;
  if (high < 1 << 10) return 6;
  if (high < 1 << 17) return 7;
  if (high < 1 << 24) return 8;
  return high < 0x8000_0000 ? 9 : 10;
}

/** Writes one message whose size is known. */
export class Writer {
  readonly bytes: Buffer;
  #position: number;

  /** The message begins behind `headBytes`. */
  constructor(size: number, headBytes = 0) {
    this.bytes = Buffer.allocUnsafe(headBytes + size);
    this.#position = headBytes;
  }

  /** A tag or a bool: a varint of one byte. */
  byte(value: number): void {
    this.bytes[this.#position++] = value;
  }

  uint32(value: number): void {
    const bytes = this.bytes;
    let position = this.#position;
    let rest = value;
    while (rest >= 0x80) {
      bytes[position++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[position++] = rest;
    this.#position = position;
  }

  int32(value: number): void {
    if (value < 0) this.#varint(value >>> 0, 0xffff_ffff);
    else this.uint32(value);
  }

  int64Number(value: number): void {
    if (value >= 0 && value < two32) this.uint32(value);
    else this.#varint(value >>> 0, Math.floor(value / two32) >>> 0);
  }

  int64(value: bigint): void {
    asUnsigned[0] = value;
    const low = halves[lowHalf] as number;
    const high = halves[highHalf] as number;
    if (high === 0) this.uint32(low);
    else this.#varint(low, high);
  }

  /** The length prefix of a nested message, found while sizing. */
  length(): void {
    this.uint32(sizes[sizesRead++] as number);
  }

  blob(value: Uint8Array): void {
    this.uint32(value.length);
    this.bytes.set(value, this.#position);
    this.#position += value.length;
  }

  string(value: string): void {
    this.length();
    this.#position += this.bytes.write(value, this.#position, 'utf8');
  }

  /** A varint of more than 32 bits. */
  #varint(low: number, high: number): void {
    const bytes = this.bytes;
    let position = this.#position;
    bytes[position++] = (low & 0x7f) | 0x80;
    bytes[position++] = ((low >>> 7) & 0x7f) | 0x80;
    bytes[position++] = ((low >>> 14) & 0x7f) | 0x80;
    bytes[position++] = ((low >>> 21) & 0x7f) | 0x80;
    const middle = (low >>> 28) | ((high & 7) << 4);
    let rest = high >>> 3;
    bytes[position++] = rest === 0 ? middle : middle | 0x80;
    while (rest >= 0x80) {
      bytes[position++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    if (rest !== 0) bytes[position++] = rest;
    this.#position = position;
  }
}
