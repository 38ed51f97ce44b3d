import * as fs from 'node:fs';
import { dirname } from 'node:path';
import type { Done, FileSystem, WritableFile } from '../base/file-system.ts';

/** The real disk. Directories 0700, files 0600. */
export const nodeFileSystem: FileSystem = {
  makeDirectory(path) {
    const first = fs.mkdirSync(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let made = path; made.length >= first.length; made = dirname(made)) {
      this.syncDirectory(dirname(made));
    }
  },
  list(directory) {
    return fs.existsSync(directory) ? fs.readdirSync(directory).sort() : [];
  },
  exists: (path) => fs.existsSync(path),
  read: (path) => fs.readFileSync(path),
  create: (path) => new NodeFile(fs.openSync(path, 'wx', 0o600)),
  open: (path) => new NodeFile(fs.openSync(path, 'r+')),
  rename: (source, target) => fs.renameSync(source, target),
  remove: (path) => fs.unlinkSync(path),
  syncDirectory(path) {
    const descriptor = fs.openSync(path, 'r');
    try {
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  },
  syncDirectoryAsync(path, done) {
    const descriptor = fs.openSync(path, 'r');
    fs.fsync(descriptor, (error) => {
      fs.closeSync(descriptor);
      done(error);
    });
  },
  removeAsync: (path, done) => fs.unlink(path, done),
};

class NodeFile implements WritableFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  writeSync(bytes: Uint8Array, position: number): void {
    for (let written = 0; written < bytes.length; ) {
      const rest = bytes.length - written;
      written += fs.writeSync(this.#descriptor, bytes, written, rest, position + written);
    }
  }

  datasyncSync(): void {
    fs.fdatasyncSync(this.#descriptor);
  }

  write(chunks: readonly Uint8Array[], position: number, done: Done): void {
    const sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    fs.writev(this.#descriptor, chunks, position, (error, written) => {
      if (error !== null || written === sizeBytes) done(error);
      else this.write(after(chunks, written), position + written, done);
    });
  }

  datasync(done: Done): void {
    fs.fdatasync(this.#descriptor, done);
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}

/** What a short write left over. */
function after(chunks: readonly Uint8Array[], written: number): Uint8Array[] {
  let skip = written;
  return chunks.flatMap((chunk) => {
    const rest = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - rest.length;
    return rest.length > 0 ? [rest] : [];
  });
}
