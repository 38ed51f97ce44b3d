import { fromLatin1 } from '../../../server/base/bytes.ts';
import type { EntryId } from '../../../server/base/ids.ts';
import type { Entry } from '../../../server/raft/entry.ts';
import { type RecoveredLog, recoverLog } from '../../../server/wal/recover.ts';
import { type Replay, replayWal } from '../../../server/wal/replay.ts';
import { Wal, type WalAppend, type WalModules, type WalOptions } from '../../../server/wal/wal.ts';
import { SeededRandom } from '../../sim/random.ts';
import { ManualClock, MemoryFileSystem } from './memory-file-system.ts';
import { appended, emptyLog, type ModelLog } from './model.ts';

export const directory = '/wal';

/** A `Wal` on a disk in memory, beside the model of what it should hold. */
export class WalHarness {
  readonly fileSystem: MemoryFileSystem;
  readonly clock = new ManualClock();
  readonly failures: Error[] = [];
  readonly modules: WalModules;
  readonly options: WalOptions;
  wal: Wal;
  model: ModelLog;
  /** Names given to `append`, in the order in which they were called back. */
  readonly done: string[] = [];

  private constructor(
    fileSystem: MemoryFileSystem,
    options: Partial<WalOptions>,
    found?: { replay: Replay; log: RecoveredLog },
  ) {
    this.fileSystem = fileSystem;
    this.options = { directory, segmentBytes: 1_000_000, sealAfterMs: 10, ...options };
    const fatal = (error: Error): void => void this.failures.push(error);
    const random = new SeededRandom(7);
    this.modules = { fileSystem, clock: this.clock, random, fatal };
    if (found === undefined) {
      this.model = emptyLog;
      const identity = fromLatin1(this.model.identity);
      const { hardState, entries } = this.model;
      this.wal = Wal.create(this.modules, this.options, { hardState, entries, identity });
      return;
    }
    const { replay, log } = found;
    const { hardState, identity = new Uint8Array(0) } = replay;
    this.wal = Wal.resume(this.modules, this.options, { replay, log, hardState, identity });
    this.model = { hardState, base: log.base, entries: log.entries, identity: '' };
  }

  static create(options: Partial<WalOptions> = {}): WalHarness {
    return new WalHarness(new MemoryFileSystem(), options);
  }

  /** Goes on with these files as a member does whose state has applied up to `applied`. */
  static resume(
    fileSystem: MemoryFileSystem,
    applied: EntryId = emptyLog.base,
    options: Partial<WalOptions> = {},
  ): WalHarness {
    return new WalHarness(fileSystem, options, recovered(fileSystem, applied));
  }

  /** Asks for an append; nothing is written before the disk completes it. */
  append(append: Partial<WalAppend>, name = ''): void {
    const whole = { hardState: this.model.hardState, entries: [], ...append };
    this.model = appended(this.model, whole);
    this.wal.append(whole, () => this.done.push(name));
  }

  /** Appends and completes everything: one batch. */
  write(append: Partial<WalAppend>): void {
    this.append(append);
    this.fileSystem.completeAll();
  }

  /** Idle for long enough. */
  seal(): void {
    this.clock.fire();
    this.fileSystem.completeAll();
  }

  get segments(): string[] {
    return this.fileSystem.list(directory);
  }
}

export function recovered(
  fileSystem: MemoryFileSystem,
  applied: EntryId = emptyLog.base,
): { replay: Replay; log: RecoveredLog } {
  const replay = replayWal(fileSystem, directory);
  return { replay, log: recoverLog(replay, applied) };
}

/** Entries of one term from `first` to `last`. */
export function entries(term: number, first: number, last: number): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => ({
    index: first + at,
    term,
    kind: 'normal',
    data: fromLatin1(`${first + at} of term ${term}`),
  }));
}
