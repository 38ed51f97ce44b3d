import { Buffer } from 'node:buffer';
import type { StoreRecord } from '../backend/ordered-store.ts';
import { compareBytes, latin1 } from '../base/bytes.ts';
import { boltDepthMax, boltPageRunBytesMax } from '../config/limits.ts';
import {
  type BoltMeta,
  bucketFlag,
  bucketHeadBytes,
  decodeMetaPage,
  elementBytes,
  pageFlag,
  pageHeadBytes,
} from './bolt-page.ts';

/** Bytes that can be read anywhere: a file. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** So many bytes from the position on, which lie within the size. */
  read(position: number, sizeBytes: number): Buffer;
}

/** The file is no bbolt file, or a damaged one. */
export class BoltDamageError extends Error {
  override name = 'BoltDamageError';

  constructor(offset: number, what: string) {
    super(`damaged at byte ${offset}: ${what}`);
  }
}

/** A page with those that belong to it. An inline bucket's page stands inside of another one. */
interface Page {
  readonly id: number;
  readonly bytes: Buffer;
  /** In the file. */
  readonly offset: number;
  readonly flags: number;
  readonly count: number;
}

interface Element {
  readonly flags: number;
  readonly key: Buffer;
  /** Empty for a branch. */
  readonly value: Buffer;
  /** Of a branch. */
  readonly child: number;
  /** Where its bytes end in the page. */
  readonly end: number;
}

/** Keys of a subtree: `from <= key < to`. */
interface Bounds {
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
}

const unbounded: Bounds = { from: undefined, to: undefined };

/**
 * A bbolt file, read page by page; what is held is one page for each level of a tree. Its pages have no checksums, so
 * every bound, order and reference is checked: whatever the bytes are, reading ends, with all records or with a
 * {@link BoltDamageError}.
 */
export class BoltFile {
  readonly meta: BoltMeta;
  readonly #source: ByteSource;
  /** A bit for each page that was met: none may be met twice. */
  readonly #met: Uint8Array;
  #position = 0;

  constructor(source: ByteSource) {
    this.#source = source;
    this.meta = readMeta(source);
    this.#met = new Uint8Array(Math.ceil(this.meta.pageCount / 8));
    this.#meet(0, 2, 0);
  }

  /** Of the page that was read last: where a record is that makes no sense. */
  get position(): number {
    return this.#position;
  }

  /** What the file is long, as far as bbolt uses it. */
  get sizeBytes(): number {
    return this.meta.pageCount * this.meta.pageBytes;
  }

  /** Each bucket once, in order of names; a bucket's records have to be read before the next bucket. */
  *buckets(): Generator<{ readonly name: string; records(): Generator<StoreRecord> }> {
    for (const { element, page } of this.#elements(this.meta.rootPage)) {
      if ((element.flags & bucketFlag) === 0) {
        throw new BoltDamageError(page.offset, 'a record stands where only buckets may');
      }
      yield { name: latin1(element.key), records: () => this.#bucketRecords(element, page) };
    }
  }

  /**
   * After all was read: what bbolt's own check looks at. No page is both free and in use, and none is neither, where the
   * file says which are free.
   */
  checkFreePages(): void {
    const { freelistPage, pageCount, pageBytes } = this.meta;
    if (freelistPage === undefined) return;
    const page = this.#page(freelistPage);
    if (page.flags !== pageFlag.freelist) {
      throw new BoltDamageError(page.offset, 'no freelist where it should be');
    }
    for (const free of freePagesOf(page)) {
      if (free < 2 || free >= pageCount) {
        throw new BoltDamageError(page.offset, `a free page ${free} that the file does not have`);
      }
      this.#meet(free, 1, page.offset);
    }
    for (let id = 0; id < pageCount; id++) {
      if (!this.#isMet(id)) {
        throw new BoltDamageError(id * pageBytes, 'a page that is neither free nor in use');
      }
    }
  }

  *#bucketRecords(bucket: Element, page: Page): Generator<StoreRecord> {
    const { value } = bucket;
    if (value.length < bucketHeadBytes)
      throw new BoltDamageError(page.offset, 'a bucket is cut off');
    const root = Number(value.readBigUInt64LE(0));
    const elements = root === 0 ? inlineElements(value, page) : this.#elements(root);
    for (const { element, page: own } of elements) {
      if (element.flags !== 0) {
        throw new BoltDamageError(own.offset, 'a bucket stands where only records may');
      }
      yield [element.key, element.value];
    }
  }

