import { Buffer } from 'node:buffer';
import { asBuffer, emptyBytes } from '../base/bytes.ts';
import type { Entry, EntryKind } from '../raft/entry.ts';
import type { Message, Proposal } from '../raft/messages.ts';

/**
 * Raft messages between members: kind u8, from u64, to u64, term, then the kind's fields. Numbers are 53-bit integers in
 * eight bytes, little-endian; lists have their count in front. A member that announces another protocol version is not
 * talked to, so there is no version here.
 */
export function encodeMessage(message: Message): Buffer {
  const parts = encodeParts(message);
  return parts.length === 1 ? asBuffer(parts[0] ?? emptyBytes) : Buffer.concat(parts);
}

/** The same in parts: large data are not copied, so that what waits for several peers is in memory once. */
export function encodeParts(message: Message): Uint8Array[] {
  const writer = new MessageWriter(messageBytes(message));
  writer.byte(kinds.indexOf(message.kind));
  writer.id(message.from);
  writer.id(message.to);
  writer.number(message.term);
  writeBody(writer, message);
  return writer.end();
}

/** Throws a RangeError on anything that `encodeMessage` does not make. Entries' data are views. */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new MessageReader(asBuffer(bytes));
  const kind = kinds[reader.byte()];
  const envelope = { from: reader.id(), to: reader.id(), term: reader.number() };
  if (kind === undefined) throw new RangeError('peer: unknown message kind');
  return readBody(reader, kind, envelope);
}

const kinds = [
  'append',
  'appendResponse',
  'heartbeat',
  'heartbeatResponse',
  'preVote',
  'preVoteResponse',
  'vote',
  'voteResponse',
  'snapshot',
  'timeoutNow',
  'propose',
  'proposeRefused',
  'readIndex',
  'readIndexResponse',
] as const satisfies ReadonlyArray<Message['kind']>;

const entryKinds: readonly EntryKind[] = ['normal', 'confChange', 'refusedConfChange'];

const envelopeBytes = 25;
const entryHeadBytes = 21;
const proposalHeadBytes = 5;
/** The largest body without lists. */
const fixedBodyBytes = 34;
/** Data from this size on are a part of their own: below it, a copy costs less. */
const ownPartBytesMin = 16 * 1024;

function messageBytes(message: Message): number {
  let size = envelopeBytes + fixedBodyBytes;
  if (message.kind === 'append') {
    for (const { data } of message.entries) size += entryHeadBytes + copiedBytes(data);
  } else if (message.kind === 'propose') {
    for (const { data } of message.proposals) size += proposalHeadBytes + copiedBytes(data);
  } else if (message.kind === 'snapshot') {
    const { voters, learners } = message.snapshot.confState;
    size += 8 * (voters.length + learners.length);
  }
  return size;
}

function copiedBytes({ length }: Uint8Array): number {
  return length < ownPartBytesMin ? length : 0;
}

function writeBody(writer: MessageWriter, message: Message): void {
  switch (message.kind) {
    case 'append':
      writer.number(message.previousIndex);
      writer.number(message.previousTerm);
      writer.number(message.commit);
      writer.list(message.entries, (entry) => writeEntry(writer, entry));
      return;
    case 'appendResponse':
      writer.number(message.index);
      writer.flag(message.reject);
      writer.number(message.hintIndex);
      writer.number(message.hintTerm);
      return;
    case 'heartbeat':
      writer.number(message.commit);
      writer.number(message.commitTerm);
      writer.number(message.readId);
      return;
    case 'heartbeatResponse':
      writer.number(message.readId);
      writer.flag(message.lostLog);
      return;
    case 'preVote':
    case 'vote':
      writer.number(message.lastIndex);
      writer.number(message.lastTerm);
      writer.flag(message.transfer);
      return;
    case 'preVoteResponse':
    case 'voteResponse':
      writer.flag(message.reject);
      return;
    case 'snapshot':
      writer.number(message.snapshot.index);
      writer.number(message.snapshot.term);
      writer.list(message.snapshot.confState.voters, (id) => writer.id(id));
      writer.list(message.snapshot.confState.learners, (id) => writer.id(id));
      return;
    case 'propose':
      writer.number(message.batchId);
      writer.list(message.proposals, (proposal) => writeProposal(writer, proposal));
      return;
    case 'proposeRefused':
      writer.number(message.batchId);
      return;
    case 'readIndex':
      writer.number(message.requestId);
      return;
    case 'readIndexResponse':
      writer.number(message.requestId);
      writer.number(message.index);
      return;
    case 'timeoutNow':
  }
}

function writeEntry(writer: MessageWriter, entry: Entry): void {
  writer.number(entry.index);
  writer.number(entry.term);
  writeProposal(writer, entry);
}

function writeProposal(writer: MessageWriter, { kind, data }: Proposal): void {
  writer.byte(entryKinds.indexOf(kind));
  writer.bytes(data);
}

type Envelope = Pick<Message, 'from' | 'to' | 'term'>;

