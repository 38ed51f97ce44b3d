import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ClassicLevel, type IteratorOptions } from 'classic-level';
import type { Done } from '../base/file-system.ts';
import type { Histogram } from '../base/histogram.ts';
import { scanChunkBytesMax, scanChunkRecordsMax } from '../config/limits.ts';
import { StateDamagedError } from './damage.ts';
import {
  type OrderedStore,
  type PinnedStore,
  type StoreOp,
  type StoreRange,
  type StoreRecord,
  type StoreScan,
} from './ordered-store.ts';

type Level = ClassicLevel<Uint8Array, Uint8Array>;
type LevelSnapshot = ReturnType<Level['snapshot']>;

const encodings = { keyEncoding: 'view', valueEncoding: 'view' } as const;

/** LevelDB's block cache; the hot values are kept decoded above it. */
const blockCacheSizeBytes = 32 * 1024 * 1024;
/** The directory is measured again after so many bytes were written. */
const measureEveryBytes = 1024 * 1024;
/** At most so much of LevelDB's text log is looked through. */
const logSizeMax = 4 * 1024 * 1024;

export interface LevelStoreOptions {
  readonly directory: string;
  /** Whether an empty or missing directory is made into a new store; otherwise it counts as damage. Default true. */
  readonly createIfMissing?: boolean;
  /** Is told how long each batch took to become durable. */
  readonly commitSeconds?: Pick<Histogram, 'observe'>;
}

/** LevelDB. The only file that knows classic-level. */
export class LevelStore implements OrderedStore {
  readonly suspicion: string | undefined;
  readonly #level: Level;
  readonly #directory: string;
  readonly #commitSeconds: LevelStoreOptions['commitSeconds'];
  #sizeBytes = 0;
  #unmeasuredBytes = 0;
  #isMeasuring = false;

  private constructor(level: Level, options: LevelStoreOptions, suspicion: string | undefined) {
    this.#level = level;
    this.#directory = options.directory;
    this.#commitSeconds = options.commitSeconds;
    this.suspicion = suspicion;
  }

  /** Throws {@link StateDamagedError} when LevelDB finds its files damaged, and its own error when it cannot read or lock them. */
  static async open(options: LevelStoreOptions): Promise<LevelStore> {
    const { directory, createIfMissing = true } = options;
    const failedOpenings = failedOpeningsOf(directory);
    if (failedOpenings > 0) await probe(directory, failedOpenings);
    mkdirSync(directory, { recursive: true });
    writeFileSync(openingFile(directory), `${failedOpenings + 1}`);
    const level: Level = new ClassicLevel(directory, {
      ...encodings,
      createIfMissing,
      cacheSize: blockCacheSizeBytes,
    });
    try {
      await level.open();
    } catch (error) {
      rmSync(openingFile(directory), { force: true });
      throw openError(error, directory);
    }
    const store = new LevelStore(level, options, await suspicionIn(directory));
    await store.#measure();
    return store;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#level.getSync(key);
    } catch (error) {
      throw readError(error, this.#directory);
    }
  }

