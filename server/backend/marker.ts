import { Buffer } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import type { LogIndex, Term } from '../base/ids.ts';
import { StateDamagedError } from './damage.ts';
import type { StoreOp } from './ordered-store.ts';
import { checksumOf } from './record.ts';
import { prefix } from './schema.ts';
import { StateHash } from './state-hash.ts';

/** The last entry whose effects are in the state. */
export interface Applied {
  readonly index: LogIndex;
  readonly term: Term;
}

/**
 * Every batch carries one. LevelDB can lose acknowledged batches from the middle of its log without a word (one
 * flipped bit does it); then a sequence number is missing, or the chain is broken.
 */
export interface Marker {
  /** Of the batch, from 1 on. */
  readonly sequence: number;
  readonly applied: Applied;
  /** Of all records but the markers, after the batch. */
  readonly stateHash: StateHash;
  /** Checksum over this marker, the batch's contents and the chain of the marker before. */
  readonly chain: number;
  /** The chain of the marker before; 0 for the first. */
  readonly chainBefore: number;
}

/** Markers are kept for so many batches: more than fit into LevelDB's log (4 MiB) before it is cut. */
export const markerRingSize = 65_536;

const markerSizeBytes = 48;

export function markerKey(sequence: number): Uint8Array {
  const slot = sequence % markerRingSize;
  return Uint8Array.of(prefix.marker, slot >>> 8, slot & 0xff);
}

/** The marker of the next batch. */
export function nextMarker(
  before: Marker | undefined,
  batch: { ops: readonly StoreOp[]; applied: Applied; stateHash: StateHash },
): Marker {
  const marker = {
    sequence: (before?.sequence ?? 0) + 1,
    applied: batch.applied,
    stateHash: batch.stateHash,
    chainBefore: before?.chain ?? 0,
    chain: 0,
  };
  const contents = contentsChecksum(batch.ops, marker.chainBefore);
  return { ...marker, chain: crc32c(encodeMarker(marker).subarray(0, 40), contents) };
}

/** Over each operation's own checksum, or, for a deletion, its key. */
function contentsChecksum(ops: readonly StoreOp[], seed: number): number {
  const checksums = Buffer.allocUnsafe(4 * ops.length);
  ops.forEach((op, index) => {
    const checksum = op.kind === 'put' ? checksumOf(op.value) : crc32c(op.key);
    checksums.writeUInt32LE(checksum, 4 * index);
  });
  return crc32c(checksums, seed);
}

export function encodeMarker(marker: Marker): Uint8Array {
  const bytes = Buffer.allocUnsafe(markerSizeBytes);
  writeUint(bytes, 0, marker.sequence);
  writeUint(bytes, 8, marker.applied.index);
  writeUint(bytes, 16, marker.applied.term);
  writeUint(bytes, 24, marker.stateHash.count);
  bytes.writeUInt32LE(marker.stateHash.sum, 32);
  bytes.writeUInt32LE(marker.chainBefore, 36);
  bytes.writeUInt32LE(marker.chain, 40);
  bytes.writeUInt32LE(0, 44);
  return bytes;
}

export function decodeMarker(value: Uint8Array): Marker {
  if (value.length !== markerSizeBytes) throw new StateDamagedError('a batch marker is malformed');
  const bytes = asBuffer(value);
  const stateHash = new StateHash();
  stateHash.count = readUint(bytes, 24);
  stateHash.sum = bytes.readUInt32LE(32);
  return {
    sequence: readUint(bytes, 0),
    applied: { index: readUint(bytes, 8), term: readUint(bytes, 16) },
    stateHash,
    chainBefore: bytes.readUInt32LE(36),
    chain: bytes.readUInt32LE(40),
  };
}

/** The newest marker, after checking that the ring has no gap and every link of the chain fits. */
export function verifyMarkers(markers: readonly Marker[]): Marker | undefined {
  const sorted = markers.toSorted((a, b) => a.sequence - b.sequence);
  const last = sorted.at(-1);
  if (last === undefined) return undefined;
  if (sorted.length !== Math.min(last.sequence, markerRingSize)) {
    throw new StateDamagedError('a batch that was durable is missing');
  }
  let before: Marker | undefined;
  for (const marker of sorted) {
    const follows = before === undefined || marker.sequence === before.sequence + 1;
    if (!follows) throw new StateDamagedError('a batch that was durable is missing');
    const chainBefore = before?.chain ?? (marker.sequence === 1 ? 0 : marker.chainBefore);
    if (marker.chainBefore !== chainBefore) throw new StateDamagedError('the batches do not chain');
    before = marker;
  }
  return last;
}

/** A safe integer in 8 bytes, little-endian. */
function writeUint(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

function readUint(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 0x1_0000_0000 + bytes.readUInt32LE(at);
}
