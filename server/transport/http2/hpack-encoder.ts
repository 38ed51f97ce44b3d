import { Buffer } from 'node:buffer';
import { HeaderField, staticFieldIndex, staticFields, staticNameIndex } from './header-field.ts';

/** A field of a response, with its bytes made once. */
export class ResponseField extends HeaderField {
  /** Comes again and again on a connection: kept in the client's table. */
  readonly isRepeated: boolean;
  /** 0: it is not in the static table. */
  readonly staticIndex: number;
  /** A literal without indexing. Of a repeated field the first byte is replaced to have it indexed. */
  readonly literal: Buffer;

  constructor(name: string, value: string, options: { isRepeated: boolean }) {
    super(name, value);
    this.isRepeated = options.isRepeated;
    this.staticIndex = staticFieldIndex(name, value);
    this.literal = literalOf(name, value, options.isRepeated ? 0x3f : 0x0f);
  }
}

/** A response's headers or trailers. */
export class ResponseFields {
  readonly fields: readonly ResponseField[];
  /** As it counts against the client's SETTINGS_MAX_HEADER_LIST_SIZE. */
  readonly sizeBytes: number;
  /** What a block of them needs at most, table size updates included. */
  readonly blockBytesMax: number;

  constructor(fields: readonly ResponseField[]) {
    this.fields = fields;
    this.sizeBytes = sum(fields.map(({ sizeBytes }) => sizeBytes));
    this.blockBytesMax = 2 * integerBytesMax + sum(fields.map(({ literal }) => literal.length));
  }
}

const integerBytesMax = 6;
/** More than our few repeated fields need. */
const tableBytesWanted = 4096;

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** A literal with the prefix bits 0000 (or 01, where the mask is wider); strings as they are, not in the Huffman code. */
function literalOf(name: string, value: string, mask: number): Buffer {
  const index = staticNameIndex(name);
  const bytes: number[] = [];
  const first = mask === 0x3f ? 0x40 : 0;
  pushInteger(bytes, first, mask, index);
  if (index === 0) pushString(bytes, name);
  pushString(bytes, value);
  return Buffer.from(bytes);
}

function pushString(bytes: number[], text: string): void {
  pushInteger(bytes, 0, 0x7f, text.length);
  for (const byte of Buffer.from(text, 'latin1')) bytes.push(byte);
}

function pushInteger(bytes: number[], first: number, mask: number, value: number): void {
  if (value < mask) {
    bytes.push(first | value);
    return;
  }
  bytes.push(first | mask);
  let rest = value - mask;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
}

/** HPACK (RFC 7541) for the responses of one connection. */
export class HpackEncoder {
  /** The client's table as it will be, newest first. */
  readonly #table: ResponseField[] = [];
  #tableBytes = 0;
  #tableBytesMax = tableBytesWanted;
  /** What the client was told last. */
  #toldBytesMax = tableBytesWanted;
  #lowestBytesMax = tableBytesWanted;

  /** The client's SETTINGS_HEADER_TABLE_SIZE. */
  limitTable(bytesMax: number): void {
    this.#tableBytesMax = Math.min(bytesMax, tableBytesWanted);
    this.#lowestBytesMax = Math.min(this.#lowestBytesMax, this.#tableBytesMax);
    this.#evict(this.#tableBytesMax);
  }

  /** Writes a block of at most `fields.blockBytesMax` bytes; returns where it ends. Blocks are sent in this order. */
  write({ fields }: ResponseFields, target: Buffer, start: number): number {
    let at = start;
    if (this.#lowestBytesMax < this.#toldBytesMax || this.#tableBytesMax !== this.#toldBytesMax) {
      at = this.#writeTableSize(target, at);
    }
    for (let each = 0; each < fields.length; each++) {
      at = this.#writeField(fields[each] as ResponseField, target, at);
    }
    return at;
  }

  /** The smallest size since the last block, then the one that holds (§4.2). */
  #writeTableSize(target: Buffer, start: number): number {
    const bytes: number[] = [];
    if (this.#lowestBytesMax < this.#tableBytesMax) {
      pushInteger(bytes, 0x20, 0x1f, this.#lowestBytesMax);
    }
    pushInteger(bytes, 0x20, 0x1f, this.#tableBytesMax);
    this.#toldBytesMax = this.#tableBytesMax;
    this.#lowestBytesMax = this.#tableBytesMax;
    target.set(bytes, start);
    return start + bytes.length;
  }

  #writeField(field: ResponseField, target: Buffer, at: number): number {
    if (field.staticIndex > 0) {
      target[at] = 0x80 | field.staticIndex;
      return at + 1;
    }
    const found = field.isRepeated ? this.#table.indexOf(field) : -1;
    if (found >= 0) {
      target[at] = 0x80 | (staticFields.length + 1 + found);
      return at + 1;
    }
    target.set(field.literal, at);
    if (field.isRepeated) this.#insert(field);
    return at + field.literal.length;
  }

  /** As the client does with it: one that does not fit empties the table. */
  #insert(field: ResponseField): void {
    this.#evict(this.#tableBytesMax - field.sizeBytes);
    if (field.sizeBytes > this.#tableBytesMax) return;
    this.#table.unshift(field);
    this.#tableBytes += field.sizeBytes;
  }

  #evict(bytesMax: number): void {
    while (this.#tableBytes > 0 && this.#tableBytes > bytesMax) {
      this.#tableBytes -= this.#table.pop()?.sizeBytes ?? 0;
    }
  }
}
