import { readFileSync } from 'node:fs';
import { certificateReadMsMin } from '../config/limits.ts';

export interface WatchedFilesEvents {
  /** New contents are in use. */
  readonly loaded: () => void;
  /** What is there now cannot be used; the contents before stay in use. Called once for the same contents. */
  readonly broken: (error: Error) => void;
}

/**
 * What is made of some files that belong together, made anew when their contents change. They are read when they are
 * asked for, so that nothing depends on how they are replaced; a half-written or missing file changes nothing.
 */
export class WatchedFiles<T> {
  readonly #paths: readonly string[];
  readonly #make: (contents: readonly Buffer[]) => T;
  readonly #events: WatchedFilesEvents;
  #seen: readonly Buffer[] | undefined;
  #made: T;
  #readAtMs: number;
  #lastError = '';

  /** Throws what reading or `make` throws: there must be something to begin with. */
  constructor(
    files: { paths: readonly string[]; make: (contents: readonly Buffer[]) => T },
    events: WatchedFilesEvents,
  ) {
    this.#paths = files.paths;
    this.#make = files.make;
    this.#events = events;
    this.#seen = this.#read();
    this.#made = this.#make(this.#seen);
    this.#readAtMs = performance.now();
  }

  get current(): T {
    const nowMs = performance.now();
    if (nowMs - this.#readAtMs < certificateReadMsMin) return this.#made;
    this.#readAtMs = nowMs;
    try {
      this.#refresh();
    } catch (error) {
      this.#broke(error instanceof Error ? error : new Error(String(error)));
    }
    return this.#made;
  }

  #refresh(): void {
    const contents = this.#read();
    if (this.#seen !== undefined && isEqual(contents, this.#seen)) return;
    // Remembered before it is known whether they are any good: broken ones are looked at once.
    this.#seen = contents;
    this.#made = this.#make(contents);
    this.#lastError = '';
    this.#events.loaded();
  }

  #broke(error: Error): void {
    if (error.message === this.#lastError) return;
    this.#lastError = error.message;
    this.#events.broken(error);
  }

  #read(): Buffer[] {
    return this.#paths.map((path) => readFileSync(path));
  }
}

function isEqual(some: readonly Buffer[], others: readonly Buffer[]): boolean {
  return some.every((content, at) => others[at]?.equals(content) === true);
}
