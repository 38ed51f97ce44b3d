import { Buffer } from 'node:buffer';
import { assert } from '../base/assert.ts';
import { emptyBytes } from '../base/bytes.ts';
import type { Cipher } from '../base/cipher.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Done, FileSystem, WritableFile } from '../base/file-system.ts';
import { exponentialBounds, Histogram } from '../base/histogram.ts';
import type { EntryId, LogIndex } from '../base/ids.ts';
import { compareIds } from '../base/ids.ts';
import type { Random } from '../base/random.ts';
import { walReserveBytes, walReservingBatchBytesMax } from '../config/limits.ts';
import type { Entry, HardState } from '../raft/entry.ts';
import { entryRecord } from './encrypted-entry.ts';
import { encodeFrame, frameBytes, headerBytes, sealFrame } from './frame.ts';
import type { WalRecord } from './record.ts';
import { recordBytes, writeRecord } from './record.ts';
import type { RecoveredLog } from './recover.ts';
import type { Replay } from './replay.ts';
import type { SegmentName } from './segment.ts';
import { segmentName, writeFileDurably } from './segment.ts';

export interface WalModules {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  /** A failed write or sync: nothing may be assumed any more, the process ends (fsync, ATC'20). */
  readonly fatal: (error: Error) => void;
  /** Entries are encrypted with it, where there is one. */
  readonly cipher?: Cipher | undefined;
}

export interface WalOptions {
  readonly directory: string;
  /** A segment is cut when it has grown past this. */
  readonly segmentBytes: number;
  /** After this long without a write an empty batch proves the last one durable. */
  readonly sealAfterMs: number;
}

/** What raft wants to be durable, all at once. */
export interface WalAppend {
  readonly hardState: HardState;
  readonly entries: readonly Entry[];
  /** The log begins anew after this entry: a snapshot was installed. */
  readonly reset?: EntryId | undefined;
  /** Replaces what `Replay.identity` will say. */
  readonly identity?: Uint8Array | undefined;
}

interface Segment {
  readonly name: SegmentName;
  maxIndex: LogIndex;
}

interface Waiting {
  readonly append: WalAppend;
  readonly done: () => void;
}

/**
 * The log on disk. All that waits goes into one batch; the next one starts when the sync of this one has returned
 * (group commit). Callbacks come in the order of the appends.
 */
export class Wal {
  readonly #modules: WalModules;
  readonly #options: WalOptions;
  readonly #segments: Segment[];
  #file: WritableFile;
  #position: number;
  /** Up to here the file has been written, with zeros behind `#position`. */
  #reservedTo = 0;
  /** Of the segment's first batch: a segment that holds nothing else is not cut. */
  #headBytes = 0;
  #batchNumber: number;
  #previousCrc: number;
  #hardState: HardState;
  #last: EntryId;
  #owed: EntryId | undefined;
  #identity: Uint8Array;
  #waiting: Waiting[] = [];
  #isWriting = false;
  #isSealed = false;
  /** A new segment is not yet durable: until then only the one before it says who we are. */
  #isCutting = false;
  #sealTimer: Timer | undefined;
  #closed: (() => void) | undefined;
  #isFailed = false;
  /** Since the process began; the bounds are etcd's. */
  readonly counters = {
    writtenBytes: 0,
    writeSeconds: new Histogram(exponentialBounds(0.001, 2, 14)),
    syncSeconds: new Histogram(exponentialBounds(0.001, 2, 14)),
  };

  private constructor(modules: WalModules, options: WalOptions, start: Start) {
    this.#modules = modules;
    this.#options = options;
    this.#segments = start.segments;
    this.#file = start.file;
    this.#position = start.position;
    this.#batchNumber = start.batchNumber;
    this.#previousCrc = start.crc;
    this.#hardState = start.hardState;
    this.#last = start.last;
    this.#owed = start.owed;
    this.#identity = start.identity;
  }

