import type { Socket } from 'node:net';
import type { Call } from '../api/call.ts';
import { StatusError } from '../api/errors.ts';
import type { Services } from '../api/services.ts';
import { AssertionError } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { streamsPerConnectionMax } from '../config/limits.ts';
import type { KeepaliveConfig } from '../config/maintenance.ts';
import { DecodeError } from '../proto/wire.ts';
import { Deadlines } from './deadlines.ts';
import { GrpcConnection } from './grpc-connection.ts';
import { keepaliveDefaults } from './grpc-keepalive.ts';
import type { HttpServer } from './http.ts';

export interface GrpcModules {
  readonly services: Services;
  readonly logger: Logger;
  /** Serves what comes over TLS and is not gRPC; without it that is refused, as it is in clear. */
  readonly http?: Pick<HttpServer, 'accept'>;
}

export interface GrpcOptions {
  readonly messageBytesMax: number;
  /** Of one connection; `--max-concurrent-streams`. */
  readonly concurrentStreamsMax?: number | undefined;
  readonly keepalive?: KeepaliveConfig;
}

/** gRPC over HTTP/2 on sockets that someone else accepts. Knows services only as a table of calls. */
export class GrpcServer {
  readonly #logger: Logger;
  readonly #connections = new Set<GrpcConnection>();
  readonly #shared: ConstructorParameters<typeof GrpcConnection>[1];
  #isStopping = false;
  #refusesCalls = false;
  #emptied: (() => void) | undefined;

  constructor({ services, logger, http }: GrpcModules, options: GrpcOptions) {
    this.#logger = logger;
    this.#shared = {
      services,
      http,
      deadlines: new Deadlines(),
      messageBytesMax: options.messageBytesMax,
      streamsMax: options.concurrentStreamsMax ?? streamsPerConnectionMax,
      keepalive: options.keepalive ?? keepaliveDefaults,
      isStopping: () => this.#isStopping,
      refusesCalls: () => this.#refusesCalls,
      failed: (call, error) => {
        this.#failed(call, error);
      },
      closed: (connection) => {
        this.#closed(connection);
      },
    };
  }

  /** Takes over a socket, clear or TLS, on which the client speaks HTTP/2; what was read of it is unshifted. */
  accept(socket: Socket): void {
    if (this.#isStopping || socket.destroyed) {
      socket.destroy();
      return;
    }
    const connection = new GrpcConnection(socket, this.#shared);
    this.#connections.add(connection);
    connection.start();
  }

  /** Begins no calls any more: for `stop` by a member that has nobody to answer them by. */
  refuseCalls(): void {
    this.#refusesCalls = true;
  }

  /**
   * Takes no new connections, ends streams so that clients go elsewhere, and resolves when the calls under way have been
   * answered, or after `graceMs` without that.
   */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    for (const connection of this.#connections) connection.shutDown();
    await this.#drained(graceMs);
    for (const connection of this.#connections) connection.destroy();
  }

  #closed(connection: GrpcConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#emptied?.();
  }

  #failed(call: Call, error: unknown): void {
    if (isTold(error)) return;
    if (error instanceof AssertionError) {
      // Not ours to survive: the process ends with it.
      queueMicrotask(() => {
        throw error;
      });
    }
    this.#logger.error({ method: call.method.path, error }, 'call failed by a fault of ours');
  }

  #drained(graceMs: number): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#emptied = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Errors that clients are meant to get; every other one is a bug. */
function isTold(error: unknown): boolean {
  return error instanceof EtcdError || error instanceof StatusError || error instanceof DecodeError;
}
