import { Buffer } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';
import { crc32c, flippedBit } from '../base/crc32c.ts';
import type { EntryId } from '../base/ids.ts';
import type { HardState } from '../raft/entry.ts';

/**
 * One batch on disk: header, records, tail, padding to a sector; integers little-endian.
 *
 *   header  0 magic u32 | 4 crc of the header's rest u32 | 8 crc of records, tail and padding u32 | 12 records' size u32 |
 *          16 header crc of the frame before u32 | 20 zero u32 | 24 batch number u64 | 32 last entry's index u64 |
 *          40 last entry's term u64 | then the hard state: 48 term u64 | 56 vote u64 | 64 commit u64
 *   tail    magic u32 | crc u32 | term u64 | vote u64 | commit u64: the hard state once more, so that one damaged
 *           sector does not make a member forget its vote
 *
 * All checksums are seeded by the file's identity. Batch k is written after the sync of batch k-1 has returned: a valid
 * batch proves all before it durable.
 */
export interface Frame {
  readonly batchNumber: number;
  /** The log's last entry once this batch is applied to it; while the log owes entries (recover.ts), the last of those. */
  readonly last: EntryId;
  readonly hardState: HardState;
  readonly records: Uint8Array;
  /** The checksum of the frame before this one; 0 at the head of a log. */
  readonly previousCrc: number;
}

export interface DecodedFrame extends Frame {
  readonly crc: number;
  /** Bytes from the frame's start to the next one's. */
  readonly sizeBytes: number;
}

/** "MSW1". A new format also gets a new file suffix, so that an older version refuses it (segment.ts). */
const headerMagic = 0x3157_534d;
const tailMagic = 0x3157_544d;
/** Both begin with it. */
const magicByte = 0x4d;
export const headerBytes = 72;
const tailBytes = 32;
/** A disk's sector: one that is lost takes one batch with it, and not also the seal behind it that proves it was there. */
const alignmentBytes = 512;

/** What ties a frame to its file: a sector written to the wrong place fails its checksum. */
export interface FileIdentity {
  readonly walId: number;
  readonly sequence: number;
}

function seedOf(file: FileIdentity): number {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(file.walId, 0);
  bytes.writeUInt32LE(file.sequence, 4);
  return crc32c(bytes);
}

export function frameBytes(recordsBytes: number): number {
  const size = headerBytes + recordsBytes + tailBytes;
  return Math.ceil(size / alignmentBytes) * alignmentBytes;
}

/**
 * Fills in header and tail around the records, which stand at `headerBytes` already; returns the frame's checksum.
 * `buffer` is exactly `frameBytes(recordsBytes)` long.
 */
export function sealFrame(
  buffer: Buffer,
  frame: Omit<Frame, 'records'> & { readonly recordsBytes: number },
  file: FileIdentity,
): number {
  buffer.writeUInt32LE(headerMagic, 0);
  buffer.writeUInt32LE(frame.recordsBytes, 12);
  buffer.writeUInt32LE(frame.previousCrc, 16);
  buffer.writeUInt32LE(0, 20);
  writeNumber(buffer, frame.batchNumber, 24);
  writeNumber(buffer, frame.last.index, 32);
  writeNumber(buffer, frame.last.term, 40);
  writeHardState(buffer, frame.hardState, 48);
  const tailAt = headerBytes + frame.recordsBytes;
  const seed = seedOf(file);
  buffer.writeUInt32LE(tailMagic, tailAt);
  writeHardState(buffer, frame.hardState, tailAt + 8);
  const tail = buffer.subarray(tailAt + 8, tailAt + tailBytes);
  buffer.writeUInt32LE(crc32c(tail, seed), tailAt + 4);
  buffer.fill(0, tailAt + tailBytes);
  buffer.writeUInt32LE(crc32c(buffer.subarray(headerBytes), seed), 8);
  const crc = crc32c(buffer.subarray(8, headerBytes), seed);
  buffer.writeUInt32LE(crc, 4);
  return crc;
}

export function encodeFrame(frame: Frame, file: FileIdentity): Buffer {
  const buffer = Buffer.alloc(frameBytes(frame.records.length));
  buffer.set(frame.records, headerBytes);
  sealFrame(buffer, { ...frame, recordsBytes: frame.records.length }, file);
  return buffer;
}

/** The frame that starts at `offset`; undefined when there is no whole and undamaged one. */
export function decodeFrame(
  bytes: Uint8Array,
  offset: number,
  file: FileIdentity,
): DecodedFrame | undefined {
  const buffer = asBuffer(bytes);
  if (offset + headerBytes + tailBytes > buffer.length) return undefined;
  if (buffer.readUInt32LE(offset) !== headerMagic) return undefined;
  const seed = seedOf(file);
  if (!isHeaderIntact(buffer, offset, seed)) return undefined;
  const crc = buffer.readUInt32LE(offset + 4);
  const recordsBytes = buffer.readUInt32LE(offset + 12);
  const sizeBytes = frameBytes(recordsBytes);
  if (offset + sizeBytes > buffer.length) return undefined;
  const body = buffer.subarray(offset + headerBytes, offset + sizeBytes);
  if (crc32c(body, seed) !== buffer.readUInt32LE(offset + 8)) return undefined;
  return {
    crc,
    sizeBytes,
    previousCrc: buffer.readUInt32LE(offset + 16),
    batchNumber: readNumber(buffer, offset + 24),
    last: { index: readNumber(buffer, offset + 32), term: readNumber(buffer, offset + 40) },
    hardState: readHardState(buffer, offset + 48),
    records: buffer.subarray(offset + headerBytes, offset + headerBytes + recordsBytes),
  };
}

