import type { Buffer } from 'node:buffer';
import { write } from 'node:fs';
import { promisify } from 'node:util';
import type { Clock } from '../base/clock.ts';
import { auditOutputPollMs } from '../config/limits.ts';
import type { AuditSink } from './audit-log.ts';

const descriptor = 1;
const writeTo = promisify(write);

/**
 * `--audit-log-path -`: for whoever gathers what the process prints; the log of the member goes to standard error. Written
 * off the main thread: a pipe that nobody reads must not stop the member.
 */
export class StandardOutput implements AuditSink {
  readonly #clock: Clock;
  #isClosed = false;

  constructor(modules: { readonly clock: Clock }) {
    this.#clock = modules.clock;
  }

  async write(bytes: Buffer): Promise<number> {
    for (;;) {
      try {
        return (await writeTo(descriptor, bytes)).bytesWritten;
      } catch (error) {
        // A pipe that does not block, and is full: its reader is slow, which is no failure.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || this.#isClosed) throw error;
      }
      await new Promise<void>((resolve) => {
        this.#clock.after(auditOutputPollMs, resolve);
      });
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}
