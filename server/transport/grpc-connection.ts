import type { Socket } from 'node:net';
import type { Call } from '../api/call.ts';
import { type Status, StatusError } from '../api/errors.ts';
import type { Services } from '../api/services.ts';
import { EtcdError } from '../base/errors.ts';
import { lingerMs, requestBytesHeldMax } from '../config/limits.ts';
import type { KeepaliveConfig } from '../config/maintenance.ts';
import { isOverTls, verifiedCommonName } from './certificate-check.ts';
import type { Deadlines } from './deadlines.ts';
import { type CallOwner, GrpcCall } from './grpc-call.ts';
import { trailersOnly } from './grpc-headers.ts';
import { GrpcKeepalive } from './grpc-keepalive.ts';
import type { HttpServer } from './http.ts';
import { HttpStream } from './http-over-http2.ts';
import { type ConnectionUser, Http2Connection } from './http2/connection.ts';
import type { RequestHeaders } from './http2/request-headers.ts';
import type { Http2Stream } from './http2/stream.ts';
import { remoteAddressOf } from './remote-address.ts';

/** What all connections of a server share. */
export interface GrpcShared {
  readonly services: Services;
  readonly deadlines: Deadlines;
  readonly messageBytesMax: number;
  /** Of one connection, and calls of one under way. */
  readonly streamsMax: number;
  readonly keepalive: KeepaliveConfig;
  /** Serves what comes over TLS and is not gRPC. */
  readonly http: Pick<HttpServer, 'accept'> | undefined;
  isStopping(): boolean;
  refusesCalls(): boolean;
  failed(call: Call, error: unknown): void;
  closed(connection: GrpcConnection): void;
}

/** One client's connection: its streams become calls. */
export class GrpcConnection implements ConnectionUser, CallOwner {
  readonly deadlines: Deadlines;
  readonly messageBytesMax: number;
  readonly streamsMax: number;
  readonly remoteAddress: string;
  readonly #shared: GrpcShared;
  readonly #http2: Http2Connection;
  readonly #keepalive: GrpcKeepalive;
  #heldBytes = 0;
  /** Requests that services work on: also those of calls that were reset meanwhile. */
  #running = 0;

  constructor(socket: Socket, shared: GrpcShared) {
    this.#shared = shared;
    this.deadlines = shared.deadlines;
    this.messageBytesMax = shared.messageBytesMax;
    this.streamsMax = shared.streamsMax;
    this.remoteAddress = remoteAddressOf(socket);
    this.#http2 = new Http2Connection(socket, this);
    this.#keepalive = new GrpcKeepalive(this.#http2, shared.keepalive);
  }

  start(): void {
    this.#http2.start();
  }

  shutDown(): void {
    this.#http2.shutDown();
    for (const { user } of this.#http2.streams()) {
      if (user instanceof GrpcCall && user.call.kind === 'stream') {
        user.fail(new EtcdError('Stopped'));
      }
    }
  }

  destroy(): void {
    this.#http2.destroy();
  }

  // --- for the calls ---------------------------------------------------------------------------

  get commonName(): string | undefined {
    return verifiedCommonName(this.#http2.socket);
  }

  holds(bytes: number): boolean {
    this.#heldBytes += bytes;
    return this.#heldBytes <= requestBytesHeldMax;
  }

  ran(): void {
    this.#running++;
  }

  done(): void {
    this.#running--;
  }

  failed(call: Call, error: unknown): void {
    this.#shared.failed(call, error);
  }

  // --- for the HTTP/2 connection ---------------------------------------------------------------

  requested(stream: Http2Stream, headers: RequestHeaders): void {
    const isFull = this.#running >= this.streamsMax;
    if (isFull || this.#shared.refusesCalls()) return stream.reset('REFUSED_STREAM');
    if (this.#isForHttp(headers)) return this.#serveHttp(stream, headers);
    const refusal = refusalOf(headers);
    if (refusal !== undefined) return this.#refuse(stream, refusal);
    const { services } = this.#shared;
    const call = services.find(headers.path);
    if (call === undefined) {
      const { status } = services.unknown(headers.path);
      return this.#refuse(stream, { httpStatus: 200, status });
    }
    const begun = new GrpcCall({ call, owner: this }, { stream, headers });
    stream.user = begun;
    if (this.#shared.isStopping() && call.kind === 'stream') begun.fail(new EtcdError('Stopped'));
    else begun.start();
  }

  #isForHttp(headers: RequestHeaders): boolean {
    if (this.#shared.http === undefined || !isOverTls(this.#http2.socket)) return false;
    return !isGrpc(headers.get('content-type') ?? '') && headers.method !== 'CONNECT';
  }

  #serveHttp(stream: Http2Stream, headers: RequestHeaders): void {
    const { http } = this.#shared;
    if (http === undefined) return;
    const done = (): void => {
      this.done();
    };
    try {
      stream.user = new HttpStream({ http, socket: this.#http2.socket, done }, stream, headers);
      this.ran();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      stream.reset('PROTOCOL_ERROR');
    }
  }

  pinged(): void {
    this.#keepalive.pinged();
  }

  ponged(): void {
    this.#keepalive.ponged();
  }

  closed(): void {
    this.#keepalive.stop();
    this.#shared.closed(this);
  }

  #refuse(stream: Http2Stream, { httpStatus, status }: Refusal): void {
    stream.user = new RefusedCall(stream, this.deadlines);
    stream.end(trailersOnly(status, httpStatus));
  }
}

/** Throws away what a client sends to a call that was refused, until it stops or is made to. */
class RefusedCall {
  readonly #stream: Http2Stream;
  readonly #deadlines: Deadlines;
  readonly #linger: ReturnType<Deadlines['after']>;

  constructor(stream: Http2Stream, deadlines: Deadlines) {
    this.#stream = stream;
    this.#deadlines = deadlines;
    this.#linger = deadlines.after(lingerMs, () => {
      stream.reset('NO_ERROR');
    });
  }

  received({ start, end }: { start: number; end: number }): void {
    this.#stream.consumed(end - start);
  }

  drained(): void {}

  closed(): void {
    this.#deadlines.cancel(this.#linger);
  }
}

interface Refusal {
  readonly httpStatus: number;
  readonly status: Status;
}

/** What is HTTP/2 but not gRPC, in grpc-go's words. */
function refusalOf(headers: RequestHeaders): Refusal | undefined {
  const contentType = headers.get('content-type') ?? '';
  if (!isGrpc(contentType)) {
    const text = `invalid gRPC request content-type "${contentType}"`;
    return { httpStatus: 415, status: new StatusError('INVALID_ARGUMENT', text).status };
  }
  if (headers.method !== 'POST') {
    const text = `Received a HEADERS frame with :method "${headers.method}" which should be POST`;
    return { httpStatus: 405, status: new StatusError('INTERNAL', text).status };
  }
  return undefined;
}

function isGrpc(contentType: string): boolean {
  return contentType === 'application/grpc' || /^application\/grpc[+;]/.test(contentType);
}
