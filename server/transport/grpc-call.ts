import { setImmediate as othersTurn } from 'node:timers/promises';
import type { Call, CallContext, Requests, Responses, UnaryCall } from '../api/call.ts';
import { type Status, StatusError, statusOf, toStatus } from '../api/errors.ts';
import { inSlices } from '../api/turns.ts';
import { EtcdError } from '../base/errors.ts';
import { lingerMs, streamRequestsPerTurnMax, timerMsMax } from '../config/limits.ts';
import { encodingSteps } from '../proto/encoding-steps.ts';
import { DecodeError } from '../proto/wire.ts';
import type { Deadline, Deadlines } from './deadlines.ts';
import { responseHeaders, timeoutMs, trailers, trailersOnly } from './grpc-headers.ts';
import { framed, framedParts, MessageReader, soleMessage } from './grpc-messages.ts';
import type { RequestHeaders } from './http2/request-headers.ts';
import type { Http2Stream, StreamUser } from './http2/stream.ts';

const ok: Status = Object.freeze({ code: 0, message: '' });

/** The connection that calls come on. */
export interface CallOwner {
  readonly deadlines: Deadlines;
  /** The largest message that a client may send. */
  readonly messageBytesMax: number;
  /** `address:port` of the client. */
  readonly remoteAddress: string;
  readonly commonName: string | undefined;
  /** So many bytes more of requests are kept until the rest of them comes. False: that is too much. */
  holds(bytes: number): boolean;
  /** A service has begun to work on a request; it may go on after the call's end. */
  ran(): void;
  done(): void;
  /** A call has ended with an error. */
  failed(call: Call, error: unknown): void;
}

/** One call on one HTTP/2 stream: messages in, the service's answers out, a status at the end. */
export class GrpcCall implements CallContext, Responses<unknown>, StreamUser {
  readonly call: Call;
  readonly #owner: CallOwner;
  readonly #stream: Http2Stream;
  readonly #headers: RequestHeaders;
  /** Made when a message does not come as one part. */
  #messages: MessageReader | undefined;
  /** Of those, what the owner was told. */
  #heldBytes = 0;
  /** Received while the service was busy: the client may not send as much again yet. */
  #withheldBytes = 0;
  #deadline: Deadline | undefined;
  #requests: Requests<unknown> | undefined;
  #isOver = false;
  /** The service works on a request; for a unary call, its only one. */
  #isBusy = false;
  /** A unary call's request. */
  #request: unknown;
  /** The client has sent its last frame. */
  #isHalfClosed = false;

  constructor(
    modules: { call: Call; owner: CallOwner },
    wire: { stream: Http2Stream; headers: RequestHeaders },
  ) {
    this.call = modules.call;
    this.#owner = modules.owner;
    this.#stream = wire.stream;
    this.#headers = wire.headers;
  }

  start(): void {
    if (this.#startDeadline() && this.call.kind === 'stream') this.#open();
  }

  header(name: string): string | undefined {
    return this.#headers.get(name);
  }

  isOver(): boolean {
    return this.#isOver;
  }

  get remoteAddress(): string {
    return this.#owner.remoteAddress;
  }

  get commonName(): string | undefined {
    return this.#owner.commonName;
  }

  // --- the service's side ----------------------------------------------------------------------

  send(response: unknown): boolean {
    if (this.#isOver || this.#stream.isClosed) return true;
    return this.#write(framed(this.call.method.response, response));
  }

  end(): void {
    this.#finish(ok);
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#finish(error instanceof DecodeError ? undecodable(error) : toStatus(error));
    this.#owner.failed(this.call, error);
  }

  #write(frame: Buffer): boolean {
    if (!this.#stream.hasResponded) this.#stream.respond(responseHeaders);
    return this.#stream.write(frame);
  }

  #finish(status: Status): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopDeadline();
    this.#release();
    if (this.#stream.isClosed) return;
    this.#stream.end(this.#stream.hasResponded ? trailers(status) : trailersOnly(status));
    if (!this.#isHalfClosed) this.#linger();
  }

  /** The client is still sending: it will stop, or is made to. */
  #linger(): void {
    this.#deadline = this.#owner.deadlines.after(lingerMs, () => {
      this.#stream.reset('NO_ERROR');
    });
  }

  // --- the client's side -----------------------------------------------------------------------

