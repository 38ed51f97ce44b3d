import { Buffer } from 'node:buffer';
import type { PinnedState } from '../backend/backend.ts';
import { BulkLoad } from '../backend/bulk-load.ts';
import type { OrderedStore, StoreRecord } from '../backend/ordered-store.ts';
import { unseal } from '../backend/record.ts';
import { prefix } from '../backend/schema.ts';
import { asBuffer } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import type { ClusterId, EntryId } from '../base/ids.ts';

/**
 * A member's whole state on its way to another one, little-endian:
 *
 *   head    magic u32 | cluster id u64 | applied index u64 | applied term u64
 *   chunk   size of its records u32 (not 0) | crc u32 | records: key size u32, sealed value size u32, key, sealed value
 *   end     0 u32 | number of records u64 | sum of their checksums u32 | crc of head and end u32
 *
 * Records keep their seals, so each is verified here and again whenever it is read. Nothing needs more memory than a chunk.
 */

/** "MSS1": also the version of the format. */
const magic = 0x3153_534d;
const headBytes = 28;
const chunkHeadBytes = 8;
const recordHeadBytes = 8;
const endBytes = 20;
const chunkBytesMax = 64 * 1024 * 1024;

/** What was received is not a whole, undamaged state of this cluster. */
export class SnapshotError extends Error {
  override name = 'SnapshotError';
}

/** The chunks to send, from a view that the caller releases afterwards. */
export async function* encodeMemberSnapshot(
  state: PinnedState,
  { clusterId }: { clusterId: ClusterId },
): AsyncGenerator<Uint8Array> {
  const head = encodeHead(clusterId, state.applied);
  yield head;
  for await (const chunk of state.scanSealed({})) {
    const records = chunk.filter(([key]) => key[0] !== prefix.marker);
    if (records.length > 0) yield encodeChunk(records);
  }
  const { count, sum } = state.stateHash;
  const end = Buffer.alloc(endBytes);
  end.writeBigUInt64LE(BigInt(count), 4);
  end.writeUInt32LE(sum, 12);
  end.writeUInt32LE(crc32c(end.subarray(0, 16), crc32c(head)), 16);
  yield end;
}

function encodeHead(clusterId: ClusterId, applied: EntryId): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(magic, 0);
  head.writeBigUInt64LE(clusterId, 4);
  head.writeBigUInt64LE(BigInt(applied.index), 12);
  head.writeBigUInt64LE(BigInt(applied.term), 20);
  return head;
}

function encodeChunk(records: readonly StoreRecord[]): Buffer {
  let size = 0;
  for (const [key, sealed] of records) size += recordHeadBytes + key.length + sealed.length;
  const chunk = Buffer.allocUnsafe(chunkHeadBytes + size);
  let at = chunkHeadBytes;
  for (const [key, sealed] of records) {
    at = chunk.writeUInt32LE(key.length, at);
    at = chunk.writeUInt32LE(sealed.length, at);
    chunk.set(key, at);
    chunk.set(sealed, at + key.length);
    at += key.length + sealed.length;
  }
  chunk.writeUInt32LE(size, 0);
  chunk.writeUInt32LE(crc32c(chunk.subarray(chunkHeadBytes)), 4);
  return chunk;
}

/**
 * Fills the empty store with what comes. Throws {@link SnapshotError} when it is not whole: the store is then useless,
 * and would be found damaged if it were opened.
 */
export async function receiveMemberSnapshot(snapshot: {
  readonly store: OrderedStore;
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly clusterId: ClusterId;
}): Promise<{ readonly applied: EntryId }> {
  const input = new ByteStream(snapshot.chunks);
  const head = await input.read(headBytes);
  const applied = decodeHead(head, snapshot.clusterId);
  const load = new BulkLoad(snapshot.store);
  for (;;) {
    const size = (await input.read(4)).readUInt32LE(0);
    if (size === 0) break;
    if (size > chunkBytesMax) throw new SnapshotError(`a chunk of ${size} bytes`);
    const crc = (await input.read(4)).readUInt32LE(0);
    const chunk = await input.read(size);
    if (crc32c(chunk) !== crc) throw new SnapshotError('a chunk does not match its checksum');
    await load.add(decodeChunk(chunk));
  }
  const end = Buffer.concat([Buffer.alloc(4), await input.read(endBytes - 4)]);
  const { count, sum } = load.stateHash;
  const isWhole = end.readBigUInt64LE(4) === BigInt(count) && end.readUInt32LE(12) === sum;
  const isSealed = crc32c(end.subarray(0, 16), crc32c(head)) === end.readUInt32LE(16);
  if (!isWhole || !isSealed) {
    throw new SnapshotError('the records do not match the checksum at the end');
  }
  await load.finish(applied);
  return { applied };
}

function decodeHead(head: Buffer, clusterId: ClusterId): EntryId {
  if (head.readUInt32LE(0) !== magic)
    throw new SnapshotError('not a member snapshot of this version');
  if (head.readBigUInt64LE(4) !== clusterId)
    throw new SnapshotError('a snapshot of another cluster');
  return { index: Number(head.readBigUInt64LE(12)), term: Number(head.readBigUInt64LE(20)) };
}

function decodeChunk(chunk: Buffer): StoreRecord[] {
  const records: StoreRecord[] = [];
  for (let at = 0; at < chunk.length; ) {
    const keyAt = at + recordHeadBytes;
    if (keyAt > chunk.length) throw new SnapshotError('a record is cut off');
    const valueAt = keyAt + chunk.readUInt32LE(at);
    const end = valueAt + chunk.readUInt32LE(at + 4);
    if (end > chunk.length) throw new SnapshotError('a record is cut off');
    const key = chunk.subarray(keyAt, valueAt);
    const sealed = chunk.subarray(valueAt, end);
    if (unseal(key, sealed) === undefined) throw new SnapshotError('a record is damaged');
    records.push([key, sealed]);
    at = end;
  }
  return records;
}

/** Exactly so many bytes at a time out of chunks of any size. */
class ByteStream {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async read(sizeBytes: number): Promise<Buffer> {
    const parts = [this.#rest];
    let available = this.#rest.length;
    while (available < sizeBytes) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new SnapshotError('the snapshot broke off');
      parts.push(asBuffer(next.value));
      available += next.value.length;
    }
    const all = parts.length === 1 ? this.#rest : Buffer.concat(parts);
    this.#rest = all.subarray(sizeBytes);
    return all.subarray(0, sizeBytes);
  }
}
