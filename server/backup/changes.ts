import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { type Event, EventType, KeyValue } from '../proto/gen/kv.ts';
import { BackupError } from './failure.ts';
import { formatVersion, jsonOf, refuseNewer } from './manifest.ts';

// An object of archived changes:
//
//   a line of JSON, its head | for each revision: size u32 | stamp u64, milliseconds | revision u64 |
//   for each of its changes: size u32 and an mvccpb.KeyValue, as the store keeps it | at last the SHA-256 of all before
//
// Integers are big-endian. A deletion's KeyValue has only the key.

/** Everything that one transaction changed. */
export interface RevisionChanges {
  readonly revision: number;
  /** When the leader had applied it, by its clock; or when it came to the archive. Milliseconds since the epoch. */
  readonly stampMs: number;
  /** As the store keeps them, in the order of the transaction's operations. */
  readonly records: readonly Uint8Array[];
}

export interface ChangesHead {
  readonly format: number;
  readonly kind: 'mainstay-changes';
  /** For people. */
  readonly cluster: string;
  readonly clusterUid: string;
  /** Of the store, hex. */
  readonly clusterId: string;
  /** `to` is before `from` where there is nothing but the word that nothing happened. */
  readonly from: number;
  readonly to: number;
  /** Up to here there may be some that were history when they came, with no stamp of the leader's: it is later than they are. */
  readonly lateTo: number;
}

const hashBytes = 32;

export function changesHead(of: Omit<ChangesHead, 'format' | 'kind'>): ChangesHead {
  return { format: formatVersion, kind: 'mainstay-changes', ...of };
}

export function encodeChanges(head: ChangesHead, revisions: readonly RevisionChanges[]): Buffer {
  const frames = revisions.map(frameOf);
  const body = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...frames]);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

/** One revision, as it stands in an object. */
export function frameOf({ revision, stampMs, records }: RevisionChanges): Buffer {
  const sizes = records.reduce((sum, record) => sum + 4 + record.length, 0);
  const frame = Buffer.allocUnsafe(4 + 16 + sizes);
  frame.writeUInt32BE(16 + sizes, 0);
  frame.writeBigUInt64BE(BigInt(stampMs), 4);
  frame.writeBigUInt64BE(BigInt(revision), 12);
  let at = 20;
  for (const record of records) {
    frame.writeUInt32BE(record.length, at);
    frame.set(record, at + 4);
    at += 4 + record.length;
  }
  return frame;
}

/** Throws a {@link BackupError}: `Damaged`, `NewerFormat`. `name`: for the message. */
export function decodeChanges(
  object: Buffer,
  name: string,
): { readonly head: ChangesHead; readonly revisions: RevisionChanges[] } {
  const body = object.subarray(0, Math.max(0, object.length - hashBytes));
  const end = body.indexOf(0x0a);
  const head = end < 0 ? undefined : jsonOf(body.subarray(0, end));
  if (head?.['kind'] !== 'mainstay-changes' || typeof head['format'] !== 'number') {
    throw damaged(name, 'it does not begin as archived changes do');
  }
  refuseNewer(head['format'], name);
  if (!createHash('sha256').update(body).digest().equals(object.subarray(body.length))) {
    throw damaged(name, 'it does not match its checksum');
  }
  const revisions: RevisionChanges[] = [];
  for (let at = end + 1; at < body.length; ) {
    const size = body.readUInt32BE(at);
    revisions.push(decodeFrame(body.subarray(at + 4, at + 4 + size)));
    at += 4 + size;
  }
  return { head: head as unknown as ChangesHead, revisions };
}

/** Without its size. The records are views. */
export function decodeFrame(frame: Buffer): RevisionChanges {
  const records: Buffer[] = [];
  for (let at = 16; at < frame.length; ) {
    const size = frame.readUInt32BE(at);
    records.push(frame.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  const stampMs = Number(frame.readBigUInt64BE(0));
  return { revision: Number(frame.readBigUInt64BE(8)), stampMs, records };
}

/** What the store keeps of a change that a watch has told. */
export function recordOf({ type, kv }: Event): Uint8Array {
  const { key } = kv ?? KeyValue.create();
  return KeyValue.encode(
    type === EventType.DELETE ? KeyValue.create({ key }) : (kv ?? KeyValue.create()),
  );
}

function damaged(name: string, what: string): BackupError {
  return new BackupError('Damaged', `${name} is damaged: ${what}`);
}
