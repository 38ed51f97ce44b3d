import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * A file that is there in full, synced to disk, or not at all. `write` gets it open under another name; what it resolves
 * with is passed on.
 */
export async function writeWholeFile<T>(
  path: string,
  write: (descriptor: number) => Promise<T>,
): Promise<T> {
  const partial = `${path}.part`;
  rmSync(partial, { force: true });
  const descriptor = openSync(partial, 'wx', 0o600);
  try {
    const written = await write(descriptor);
    fsyncSync(descriptor);
    renameSync(partial, path);
    syncDirectory(dirname(path));
    return written;
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** Writes behind what was written before. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(descriptor, bytes, written);
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}