function readBody(reader: MessageReader, kind: Message['kind'], envelope: Envelope): Message {
  switch (kind) {
    case 'append': {
      const previousIndex = reader.number();
      const previousTerm = reader.number();
      const commit = reader.number();
      const entries = reader.list(() => readEntry(reader));
      return { ...envelope, kind, previousIndex, previousTerm, commit, entries };
    }
    case 'appendResponse': {
      const index = reader.number();
      const reject = reader.flag();
      const hintIndex = reader.number();
      return { ...envelope, kind, index, reject, hintIndex, hintTerm: reader.number() };
    }
    case 'heartbeat':
      return {
        ...envelope,
        kind,
        commit: reader.number(),
        commitTerm: reader.number(),
        readId: reader.number(),
      };
    case 'heartbeatResponse':
      return { ...envelope, kind, readId: reader.number(), lostLog: reader.flag() };
    case 'preVote':
    case 'vote': {
      const lastIndex = reader.number();
      const lastTerm = reader.number();
      return { ...envelope, kind, lastIndex, lastTerm, transfer: reader.flag() };
    }
    case 'preVoteResponse':
    case 'voteResponse':
      return { ...envelope, kind, reject: reader.flag() };
    case 'snapshot': {
      const mark = { index: reader.number(), term: reader.number() };
      const voters = reader.list(() => reader.id());
      const learners = reader.list(() => reader.id());
      return { ...envelope, kind, snapshot: { ...mark, confState: { voters, learners } } };
    }
    case 'propose': {
      const batchId = reader.number();
      return { ...envelope, kind, batchId, proposals: reader.list(() => readProposal(reader)) };
    }
    case 'proposeRefused':
      return { ...envelope, kind, batchId: reader.number() };
    case 'readIndex':
      return { ...envelope, kind, requestId: reader.number() };
    case 'readIndexResponse':
      return { ...envelope, kind, requestId: reader.number(), index: reader.number() };
    case 'timeoutNow':
      return { ...envelope, kind };
  }
}

function readEntry(reader: MessageReader): Entry {
  const index = reader.number();
  const term = reader.number();
  return { index, term, ...readProposal(reader) };
}

function readProposal(reader: MessageReader): Proposal {
  const kind = entryKinds[reader.byte()];
  if (kind === undefined) throw new RangeError('peer: unknown entry kind');
  return { kind, data: reader.bytes() };
}

class MessageWriter {
  readonly #buffer: Buffer;
  readonly #parts: Uint8Array[] = [];
  #at = 0;
  /** Where the part that is being written began. */
  #start = 0;

  constructor(sizeBytes: number) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes);
  }

  byte(value: number): void {
    this.#at = this.#buffer.writeUInt8(value, this.#at);
  }

  flag(value: boolean): void {
    this.byte(value ? 1 : 0);
  }

  id(value: bigint): void {
    this.#at = this.#buffer.writeBigUInt64LE(value, this.#at);
  }

  number(value: number): void {
    this.#at = this.#buffer.writeUInt32LE(value % 0x1_0000_0000, this.#at);
    this.#at = this.#buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), this.#at);
  }

  bytes(value: Uint8Array): void {
    this.#at = this.#buffer.writeUInt32LE(value.length, this.#at);
    if (copiedBytes(value) < value.length) {
      this.#parts.push(this.#part(), value);
      return;
    }
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  list<T>(items: readonly T[], write: (item: T) => void): void {
    this.#at = this.#buffer.writeUInt32LE(items.length, this.#at);
    for (const item of items) write(item);
  }

  #part(): Buffer {
    const part = this.#buffer.subarray(this.#start, this.#at);
    this.#start = this.#at;
    return part;
  }

  end(): Uint8Array[] {
    if (this.#at > this.#start) this.#parts.push(this.#part());
    return this.#parts;
  }
}

class MessageReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  byte(): number {
    this.#at += 1;
    return this.#buffer.readUInt8(this.#at - 1);
  }

  flag(): boolean {
    return this.byte() !== 0;
  }

  id(): bigint {
    this.#at += 8;
    return this.#buffer.readBigUInt64LE(this.#at - 8);
  }

  number(): number {
    const low = this.#buffer.readUInt32LE(this.#at);
    const high = this.#buffer.readUInt32LE(this.#at + 4);
    this.#at += 8;
    if (high > 0x1f_ffff) throw new RangeError('peer: a number is larger than 2^53');
    return high * 0x1_0000_0000 + low;
  }

  #count(): number {
    this.#at += 4;
    return this.#buffer.readUInt32LE(this.#at - 4);
  }

  bytes(): Uint8Array {
    const size = this.#count();
    if (size > this.#buffer.length - this.#at) throw new RangeError('peer: truncated message');
    this.#at += size;
    return this.#buffer.subarray(this.#at - size, this.#at);
  }

  list<T>(read: () => T): T[] {
    const count = this.#count();
    if (count > this.#buffer.length - this.#at) throw new RangeError('peer: truncated message');
    return Array.from({ length: count }, read);
  }
}
