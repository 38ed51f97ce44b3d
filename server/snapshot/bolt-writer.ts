import { Buffer } from 'node:buffer';
import type { StoreRecord } from '../backend/ordered-store.ts';
import { assert } from '../base/assert.ts';
import { asBuffer, fromLatin1 } from '../base/bytes.ts';
import {
  boltPageBytes,
  bucketFlag,
  bucketHeadBytes,
  elementBytes,
  encodeMetaPage,
  pageFlag,
  pageHeadBytes,
  writePageHead,
} from './bolt-page.ts';

/** One bucket: its records in key order, the same each time that they are asked for. */
export interface BoltBucket {
  readonly name: string;
  records(): AsyncIterable<readonly StoreRecord[]>;
}

/** Where everything will stand: what the first page of the file has to say, known only when all was seen once. */
export interface BoltLayout {
  readonly pageCount: number;
  readonly rootPage: number;
}

/** Behind the two metas and the freelist. */
const firstPage = 3;
const freelistPage = 2;
/** Even, so that meta 0 is the current one. */
const transaction = 2n;
/** What an element costs beside its key and value is the same for leaves and branches. */
const elementsMax = 0xffff;

export function sizeOfLayout({ pageCount }: BoltLayout): number {
  return pageCount * boltPageBytes;
}

/**
 * Looks through all records, so that {@link encodeBolt} can then write the file from its first byte to its last. Both
 * hold no more than a chunk of records and one unfinished page for each level of a tree. Buckets are in order of names.
 */
export async function layOutBolt(buckets: readonly BoltBucket[]): Promise<BoltLayout> {
  const pages = new Pages(false);
  let rootPage = 0;
  for await (const step of buildBuckets(buckets, pages)) {
    if (step !== undefined) rootPage = step;
  }
  return { pageCount: pages.nextPage, rootPage };
}

/** The file's bytes, in chunks of whole pages. The records have to be those that the layout was made of. */
export async function* encodeBolt(
  buckets: readonly BoltBucket[],
  layout: BoltLayout,
): AsyncGenerator<Uint8Array> {
  const meta = { ...layout, pageBytes: boltPageBytes, freelistPage };
  const freelist = Buffer.alloc(boltPageBytes);
  writePageHead(freelist, { id: freelistPage, flags: pageFlag.freelist, count: 0, overflow: 0 });
  yield encodeMetaPage(0, { ...meta, transaction });
  yield encodeMetaPage(1, { ...meta, transaction: transaction - 1n });
  yield freelist;
  const pages = new Pages(true);
  for await (const _step of buildBuckets(buckets, pages)) yield* pages.take();
  assert(pages.nextPage === layout.pageCount, 'both passes see the same records');
}

/** Yields each time that there may be new pages; at last, the root of the whole. */
async function* buildBuckets(
  buckets: readonly BoltBucket[],
  pages: Pages,
): AsyncGenerator<number | undefined> {
  const root = new Tree(pages, bucketFlag);
  for (const bucket of buckets) {
    const tree = new Tree(pages, 0);
    for await (const chunk of bucket.records()) {
      for (const [key, value] of chunk) tree.add(key, value);
      yield undefined;
    }
    const head = Buffer.alloc(bucketHeadBytes);
    head.writeBigUInt64LE(BigInt(tree.end()), 0);
    root.add(fromLatin1(bucket.name), head);
    yield undefined;
  }
  yield root.end();
}

type LeafElement = StoreRecord;
type BranchElement = readonly [firstKey: Uint8Array, page: number];

/** A page that is being filled. */
interface Pending<Element> {
  elements: Element[];
  bytes: number;
}

/**
 * A B+tree built from sorted records: a page goes out when the next element does not fit, and is then an element of the
 * page above it. So children come before their parents, and only one page of each level is ever held.
 */
class Tree {
  readonly #pages: Pages;
  readonly #leafFlags: number;
  #leaf: Pending<LeafElement> = { elements: [], bytes: pageHeadBytes };
  readonly #branches: Pending<BranchElement>[] = [];

  constructor(pages: Pages, leafFlags: number) {
    this.#pages = pages;
    this.#leafFlags = leafFlags;
  }

