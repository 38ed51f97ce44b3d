import { asBuffer } from '../base/bytes.ts';
import type { EntryId } from '../base/ids.ts';
import type { Entry, EntryKind } from '../raft/entry.ts';
import { readNumber, writeNumber } from './frame.ts';

/**
 * What a batch holds, one after the other: kind u8 | subkind u8 | 0 u16 | size of data u32 | index u64 | term u64 | data.
 * Kinds are never reused; an unknown one is refused, since it may change the meaning of what follows.
 */
export type WalRecord =
  | { readonly kind: 'entry'; readonly entry: Entry }
  /** Its data is encrypted (encrypted-entry.ts). */
  | { readonly kind: 'encryptedEntry'; readonly entry: Entry }
  /** The log begins anew after `base` (a snapshot was installed, or damage was cut out). */
  | { readonly kind: 'reset'; readonly base: EntryId }
  /** Who this member is and whom it knows: opaque here, the newest one counts. */
  | { readonly kind: 'identity'; readonly data: Uint8Array };

const kindCodes = { entry: 1, reset: 2, identity: 3, encryptedEntry: 4 } as const;
const entryKindCodes: Readonly<Record<EntryKind, number>> = {
  normal: 0,
  confChange: 1,
  refusedConfChange: 2,
};
const entryKinds: readonly EntryKind[] = ['normal', 'confChange', 'refusedConfChange'];
const fixedBytes = 24;
const noData = new Uint8Array(0);

export function recordBytes(record: WalRecord): number {
  return fixedBytes + dataOf(record).length;
}

function dataOf(record: WalRecord): Uint8Array {
  switch (record.kind) {
    case 'entry':
    case 'encryptedEntry':
      return record.entry.data;
    case 'reset':
      return noData;
    case 'identity':
      return record.data;
  }
}

/** Writes the record at `at`; returns where the next one goes. */
export function writeRecord(buffer: Buffer, record: WalRecord, at: number): number {
  const data = dataOf(record);
  const id = idOf(record);
  buffer[at] = kindCodes[record.kind];
  buffer[at + 1] = 'entry' in record ? entryKindCodes[record.entry.kind] : 0;
  buffer.writeUInt16LE(0, at + 2);
  buffer.writeUInt32LE(data.length, at + 4);
  writeNumber(buffer, id.index, at + 8);
  writeNumber(buffer, id.term, at + 16);
  buffer.set(data, at + fixedBytes);
  return at + fixedBytes + data.length;
}

function idOf(record: WalRecord): EntryId {
  if ('entry' in record) return record.entry;
  return record.kind === 'reset' ? record.base : { index: 0, term: 0 };
}

/** The records of one frame. Data are views. Throws when they are not what we write: their checksum held, so a newer format. */
export function readRecords(records: Uint8Array): WalRecord[] {
  const buffer = asBuffer(records);
  const found: WalRecord[] = [];
  for (let at = 0; at < buffer.length; ) {
    const dataAt = at + fixedBytes;
    const end = dataAt + buffer.readUInt32LE(at + 4);
    found.push(readRecord(buffer, at, buffer.subarray(dataAt, end)));
    at = end;
  }
  return found;
}

function readRecord(buffer: Buffer, at: number, data: Buffer): WalRecord {
  const id = { index: readNumber(buffer, at + 8), term: readNumber(buffer, at + 16) };
  switch (buffer[at]) {
    case kindCodes.entry:
    case kindCodes.encryptedEntry: {
      const kind = entryKinds[buffer[at + 1] ?? 0];
      if (kind === undefined) break;
      const isEncrypted = buffer[at] === kindCodes.encryptedEntry;
      return { kind: isEncrypted ? 'encryptedEntry' : 'entry', entry: { ...id, kind, data } };
    }
    case kindCodes.reset:
      return { kind: 'reset', base: id };
    case kindCodes.identity:
      return { kind: 'identity', data };
    default:
  }
  throw new Error(`wal: record kind ${buffer[at]} was written by a newer version`);
}
