import { assert } from '../base/assert.ts';
import type { Cipher } from '../base/cipher.ts';
import type { FileSystem } from '../base/file-system.ts';
import type { EntryId, LogIndex } from '../base/ids.ts';
import type { Entry, HardState } from '../raft/entry.ts';
import { decryptedEntry } from './encrypted-entry.ts';
import type { DecodedFrame } from './frame.ts';
import { decodeFlippedFrame, decodeFrame, findFrame, findHardStates, isZero } from './frame.ts';
import type { WalRecord } from './record.ts';
import { readRecords } from './record.ts';
import type { SegmentName } from './segment.ts';
import { listSegments } from './segment.ts';

/** What the files say, before anything is written. */
export interface Replay {
  /** No log was ever begun here. */
  readonly isEmpty: boolean;
  readonly hardState: HardState;
  /** Stretches of the log without a gap; one, unless there is damage. */
  readonly runs: readonly Run[];
  /** The last entry that was ever acknowledged, as the last batch says, whatever is left of it. */
  readonly last: EntryId;
  readonly identity: Uint8Array | undefined;
  /** Bytes that were durable once and are so no more: bit-rot, not a torn tail. */
  readonly damage: Damage | undefined;
  readonly segments: readonly ReplayedSegment[];
  readonly lastFrame: { readonly batchNumber: number; readonly crc: number };
  /** Some entry stands there unencrypted. */
  readonly hasPlainEntries: boolean;
}

export interface Run {
  /** The entry before `entries`; its term is undefined when the log no longer says. */
  readonly base: { readonly index: LogIndex; readonly term: number | undefined };
  readonly entries: Entry[];
}

export interface Damage {
  readonly file: string;
  readonly offset: number;
}

export interface ReplayedSegment {
  readonly name: SegmentName;
  /** Where the last valid frame ends. */
  readonly validBytes: number;
  /** The highest entry index in this segment or an earlier one. */
  readonly maxIndex: LogIndex;
}

/**
 * Reads the log. A damaged place with a valid batch behind it was durable once: damage. One with nothing valid behind
 * it is the torn tail of a write that was never acknowledged: left out, unless only one bit is wrong with it.
 * `cipher`: for encrypted entries; throws {@link UndecryptableEntryError} where it is missing.
 */
export function replayWal(fileSystem: FileSystem, directory: string, cipher?: Cipher): Replay {
  const replayer = new Replayer(cipher);
  for (const name of listSegments(fileSystem, directory)) {
    replayer.readSegment(name, fileSystem.read(`${directory}/${name.file}`));
  }
  return replayer.end();
}

interface Suspect {
  readonly name: SegmentName;
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly hardStates: readonly HardState[];
}

class Replayer {
  #hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  #runs: Run[] = [];
  #identity: Uint8Array | undefined;
  #last: EntryId = { index: 0, term: 0 };
  #maxIndex = 0;
  #previous: { batchNumber: number; crc: number } | undefined;
  #damage: Damage | undefined;
  /** A bad place that is damage if anything valid follows, else the torn tail. */
  #suspect: Suspect | undefined;
  #hasPlainEntries = false;
  readonly #segments: ReplayedSegment[] = [];
  readonly #cipher: Cipher | undefined;

  constructor(cipher: Cipher | undefined) {
    this.#cipher = cipher;
  }

