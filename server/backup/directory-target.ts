import { randomBytes } from 'node:crypto';
import type { Dirent, Stats } from 'node:fs';
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat as statFile,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { BackupError, type BackupFailure } from './failure.ts';
import {
  type ListedObject,
  type NewObject,
  readObject,
  type StoredObject,
  type Target,
} from './target.ts';

/** In the name of a file that is not whole yet. Nothing of ours has it in its own name. */
const partMark = '.part-';
const readBytes = 256 * 1024;

/** A directory, such as a mounted volume. It has to be there: what is not mounted is not written to. */
export class DirectoryTarget implements Target {
  readonly place: string;
  readonly #root: string;
  readonly #isCreated: boolean;

  /** `isCreated`: one that is not there is made, where it is sure that what is above it is the volume. */
  constructor(root: string, { isCreated = false }: { readonly isCreated?: boolean } = {}) {
    this.#root = resolve(root);
    this.place = root;
    this.#isCreated = isCreated;
  }

  async *list(prefix: string): AsyncGenerator<ListedObject, void, void> {
    await this.#checkRoot();
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    for await (const name of this.#namesBelow(folder)) {
      if (!name.startsWith(prefix) || name.includes(partMark)) continue;
      const found = await this.stat(name);
      if (found !== undefined) yield found;
    }
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    const found = await this.#statFile(name);
    if (found === undefined) return undefined;
    return { name, sizeBytes: found.size, modifiedMs: found.mtimeMs, owner: undefined };
  }

  async *get(name: string, fromByte = 0): AsyncGenerator<Buffer, void, void> {
    const path = this.#path(name);
    const file = await open(path, 'r').catch((error: unknown) => {
      throw isMissing(error) ? notFound(path) : failed(error);
    });
    try {
      for (let at = fromByte; ; ) {
        const { bytesRead, buffer } = await file
          .read(Buffer.allocUnsafe(readBytes), 0, readBytes, at)
          .catch(rethrow);
        if (bytesRead === 0) return;
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  async create(name: string, body: Uint8Array, owner: string): Promise<void> {
    const chunks = async function* () {
      yield body;
    };
    try {
      await this.createFrom(name, chunks(), { sizeBytes: body.length, owner });
    } catch (error) {
      if (!(error instanceof BackupError) || error.failure !== 'ForeignObject') throw error;
      const found = await readObject(this, name);
      if (Buffer.compare(found, body) !== 0) throw error;
    }
  }

  async createFrom(
    name: string,
    chunks: AsyncIterable<Uint8Array>,
    _object: NewObject,
  ): Promise<void> {
    await this.#checkRoot();
    const path = this.#path(name);
    const part = `${path}${partMark}${randomBytes(8).toString('hex')}`;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch(rethrow);
      await writeWhole(part, chunks);
      await moveNew(part, path);
      await syncDirectories(dirname(path), this.#root);
    } finally {
      await rm(part, { force: true });
    }
  }

  async delete(name: string): Promise<void> {
    await rm(this.#path(name), { force: true }).catch(rethrow);
  }

  async abortUnfinished(prefix: string, olderThanMs: number): Promise<number> {
    let aborted = 0;
    for await (const name of this.#namesBelow(prefix)) {
      const found = name.includes(partMark) ? await this.#statFile(name) : undefined;
      if (found === undefined || found.mtimeMs > Date.now() - olderThanMs) continue;
      await this.delete(name);
      aborted++;
    }
    return aborted;
  }

  async nowMs(): Promise<number> {
    return Date.now();
  }

  close(): void {}

  #path(name: string): string {
    if (name.split('/').some((word) => word === '' || word === '.' || word === '..')) {
      throw new BackupError('Invalid', `"${name}" is no name of an object in a directory`);
    }
    return join(this.#root, name);
  }

  async #statFile(name: string): Promise<Stats | undefined> {
    try {
      return await statFile(this.#path(name));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw failed(error);
    }
  }

  async #checkRoot(): Promise<void> {
    const found = await statFile(this.#root).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw failed(error);
    });
    if (found?.isDirectory() === true) return;
    if (found === undefined && this.#isCreated) {
      await mkdir(this.#root, { recursive: true, mode: 0o700 }).catch(rethrow);
      return;
    }
    const message = `${this.#root} is no directory: is the volume mounted there?`;
    throw new BackupError('StorageMissing', message);
  }

  /** `folder`: with a slash behind it, or nothing. */
  async *#namesBelow(folder: string): AsyncGenerator<string, void, void> {
    const entries = await readdir(join(this.#root, folder), { withFileTypes: true }).catch(
      (error: unknown): Dirent[] => {
        if (isMissing(error)) return [];
        throw failed(error);
      },
    );
    entries.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
    for (const entry of entries) {
      if (entry.isDirectory()) yield* this.#namesBelow(`${folder}${entry.name}/`);
      else if (entry.isFile()) yield `${folder}${entry.name}`;
    }
  }
}

/** Ordered as in a listing of whole names. */
function nameOf(entry: Dirent): string {
  return entry.isDirectory() ? `${entry.name}/` : entry.name;
}

async function writeWhole(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch(rethrow);
  try {
    for await (const chunk of chunks) await writeAll(file, chunk);
    await file.sync().catch(rethrow);
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done).catch(rethrow);
    done += bytesWritten;
  }
}

/** Never over another file. File systems without hard links get a look and a rename instead. */
async function moveNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
    return;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') throw foreign(to);
    const hasNoLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code);
    if (!hasNoLinks) throw failed(error);
  }
  const isTaken = await statFile(to).then(
    () => true,
    (error: unknown) => !isMissing(error),
  );
  if (isTaken) throw foreign(to);
  await rename(from, to).catch(rethrow);
}

/** A new file is durable with the directories that lead to it. */
async function syncDirectories(from: string, root: string): Promise<void> {
  for (let path = from; path.startsWith(root); path = dirname(path)) {
    const directory = await open(path, 'r').catch(rethrow);
    try {
      await directory.sync();
    } catch (error) {
      // Some network file systems cannot; they are durable by other means.
      if (codeOf(error) !== 'EINVAL') throw failed(error);
    } finally {
      await directory.close();
    }
    if (path === dirname(path)) return;
  }
}

function foreign(path: string): BackupError {
  return new BackupError('ForeignObject', `${path} is there already and is left as it is`);
}

function notFound(path: string): BackupError {
  return new BackupError('NotFound', `${path} is not there`);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

const failureOf: Readonly<Record<string, BackupFailure>> = {
  ENOSPC: 'StorageFull',
  EDQUOT: 'StorageFull',
  EFBIG: 'StorageFull',
  EACCES: 'StorageDenied',
  EPERM: 'StorageDenied',
  EROFS: 'StorageDenied',
};

function failed(error: unknown): Error {
  if (!(error instanceof Error) || !('syscall' in error)) return error as Error;
  return new BackupError(failureOf[codeOf(error)] ?? 'StorageRefused', error.message, {
    cause: error,
  });
}

function rethrow(error: unknown): never {
  throw failed(error);
}