/**
 * The frame at `offset` as it was before one bit of it flipped: proof that it was written whole. Undefined when no single
 * bit explains what is there, or when a torn write explains it too: where the bit was the first or the last of its sector.
 */
export function decodeFlippedFrame(
  bytes: Uint8Array,
  offset: number,
  file: FileIdentity,
): DecodedFrame | undefined {
  const buffer = Buffer.from(bytes.subarray(offset));
  const bit = findFlippedBit(buffer, seedOf(file));
  if (bit === undefined) return undefined;
  const at = bit >> 3;
  const sectorAt = at - (at % alignmentBytes);
  const isTorn =
    isZero(buffer.subarray(sectorAt, at + 1)) ||
    isZero(buffer.subarray(at, sectorAt + alignmentBytes));
  if (isTorn) return undefined;
  buffer.writeUInt8(buffer.readUInt8(at) ^ (1 << (bit & 7)), at);
  return decodeFrame(buffer, 0, file);
}

/** Where the checksums of the frame at the buffer's start say that a bit flipped, if it was one. */
function findFlippedBit(buffer: Buffer, seed: number): number | undefined {
  if (buffer.length < headerBytes + tailBytes) return undefined;
  const header = buffer.subarray(8, headerBytes);
  const difference = (crc32c(header, seed) ^ buffer.readUInt32LE(4)) >>> 0;
  if (difference !== 0) {
    // In the checksum itself, or in what it covers.
    if (isOneBit(difference)) return 32 + Math.log2(difference);
    const bit = flippedBit(difference, header.length);
    return bit === undefined ? undefined : 64 + bit;
  }
  const magic = (buffer.readUInt32LE(0) ^ headerMagic) >>> 0;
  if (magic !== 0) return isOneBit(magic) ? Math.log2(magic) : undefined;
  const sizeBytes = frameBytes(buffer.readUInt32LE(12));
  if (sizeBytes > buffer.length) return undefined;
  const body = buffer.subarray(headerBytes, sizeBytes);
  const bit = flippedBit(crc32c(body, seed) ^ buffer.readUInt32LE(8), body.length);
  return bit === undefined ? undefined : 8 * headerBytes + bit;
}

function isOneBit(word: number): boolean {
  return (word & (word - 1)) === 0;
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** The first valid frame at or after `offset`: what stands behind damaged bytes. */
export function findFrame(
  bytes: Uint8Array,
  offset: number,
  file: FileIdentity,
): { offset: number; frame: DecodedFrame } | undefined {
  const start = Math.ceil(offset / alignmentBytes) * alignmentBytes;
  for (let at = start; at + headerBytes <= bytes.length; at += alignmentBytes) {
    const frame = decodeFrame(bytes, at, file);
    if (frame !== undefined) return { offset: at, frame };
  }
  return undefined;
}

/** What damaged or torn frames in [start, end) still tell of a vote: the hard states of intact heads and tails. */
export function findHardStates(
  bytes: Uint8Array,
  range: { start: number; end: number },
  file: FileIdentity,
): HardState[] {
  const buffer = asBuffer(bytes).subarray(0, range.end);
  const seed = seedOf(file);
  const found: HardState[] = [];
  for (let at = range.start; at + tailBytes <= range.end; at += 1) {
    if (buffer[at] !== magicByte) continue;
    const magic = buffer.readUInt32LE(at);
    if (magic === tailMagic) {
      const body = buffer.subarray(at + 8, at + tailBytes);
      if (crc32c(body, seed) === buffer.readUInt32LE(at + 4)) {
        found.push(readHardState(buffer, at + 8));
      }
    } else if (magic === headerMagic && isHeaderIntact(buffer, at, seed)) {
      found.push(readHardState(buffer, at + 48));
    }
  }
  return found;
}

function isHeaderIntact(buffer: Buffer, at: number, seed: number): boolean {
  if (at + headerBytes > buffer.length) return false;
  const crc = crc32c(buffer.subarray(at + 8, at + headerBytes), seed);
  return crc === buffer.readUInt32LE(at + 4);
}

function writeHardState(buffer: Buffer, hardState: HardState, at: number): void {
  writeNumber(buffer, hardState.term, at);
  buffer.writeBigUInt64LE(hardState.vote, at + 8);
  writeNumber(buffer, hardState.commit, at + 16);
}

function readHardState(buffer: Buffer, at: number): HardState {
  return {
    term: readNumber(buffer, at),
    vote: buffer.readBigUInt64LE(at + 8),
    commit: readNumber(buffer, at + 16),
  };
}

/** A safe integer as u64 in two halves: a bigint would cost more than the rest of the header. */
export function writeNumber(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value % 0x1_0000_0000, at);
  buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

export function readNumber(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 0x1_0000_0000;
}