  /** The leaf elements below a page, in order. */
  *#elements(root: number): Generator<{ readonly element: Element; readonly page: Page }> {
    yield* this.#below(root, unbounded, 0);
  }

  *#below(
    id: number,
    bounds: Bounds,
    depth: number,
  ): Generator<{ readonly element: Element; readonly page: Page }> {
    const page = this.#page(id);
    if (depth > boltDepthMax) throw new BoltDamageError(page.offset, 'the tree is too deep');
    if (page.flags === pageFlag.leaf) {
      for (const element of inOrder(page, bounds)) yield { element, page };
      return;
    }
    if (page.flags !== pageFlag.branch) {
      throw new BoltDamageError(page.offset, `a page of kind ${page.flags} in a tree`);
    }
    if (page.count === 0) throw new BoltDamageError(page.offset, 'a branch without children');
    let former: Element | undefined;
    for (const element of inOrder(page, bounds)) {
      if (former !== undefined) {
        yield* this.#below(former.child, { from: former.key, to: element.key }, depth + 1);
      }
      former = element;
    }
    if (former !== undefined) {
      yield* this.#below(former.child, { from: former.key, to: bounds.to }, depth + 1);
    }
  }

  #page(id: number): Page {
    const { pageBytes, pageCount } = this.meta;
    const offset = id * pageBytes;
    if (id < 2 || id >= pageCount) {
      throw new BoltDamageError(0, `a reference to page ${id}; the file has ${pageCount}`);
    }
    const head = this.#source.read(offset, pageHeadBytes);
    if (head.readBigUInt64LE(0) !== BigInt(id)) {
      throw new BoltDamageError(offset, `the page says that it is page ${head.readBigUInt64LE(0)}`);
    }
    const pages = 1 + head.readUInt32LE(12);
    if (id + pages > pageCount || pages * pageBytes > boltPageRunBytesMax) {
      throw new BoltDamageError(offset, `a page of ${pages} pages`);
    }
    this.#meet(id, pages, offset);
    this.#position = offset;
    const bytes = this.#source.read(offset, pages * pageBytes);
    return { id, bytes, offset, flags: head.readUInt16LE(8), count: head.readUInt16LE(10) };
  }

  #meet(first: number, count: number, offset: number): void {
    for (let id = first; id < first + count; id++) {
      if (this.#isMet(id)) throw new BoltDamageError(offset, `page ${id} is used twice`);
      this.#met[id >>> 3] = (this.#met[id >>> 3] ?? 0) | (1 << (id & 7));
    }
  }

  #isMet(id: number): boolean {
    return ((this.#met[id >>> 3] ?? 0) & (1 << (id & 7))) !== 0;
  }
}

/** The valid one of the two that is newer. Where the first is damaged, the second is looked for at every page size. */
function readMeta(source: ByteSource): BoltMeta {
  const first = metaAt(source, 0);
  const offsets =
    typeof first === 'string'
      ? Array.from({ length: 7 }, (_, power) => 1024 << power)
      : [first.pageBytes];
  const metas = [first, ...offsets.map((offset) => metaAt(source, offset))].filter(
    (meta) => typeof meta !== 'string',
  );
  const [newest] = metas.sort((a, b) => (a.transaction > b.transaction ? -1 : 1));
  if (newest === undefined) throw new BoltDamageError(0, String(first));
  const { pageBytes, pageCount, rootPage } = newest;
  const isPower = pageBytes >= 512 && pageBytes <= 65_536 && (pageBytes & (pageBytes - 1)) === 0;
  if (!isPower) throw new BoltDamageError(pageHeadBytes, `pages of ${pageBytes} bytes`);
  if (pageCount < 3 || rootPage >= pageCount) {
    throw new BoltDamageError(pageHeadBytes, `${pageCount} pages, the root being page ${rootPage}`);
  }
  if (pageCount * pageBytes > source.sizeBytes) {
    const missing = pageCount * pageBytes - source.sizeBytes;
    throw new BoltDamageError(
      source.sizeBytes,
      `the file is cut off, ${missing} bytes are missing`,
    );
  }
  return newest;
}

