import type { Buffer } from 'node:buffer';
import { write } from 'node:fs';
import { promisify } from 'node:util';
import type { AuditSink } from './audit-log.ts';

const descriptor = 1;
const writeTo = promisify(write);

/**
 * `--audit-log-path -`: for whoever gathers what the process prints; the log of the member goes to standard error. Written
 * off the main thread: a pipe that nobody reads must not stop the member.
 */
export class StandardOutput implements AuditSink {
  async write(bytes: Buffer): Promise<number> {
    const { bytesWritten } = await writeTo(descriptor, bytes);
    return bytesWritten;
  }

  async close(): Promise<void> {}
}
