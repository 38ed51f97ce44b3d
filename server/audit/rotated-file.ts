import { Buffer } from 'node:buffer';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { AuditSink } from './audit-log.ts';

export interface RotatedFileOptions {
  readonly path: string;
  readonly fileBytesMax: number;
  readonly filesMax: number;
}

const newline = 0x0a;

/** A file that only grows; past its size it becomes PATH.1, that one PATH.2, and the oldest goes away. Mode 0600. */
export class RotatedFile implements AuditSink {
  readonly #options: RotatedFileOptions;
  #file: FileHandle | undefined;
  #sizeBytes = 0;

  private constructor(options: RotatedFileOptions) {
    this.#options = options;
  }

  /** Goes on with a file that is there. Rejects with the system's error, and when it is a pipe or another such thing. */
  static async open(options: RotatedFileOptions): Promise<RotatedFile> {
    const rotated = new RotatedFile(options);
    const { path } = options;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if ((await exists(path)) && !(await stat(path)).isFile()) {
      throw new Error(`${path} is no regular file; standard output is -`);
    }
    await rotated.#open();
    await rotated.#removeOld();
    return rotated;
  }

  async write(bytes: Buffer, { isLineBegun }: { readonly isLineBegun: boolean }): Promise<number> {
    const isTooMuch = this.#sizeBytes + bytes.length > this.#options.fileBytesMax;
    if (!isLineBegun && isTooMuch && this.#sizeBytes > 0) await this.#rotate();
    const file = this.#file ?? (await this.#open());
    const { bytesWritten } = await file.write(bytes, 0);
    this.#sizeBytes += bytesWritten;
    return bytesWritten;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #open(): Promise<FileHandle> {
    // For reading too: its last byte.
    const file = await open(this.#options.path, 'a+', 0o600);
    this.#file = file;
    this.#sizeBytes = (await file.stat()).size;
    if (this.#sizeBytes > 0 && !(await endsWithLine(file, this.#sizeBytes))) {
      // A process that was killed has left half a line.
      await file.write('\n');
      this.#sizeBytes++;
    }
    return file;
  }

  /** There were more to keep before. */
  async #removeOld(): Promise<void> {
    const { path, filesMax } = this.#options;
    const [folder, prefix] = [dirname(path), `${basename(path)}.`];
    for (const name of await readdir(folder)) {
      if (!name.startsWith(prefix) || !/^[1-9]\d*$/.test(name.slice(prefix.length))) continue;
      if (Number(name.slice(prefix.length)) > filesMax) await rm(join(folder, name));
    }
  }

  async #rotate(): Promise<void> {
    const { path } = this.#options;
    await this.close();
    // Not there where an attempt before this one came so far.
    if (await exists(path)) {
      await this.#makeRoom();
      await rename(path, `${path}.1`);
    }
    await this.#open();
  }

  /** Only as many files move as have to: an attempt that was killed, or failed, has left a gap, and need not cost a file. */
  async #makeRoom(): Promise<void> {
    const { path, filesMax } = this.#options;
    let free = 1;
    while (free < filesMax && (await exists(`${path}.${free}`))) free++;
    await rm(`${path}.${free}`, { force: true });
    for (let age = free; age > 1; age--) await rename(`${path}.${age - 1}`, `${path}.${age}`);
  }
}

async function endsWithLine(file: FileHandle, sizeBytes: number): Promise<boolean> {
  const last = Buffer.alloc(1);
  await file.read(last, 0, 1, sizeBytes - 1);
  return last[0] === newline;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
