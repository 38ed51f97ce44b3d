import { Buffer } from 'node:buffer';
import { roomForSeal } from '../backend/record.ts';
import type { LeaseId, Revision } from '../base/ids.ts';
import { sizeOfInt64, sizeOfInt64Number, sizeOfUint32 } from '../proto/wire.ts';

/** A version of a key as it is stored: mvccpb.KeyValue, its key still a latin-1 string. */
export interface VersionFields {
  readonly key: string;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  readonly version: number;
  readonly value: Uint8Array;
  readonly lease: LeaseId;
}

export interface EncodedVersion {
  /** Exactly what `KeyValue.encode` gives, and behind it the room that {@link Backend.appendRoomy} asks for. */
  readonly record: Buffer;
  /** Key and value inside the record. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Encodes a version, or, where `modRevision` is 0, a tombstone. The one hot place where the generated code is not used. */
export function encodeVersion(fields: VersionFields): EncodedVersion {
  const { key, createRevision, modRevision, version, value, lease } = fields;
  const keySize = key.length;
  let size = 1 + sizeOfUint32(keySize) + keySize;
  if (modRevision !== 0) {
    size += 3 + sizeOfInt64Number(createRevision);
    size += sizeOfInt64Number(modRevision) + sizeOfInt64Number(version);
    if (value.length > 0) size += 1 + sizeOfUint32(value.length) + value.length;
    if (lease !== 0n) size += 1 + sizeOfInt64(lease);
  }
  const record = Buffer.allocUnsafe(size + roomForSeal);
  const keyStart = writeField(record, 0, 0x0a, keySize);
  let at = keyStart + record.write(key, keyStart, 'latin1');
  let valueStart = at;
  if (modRevision !== 0) {
    at = writeField(record, at, 0x10, createRevision);
    at = writeField(record, at, 0x18, modRevision);
    at = writeField(record, at, 0x20, version);
    if (value.length > 0) {
      valueStart = writeField(record, at, 0x2a, value.length);
      record.set(value, valueStart);
      at = valueStart + value.length;
    }
    if (lease !== 0n) writeLease(record, at, lease);
  }
  return {
    record,
    key: record.subarray(keyStart, keyStart + keySize),
    value: record.subarray(valueStart, valueStart + value.length),
  };
}

/** A tag and a non-negative safe integer as a varint; returns the place after it. */
function writeField(bytes: Buffer, start: number, tag: number, value: number): number {
  let at = start;
  let rest = value;
  bytes[at++] = tag;
  while (rest >= 0x8000_0000) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

function writeLease(bytes: Buffer, start: number, lease: LeaseId): void {
  let at = start;
  let rest = BigInt.asUintN(64, lease);
  bytes[at++] = 0x30;
  while (rest >= 0x80n) {
    bytes[at++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  bytes[at] = Number(rest);
}

/** Whether the record is that of a tombstone: of all its fields it has at most the key. */
export function isTombstoneRecord(record: Uint8Array): boolean {
  if (record.length === 0) return true;
  let size = 0;
  let at = 1;
  for (let shift = 0; at < Math.min(record.length, 6); shift += 7) {
    const byte = record[at++] as number;
    size |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return record[0] === 0x0a && at + size === record.length;
}
