import type { Backend } from '../backend/backend.ts';
import type { Done } from '../base/file-system.ts';
import type { Revision } from '../base/ids.ts';
import {
  compactionFlushBytesMin,
  compactionPendingBytesMax,
  compactionStepKeysMax,
  compactionStepVersionsMax,
} from '../config/limits.ts';
import type { KeyEntry } from './key-entry.ts';
import type { KeyIndex } from './key-index.ts';
import type { Versions } from './versions.ts';

export interface CompactionModules {
  readonly index: KeyIndex;
  readonly versions: Versions;
  readonly backend: Pick<Backend, 'pendingBytes' | 'boundary' | 'flush'>;
  readonly counters: { erasedVersions: number };
  /** Makes the end of a pass durable. */
  readonly finish: (revision: Revision, done: Done) => void;
}

interface Pass {
  readonly revision: Revision;
  readonly waiters: Done[];
  /** The next key to look at. */
  cursor: string;
}

/**
 * Erases, in steps, the versions that no revision from the compacted one on can see. Which versions those are was
 * decided when the compaction was applied; how far the erasing got differs between members and is visible nowhere.
 *
 * Versions of one key go oldest first, its tombstone last: wherever a crash cuts in, what is left reads the same.
 */
export class Compaction {
  readonly #modules: CompactionModules;
  #pass: Pass | undefined = undefined;
  #next: Pass | undefined = undefined;

  constructor(modules: CompactionModules) {
    this.#modules = modules;
  }

  /** A pass under way ends with the revision it began with. */
  schedule(revision: Revision, done: Done): void {
    const waiters = this.#next?.waiters ?? [];
    waiters.push(done);
    this.#next = { revision, waiters, cursor: '' };
  }

  get isIdle(): boolean {
    return this.#pass === undefined && this.#next === undefined;
  }

  /** Does a few milliseconds of work; call it only between two entries. Returns whether there is more to do. */
  step(): boolean {
    this.#pass ??= this.#takeNext();
    const pass = this.#pass;
    if (pass === undefined) return false;
    const { backend } = this.#modules;
    if (backend.pendingBytes > compactionPendingBytesMax) return true;
    const isAtEnd = this.#isAtEnd(pass);
    backend.boundary();
    // A failure stays with the backend: whoever flushes next is told.
    if (backend.pendingBytes >= compactionFlushBytesMin) backend.flush(() => {});
    if (isAtEnd) {
      this.#pass = undefined;
      this.#modules.finish(pass.revision, (error) => {
        for (const done of pass.waiters) done(error);
      });
    }
    return !this.isIdle;
  }

  #takeNext(): Pass | undefined {
    const next = this.#next;
    this.#next = undefined;
    return next;
  }

  /** Goes on from the pass' cursor; whether it came to the end. */
  #isAtEnd(pass: Pass): boolean {
    let erased = 0;
    let looked = 0;
    let isAtEnd = true;
    const emptied: string[] = [];
    const rest = { start: pass.cursor, end: undefined, single: false };
    this.#modules.index.forEach(rest, (entry, key) => {
      erased += this.#erase(entry, pass.revision, compactionStepVersionsMax - erased, emptied);
      // The key is looked at again: a key with many versions may take several steps.
      pass.cursor = key;
      isAtEnd = erased < compactionStepVersionsMax && ++looked < compactionStepKeysMax;
      return isAtEnd;
    });
    for (const key of emptied) this.#modules.index.remove(key);
    return isAtEnd;
  }

  /** Returns how many versions it erased. */
  #erase(entry: KeyEntry, revision: Revision, max: number, emptied: string[]): number {
    if (entry.older === undefined && !entry.isTombstone) return 0;
    const forgotten = entry.forget(revision, max);
    this.#modules.versions.erase(forgotten);
    this.#modules.counters.erasedVersions += forgotten.length;
    if (entry.isEmpty) emptied.push(entry.key);
    return forgotten.length;
  }
}
