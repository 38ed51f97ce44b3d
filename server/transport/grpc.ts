import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { StatusError } from '../api/errors.ts';
import type { Services } from '../api/services.ts';
import { AssertionError } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import {
  headerListBytesMax,
  sessionBytesMax,
  sessionWindowBytes,
  streamsPerConnectionMax,
  streamWindowBytes,
} from '../config/limits.ts';
import type { KeepaliveConfig } from '../config/maintenance.ts';
import { DecodeError } from '../proto/wire.ts';
import { type CallOwner, GrpcCall } from './grpc-call.ts';
import { linger, trailers } from './grpc-headers.ts';
import { GrpcKeepalive, keepaliveDefaults } from './grpc-keepalive.ts';

export interface GrpcModules {
  readonly services: Services;
  readonly logger: Logger;
}

/** gRPC over HTTP/2 on sockets that someone else accepts. Knows services only as a table of calls. */
export class GrpcServer {
  readonly #services: Services;
  readonly #logger: Logger;
  readonly #messageBytesMax: number;
  readonly #keepalive: KeepaliveConfig;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #calls = new Set<GrpcCall>();
  #isStopping = false;

  constructor(
    modules: GrpcModules,
    options: { messageBytesMax: number; keepalive?: KeepaliveConfig },
  ) {
    this.#keepalive = options.keepalive ?? keepaliveDefaults;
    this.#services = modules.services;
    this.#logger = modules.logger;
    this.#messageBytesMax = options.messageBytesMax;
    this.#server = createServer({
      maxSessionMemory: sessionBytesMax / (1024 * 1024),
      settings: {
        maxConcurrentStreams: streamsPerConnectionMax,
        maxHeaderListSize: headerListBytesMax,
        initialWindowSize: streamWindowBytes,
      },
    });
    this.#server.on('session', (session) => {
      this.#began(session);
    });
  }

  /** Takes over a socket on which the client speaks HTTP/2 with prior knowledge; what was read of it is unshifted. */
  accept(socket: Socket): void {
    // Node refuses HTTP/2 on TLS that ALPN has not agreed on; its first bytes have.
    if (socket instanceof TLSSocket) socket.alpnProtocol = 'h2';
    // Not in 'session': node goes on reading of a session that is destroyed there, and throws.
    if (this.#isStopping || socket.destroyed) socket.destroy();
    else this.#server.emit('connection', socket);
  }

  /**
   * Takes no new calls, ends streams so that clients go elsewhere, and resolves when the calls under way have been
   * answered, or after `graceMs` without that.
   */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    for (const session of this.#sessions) session.close();
    for (const call of this.#calls) {
      if (call.call.kind === 'stream') call.fail(new EtcdError('Stopped'));
    }
    await this.#drained(graceMs);
    for (const session of this.#sessions) session.destroy();
  }

  #began(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    const keepalive = new GrpcKeepalive(session, this.#keepalive);
    const owner: CallOwner = {
      over: (call, error) => {
        this.#over(call, error);
      },
      sent: () => {
        keepalive.sent();
      },
    };
    session.setLocalWindowSize(sessionWindowBytes);
    session.on('error', () => {});
    session.on('close', () => {
      keepalive.stop();
      this.#sessions.delete(session);
    });
    session.on('stream', (stream, headers) => {
      keepalive.began(stream);
      this.#called(stream, headers, owner);
    });
  }

  #called(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, owner: CallOwner): void {
    const refusal = refusalOf(headers);
    if (refusal !== undefined) return refuse(stream, refusal);
    const path = headers[':path'] ?? '';
    const call = this.#services.find(path);
    if (call === undefined) {
      return refuse(stream, { httpStatus: 200, error: this.#services.unknown(path) });
    }
    const begun = new GrpcCall({ call, owner }, { stream, headers }, this.#messageBytesMax);
    this.#calls.add(begun);
    begun.start();
  }

  #over(call: GrpcCall, error: unknown): void {
    this.#calls.delete(call);
    if (error === undefined || isTold(error)) return;
    if (error instanceof AssertionError) {
      // Not ours to survive: the process ends with it.
      queueMicrotask(() => {
        throw error;
      });
    }
    this.#logger.error({ method: call.call.method.path, error }, 'call failed by a fault of ours');
  }

  #drained(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      const closed = () => {
        if (this.#sessions.size > 0) return;
        clearTimeout(timer);
        resolve();
      };
      for (const session of this.#sessions) session.once('close', closed);
      closed();
    });
  }
}

interface Refusal {
  readonly httpStatus: number;
  readonly error: StatusError;
}

/** What is HTTP/2 but not gRPC, in grpc-go's words. */
function refusalOf(headers: IncomingHttpHeaders): Refusal | undefined {
  const contentType = headers['content-type'] ?? '';
  if (!/^application\/grpc(?:$|[+;])/.test(contentType)) {
    const text = `invalid gRPC request content-type "${contentType}"`;
    return { httpStatus: 415, error: new StatusError('INVALID_ARGUMENT', text) };
  }
  if (headers[':method'] !== 'POST') {
    const text = `Received a HEADERS frame with :method "${headers[':method']}" which should be POST`;
    return { httpStatus: 405, error: new StatusError('INTERNAL', text) };
  }
  return undefined;
}

function refuse(stream: ServerHttp2Stream, { httpStatus, error }: Refusal): void {
  stream.on('error', () => {});
  if (stream.destroyed || stream.closed) return;
  const headers = { ':status': httpStatus, 'content-type': 'application/grpc' };
  stream.respond({ ...headers, ...trailers(error.status) }, { endStream: true });
  linger(stream);
}

/** Errors that clients are meant to get; every other one is a bug. */
function isTold(error: unknown): boolean {
  return error instanceof EtcdError || error instanceof StatusError || error instanceof DecodeError;
}
