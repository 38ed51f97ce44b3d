import { Buffer } from 'node:buffer';
import type { StoreRange } from '../backend/ordered-store.ts';
import { prefix } from '../backend/schema.ts';
import { asBuffer } from '../base/bytes.ts';
import type { Revision } from '../base/ids.ts';

const two32 = 0x1_0000_0000;

/** One version of one key: the main revision counts the transactions, the sub revision the changes within one. */
export interface RevisionPair {
  readonly main: Revision;
  /** From 0 on, in the order of the transaction's operations. */
  readonly sub: number;
}

const keySizeBytes = 13;

/** The key of a version's record in the backend: prefix, main (8 bytes), sub (4 bytes), big-endian. */
export function revisionKey(main: Revision, sub: number): Uint8Array {
  return writeRevisionKey(main, sub, Buffer.allocUnsafe(keySizeBytes));
}

/** A key that is used at once and never retained: its memory is used again for the next one. */
export function passingRevisionKey(main: Revision, sub: number): Uint8Array {
  return writeRevisionKey(main, sub, passingKey);
}

const passingKey = Buffer.alloc(keySizeBytes);

function writeRevisionKey(main: Revision, sub: number, key: Buffer): Uint8Array {
  key[0] = prefix.revision;
  writeUint32(key, 1, main / two32);
  writeUint32(key, 5, main);
  writeUint32(key, 9, sub);
  return key;
}

export function parseRevisionKey(key: Uint8Array): RevisionPair {
  const bytes = asBuffer(key);
  return {
    main: bytes.readUInt32BE(1) * two32 + bytes.readUInt32BE(5),
    sub: bytes.readUInt32BE(9),
  };
}

/** The records of the revisions from `from` to `to`, both included. */
export function revisionRange(from: Revision, to: Revision): StoreRange {
  return { gte: revisionKey(from, 0), lt: revisionKey(to + 1, 0) };
}

/**
 * The key under which etcd stores the same version (mvcc/revision.go): main (8 bytes), `_`, sub (8 bytes), and `t`
 * for a tombstone. HashKV is computed over these.
 */
export function etcdRevisionKey(pair: RevisionPair, isTombstone: boolean): Uint8Array {
  const key = Buffer.alloc(isTombstone ? 18 : 17);
  writeUint32(key, 0, pair.main / two32);
  writeUint32(key, 4, pair.main);
  key[8] = 0x5f;
  writeUint32(key, 13, pair.sub);
  if (isTombstone) key[17] = 0x74;
  return key;
}

/** What {@link etcdRevisionKey} was given; undefined when it is no such key, or beyond what numbers hold. */
export function parseEtcdRevisionKey(
  key: Uint8Array,
): (RevisionPair & { readonly isTombstone: boolean }) | undefined {
  const isTombstone = key.length === 18 && key[17] === 0x74;
  if ((key.length !== 17 && !isTombstone) || key[8] !== 0x5f) return undefined;
  const bytes = asBuffer(key);
  const main = bytes.readUInt32BE(0) * two32 + bytes.readUInt32BE(4);
  if (!Number.isSafeInteger(main) || bytes.readUInt32BE(9) !== 0) return undefined;
  return { main, sub: bytes.readUInt32BE(13), isTombstone };
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