  /** Begins a new log. */
  static create(
    modules: WalModules,
    options: WalOptions,
    first: { hardState: HardState; entries: readonly Entry[]; identity: Uint8Array },
  ): Wal {
    modules.fileSystem.makeDirectory(options.directory);
    const records: WalRecord[] = [
      identityRecord(first.identity),
      ...first.entries.map((entry) => entryRecord(entry, modules.cipher)),
    ];
    const start = { batchNumber: 0, crc: 0, sequence: 1, walId: modules.random.uint32() };
    return Wal.#startSegment(modules, options, {
      ...first,
      ...start,
      records,
      owed: undefined,
      base: { index: 0, term: 0 },
    });
  }

  /**
   * Goes on with a log that was replayed. The tail is copied, synced and renamed first, since what we read may have
   * been the page cache of a sync that failed; a log that was damaged is written anew, the old files are kept aside.
   * So is one that is to be encrypted from now on; its old files are removed, and whatever else is in clear.
   */
  static resume(
    modules: WalModules,
    options: WalOptions,
    found: { replay: Replay; log: RecoveredLog; hardState: HardState; identity: Uint8Array },
  ): Wal {
    const isToBeEncrypted = modules.cipher !== undefined && found.replay.hasPlainEntries;
    const wal =
      found.log.isRewritten || isToBeEncrypted
        ? Wal.#rewrite(modules, options, found)
        : Wal.#copyTail(modules, options, found);
    removeLeftovers(modules, options.directory);
    return wal;
  }

  static #copyTail(
    modules: WalModules,
    options: WalOptions,
    { replay, log, identity, hardState }: Parameters<typeof Wal.resume>[2],
  ): Wal {
    const { fileSystem } = modules;
    const { directory } = options;
    const kept = replay.segments.filter(({ validBytes }) => validBytes > 0);
    const tail = kept.at(-1);
    assert(tail !== undefined, 'wal: nothing to resume');
    for (const torn of replay.segments) {
      if (torn.validBytes === 0) fileSystem.remove(`${directory}/${torn.name.file}`);
    }
    const path = `${directory}/${tail.name.file}`;
    const last = log.entries.at(-1) ?? log.base;
    const batchNumber = replay.lastFrame.batchNumber + 1;
    // The hard state may come from a torn tail that is cut: it has to be durable before raft answers by it.
    const head = { batchNumber, last: log.owed ?? last, hardState, records: emptyBytes };
    const frame = encodeFrame({ ...head, previousCrc: replay.lastFrame.crc }, tail.name);
    const valid = fileSystem.read(path).subarray(0, tail.validBytes);
    const bytes = Buffer.concat([valid, frame]);
    writeFileDurably(fileSystem, directory, { name: tail.name.file, bytes });
    return new Wal(modules, options, {
      segments: kept.map(({ name, maxIndex }) => ({ name, maxIndex })),
      file: fileSystem.open(path),
      position: bytes.length,
      batchNumber,
      crc: frame.readUInt32LE(4),
      hardState,
      last,
      owed: log.owed,
      identity,
    });
  }

  static #rewrite(
    modules: WalModules,
    options: WalOptions,
    { replay, log, identity, hardState }: Parameters<typeof Wal.resume>[2],
  ): Wal {
    const { fileSystem } = modules;
    const { directory } = options;
    const { base, owed } = log;
    const records: WalRecord[] = [
      identityRecord(identity),
      { kind: 'reset', base },
      ...log.entries.map((entry) => entryRecord(entry, modules.cipher)),
    ];
    const old = replay.segments.map(({ name }) => name);
    const sequence = (old.at(-1)?.sequence ?? 0) + 1;
    const walId = old.at(-1)?.walId ?? modules.random.uint32();
    const { batchNumber, crc } = replay.lastFrame;
    const start = { batchNumber, crc, sequence, walId, hardState, identity, records, owed };
    const wal = Wal.#startSegment(modules, options, {
      ...start,
      entries: log.entries,
      base,
    });
    const isInClear = modules.cipher === undefined;
    for (const { file } of old) {
      const path = `${directory}/${file}`;
      const isKept = replay.damage !== undefined && (isInClear || !replay.hasPlainEntries);
      if (isKept) fileSystem.rename(path, `${path}${isInClear ? damagedEnd : encryptedDamagedEnd}`);
      else fileSystem.remove(path);
    }
    fileSystem.syncDirectory(directory);
    return wal;
  }

  static #startSegment(
    modules: WalModules,
    options: WalOptions,
    start: {
      hardState: HardState;
      entries: readonly Entry[];
      identity: Uint8Array;
      records: readonly WalRecord[];
      base: EntryId;
      owed: EntryId | undefined;
      batchNumber: number;
      crc: number;
      sequence: number;
      walId: number;
    },
  ): Wal {
    const name = segmentName(start);
    const last = start.entries.at(-1) ?? start.base;
    const { hardState, owed, identity } = start;
    const batchNumber = start.batchNumber + 1;
    const frame = { batchNumber, last: owed ?? last, hardState, previousCrc: start.crc };
    const bytes = encodeFrame({ ...frame, records: encodeRecords(start.records) }, name);
    writeFileDurably(modules.fileSystem, options.directory, { name: name.file, bytes });
    return new Wal(modules, options, {
      segments: [{ name, maxIndex: last.index }],
      file: modules.fileSystem.open(`${options.directory}/${name.file}`),
      position: bytes.length,
      batchNumber,
      crc: bytes.readUInt32LE(4),
      hardState,
      last,
      owed,
      identity,
    });
  }

  get identity(): Uint8Array {
    return this.#identity;
  }

  /** `done` is called once this and all before it are durable, never before `append` has returned. */
  append(append: WalAppend, done: () => void): void {
    this.#waiting.push({ append, done });
    if (!this.#isWriting) this.#writeBatch();
  }

  #writeBatch(): void {
    this.#sealTimer?.cancel();
    this.#isWriting = true;
    this.#isSealed = false;
    if (this.#position >= this.#options.segmentBytes && this.#position > this.#headBytes) {
      this.#cut(() => this.#writeBatch());
      return;
    }
    const batch = this.#waiting;
    this.#waiting = [];
    const frame = this.#encodeBatch(batch);
    this.#write(frame, () => {
      for (const { done } of batch) done();
      this.#next();
    });
  }

  /** Empty batches only prove that the last one was durable. */
  #seal(): void {
    this.#isWriting = true;
    this.#isSealed = true;
    this.#write(this.#encodeBatch([]), () => this.#next());
  }

  #next(): void {
    this.#isWriting = false;
    if (this.#isFailed) return;
    if (this.#waiting.length > 0) this.#writeBatch();
    else if (this.#closed !== undefined) this.#finishClose(this.#closed);
    else if (!this.#isSealed) {
      this.#sealTimer = this.#modules.clock.after(this.#options.sealAfterMs, () => {
        if (!this.#isWriting && this.#closed === undefined) this.#seal();
      });
    }
  }

  #encodeBatch(batch: readonly Waiting[]): Buffer {
    const records = batch.flatMap(({ append }) => this.#recordsOf(append));
    let recordsBytes = 0;
    for (const record of records) recordsBytes += recordBytes(record);
    const buffer = Buffer.allocUnsafe(frameBytes(recordsBytes));
    let at = headerBytes;
    for (const record of records) at = writeRecord(buffer, record, at);
    this.#batchNumber += 1;
    const frame = {
      batchNumber: this.#batchNumber,
      last: this.#owed ?? this.#last,
      hardState: this.#hardState,
      previousCrc: this.#previousCrc,
      recordsBytes,
    };
    this.#previousCrc = sealFrame(buffer, frame, this.#tail.name);
    return buffer;
  }

  #recordsOf(append: WalAppend): WalRecord[] {
    const records: WalRecord[] = [];
    this.#hardState = append.hardState;
    if (append.identity !== undefined) {
      this.#identity = append.identity;
      records.push(identityRecord(append.identity));
    }
    if (append.reset !== undefined) {
      records.push({ kind: 'reset', base: append.reset });
      this.#moveEnd(append.reset);
    }
    for (const entry of append.entries) {
      records.push(entryRecord(entry, this.#modules.cipher));
      this.#moveEnd(entry);
    }
    return records;
  }

  #moveEnd({ index, term }: EntryId): void {
    this.#last = { index, term };
    this.#tail.maxIndex = Math.max(this.#tail.maxIndex, index);
    if (this.#owed !== undefined && compareIds(this.#last, this.#owed) >= 0) this.#owed = undefined;
  }

  get #tail(): Segment {
    const tail = this.#segments.at(-1);
    assert(tail !== undefined, 'wal: no segment');
    return tail;
  }

  #write(frame: Buffer, then: () => void): void {
    const position = this.#position;
    this.#position += frame.length;
    const chunks = [frame, this.#reserveBehind(frame)];
    const file = this.#file;
    const { clock } = this.#modules;
    const { counters } = this;
    const startedMs = clock.nowMs();
    let writtenMs = startedMs;
    const synced = this.#orFail(() => {
      counters.syncSeconds.observe((clock.nowMs() - writtenMs) / 1000);
      then();
    });
    const written = this.#orFail(() => {
      writtenMs = clock.nowMs();
      counters.writtenBytes += frame.length;
      counters.writeSeconds.observe((writtenMs - startedMs) / 1000);
      file.datasync(synced);
    });
    file.write(chunks, position, written);
  }

  /**
   * Zeros for the next batches: a sync of what is written over them has data to write and nothing of the file system's own.
   * None behind the end of a segment, so that only the last one ends with zeros; none behind a batch so large that it
   * would not matter.
   */
  #reserveBehind(frame: Buffer): Uint8Array {
    const position = this.#position;
    if (position <= this.#reservedTo) return emptyBytes;
    const end = Math.min(position + walReserveBytes, this.#options.segmentBytes);
    const bytes = frame.length > walReservingBatchBytesMax ? 0 : Math.max(0, end - position);
    this.#reservedTo = position + bytes;
    return zeros.subarray(0, bytes);
  }

  #orFail(then: () => void): Done {
    return (error) => {
      if (error === null) {
        if (!this.#isFailed) then();
        return;
      }
      this.#isFailed = true;
      this.#modules.fatal(error);
    };
  }

  /** Goes on in a new file. Everything in the old one is durable, so the new one's first batch proves that. */
  #cut(then: () => void): void {
    const { fileSystem } = this.#modules;
    const { directory } = this.#options;
    const { sequence, walId } = this.#tail.name;
    const name = segmentName({ sequence: sequence + 1, walId });
    this.#file.close();
    try {
      this.#file = fileSystem.create(`${directory}/${name.file}`);
    } catch (error) {
      this.#orFail(then)(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#position = 0;
    this.#reservedTo = 0;
    this.#isCutting = true;
    this.#segments.push({ name, maxIndex: this.#tail.maxIndex });
    const hardState = this.#hardState;
    const identity = this.#identity;
    const head = this.#encodeBatch([
      { append: { hardState, entries: [], identity }, done: () => {} },
    ]);
    this.#headBytes = head.length;
    const finish = this.#orFail(() => {
      this.#isCutting = false;
      then();
    });
    this.#write(head, () => fileSystem.syncDirectoryAsync(directory, finish));
  }

  /** Entries up to `index` are durable in the state: removes the segments that hold nothing else. */
  release(index: LogIndex): void {
    const { fileSystem } = this.#modules;
    if (this.#owed !== undefined || this.#isCutting) return;
    while (this.#segments.length > 1 && (this.#segments[0]?.maxIndex ?? Infinity) <= index) {
      const released = this.#segments.shift();
      assert(released !== undefined, 'wal: no segment to release');
      const path = `${this.#options.directory}/${released.name.file}`;
      fileSystem.removeAsync(
        path,
        this.#orFail(() => {}),
      );
    }
  }

  /** Writes what waits and a seal, then closes the file. */
  close(done: () => void): void {
    this.#sealTimer?.cancel();
    this.#closed = done;
    if (!this.#isWriting) this.#next();
  }

  #finishClose(done: () => void): void {
    if (!this.#isSealed) {
      this.#seal();
      return;
    }
    this.#file.close();
    done();
  }
}