  received(part: { bytes: Buffer; start: number; end: number }, isLast: boolean): void {
    if (isLast) this.#isHalfClosed = true;
    const bytes = part.end - part.start;
    if (this.#isOver) return this.#stream.consumed(bytes);
    const isWhole = isLast && this.#messages === undefined && this.call.kind === 'unary';
    const message = isWhole ? soleMessage(part, this.#owner.messageBytesMax) : undefined;
    if (message === undefined) {
      this.#receivedPart(part);
      return;
    }
    this.#stream.consumed(bytes);
    try {
      this.#request = this.call.method.request.decode(message);
      this.#halfClosed();
    } catch (error) {
      this.fail(error);
    }
  }

  drained(): void {
    if (!this.#isOver) this.#requests?.drained();
  }

  closed(): void {
    this.#isOver = true;
    this.#stopDeadline();
    this.#release();
    const requests = this.#requests;
    this.#requests = undefined;
    requests?.closed();
  }

  #receivedPart({ bytes, start, end }: { bytes: Buffer; start: number; end: number }): void {
    this.#messages ??= new MessageReader(this.#owner.messageBytesMax, this.header('grpc-encoding'));
    this.#messages.push(bytes, start, end);
    this.#withheldBytes += end - start;
    this.#deliver();
  }

  /** Gives the service the messages that have come, one at a time. What it cannot take yet stays in the client's window. */
  #deliver(): void {
    try {
      this.#takeMessages();
      this.#hold();
      if (this.#isBusy || this.#isOver) return;
      this.#stream.consumed(this.#withheldBytes);
      this.#withheldBytes = 0;
      if (this.#isHalfClosed) this.#halfClosed();
    } catch (error) {
      this.fail(error);
    }
  }

  #takeMessages(): void {
    for (let taken = 0; !this.#isOver && !this.#isBusy; taken++) {
      if (taken === streamRequestsPerTurnMax) return this.#waitFor(othersTurn());
      const message = this.#messages?.take();
      if (message === undefined) return;
      this.#next(this.call.method.request.decode(message));
    }
  }

  #next(request: unknown): void {
    if (this.call.kind === 'unary') {
      if (this.#request !== undefined) throw new StatusError('INTERNAL', 'too many requests');
      this.#request = request;
      return;
    }
    const done = this.#requests?.next(request);
    if (done !== undefined) this.#waitFor(done);
  }

  #waitFor(done: Promise<void>): void {
    this.#isBusy = true;
    done.then(
      () => {
        this.#isBusy = false;
        if (!this.#isOver) this.#deliver();
      },
      (error: unknown) => {
        this.fail(error);
      },
    );
  }

  #halfClosed(): void {
    if (this.#messages?.isEmpty === false) throw new StatusError('INTERNAL', 'unexpected EOF');
    if (this.call.kind === 'unary') this.#run(this.call);
    else this.#requests?.halfClosed();
  }

  /** Keeps what has come of a message, as long as all that is kept on this connection is not too much. */
  #hold(): void {
    this.#messages?.hold();
    const heldBytes = this.#isOver ? 0 : (this.#messages?.heldBytes ?? 0);
    const more = heldBytes - this.#heldBytes;
    this.#heldBytes = heldBytes;
    if (more !== 0 && !this.#owner.holds(more)) throw new EtcdError('TooManyRequests');
  }

  #release(): void {
    this.#messages = undefined;
    if (this.#heldBytes > 0) this.#owner.holds(-this.#heldBytes);
    this.#heldBytes = 0;
    // What was withheld goes back to the connection with the stream's end, or here.
    if (this.#withheldBytes > 0) this.#stream.consumed(this.#withheldBytes);
    this.#withheldBytes = 0;
  }

  // --- running ---------------------------------------------------------------------------------

  #startDeadline(): boolean {
    const header = this.header('grpc-timeout');
    if (header === undefined) return true;
    const ms = timeoutMs(header);
    if (Number.isNaN(ms)) this.fail(new StatusError('INTERNAL', 'malformed grpc-timeout'));
    else if (ms <= 0) this.#finish(statusOf('DeadlineExceeded'));
    else if (ms <= timerMsMax) {
      this.#deadline = this.#owner.deadlines.after(ms, () => {
        this.#finish(statusOf('DeadlineExceeded'));
      });
    }
    return !this.#isOver;
  }

  #stopDeadline(): void {
    if (this.#deadline === undefined) return;
    this.#owner.deadlines.cancel(this.#deadline);
    this.#deadline = undefined;
  }

  #open(): void {
    if (this.call.kind !== 'stream') return;
    try {
      this.#requests = this.call.open(this, this);
    } catch (error) {
      this.fail(error);
    }
  }

  #run(call: UnaryCall): void {
    if (this.#request === undefined) throw new StatusError('INTERNAL', 'no request message');
    this.#isBusy = true;
    const running = call.run(this.#request, this);
    this.#request = undefined;
    this.#owner.ran();
    running.then(
      (response) => this.#answer(response),
      (error: unknown) => {
        this.#owner.done();
        this.fail(error);
      },
    );
  }

  #answer(response: unknown): void | Promise<void> {
    try {
      if (!this.#isOver) {
        const steps = encodingSteps(this.call.method.response, response);
        if (steps !== undefined) return this.#answerInSlices(steps);
        this.#write(framed(this.call.method.response, response));
        this.#finish(ok);
      }
    } catch (error) {
      this.fail(error);
    }
    this.#owner.done();
  }

  async #answerInSlices(steps: Generator<void, Buffer[]>): Promise<void> {
    try {
      const parts = await inSlices(steps, () => this.#isOver);
      if (parts === undefined || this.#isOver) return;
      for (const part of framedParts(parts)) this.#write(part);
      this.#finish(ok);
    } catch (error) {
      this.fail(error);
    } finally {
      this.#owner.done();
    }
  }
}

function undecodable(error: DecodeError): Status {
  return new StatusError('INTERNAL', `grpc: error unmarshalling request: ${error.message}`).status;
}