  readSegment(name: SegmentName, bytes: Uint8Array): void {
    let offset = 0;
    let validBytes = 0;
    while (offset < bytes.length) {
      const frame = decodeFrame(bytes, offset, name);
      if (frame !== undefined && this.#isNext(frame)) {
        if (!this.#continues(frame)) this.#suspect ??= { name, bytes, offset, hardStates: [] };
        this.#take(frame);
        offset += frame.sizeBytes;
        validBytes = offset;
        continue;
      }
      const end = this.#nextFrameOffset(name, bytes, offset + 8) ?? bytes.length;
      if (end < bytes.length || !isZero(bytes.subarray(offset))) {
        const hardStates = findHardStates(bytes, { start: offset, end }, name);
        this.#suspect ??= { name, bytes, offset, hardStates };
      }
      offset = end;
    }
    this.#segments.push({ name, validBytes, maxIndex: this.#maxIndex });
  }

  /** Where the next frame stands that was written after all that was read so far. */
  #nextFrameOffset(name: SegmentName, bytes: Uint8Array, from: number): number | undefined {
    for (let at = from; ; ) {
      const found = findFrame(bytes, at, name);
      if (found === undefined) return undefined;
      if (this.#isNext(found.frame)) return found.offset;
      at = found.offset + 8;
    }
  }

  #isNext(frame: DecodedFrame): boolean {
    return frame.batchNumber > (this.#previous?.batchNumber ?? -1);
  }

  /** Each frame names the one before it. One that does not is what stands behind lost ones. */
  #continues(frame: DecodedFrame): boolean {
    if (this.#previous === undefined) return true;
    const { batchNumber, crc } = this.#previous;
    return frame.batchNumber === batchNumber + 1 && frame.previousCrc === crc;
  }

  #take(frame: DecodedFrame): void {
    if (this.#suspect !== undefined) this.#passDamage(this.#suspect);
    this.#previous = { batchNumber: frame.batchNumber, crc: frame.crc };
    for (const record of readRecords(frame.records)) this.#apply(record);
    this.#hardState = frame.hardState;
    this.#last = frame.last;
  }

  /**
   * The lost batch may have overwritten any entry that was not yet committed (paper §5.3): only committed ones, whose
   * content is final, are kept.
   */
  #passDamage({ name, offset }: Suspect): void {
    this.#damage ??= { file: name.file, offset };
    this.#suspect = undefined;
    for (const run of this.#runs) {
      const kept = Math.max(0, this.#hardState.commit - run.base.index);
      run.entries.length = Math.min(run.entries.length, kept);
    }
  }

  #apply(record: WalRecord): void {
    switch (record.kind) {
      case 'identity':
        this.#identity = record.data;
        return;
      case 'reset':
        this.#runs = [{ base: record.base, entries: [] }];
        this.#maxIndex = Math.max(this.#maxIndex, record.base.index);
        return;
      case 'entry':
        this.#hasPlainEntries = true;
        this.#append(record.entry);
        return;
      case 'encryptedEntry':
        this.#append(decryptedEntry(record.entry, this.#cipher));
    }
  }

  /** An entry replaces what stood at its index and after it (paper §5.3); one that joins no run begins another. */
  #append(entry: Entry): void {
    const { index } = entry;
    this.#maxIndex = Math.max(this.#maxIndex, index);
    const joined = this.#runs.findLastIndex(
      ({ base, entries }) => index > base.index && index <= base.index + entries.length + 1,
    );
    const run = this.#runs[joined];
    if (run === undefined) {
      // Below the first one: the entry that it replaces was in a segment that has been released.
      const isGap = index > (this.#runs[0]?.base.index ?? index);
      assert(!isGap || this.#damage !== undefined, 'wal: entries leave a gap in an undamaged log');
      this.#runs = this.#runs.filter(({ base }) => base.index < index);
      this.#runs.push({
        base: { index: index - 1, term: index === 1 ? 0 : undefined },
        entries: [entry],
      });
      return;
    }
    this.#runs.length = joined + 1;
    run.entries.length = index - run.base.index - 1;
    run.entries.push(entry);
  }

  end(): Replay {
    this.#judgeTail();
    return {
      isEmpty: this.#segments.length === 0,
      hardState: this.#newestHardState(),
      runs: this.#runs,
      last: this.#last,
      identity: this.#identity,
      damage: this.#damage ?? this.#wholeDamage(),
      segments: this.#segments,
      lastFrame: this.#previous ?? { batchNumber: 0, crc: 0 },
      hasPlainEntries: this.#hasPlainEntries,
    };
  }

  /** A last batch that was written whole, as all but one bit of it says, may have been acknowledged: no torn tail. */
  #judgeTail(): void {
    const suspect = this.#suspect;
    if (suspect === undefined || this.#previous === undefined) return;
    const frame = decodeFlippedFrame(suspect.bytes, suspect.offset, suspect.name);
    if (frame === undefined || !this.#continues(frame)) return;
    this.#passDamage(suspect);
    this.#previous = { batchNumber: frame.batchNumber, crc: frame.crc };
    this.#hardState = frame.hardState;
    this.#last = frame.last;
  }

  /** The first segment comes by rename, so where nothing is valid everything is damaged. */
  #wholeDamage(): Damage | undefined {
    const first = this.#segments[0];
    if (first === undefined || this.#previous !== undefined) return undefined;
    return { file: first.name.file, offset: 0 };
  }

  /** A vote that only the torn tail knows was told to nobody, but it does no harm to remember it. */
  #newestHardState(): HardState {
    let newest = this.#hardState;
    for (const found of this.#suspect?.hardStates ?? []) {
      if (found.term > newest.term) newest = { ...found, commit: newest.commit };
      else if (found.term === newest.term && newest.vote === 0n) {
        newest = { ...newest, vote: found.vote };
      }
    }
    return newest;
  }
}