const zeros = Buffer.alloc(walReserveBytes);

/** Of the files that are kept aside. */
const damagedEnd = '.damaged';
const encryptedDamagedEnd = '.encrypted.damaged';

/** What a crash left half written; and, where entries are encrypted, what was kept aside when they were not. */
function removeLeftovers({ fileSystem, cipher }: WalModules, directory: string): void {
  const left = fileSystem.list(directory).filter((file) => {
    const isInClear = file.endsWith(damagedEnd) && !file.endsWith(encryptedDamagedEnd);
    return file.endsWith('.tmp') || (isInClear && cipher !== undefined);
  });
  for (const file of left) fileSystem.remove(`${directory}/${file}`);
  if (left.length > 0) fileSystem.syncDirectory(directory);
}

interface Start {
  readonly segments: Segment[];
  readonly file: WritableFile;
  readonly position: number;
  readonly batchNumber: number;
  readonly crc: number;
  readonly hardState: HardState;
  readonly last: EntryId;
  readonly owed: EntryId | undefined;
  readonly identity: Uint8Array;
}

function identityRecord(data: Uint8Array): WalRecord {
  return { kind: 'identity', data };
}

function encodeRecords(records: readonly WalRecord[]): Buffer {
  let size = 0;
  for (const record of records) size += recordBytes(record);
  const buffer = Buffer.allocUnsafe(size);
  let at = 0;
  for (const record of records) at = writeRecord(buffer, record, at);
  return buffer;
}
