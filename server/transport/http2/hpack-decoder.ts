import type { Buffer } from 'node:buffer';
import { ConnectionError } from './frames.ts';
import { HeaderField, staticFields } from './header-field.ts';
import { huffmanDecoded } from './huffman.ts';

/** Where decoded fields go, in their order. */
export interface FieldSink {
  field(field: HeaderField): void;
}

/** Evicted fields are dropped from the list's front when there are so many of them. */
const evictedMax = 64;

/** HPACK (RFC 7541) for one direction of one connection. Every error is the connection's: the table is lost with it. */
export class HpackDecoder {
  /** Changes with the table: equal blocks mean equal fields while it does not. */
  generation = 0;
  readonly #tableBytesLimit: number;
  #tableBytesMax: number;
  #tableBytes = 0;
  /** The dynamic table, oldest first; those before `#evicted` are not in it any more. */
  #table: HeaderField[] = [];
  #evicted = 0;
  #block: Buffer | undefined;
  #at = 0;
  #end = 0;

  /** `tableBytesLimit`: our SETTINGS_HEADER_TABLE_SIZE. */
  constructor(tableBytesLimit: number) {
    this.#tableBytesLimit = tableBytesLimit;
    this.#tableBytesMax = tableBytesLimit;
  }

  /** The whole block is decoded in any case, so that the table stays the client's. Throws a ConnectionError. */
  decode(block: Buffer, start: number, end: number, sink: FieldSink): void {
    this.#block = block;
    this.#at = start;
    this.#end = end;
    let mayResize = true;
    while (this.#at < end) {
      const byte = block[this.#at] as number;
      if (byte >= 0x80) sink.field(this.#fieldAt(this.#integer(0x7f)));
      else if (byte >= 0x40) sink.field(this.#insert(this.#literal(0x3f)));
      else if (byte < 0x20) sink.field(this.#literal(0x0f));
      else {
        if (!mayResize) throw broken('a table size update after a field');
        this.#resize(this.#integer(0x1f));
        continue;
      }
      mayResize = false;
    }
    this.#block = undefined;
  }

  #fieldAt(index: number): HeaderField {
    const field =
      index <= staticFields.length
        ? staticFields[index - 1]
        : this.#table[this.#table.length - (index - staticFields.length)];
    const isEvicted = index - staticFields.length > this.#table.length - this.#evicted;
    if (field === undefined || isEvicted) throw broken(`no field with index ${index}`);
    return field;
  }

  #literal(indexMask: number): HeaderField {
    const index = this.#integer(indexMask);
    const name = index === 0 ? this.#string() : this.#fieldAt(index).name;
    return new HeaderField(name, this.#string());
  }

  #insert(field: HeaderField): HeaderField {
    this.generation++;
    this.#tableBytes += field.sizeBytes;
    this.#table.push(field);
    this.#evict();
    return field;
  }

  #resize(bytesMax: number): void {
    if (bytesMax > this.#tableBytesLimit) throw broken('a table larger than we allow');
    this.generation++;
    this.#tableBytesMax = bytesMax;
    this.#evict();
  }

  /** A field that is larger than the table empties it (§4.4). */
  #evict(): void {
    while (this.#tableBytes > this.#tableBytesMax) {
      this.#tableBytes -= (this.#table[this.#evicted] as HeaderField).sizeBytes;
      this.#evicted++;
    }
    if (this.#evicted < evictedMax) return;
    this.#table.splice(0, this.#evicted);
    this.#evicted = 0;
  }

  /** An integer whose first bits share a byte with something else (§5.1). None that we know needs more than 28 bits. */
  #integer(mask: number): number {
    const block = this.#block as Buffer;
    let value = (block[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.#at >= this.#end) throw broken('an integer breaks off');
      const byte = block[this.#at++] as number;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw broken('an integer is too large');
  }

  #string(): string {
    if (this.#at >= this.#end) throw broken('a string is missing');
    const block = this.#block as Buffer;
    const isHuffman = (block[this.#at] as number) >= 0x80;
    const length = this.#integer(0x7f);
    const start = this.#at;
    if (length > this.#end - start) throw broken('a string breaks off');
    this.#at = start + length;
    if (!isHuffman) return block.toString('latin1', start, this.#at);
    const text = huffmanDecoded(block, start, this.#at);
    if (text === undefined) throw broken('a string is not in the Huffman code');
    return text;
  }
}

function broken(message: string): ConnectionError {
  return new ConnectionError('COMPRESSION_ERROR', message);
}
