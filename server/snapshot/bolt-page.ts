import { Buffer } from 'node:buffer';

// bbolt's file format (go.etcd.io/bbolt, internal/common), little-endian. A file is an array of pages:
//
//   page     id u64 | flags u16 | count u16 | overflow u32 (pages that belong to it beside the first) | elements | their bytes
//   leaf     flags u32 (1: a bucket) | position u32, from the element itself | key size u32 | value size u32
//   branch   position u32 | key size u32 | child page u64
//   meta     magic u32 | version u32 | page size u32 | flags u32 | root page u64 | sequence u64 | freelist page u64 |
//            high water mark u64 | transaction u64 | FNV-1a over all before, u64
//
// Page 0 and page 1 are metas; the valid one with the newer transaction counts. A bucket's value is its root page u64 and
// a sequence u64; root page 0 means that its only leaf page stands inline behind them.

export const pageFlag = { branch: 0x01, leaf: 0x02, meta: 0x04, freelist: 0x10 } as const;

export const pageHeadBytes = 16;
export const elementBytes = 16;
export const bucketHeadBytes = 16;
/** The flag of a leaf element that stands for a bucket. */
export const bucketFlag = 1;

/** What we write; etcd's own on every common machine. */
export const boltPageBytes = 4096;

/** Instead of the freelist's page: the free pages are those that nothing refers to. */
export const noFreelist = 0xffff_ffff_ffff_ffffn;

const magic = 0xed0c_daed;
const version = 2;
const metaBytes = 64;
const checkedMetaBytes = 56;

export interface BoltMeta {
  readonly pageBytes: number;
  /** Of the tree whose elements are the buckets. */
  readonly rootPage: number;
  /** Undefined where the file has none. */
  readonly freelistPage: number | undefined;
  /** Pages of the file, used and free. */
  readonly pageCount: number;
  readonly transaction: bigint;
}

export function writePageHead(
  page: Buffer,
  head: { id: number; flags: number; count: number; overflow: number },
): void {
  page.writeBigUInt64LE(BigInt(head.id), 0);
  page.writeUInt16LE(head.flags, 8);
  page.writeUInt16LE(head.count, 10);
  page.writeUInt32LE(head.overflow, 12);
}

export function encodeMetaPage(id: 0 | 1, meta: BoltMeta): Buffer {
  const page = Buffer.alloc(meta.pageBytes);
  writePageHead(page, { id, flags: pageFlag.meta, count: 0, overflow: 0 });
  const body = page.subarray(pageHeadBytes, pageHeadBytes + metaBytes);
  body.writeUInt32LE(magic, 0);
  body.writeUInt32LE(version, 4);
  body.writeUInt32LE(meta.pageBytes, 8);
  body.writeBigUInt64LE(BigInt(meta.rootPage), 16);
  body.writeBigUInt64LE(
    meta.freelistPage === undefined ? noFreelist : BigInt(meta.freelistPage),
    32,
  );
  body.writeBigUInt64LE(BigInt(meta.pageCount), 40);
  body.writeBigUInt64LE(meta.transaction, 48);
  body.writeBigUInt64LE(fnv1a(body.subarray(0, checkedMetaBytes)), 56);
  return page;
}

/** What the page's first bytes say; a text where they are no valid meta. */
export function decodeMetaPage(page: Buffer): BoltMeta | string {
  if (page.length < pageHeadBytes + metaBytes) return 'it is cut off';
  const body = page.subarray(pageHeadBytes, pageHeadBytes + metaBytes);
  if (body.readUInt32LE(0) !== magic) return 'it does not begin as a bbolt file does';
  if (body.readUInt32LE(4) !== version)
    return `bbolt's format ${body.readUInt32LE(4)} is not known`;
  if (body.readBigUInt64LE(56) !== fnv1a(body.subarray(0, checkedMetaBytes))) {
    return 'it does not match its checksum';
  }
  const freelistPage = body.readBigUInt64LE(32);
  return {
    pageBytes: body.readUInt32LE(8),
    rootPage: Number(body.readBigUInt64LE(16)),
    freelistPage: freelistPage === noFreelist ? undefined : Number(freelistPage),
    pageCount: Number(body.readBigUInt64LE(40)),
    transaction: body.readBigUInt64LE(48),
  };
}

/** 64 bits. */
export function fnv1a(bytes: Uint8Array): bigint {
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100_0000_01b3n);
  return hash;
}
