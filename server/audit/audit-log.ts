import { Buffer } from 'node:buffer';
import { StatusError } from '../api/errors.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import {
  auditBatchBytesMax,
  auditCloseMsMax,
  auditFlushMs,
  auditQueueBytesMax,
  auditReservedShare,
  auditRetryMs,
  auditWaitingMax,
  auditWaitMsMax,
} from '../config/limits.ts';

/** Where lines go. */
export interface AuditSink {
  /** Whole lines, or what is left of them. Resolves with how many bytes were written, which may be fewer. */
  write(bytes: Buffer, options: { readonly isLineBegun: boolean }): Promise<number>;
  close(): Promise<void>;
}

/** For /metrics. */
export interface AuditCounters {
  /** Lines that were written. */
  written: number;
  /** Lines that there was no room for. */
  dropped: number;
  /** Attempts to write that failed. */
  failures: number;
}

export interface AuditLogModules {
  readonly sink: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface AuditLogOptions {
  readonly whenFull: 'drop' | 'block';
  /** Bytes of the queue. Default: {@link auditQueueBytesMax}. */
  readonly queueBytesMax?: number;
}

/** Lines on their way to the sink. */
interface Batch {
  /** What is left of them. */
  bytes: Buffer;
  readonly count: number;
  isBegun: boolean;
}

/**
 * A bounded queue of lines and the one who writes them, many at once. No call waits for the disk: when the queue is full,
 * lines are dropped and counted, or the callers wait for room.
 */
export class AuditLog {
  readonly counters: AuditCounters = { written: 0, dropped: 0, failures: 0 };
  readonly #modules: AuditLogModules;
  readonly #options: Required<AuditLogOptions>;
  #queue: string[] = [];
  #queueBytes = 0;
  /** Taken out of the queue and not yet written. */
  #batch: Batch | undefined;
  #isWriting = false;
  #isFailing = false;
  /** Lines are gathered, for so long. */
  #gather: Timer | undefined;
  #isClosing = false;
  #isClosed = false;
  #room: (() => void)[] = [];
  /** Calls that are not begun before there is room. */
  readonly #waiting = new Set<() => void>();
  #idle: (() => void)[] = [];

  constructor(modules: AuditLogModules, options: AuditLogOptions) {
    this.#modules = modules;
    this.#options = { queueBytesMax: auditQueueBytesMax, ...options };
  }

  /** Whether callers wait for room. */
  get blocks(): boolean {
    return this.#options.whenFull === 'block';
  }

  get isFull(): boolean {
    return this.#heldBytes >= this.#options.queueBytesMax;
  }

  /** Bytes that wait to be written. */
  get queueBytes(): number {
    return this.#heldBytes;
  }

  get #heldBytes(): number {
    return this.#queueBytes + (this.#batch?.bytes.length ?? 0);
  }

  /**
   * Takes a line. While the queue is nearly full, only what is `important` is taken; when it is full, nothing is: where
   * callers block, the line of a call that was admitted is taken all the same, and the promise resolves when there is room.
   */
  add(
    line: string,
    {
      important,
      isAdmitted = true,
    }: { readonly important: boolean; readonly isAdmitted?: boolean },
  ): Promise<void> | undefined {
    const { queueBytesMax } = this.#options;
    const share = important || this.blocks ? 1 : 1 - auditReservedShare;
    const isRefused = this.#heldBytes >= share * queueBytesMax;
    if (this.#isClosed || (isRefused && !(this.blocks && isAdmitted))) {
      this.counters.dropped++;
      return undefined;
    }
    this.#queue.push(line);
    this.#queueBytes += Buffer.byteLength(line);
    this.#begin();
    return isRefused ? this.#untilRoom() : undefined;
  }

  /**
   * Where callers block, before anything is done for a call: what clients give up and ask again must not fill the memory.
   * Undefined: go on. Rejects with a StatusError when room is long in coming, or when many wait for it already.
   */
  admit(): Promise<void> | undefined {
    if (!this.blocks || !this.isFull || this.#isClosed) return undefined;
    if (this.#waiting.size >= auditWaitingMax) return Promise.reject(noRoom());
    return new Promise((resolve, reject) => {
      const over = (): void => {
        late.cancel();
        this.#waiting.delete(admitted);
      };
      const admitted = (): void => {
        over();
        resolve();
      };
      const late = this.#modules.clock.after(auditWaitMsMax, () => {
        over();
        reject(noRoom());
      });
      this.#waiting.add(admitted);
    });
  }

