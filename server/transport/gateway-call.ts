import { STATUS_CODES } from 'node:http';
import { setImmediate as othersTurn } from 'node:timers/promises';
import type { CallContext, Requests, Responses } from '../api/call.ts';
import { httpStatus, type Status, StatusError, toStatus } from '../api/errors.ts';
import { errorJson, type GatewayRoute, streamErrorJson } from '../api/gateway.ts';
import { inSlices } from '../api/turns.ts';
import { EtcdError } from '../base/errors.ts';
import {
  requestBodyMsMax,
  streamBufferBytesMax,
  streamRequestsPerTurnMax,
  timerMsMax,
} from '../config/limits.ts';
import { JsonError, JsonScanner, ValueTooLarge } from '../proto/json-scanner.ts';
import { verifiedCommonName } from './certificate-check.ts';
import { timeoutMs } from './grpc-headers.ts';
import { answer, discard, type HttpExchange } from './http-exchange.ts';
import { remoteAddressOf } from './remote-address.ts';

const json = { 'Content-Type': 'application/json' };
/** What grpc-gateway tells of the gRPC answer behind its own. */
const served = { ...json, 'Grpc-Metadata-Content-Type': 'application/grpc' };

export interface GatewayCallModules {
  readonly route: GatewayRoute;
  /** The call is over; `error` is what ended it, unless it ended well or the client went away. */
  readonly over: (call: GatewayCall, error?: unknown) => void;
}

/** One call: JSON values in, the service's answers out. */
export class GatewayCall implements CallContext, Responses<object> {
  readonly route: GatewayRoute;
  readonly isOfGateway = true;
  readonly #over: (call: GatewayCall, error?: unknown) => void;
  readonly #exchange: HttpExchange;
  readonly #messageBytesMax: number;
  readonly #scanner: JsonScanner;
  /** Requests that came and wait for the service; undefined stands for an empty one. */
  #values: Array<Buffer | undefined> = [];
  #requests: Requests<unknown> | undefined;
  #deadline: NodeJS.Timeout | undefined;
  /** Ends when the request is there; a stream of requests may go on for ever. */
  #patience: NodeJS.Timeout | undefined;
  #isStarted = false;
  #isOver = false;
  /** The service works on a request. */
  #isBusy = false;
  /** No value comes any more. */
  #isHalfClosed = false;
  #isHalfCloseTold = false;
  /** The client has sent everything. */
  #isRead = false;
  #isFull = false;

