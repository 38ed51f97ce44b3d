import { Buffer } from 'node:buffer';
import { continuationsMax, headerBlockBytesMax, headerListBytesMax } from '../../config/limits.ts';
import { ConnectionError } from './frames.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { type RequestHeaders, RequestHeadersBuilder } from './request-headers.ts';

/** Our SETTINGS_HEADER_TABLE_SIZE: the default. */
const tableBytes = 4096;
/** Blocks that are remembered, and their bytes: those of a client that has all of its fields in the table. */
const rememberedMax = 4;
const rememberedBytesMax = 64;

interface Remembered {
  readonly block: Buffer;
  readonly generation: number;
  readonly headers: RequestHeaders;
}

/** What a block of a request's headers came to. */
export type RequestOutcome = RequestHeaders | 'malformed' | 'tooLarge';

/** The header blocks of one connection: put together from their frames, and decoded. */
export class HeaderBlocks {
  readonly #decoder = new HpackDecoder(tableBytes);
  /** Clients repeat themselves: a block that means what it meant before need not be decoded. */
  readonly #remembered: Remembered[] = [];
  #nextRemembered = 0;
  #parts: Buffer[] = [];
  #bytes = 0;

  /** Adds a part of a block that is still incomplete. */
  add(bytes: Buffer, start: number, end: number): void {
    this.#bytes += end - start;
    if (this.#bytes > headerBlockBytesMax || this.#parts.length > continuationsMax) {
      throw new ConnectionError('ENHANCE_YOUR_CALM', 'a header block is too large');
    }
    this.#parts.push(Buffer.from(bytes.subarray(start, end)));
  }

  /** The block put together. */
  joined(): Buffer {
    const block = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return block;
  }

  request(block: Buffer, start: number, end: number): RequestOutcome {
    const known = this.#find(block, start, end);
    if (known !== undefined) return known;
    const { generation } = this.#decoder;
    const builder = new RequestHeadersBuilder(headerListBytesMax);
    this.#decoder.decode(block, start, end, builder);
    if (builder.isTooLarge) return 'tooLarge';
    const headers = builder.request();
    if (headers === undefined) return 'malformed';
    const isStable = this.#decoder.generation === generation;
    if (isStable && end - start <= rememberedBytesMax) {
      this.#remember({ block: Buffer.from(block.subarray(start, end)), generation, headers });
    }
    return headers;
  }

  /** Whether the block may end a request. */
  areTrailers(block: Buffer, start: number, end: number): boolean {
    const builder = new RequestHeadersBuilder(headerListBytesMax);
    this.#decoder.decode(block, start, end, builder);
    return !builder.isTooLarge && builder.areTrailers;
  }

  #find(block: Buffer, start: number, end: number): RequestHeaders | undefined {
    for (const known of this.#remembered) {
      if (known.generation === this.#decoder.generation && isAt(known.block, block, start, end)) {
        return known.headers;
      }
    }
    return undefined;
  }

  #remember(known: Remembered): void {
    this.#remembered[this.#nextRemembered] = known;
    this.#nextRemembered = (this.#nextRemembered + 1) % rememberedMax;
  }
}

function isAt(known: Buffer, block: Buffer, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let at = 0; at < known.length; at++) {
    if (known[at] !== block[start + at]) return false;
  }
  return true;
}