function metaAt(source: ByteSource, offset: number): BoltMeta | string {
  const sizeBytes = Math.min(512, source.sizeBytes - offset);
  if (sizeBytes <= 0) return 'it is cut off';
  return decodeMetaPage(source.read(offset, sizeBytes));
}

function* freePagesOf({ bytes, count, offset }: Page): Generator<number> {
  // A list too long for the head's count begins with its own.
  const isLong = count === 0xffff;
  const length = isLong ? Number(bytes.readBigUInt64LE(pageHeadBytes)) : count;
  const start = pageHeadBytes + (isLong ? 8 : 0);
  if (start + 8 * length > bytes.length)
    throw new BoltDamageError(offset, 'the freelist is cut off');
  for (let at = 0; at < length; at++) yield Number(bytes.readBigUInt64LE(start + 8 * at));
}

/** The elements of the leaf page that stands behind a bucket's head, in the value of its element. */
function* inlineElements(
  value: Buffer,
  outer: Page,
): Generator<{ readonly element: Element; readonly page: Page }> {
  const bytes = value.subarray(bucketHeadBytes);
  if (bytes.length < pageHeadBytes) throw new BoltDamageError(outer.offset, 'a bucket is cut off');
  const { offset } = outer;
  const page = {
    id: 0,
    bytes,
    offset,
    flags: bytes.readUInt16LE(8),
    count: bytes.readUInt16LE(10),
  };
  if (page.flags !== pageFlag.leaf) {
    throw new BoltDamageError(offset, `an inline page of kind ${page.flags}`);
  }
  for (const element of inOrder(page, unbounded)) yield { element, page };
}

/** The elements of a page, each checked against the one before and the bounds. No byte is two elements': a page has an end. */
function* inOrder(page: Page, { from, to }: Bounds): Generator<Element> {
  let former: Uint8Array | undefined;
  let start = pageHeadBytes + page.count * elementBytes;
  for (let index = 0; index < page.count; index++) {
    const element = elementOf(page, index, start);
    start = element.end;
    const isSorted =
      former === undefined
        ? from === undefined || compareBytes(from, element.key) <= 0
        : compareBytes(former, element.key) < 0;
    if (!isSorted || (to !== undefined && compareBytes(element.key, to) >= 0)) {
      throw new BoltDamageError(page.offset, `key ${index} of page ${page.id} is out of order`);
    }
    former = element.key;
    yield element;
  }
}

/** Its bytes begin at `start` or behind it. */
function elementOf({ bytes, flags, offset }: Page, index: number, start: number): Element {
  const at = pageHeadBytes + index * elementBytes;
  if (at + elementBytes > bytes.length)
    throw new BoltDamageError(offset + at, 'an element is cut off');
  const isLeaf = flags === pageFlag.leaf;
  const keyAt = at + bytes.readUInt32LE(isLeaf ? at + 4 : at);
  const valueAt = keyAt + bytes.readUInt32LE(isLeaf ? at + 8 : at + 4);
  const end = valueAt + (isLeaf ? bytes.readUInt32LE(at + 12) : 0);
  if (keyAt < start) throw new BoltDamageError(offset + at, 'two elements share their bytes');
  if (end > bytes.length) throw new BoltDamageError(offset + at, 'an element is cut off');
  return {
    flags: isLeaf ? bytes.readUInt32LE(at) : 0,
    key: bytes.subarray(keyAt, valueAt),
    value: bytes.subarray(valueAt, end),
    child: isLeaf ? 0 : Number(bytes.readBigUInt64LE(at + 8)),
    end,
  };
}
