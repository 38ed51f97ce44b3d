import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { TLSSocket } from 'node:tls';
import type { Call, CallContext, Requests, Responses, UnaryCall } from '../api/call.ts';
import { type Status, StatusError, statusOf, toStatus } from '../api/errors.ts';
import { streamBufferBytesMax, timerMsMax } from '../config/limits.ts';
import { DecodeError } from '../proto/wire.ts';
import { linger, timeoutMs, trailers } from './grpc-headers.ts';
import { framed, MessageReader } from './grpc-messages.ts';

const responseHeaders = { ':status': 200, 'content-type': 'application/grpc' };
/** `sendDate` is not in the types; a date costs more than it tells. */
const responseOptions = { waitForTrailers: true, sendDate: false };
const ok: Status = Object.freeze({ code: 0, message: '' });

export interface CallOwner {
  /** The call is over; `error` is what ended it, unless it ended well or the client went away. */
  over(call: GrpcCall, error?: unknown): void;
  /** Something was sent to the client. */
  sent(): void;
}

/** One call on one HTTP/2 stream: frames in, the service's answers out, a status at the end. */
export class GrpcCall implements CallContext, Responses<unknown> {
  readonly call: Call;
  readonly #owner: CallOwner;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #messages: MessageReader;
  #deadline: NodeJS.Timeout | undefined;
  #requests: Requests<unknown> | undefined;
  #isOver = false;
  /** The service works on a request; for a unary call, its only one. */
  #isBusy = false;
  /** A unary call's request. */
  #request: unknown;
  /** The client has sent its last frame. */
  #isHalfClosed = false;
  #isFull = false;
  #end: Status = ok;

  constructor(
    modules: { call: Call; owner: CallOwner },
    wire: { stream: ServerHttp2Stream; headers: IncomingHttpHeaders },
    messageBytesMax: number,
  ) {
    this.call = modules.call;
    this.#owner = modules.owner;
    this.#stream = wire.stream;
    this.#headers = wire.headers;
    this.#messages = new MessageReader(messageBytesMax, this.header('grpc-encoding'));
  }

  start(): void {
    // Whatever happens to the stream, 'close' follows.
    this.#stream.on('error', () => {});
    this.#stream.on('close', () => {
      this.#closed();
    });
    if (!this.#startDeadline() || !this.#open()) return;
    this.#stream.on('data', (chunk: Buffer) => {
      this.#messages.push(chunk);
      this.#deliver();
    });
    this.#stream.on('end', () => {
      this.#isHalfClosed = true;
      this.#deliver();
    });
  }

  header(name: string): string | undefined {
    const value = this.#headers[name];
    return typeof value === 'string' ? value : value?.[0];
  }

  get remoteAddress(): string {
    const socket = this.#stream.session?.socket;
    return `${socket?.remoteAddress}:${socket?.remotePort}`;
  }

  get commonName(): string | undefined {
    const socket = this.#stream.session?.socket;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    const name: string | string[] | undefined = socket.getPeerCertificate().subject.CN;
    return typeof name === 'string' ? name : name?.[0];
  }

  send(response: unknown): boolean {
    if (this.#isOver || this.#isGone) return true;
    this.#respond();
    this.#stream.write(framed(this.call.method.response.encode(response)));
    if (this.#stream.writableLength >= streamBufferBytesMax) this.#isFull = true;
    return !this.#isFull;
  }

  end(): void {
    this.#finish(ok);
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#finish(error instanceof DecodeError ? undecodable(error) : toStatus(error), error);
  }

  /** Reset by the client, or with its connection: nothing may be sent any more, though 'close' may be yet to come. */
  get #isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  /** False when the call is over already. */
  #startDeadline(): boolean {
    const ms = timeoutMs(this.header('grpc-timeout'));
    if (Number.isNaN(ms)) this.fail(new StatusError('INTERNAL', 'malformed grpc-timeout'));
    else if (ms <= 0) this.#finish(statusOf('DeadlineExceeded'));
    else if (ms <= timerMsMax) {
      this.#deadline = setTimeout(() => {
        this.#finish(statusOf('DeadlineExceeded'));
      }, ms);
    }
    return !this.#isOver;
  }

  #open(): boolean {
    if (this.call.kind === 'unary') return true;
    this.#stream.on('drain', () => {
      this.#drained();
    });
    try {
      this.#requests = this.call.open(this, this);
    } catch (error) {
      this.fail(error);
    }
    return !this.#isOver;
  }

  /** Gives the service the messages that have come, one at a time. */
  #deliver(): void {
    try {
      while (!this.#isOver && !this.#isBusy) {
        const message = this.#messages.take();
        if (message === undefined) break;
        this.#next(this.call.method.request.decode(message));
      }
      if (this.#isHalfClosed && !this.#isBusy && !this.#isOver) this.#halfClosed();
    } catch (error) {
      this.fail(error);
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

  /** The client's next requests stay in its stream's window meanwhile. */
  #waitFor(done: Promise<void>): void {
    this.#isBusy = true;
    this.#stream.pause();
    done.then(
      () => {
        this.#isBusy = false;
        this.#deliver();
        if (!this.#isBusy) this.#stream.resume();
      },
      (error: unknown) => {
        this.fail(error);
      },
    );
  }

  #halfClosed(): void {
    if (!this.#messages.isEmpty) throw new StatusError('INTERNAL', 'unexpected EOF');
    if (this.call.kind === 'unary') this.#run(this.call);
    else this.#requests?.halfClosed();
  }

  #run(call: UnaryCall): void {
    if (this.#request === undefined) throw new StatusError('INTERNAL', 'no request message');
    this.#isBusy = true;
    call.run(this.#request, this).then(
      (response) => {
        this.#answer(response);
      },
      (error: unknown) => {
        this.fail(error);
      },
    );
  }

  #answer(response: unknown): void {
    if (this.#isOver || this.#isGone) return;
    try {
      const frame = framed(this.call.method.response.encode(response));
      this.#respond();
      this.#stream.write(frame);
      this.#finish(ok);
    } catch (error) {
      this.fail(error);
    }
  }

  #respond(): void {
    this.#owner.sent();
    if (this.#stream.headersSent) return;
    this.#stream.respond(responseHeaders, responseOptions);
    this.#stream.on('wantTrailers', () => {
      if (!this.#isGone) this.#stream.sendTrailers(trailers(this.#end));
    });
  }

  #finish(status: Status, error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#end = status;
    clearTimeout(this.#deadline);
    this.#owner.over(this, error);
    if (this.#isGone) return;
    if (this.#stream.headersSent) this.#stream.end();
    else this.#stream.respond({ ...responseHeaders, ...trailers(status) }, { endStream: true });
    this.#owner.sent();
    if (!this.#isHalfClosed) linger(this.#stream);
  }

  #drained(): void {
    if (!this.#isFull || this.#isOver) return;
    this.#isFull = false;
    this.#requests?.drained();
  }

  #closed(): void {
    clearTimeout(this.#deadline);
    if (!this.#isOver) {
      this.#isOver = true;
      this.#owner.over(this);
    }
    this.#requests?.closed();
    this.#requests = undefined;
  }
}

function undecodable(error: DecodeError): Status {
  return new StatusError('INTERNAL', `grpc: error unmarshalling request: ${error.message}`).status;
}
