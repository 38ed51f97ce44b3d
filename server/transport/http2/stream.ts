import { Buffer } from 'node:buffer';
import { streamBufferBytesMax, streamWindowBytes } from '../../config/limits.ts';
import { ReceiveWindow, SendWindow } from './flow-control.ts';
import { type ErrorCode, framePayloadBytesMax } from './frames.ts';
import type { ResponseFields } from './hpack-encoder.ts';
import type { SendScheduler } from './send-scheduler.ts';

/** Who serves a stream's request; the connection calls it. */
export interface StreamUser {
  /**
   * A part of the body, a view into what was read, to be given back through {@link Http2Stream.consumed}. `isLast`: the
   * client has sent all; the part may then be empty.
   */
  received(part: { bytes: Buffer; start: number; end: number }, isLast: boolean): void;
  /** {@link Http2Stream.write} said false, and now there is room. */
  drained(): void;
  /** Over, whoever ended it, or sent whole: called once, and nothing after it. */
  closed(): void;
}

/** What a stream needs of its connection. */
export interface StreamOwner {
  readonly scheduler: SendScheduler;
  /** Bytes of DATA that need not be held back any more, of the connection's window. */
  consumed(bytes: number): void;
  enlargeWindow(streamId: number, increment: number): void;
  reset(stream: Http2Stream, code: keyof typeof ErrorCode): void;
  /** It has no more to send nor to receive. */
  over(stream: Http2Stream): void;
}

/** How sending goes on: there is more, or a window is used up, or all has been sent. */
export type SendProgress = 'more' | 'streamWindow' | 'connectionWindow' | 'done';

/** One request and its response. */
export class Http2Stream {
  readonly id: number;
  readonly sendWindow: SendWindow;
  user: StreamUser | undefined;
  /** The client has sent END_STREAM. */
  isHalfClosed = false;
  hasResponded = false;
  readonly #owner: StreamOwner;
  #receiveWindow: ReceiveWindow | undefined;
  /** What the client said that is still to come; undefined when it did not say. */
  #contentLeft: number | undefined;
  /** Received and not yet consumed. */
  #unconsumedBytes = 0;
  #isEnded = false;
  #isClosed = false;
  // What could not be sent yet, in this order.
  #headers: ResponseFields | undefined;
  #data: Buffer[] = [];
  #dataBytes = 0;
  #trailers: ResponseFields | undefined;
  #isFull = false;
  /** It was among those that the scheduler lets wait. */
  #hasWaited = false;

  constructor(
    owner: StreamOwner,
    options: { id: number; sendWindowBytes: number; contentLength: number | undefined },
  ) {
    this.#owner = owner;
    this.id = options.id;
    this.sendWindow = new SendWindow(options.sendWindowBytes);
    this.#contentLeft = options.contentLength;
  }

  /** Nothing may be sent any more, because all was or because it was reset. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The response is complete, whether it could be sent already or not. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  get unsentBytes(): number {
    return this.#dataBytes;
  }

  get isWaiting(): boolean {
    return this.#headers !== undefined || this.#dataBytes > 0 || this.#trailers !== undefined;
  }

  // --- sending ---------------------------------------------------------------------------------

  respond(fields: ResponseFields): void {
    if (this.#isClosed || this.#isEnded) return;
    this.hasResponded = true;
    const { scheduler } = this.#owner;
    if (scheduler.isBlocked) this.#wait(() => (this.#headers = fields));
    else scheduler.writeFields(this.id, fields, false);
  }

  /** Takes the bytes in any case, which then must not change. False: there is much to send, wait for `drained`. */
  write(bytes: Buffer): boolean {
    if (this.#isClosed || this.#isEnded) return true;
    const { scheduler } = this.#owner;
    if (!this.isWaiting && scheduler.mayWrite(this, bytes.length)) {
      scheduler.writeData(this, bytes);
      return true;
    }
    this.#data.push(bytes);
    this.#dataBytes += bytes.length;
    this.#hasWaited = true;
    scheduler.waits(this, bytes.length);
    if (this.#dataBytes >= streamBufferBytesMax) this.#isFull = true;
    return !this.#isFull;
  }

  /** Ends the response, with nothing but these fields when there was none yet. */
  end(fields: ResponseFields): void {
    if (this.#isClosed || this.#isEnded) return;
    this.#isEnded = true;
    this.hasResponded = true;
    const { scheduler } = this.#owner;
    if (this.isWaiting || scheduler.isBlocked) this.#wait(() => (this.#trailers = fields));
    else this.#sendEnd(scheduler, fields);
  }

  #wait(keep: () => void): void {
    keep();
    this.#hasWaited = true;
    this.#owner.scheduler.waits(this, 0);
  }

  #sendEnd(scheduler: SendScheduler, fields: ResponseFields): void {
    if (scheduler.isTooLarge(fields)) return this.#owner.reset(this, 'INTERNAL_ERROR');
    scheduler.writeFields(this.id, fields, true);
    if (this.isHalfClosed) this.#owner.over(this);
  }

  reset(code: keyof typeof ErrorCode): void {
    if (!this.#isClosed) this.#owner.reset(this, code);
  }

  /** Sends the next frame of what waits. */
  sendNext(scheduler: SendScheduler): SendProgress {
    if (this.#headers !== undefined) {
      scheduler.writeFields(this.id, this.#headers, false);
      this.#headers = undefined;
    }
    if (this.#dataBytes > 0) {
      const progress = this.#sendData(scheduler);
      if (progress !== 'done') return progress;
    }
    const trailers = this.#trailers;
    this.#trailers = undefined;
    if (trailers !== undefined) this.#sendEnd(scheduler, trailers);
    return this.isWaiting ? 'more' : 'done';
  }

  #sendData(scheduler: SendScheduler): SendProgress {
    if (this.sendWindow.leftBytes <= 0) return 'streamWindow';
    if (scheduler.window.leftBytes <= 0) return 'connectionWindow';
    const bytes = this.#nextData(
      Math.min(framePayloadBytesMax, this.sendWindow.leftBytes, scheduler.window.leftBytes),
    );
    this.#dataBytes -= bytes.length;
    scheduler.unwaits(bytes.length);
    scheduler.writeData(this, bytes);
    if (this.#isFull && this.#dataBytes < streamBufferBytesMax / 2) {
      this.#isFull = false;
      this.user?.drained();
    }
    return this.#dataBytes > 0 ? 'more' : 'done';
  }

  #nextData(bytesMax: number): Buffer {
    const first = this.#data[0] as Buffer;
    if (first.length <= bytesMax) {
      this.#data.shift();
      return first;
    }
    this.#data[0] = first.subarray(bytesMax);
    return first.subarray(0, bytesMax);
  }

