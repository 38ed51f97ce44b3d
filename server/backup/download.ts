import { rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { BackupError } from './failure.ts';

/**
 * Writes what comes to a file, and gives it to `use` when all of it is there. The file is removed in the end in any case.
 */
export async function withDownload<T>(
  path: string,
  content: AsyncIterable<Uint8Array>,
  use: () => Promise<T>,
): Promise<T> {
  try {
    // One of a run that was killed is of no use.
    rmSync(path, { force: true });
    await download(path, content);
    return await use();
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    throw new BackupError('DirectoryRefused', error.message, { cause: error });
  } finally {
    rmSync(path, { force: true });
  }
}

async function download(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of content) await writeAll(file, chunk);
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done);
    done += bytesWritten;
  }
}