  #untilRoom(): Promise<void> {
    return new Promise((resolve) => {
      this.#room.push(resolve);
    });
  }

  /** Writes what there is, if that succeeds in a while, and nothing more. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const written = new Promise<void>((resolve) => {
      this.#idle.push(resolve);
    });
    const late = new Promise<void>((resolve) => {
      this.#modules.clock.after(auditCloseMsMax, resolve);
    });
    if (this.#gather === undefined && !this.#isWriting) this.#begin();
    if (this.#gather !== undefined) this.#stopGathering();
    await Promise.race([written, late]);
    this.#isClosed = true;
    const lost = this.#queue.length + (this.#batch?.count ?? 0);
    if (lost > 0) this.#modules.logger.error({ lines: lost }, 'the end of the audit log is lost');
    this.counters.dropped += lost;
    this.#wake();
    await this.#modules.sink.close();
  }

  /** Gathers lines for a while: a busy log is few writes then. */
  #begin(): void {
    if (!this.#isWriting) {
      this.#isWriting = true;
      this.#gather = this.#modules.clock.after(auditFlushMs, () => void this.#run());
    }
    if (this.#gather !== undefined && this.#isUrgent) this.#stopGathering();
  }

  #stopGathering(): void {
    this.#gather?.cancel();
    void this.#run();
  }

  /** Writes until little is left; that is gathered again. */
  async #run(): Promise<void> {
    this.#gather = undefined;
    do {
      this.#batch ??= this.#nextBatch();
      await this.#tryToWrite(this.#batch);
      if (!this.isFull) this.#wake();
    } while (!this.#isClosed && this.#isUrgent);
    this.#isWriting = false;
    if (this.#queue.length > 0 && !this.#isClosed) this.#begin();
    else for (const resolve of this.#idle.splice(0)) resolve();
  }

  get #isUrgent(): boolean {
    if (this.#batch !== undefined) return true;
    const isMuch = this.#queueBytes >= auditBatchBytesMax || this.isFull;
    return this.#queue.length > 0 && (isMuch || this.#isClosing);
  }

  async #tryToWrite(batch: Batch): Promise<void> {
    try {
      await this.#write(batch);
      this.counters.written += batch.count;
      this.#batch = undefined;
      this.#succeeded();
    } catch (error) {
      this.#failed(error);
      await new Promise<void>((resolve) => {
        this.#modules.clock.after(auditRetryMs, resolve);
      });
    }
  }

  /** What has been written of a batch is not written again. */
  async #write(batch: Batch): Promise<void> {
    while (batch.bytes.length > 0) {
      const written = await this.#modules.sink.write(batch.bytes, { isLineBegun: batch.isBegun });
      batch.bytes = batch.bytes.subarray(written);
      batch.isBegun ||= written > 0;
    }
  }

  #nextBatch(): Batch {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < auditBatchBytesMax) {
      bytes += Buffer.byteLength(this.#queue[count] ?? '');
      count++;
    }
    const text = this.#queue.slice(0, count).join('');
    this.#queue = this.#queue.slice(count);
    this.#queueBytes -= bytes;
    return { bytes: Buffer.from(text), count, isBegun: false };
  }

  #wake(): void {
    for (const resolve of this.#room.splice(0)) resolve();
    for (const admitted of this.#waiting) admitted();
  }

  /** Said once, until it works again. */
  #failed(error: unknown): void {
    this.counters.failures++;
    if (this.#isFailing) return;
    this.#isFailing = true;
    this.#modules.logger.error({ error }, 'the audit log cannot be written; it is tried again');
  }

  #succeeded(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    const { dropped } = this.counters;
    this.#modules.logger.warn({ dropped }, 'the audit log is written again');
  }
}

function noRoom(): StatusError {
  const text = 'mainstay: the audit log is full and its disk too slow; nothing was done';
  return new StatusError('RESOURCE_EXHAUSTED', text);
}