  // --- receiving -------------------------------------------------------------------------------

  /** A DATA frame of `frameBytes`, padding included, has come. */
  received(
    part: { bytes: Buffer; start: number; end: number },
    frameBytes: number,
    isLast: boolean,
  ): void {
    const bytes = part.end - part.start;
    const right = this.#rightToSend(frameBytes, isLast);
    const isMalformed = !this.#isContentLength(bytes, isLast);
    this.#unconsumedBytes += frameBytes;
    if (isLast) this.isHalfClosed = true;
    if (!right) return this.#owner.reset(this, 'FLOW_CONTROL_ERROR');
    if (isMalformed) return this.#owner.reset(this, 'PROTOCOL_ERROR');
    // Padding is for nobody.
    if (frameBytes > bytes) this.consumed(frameBytes - bytes);
    if (bytes > 0 || isLast) this.user?.received(part, isLast);
    if (isLast) this.#halfClosed();
  }

  /** END_STREAM came without DATA. */
  ended(): void {
    this.isHalfClosed = true;
    if (!this.#isContentLength(0, true)) return this.#owner.reset(this, 'PROTOCOL_ERROR');
    this.user?.received(nothing, true);
    this.#halfClosed();
  }

  #halfClosed(): void {
    if (this.#isEnded && !this.isWaiting && !this.#isClosed) this.#owner.over(this);
  }

  /** One that says all in its first frame needs no window: no frame is larger. */
  #rightToSend(frameBytes: number, isLast: boolean): boolean {
    if (isLast && this.#receiveWindow === undefined) return true;
    this.#receiveWindow ??= new ReceiveWindow(streamWindowBytes);
    return this.#receiveWindow.received(frameBytes);
  }

  /** Whether `content-length` is kept so far (RFC 9113 §8.1.1). */
  #isContentLength(bytes: number, isLast: boolean): boolean {
    if (this.#contentLeft === undefined) return true;
    this.#contentLeft -= bytes;
    return isLast ? this.#contentLeft === 0 : this.#contentLeft >= 0;
  }

  /** So much of what was received is done with: the client may send as much again. */
  consumed(bytes: number): void {
    if (this.#isClosed) return;
    this.#unconsumedBytes -= bytes;
    this.#owner.consumed(bytes);
    if (this.isHalfClosed || this.#receiveWindow === undefined) return;
    const increment = this.#receiveWindow.consumed(bytes);
    if (increment > 0) this.#owner.enlargeWindow(this.id, increment);
  }

  // --- the end ---------------------------------------------------------------------------------

  /** The connection has forgotten it. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#hasWaited) this.#owner.scheduler.forget(this);
    this.#owner.consumed(this.#unconsumedBytes);
    this.#headers = undefined;
    this.#data = [];
    this.#dataBytes = 0;
    this.#trailers = undefined;
    this.user?.closed();
    this.user = undefined;
  }
}

const nothing = { bytes: Buffer.alloc(0), start: 0, end: 0 };
