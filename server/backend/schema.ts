import { Buffer } from 'node:buffer';

import type { StoreRange } from './ordered-store.ts';

/**
 * Every kind of record in the applied state. A record's key is its prefix byte, then the key named here.
 * A number is never used again: what is given up moves to {@link retiredPrefixes}.
 */
export const prefix = {
  /** nothing -> {@link formatVersion}, one byte. First, so that it is known before anything else is read. */
  format: 0x01,
  /** slot (2 bytes: sequence number mod 65536) -> batch marker (marker.ts). */
  marker: 0x02,
  /** name -> see {@link metaKey}. */
  meta: 0x03,
  /** lease id -> lease record (apply/). */
  lease: 0x04,
  /** member id, alarm type -> nothing (apply/). */
  alarm: 0x05,
  /** member id -> internal.proto Member (member/). */
  member: 0x06,
  /** member id -> nothing: ids that never come back (member/). */
  removedMember: 0x07,
  /** name -> what else the cluster agreed on: id, configuration state, version (member/). */
  cluster: 0x08,
  /** user name -> authpb.User (auth/). */
  user: 0x09,
  /** role name -> authpb.Role (auth/). */
  role: 0x0a,
  /** name -> whether authentication is on, its revision (auth/). */
  auth: 0x0b,
  /** main revision (8 bytes), sub revision (4 bytes) -> mvccpb.KeyValue; a tombstone has only the key (mvcc/). */
  revision: 0x10,
} as const;

export type Prefix = (typeof prefix)[keyof typeof prefix];

export const retiredPrefixes: readonly number[] = [];

/** Of the records' layout as a whole. A newer one is refused. */
export const formatVersion = 1;

export const formatKey: Uint8Array = Uint8Array.of(prefix.format);

/** Names under {@link prefix.meta}. */
export const metaKey = {
  /** -> revision (8 bytes): the compaction that was asked for last; begun, perhaps not finished. */
  scheduledCompaction: bucketKey(prefix.meta, 'scheduledCompactRev'),
  /** -> revision (8 bytes): the compaction that was finished last. */
  finishedCompaction: bucketKey(prefix.meta, 'finishedCompactRev'),
} as const;

/** The key of a record: by name (UTF-8), by a 64-bit id, or by bytes. */
export function bucketKey(of: Prefix, id: string | bigint | Uint8Array): Uint8Array {
  if (typeof id === 'bigint') {
    const key = Buffer.allocUnsafe(9);
    key.writeBigUInt64BE(BigInt.asUintN(64, id), 1);
    key[0] = of;
    return key;
  }
  const bytes = typeof id === 'string' ? Buffer.from(id, 'utf8') : id;
  const key = Buffer.allocUnsafe(1 + bytes.length);
  key[0] = of;
  key.set(bytes, 1);
  return key;
}

/** The 64-bit id that {@link bucketKey} was given. Unsigned. */
export function bucketIdNumber(key: Uint8Array): bigint {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).readBigUInt64BE(1);
}

/** All records of the prefix. */
export function bucketRange(of: Prefix): StoreRange {
  return { gte: Uint8Array.of(of), lt: Uint8Array.of(of + 1) };
}
