import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import type { LaterVersion } from '../snapshot/restored-records.ts';
import { writeAll } from '../snapshot/whole-file.ts';
import { decodeFrame, frameOf, type RevisionChanges } from './changes.ts';

/** Changes on their way into a restore, which takes them one by one: they stand in a file meanwhile. */
export class LaterVersions {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Writes what comes to a file, over what a run that was killed has left there. */
  static async write(
    path: string,
    changes: AsyncIterable<RevisionChanges>,
  ): Promise<LaterVersions> {
    rmSync(path, { force: true });
    const descriptor = openSync(path, 'wx', 0o600);
    try {
      for await (const each of changes) writeAll(descriptor, frameOf(each));
    } finally {
      closeSync(descriptor);
    }
    return new LaterVersions(path);
  }

  *[Symbol.iterator](): Generator<LaterVersion> {
    const descriptor = openSync(this.#path, 'r');
    try {
      for (let at = 0; ; ) {
        const size = readAll(descriptor, at, 4);
        if (size.length === 0) return;
        const sizeBytes = size.readUInt32BE(0);
        const { revision, records } = decodeFrame(readAll(descriptor, at + 4, sizeBytes));
        for (const [sub, record] of records.entries()) yield { main: revision, sub, record };
        at += 4 + sizeBytes;
      }
    } finally {
      closeSync(descriptor);
    }
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}

/** Fewer at the end of the file. */
function readAll(descriptor: number, from: number, sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const count = readSync(descriptor, bytes, done, sizeBytes - done, from + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}