  constructor(modules: GatewayCallModules, exchange: HttpExchange, messageBytesMax: number) {
    this.route = modules.route;
    this.#over = modules.over;
    this.#exchange = exchange;
    this.#messageBytesMax = messageBytesMax;
    // In base64, with some room for names and blanks.
    this.#scanner = new JsonScanner({ valueBytesMax: 2 * messageBytesMax });
    exchange.response.on('close', () => this.#closed());
    exchange.request.on('error', () => {});
  }

  /** Whether the call goes on: its deadline runs, but nothing is read before {@link start}. */
  wait(): boolean {
    const text = this.#rawHeader('grpc-timeout');
    const ms = timeoutMs(text);
    if (Number.isNaN(ms)) {
      this.fail(new StatusError('INVALID_ARGUMENT', `invalid grpc-timeout: ${text}`));
    } else if (ms < 1) this.fail(new EtcdError('DeadlineExceeded'));
    else if (ms <= timerMsMax) {
      this.#deadline = setTimeout(() => this.fail(new EtcdError('DeadlineExceeded')), ms);
    }
    return !this.#isOver;
  }

  start(): void {
    const { call } = this.route;
    this.#isStarted = true;
    if (call.kind === 'stream') {
      try {
        this.#requests = call.open(this, this);
      } catch (error) {
        this.fail(error);
      }
      if (this.#isOver) return;
    }
    const { request, response } = this.#exchange;
    request.on('data', (chunk: Buffer) => this.#read(chunk));
    request.on('end', () => this.#ended());
    if (!call.method.requestStream) {
      this.#patience = setTimeout(() => request.socket.destroy(), requestBodyMsMax).unref();
    }
    response.on('drain', () => this.#drained());
  }

  /**
   * As grpc-gateway names them: `authorization`, HTTP's own under `grpcgateway-`, and whatever came as `Grpc-Metadata-*`. Of
   * two, that of HTTP: grpc-gateway takes either.
   */
  header(name: string): string | undefined {
    const isHttps = name === 'authorization' || name.startsWith('grpcgateway-');
    const ofHttp = isHttps ? this.#rawHeader(name.replace('grpcgateway-', '')) : undefined;
    const value = ofHttp ?? this.#rawHeader(`grpc-metadata-${name}`);
    if (value === undefined && name === 'grpcgateway-accept') return '*/*';
    return value !== undefined && /^[\x20-\x7e]*$/.test(value) ? value : undefined;
  }

  #rawHeader(name: string): string | undefined {
    const value = this.#exchange.request.headers[name];
    return typeof value === 'string' ? value : value?.[0];
  }

  isOver(): boolean {
    return this.#isOver;
  }

  get remoteAddress(): string {
    const { socket } = this.#exchange.request;
    return remoteAddressOf(socket);
  }

  get commonName(): string | undefined {
    return verifiedCommonName(this.#exchange.request.socket);
  }

  // --- answers ---------------------------------------------------------------------------------

  send(message: object): boolean {
    const { response } = this.#exchange;
    if (this.#isOver || response.destroyed) return true;
    // A call of one answer may be served as a stream, so that it hears of its client's end.
    if (!this.route.call.method.responseStream) {
      this.#answerWith(this.route.encode(message));
      return true;
    }
    const pieces = this.route.encode(message);
    if (!response.headersSent) response.writeHead(200, served);
    response.write('{"result":');
    for (const piece of pieces) response.write(piece);
    response.write('}\n');
    if (response.writableLength >= streamBufferBytesMax) this.#isFull = true;
    return !this.#isFull;
  }

  end(): void {
    if (this.#isOver) return;
    const { response } = this.#exchange;
    this.#finish();
    if (response.destroyed) return;
    // Of no answers at all grpc-gateway tells nothing either.
    response.end();
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    const { response } = this.#exchange;
    const status = this.#statusOf(error);
    this.#finish(error);
    if (response.destroyed) return;
    const isRefused = !this.route.call.method.responseStream || !this.#isStarted;
    if (isRefused) return refuse(this.#exchange, status);
    if (!response.headersSent) response.writeHead(httpStatus(status.code), json);
    response.end(`${streamErrorJson(status, (code) => STATUS_CODES[code] ?? '')}\n`);
  }

  async #answer(message: object): Promise<void> {
    const isOver = (): boolean => this.#isOver || this.#exchange.response.destroyed;
    if (isOver()) return;
    const pieces = await inSlices(this.route.encodingSteps(message), isOver);
    if (pieces !== undefined) this.#answerWith(pieces);
  }

  #answerWith(pieces: readonly Buffer[]): void {
    const { response } = this.#exchange;
    if (this.#isOver || response.destroyed) return;
    const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#finish();
    response.writeHead(200, { ...served, 'Content-Length': sizeBytes });
    for (const piece of pieces) response.write(piece);
    response.end();
  }

  #statusOf(error: unknown): Status {
    if (error instanceof ValueTooLarge) {
      return tooLarge(error.sizeBytes, this.#messageBytesMax).status;
    }
    if (error instanceof JsonError) {
      return new StatusError('INVALID_ARGUMENT', error.message).status;
    }
    return toStatus(error);
  }

  #finish(error?: unknown): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
    this.#values = [];
    clearTimeout(this.#patience);
    if (!this.#isRead) discard(this.#exchange.request);
    this.#over(this, error);
  }

  #drained(): void {
    if (!this.#isFull || this.#isOver) return;
    this.#isFull = false;
    this.#requests?.drained();
  }

  #closed(): void {
    if (!this.#isOver) this.#finish();
    this.#requests?.closed();
    this.#requests = undefined;
  }

  // --- requests --------------------------------------------------------------------------------

  #read(chunk: Buffer): void {
    if (this.#isHalfClosed || this.#isOver) return;
    try {
      this.#scanner.push(chunk, (value) => this.#came(value));
    } catch (error) {
      this.#malformed(error);
    }
    this.#deliver();
  }

  #ended(): void {
    this.#isRead = true;
    if (this.#isHalfClosed || this.#isOver) return;
    try {
      this.#scanner.end((value) => this.#came(value));
      if (!this.#isHalfClosed && !this.route.call.method.requestStream) this.#came(undefined);
    } catch (error) {
      this.#malformed(error);
    }
    this.#isHalfClosed = true;
    this.#deliver();
  }

  /** Whether to read on: the first value is the request, but for a stream of requests. */
  #came(value: Buffer | undefined): boolean {
    this.#values.push(value);
    if (!this.route.call.method.requestStream) {
      this.#isHalfClosed = true;
      clearTimeout(this.#patience);
    }
    return !this.#isHalfClosed;
  }

  /** In a stream of requests what is malformed counts as its end, as in grpc-gateway. */
  #malformed(error: unknown): void {
    const isEnd =
      error instanceof JsonError &&
      !(error instanceof ValueTooLarge) &&
      this.route.call.method.requestStream;
    if (isEnd) this.#isHalfClosed = true;
    else this.fail(error);
  }

  /** Gives the service what has come, one request at a time. */
  #deliver(): void {
    for (let taken = 0; this.#values.length > 0 && !this.#isBusy && !this.#isOver; taken++) {
      if (taken === streamRequestsPerTurnMax) return this.#waitFor(othersTurn());
      try {
        this.#next(this.#decode(this.#values.shift()));
      } catch (error) {
        this.#values = [];
        this.#malformed(error);
      }
    }
    const isAllGiven = this.#isHalfClosed && this.#values.length === 0 && !this.#isBusy;
    if (!isAllGiven || this.#isOver || this.#isHalfCloseTold) return;
    this.#isHalfCloseTold = true;
    this.#requests?.halfClosed();
  }

  #decode(value: Buffer | undefined): object {
    const request = this.route.decode(value);
    // In gRPC's form a number may be longer than in JSON's, but not eight times.
    if (value !== undefined && value.length > this.#messageBytesMax / 8) {
      const sizeBytes = this.route.call.method.request.encode(request).length;
      if (sizeBytes > this.#messageBytesMax) throw tooLarge(sizeBytes, this.#messageBytesMax);
    }
    return request;
  }

  #next(request: object): void {
    const { call } = this.route;
    const done =
      call.kind === 'stream'
        ? this.#requests?.next(request)
        : call.run(request, this).then((message) => this.#answer(message as object));
    if (done !== undefined) this.#waitFor(done);
  }

  #waitFor(done: Promise<void>): void {
    this.#isBusy = true;
    // What has come since the last pause is at most one chunk.
    this.#exchange.request.pause();
    done.then(
      () => {
        this.#isBusy = false;
        this.#deliver();
        if (!this.#isBusy) this.#exchange.request.resume();
      },
      (error: unknown) => this.fail(error),
    );
  }
}

/** Ends an exchange with an error in place of an answer. */
export function refuse({ response }: HttpExchange, status: Status): void {
  const isUnauthenticated = httpStatus(status.code) === 401;
  answer(response, httpStatus(status.code), {
    ...json,
    ...(isUnauthenticated ? { 'WWW-Authenticate': status.message } : {}),
    ...retryAfter(status),
    body: errorJson(status),
  });
}

/** In seconds, which is all that HTTP has. */
function retryAfter({ retryAfterMs }: Status): Record<string, string> {
  if (retryAfterMs === undefined) return {};
  return { 'Retry-After': String(Math.ceil(retryAfterMs / 1000)) };
}

/** In grpc-go's words. */
function tooLarge(sizeBytes: number, maxBytes: number): StatusError {
  const text = `grpc: received message larger than max (${sizeBytes} vs. ${maxBytes})`;
  return new StatusError('RESOURCE_EXHAUSTED', text);
}