  add(key: Uint8Array, value: Uint8Array): void {
    const bytes = elementBytes + key.length + value.length;
    const leaf = this.#leaf;
    const isFull = leaf.bytes + bytes > boltPageBytes || leaf.elements.length === elementsMax;
    if (isFull && leaf.elements.length > 0) this.#endLeaf();
    this.#leaf.elements.push([key, value]);
    this.#leaf.bytes += bytes;
  }

  /** The root page; a tree without records is one empty leaf. */
  end(): number {
    if (this.#branches.length === 0) return this.#pages.leaf(this.#leaf, this.#leafFlags);
    this.#endLeaf();
    for (let level = 0; ; level++) {
      const branch = this.#branches[level];
      assert(branch !== undefined, 'a level above a page that has ended');
      const [only] = branch.elements;
      const isTop = level === this.#branches.length - 1;
      if (isTop && branch.elements.length === 1 && only !== undefined) return only[1];
      this.#endBranch(branch, level);
    }
  }

  #endLeaf(): void {
    const [first] = this.#leaf.elements;
    assert(first !== undefined, 'a page that ends has an element');
    this.#addChild([first[0], this.#pages.leaf(this.#leaf, this.#leafFlags)], 0);
    this.#leaf = { elements: [], bytes: pageHeadBytes };
  }

  #addChild(child: BranchElement, level: number): void {
    const bytes = elementBytes + child[0].length;
    const branch = (this.#branches[level] ??= { elements: [], bytes: pageHeadBytes });
    // Two at least, however long the keys are: else a level would be no smaller than the one below it.
    if (branch.bytes + bytes > boltPageBytes && branch.elements.length >= 2) {
      this.#endBranch(branch, level);
    }
    branch.elements.push(child);
    branch.bytes += bytes;
  }

  #endBranch(branch: Pending<BranchElement>, level: number): void {
    const [first] = branch.elements;
    assert(first !== undefined, 'a page that ends has an element');
    const page = this.#pages.branch(branch);
    branch.elements = [];
    branch.bytes = pageHeadBytes;
    this.#addChild([first[0], page], level + 1);
  }
}

/** Numbers the pages, and encodes them if they are to be written. */
class Pages {
  nextPage = firstPage;
  readonly #isWriting: boolean;
  #encoded: Uint8Array[] = [];

  constructor(isWriting: boolean) {
    this.#isWriting = isWriting;
  }

  take(): Uint8Array[] {
    const encoded = this.#encoded;
    this.#encoded = [];
    return encoded;
  }

  leaf({ elements, bytes }: Pending<LeafElement>, flags: number): number {
    const page = this.#begin(pageFlag.leaf, elements.length, bytes);
    if (page.bytes === undefined) return page.id;
    let at = pageHeadBytes;
    let end = pageHeadBytes + elements.length * elementBytes;
    for (const [key, value] of elements) {
      page.bytes.writeUInt32LE(flags, at);
      page.bytes.writeUInt32LE(end - at, at + 4);
      page.bytes.writeUInt32LE(key.length, at + 8);
      page.bytes.writeUInt32LE(value.length, at + 12);
      page.bytes.set(key, end);
      page.bytes.set(value, end + key.length);
      end += key.length + value.length;
      at += elementBytes;
    }
    page.bytes.fill(0, end);
    return page.id;
  }

  branch({ elements, bytes }: Pending<BranchElement>): number {
    const page = this.#begin(pageFlag.branch, elements.length, bytes);
    if (page.bytes === undefined) return page.id;
    let at = pageHeadBytes;
    let end = pageHeadBytes + elements.length * elementBytes;
    for (const [key, child] of elements) {
      page.bytes.writeUInt32LE(end - at, at);
      page.bytes.writeUInt32LE(key.length, at + 4);
      page.bytes.writeBigUInt64LE(BigInt(child), at + 8);
      asBuffer(key).copy(page.bytes, end);
      end += key.length;
      at += elementBytes;
    }
    page.bytes.fill(0, end);
    return page.id;
  }

  #begin(flags: number, count: number, bytes: number): { id: number; bytes: Buffer | undefined } {
    const id = this.nextPage;
    const pages = Math.ceil(bytes / boltPageBytes);
    this.nextPage += pages;
    if (!this.#isWriting) return { id, bytes: undefined };
    const page = Buffer.allocUnsafeSlow(pages * boltPageBytes);
    writePageHead(page, { id, flags, count, overflow: pages - 1 });
    this.#encoded.push(page);
    return { id, bytes: page };
  }
}
