import type { Clock } from '../../../server/base/clock.ts';
import type { Done, FileSystem, WritableFile } from '../../../server/base/file-system.ts';

/** A disk in memory on which nothing is ever lost. Asynchronous operations wait until they are let go one by one. */
export class MemoryFileSystem implements FileSystem {
  readonly files = new Map<string, Uint8Array>();
  /** What was asked for, in order: `write NAME`, `datasync NAME`, ... */
  readonly operations: string[] = [];
  readonly #pending: Array<() => void> = [];
  /** The error of the next asynchronous operation whose name begins so. */
  failure: { operation: string; error: Error } | undefined;

  makeDirectory(): void {}

  list(directory: string): string[] {
    const names = [...this.files.keys()].filter((path) => path.startsWith(`${directory}/`));
    return names.map((path) => path.slice(directory.length + 1)).sort();
  }

  exists(path: string): boolean {
    return this.files.has(path);
  }

  read(path: string): Uint8Array {
    const bytes = this.files.get(path);
    if (bytes === undefined) throw new Error(`ENOENT: ${path}`);
    return bytes.slice();
  }

  create(path: string): WritableFile {
    if (this.files.has(path)) throw new Error(`EEXIST: ${path}`);
    this.#note('create', path);
    this.#failIfAsked('create');
    this.files.set(path, new Uint8Array(0));
    return this.open(path);
  }

  open(path: string): WritableFile {
    const put = (bytes: Uint8Array, position: number): void => {
      const old = this.files.get(path) ?? new Uint8Array(0);
      const grown = new Uint8Array(Math.max(old.length, position + bytes.length));
      grown.set(old);
      grown.set(bytes, position);
      this.files.set(path, grown);
    };
    return {
      writeSync: put,
      datasyncSync: () => this.#note('datasyncSync', path),
      write: (chunks, position, done) => {
        this.#later('write', path, done, () => put(Buffer.concat(chunks), position));
      },
      datasync: (done) => this.#later('datasync', path, done),
      close: () => this.#note('close', path),
    };
  }

  rename(source: string, target: string): void {
    this.#note('rename', target);
    this.files.set(target, this.read(source));
    this.files.delete(source);
  }

  remove(path: string): void {
    this.#note('remove', path);
    this.files.delete(path);
  }

  syncDirectory(path: string): void {
    this.#note('syncDirectory', path);
  }

  syncDirectoryAsync(path: string, done: Done): void {
    this.#later('syncDirectory', path, done);
  }

  removeAsync(path: string, done: Done): void {
    this.#later('remove', path, done, () => this.files.delete(path));
  }

  #later(operation: string, path: string, done: Done, effect: () => void = () => {}): void {
    this.#note(operation, path);
    this.#pending.push(() => {
      try {
        this.#failIfAsked(operation);
      } catch (error) {
        done(error as Error);
        return;
      }
      effect();
      done(null);
    });
  }

  #failIfAsked(operation: string): void {
    if (this.failure?.operation !== operation) return;
    const { error } = this.failure;
    this.failure = undefined;
    throw error;
  }

  #note(operation: string, path: string): void {
    this.operations.push(`${operation} ${path.slice(path.lastIndexOf('/') + 1)}`);
  }

  /** Completes the oldest operation; false when none is under way. */
  complete(): boolean {
    const next = this.#pending.shift();
    next?.();
    return next !== undefined;
  }

  completeAll(): void {
    while (this.complete());
  }

  /** The same files, to be damaged. */
  copy(): MemoryFileSystem {
    const copy = new MemoryFileSystem();
    for (const [path, bytes] of this.files) copy.files.set(path, bytes.slice());
    return copy;
  }
}

/** Timers that fire when told. */
export class ManualClock implements Clock {
  #timers: Array<() => void> = [];

  nowMs(): number {
    return 0;
  }

  wallMs(): number {
    return 0;
  }

  after(_delayMs: number, callback: () => void): { cancel(): void } {
    this.#timers.push(callback);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((timer) => timer !== callback);
      },
    };
  }

  fire(): void {
    const timers = this.#timers;
    this.#timers = [];
    for (const timer of timers) timer();
  }
}