  async hasMany(keys: readonly Uint8Array[]): Promise<readonly boolean[]> {
    try {
      return await this.#level.hasMany([...keys], { ...encodings, fillCache: false });
    } catch (error) {
      throw readError(error, this.#directory);
    }
  }

  write(batch: readonly StoreOp[], done: Done): void {
    let sizeBytes = 0;
    const operations = batch.map((op) => {
      sizeBytes += op.key.length;
      if (op.kind === 'delete') return { type: 'del', key: op.key } as const;
      sizeBytes += op.value.length;
      return { type: 'put', key: op.key, value: op.value } as const;
    });
    this.#unmeasuredBytes += sizeBytes;
    const startedMs = performance.now();
    this.#level.batch(operations, { ...encodings, sync: true }).then(
      () => {
        this.#commitSeconds?.observe((performance.now() - startedMs) / 1000);
        if (this.#unmeasuredBytes >= measureEveryBytes) void this.#measure();
        done(null);
      },
      (error: unknown) => done(systemError('write', this.#directory, error)),
    );
  }

  scan(range: StoreRange): StoreScan {
    return scanLevel(this.#level, this.#directory, range);
  }

  pin(): PinnedStore {
    const level = this.#level;
    const directory = this.#directory;
    const snapshot: LevelSnapshot = level.snapshot();
    return {
      get(key) {
        try {
          return level.getSync(key, { ...encodings, snapshot });
        } catch (error) {
          throw readError(error, directory);
        }
      },
      scan: (range) => scanLevel(level, directory, range, snapshot),
      release() {
        void snapshot.close();
      },
    };
  }

  /** As measured last, and what was written since. */
  sizeBytes(): number {
    return this.#sizeBytes + this.#unmeasuredBytes;
  }

  /** LevelDB does it in threads of its own; reads and writes go on. */
  async compact(): Promise<void> {
    try {
      await this.#level.compactRange(Uint8Array.of(0), Uint8Array.of(0xff), encodings);
    } catch (error) {
      throw systemError('write', this.#directory, error);
    }
    await this.#measure();
  }

  verified(): void {
    rmSync(openingFile(this.#directory), { force: true });
  }

  close(): Promise<void> {
    this.verified();
    return this.#level.close();
  }

  async #measure(): Promise<void> {
    if (this.#isMeasuring) return;
    this.#isMeasuring = true;
    const measuredBytes = this.#unmeasuredBytes;
    this.#sizeBytes = await directorySizeBytes(this.#directory);
    this.#unmeasuredBytes -= measuredBytes;
    this.#isMeasuring = false;
  }
}

/**
 * There from the opening until all was read. LevelDB does not report some damage: it ends the process (an assertion in
 * its C++). A file left over means that an earlier process did not get through.
 */
function openingFile(directory: string): string {
  return join(directory, 'OPENING');
}

/** How many processes in a row did not get through. */
function failedOpeningsOf(directory: string): number {
  if (!existsSync(openingFile(directory))) return 0;
  return Number.parseInt(readFileSync(openingFile(directory), 'utf8'), 10) || 1;
}

/** The exit status of a probe that could not read all there is. */
const unreadableStatus = 3;

/**
 * Reads everything in a process of its own: it is damage if that one is ended by LevelDB, or cannot read what this one may
 * never come to, since LevelDB ends it before. Anything else was a kill. Where a process was ended again after a probe that
 * found nothing, LevelDB may have been at its own work in the background: then the next probe has it do all of that.
 */
async function probe(directory: string, failedOpenings: number): Promise<void> {
  const script = fileURLToPath(new URL('./leveldb-probe.js', import.meta.url));
  const args = failedOpenings > 1 ? [script, directory, 'compact'] : [script, directory];
  const child = spawn(process.execPath, args, { stdio: 'ignore' });
  const [status, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (...end) => resolve(end));
  });
  if (status === unreadableStatus) {
    throw new StateDamagedError('a record in it cannot be read', { file: directory });
  }
  if (signal !== 'SIGABRT' && signal !== 'SIGSEGV' && signal !== 'SIGBUS') return;
  throw new StateDamagedError(`LevelDB gave up while reading it (${signal})`, { file: directory });
}

/** What the process of a {@link probe} does. Its exit status says whether all could be read, by scan and by key. */
export async function readLevel(
  directory: string,
  { compacts }: { readonly compacts: boolean },
): Promise<number> {
  const level: Level = new ClassicLevel(directory, { ...encodings, createIfMissing: false });
  await level.open();
  try {
    for await (const chunk of scanLevel(level, directory, {})) {
      for (const [key] of chunk) level.getSync(key);
    }
    if (compacts) await level.compactRange(Uint8Array.of(0), Uint8Array.of(0xff), encodings);
  } catch (error) {
    if (readError(error, directory) instanceof StateDamagedError) return unreadableStatus;
    throw error;
  } finally {
    await level.close();
  }
  return 0;
}

async function* scanLevel(
  level: Level,
  directory: string,
  range: StoreRange,
  snapshot?: LevelSnapshot,
): AsyncGenerator<readonly StoreRecord[]> {
  const options: IteratorOptions<Uint8Array, Uint8Array> = {
    ...encodings,
    ...range,
    ...(snapshot === undefined ? {} : { snapshot }),
    highWaterMarkBytes: scanChunkBytesMax,
    fillCache: false,
  };
  const iterator = level.iterator(options);
  try {
    let next = iterator.nextv(scanChunkRecordsMax);
    for (;;) {
      const chunk = await next;
      if (chunk.length === 0) return;
      // Fetched while this one is looked at, unless nobody asks for it.
      next = iterator.nextv(scanChunkRecordsMax);
      next.catch(() => {});
      yield chunk;
    }
  } catch (error) {
    throw readError(error, directory);
  } finally {
    await iterator.close();
  }
}

/** Of the data; LevelDB's text logs are none. It removes files while we look. */
async function directorySizeBytes(directory: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(directory)) {
    if (name.startsWith('LOG')) continue;
    const file = await stat(join(directory, name)).catch(() => undefined);
    sum += file?.size ?? 0;
  }
  return sum;
}

/** What LevelDB wrote about bytes that it left out while it recovered: the only trace of it, in a file of text. */
async function suspicionIn(directory: string): Promise<string | undefined> {
  for (const name of ['LOG', 'LOG.old']) {
    const text = await readFile(join(directory, name), 'latin1').catch(() => '');
    const line = text
      .slice(-logSizeMax)
      .split('\n')
      .find((candidate) => /dropping|corrupt/i.test(candidate));
    if (line !== undefined) return `${name}: ${line.slice(0, 200)}`;
  }
  return undefined;
}

/** What is wrong with the machine and not with our files. */
const surroundings =
  /\block\b|permission denied|not permitted|read-only|no space|quota|too many open files|allocate/i;

/** Files that cannot be read count as damaged ones, as a sector that cannot be read does. */
function openError(error: unknown, directory: string): Error {
  const cause = causeOf(error);
  if (!surroundings.test(cause.message)) {
    return new StateDamagedError(cause.message, { file: directory, cause });
  }
  return systemError('open', directory, error);
}

/** Like Node's own errors of the system, which are told from ours by their `syscall`. */
function systemError(syscall: 'open' | 'write', directory: string, error: unknown): Error {
  const cause = causeOf(error);
  const text = `cannot ${syscall} ${directory}: ${cause.message}`;
  return Object.assign(new Error(text, { cause }), { syscall });
}

function readError(error: unknown, directory: string): Error {
  if (error instanceof StateDamagedError) return error;
  const cause = causeOf(error);
  const isOfFiles = /^(corruption|io error|invalid argument)/i.test(cause.message);
  if (!isOfFiles || surroundings.test(cause.message)) return cause;
  return new StateDamagedError(cause.message, { file: directory, cause });
}

/** abstract-level wraps what LevelDB said. */
function causeOf(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  return error.cause instanceof Error ? error.cause : error;
}
