import { StatusError, toStatus } from '../api/errors.ts';
import type { Gateway, GatewayRoute } from '../api/gateway.ts';
import { AssertionError } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { gatewayWaitingMax } from '../config/limits.ts';
import { JsonError } from '../proto/json-scanner.ts';
import { DecodeError } from '../proto/wire.ts';
import { GatewayCall, refuse } from './gateway-call.ts';
import { discard, type HttpExchange } from './http-exchange.ts';

export interface GatewayModules {
  readonly gateway: Gateway;
  readonly logger: Logger;
}

export interface GatewayOptions {
  /** The largest message that a client may send, in gRPC's form. */
  readonly messageBytesMax: number;
  /** Calls at a time; more wait. etcd's gateway is one client of the member's own gRPC server. */
  readonly concurrentCallsMax: number;
}

/** Serves `/v3/*`: JSON over HTTP in front of the same calls as gRPC's. */
export class GatewayServer {
  readonly #modules: GatewayModules;
  readonly #options: GatewayOptions;
  readonly #calls = new Set<GatewayCall>();
  readonly #waiting = new Set<GatewayCall>();
  #isStopping = false;
  #stopped: () => void = () => {};

  constructor(modules: GatewayModules, options: GatewayOptions) {
    this.#modules = modules;
    this.#options = options;
  }

  /** `path` is that of the request without its query. */
  serve(exchange: HttpExchange, path: string): void {
    try {
      const route = this.#modules.gateway.find(path);
      if (route === undefined) throw new StatusError('NOT_FOUND', 'Not Found');
      if (exchange.request.method !== 'POST') {
        throw new StatusError('UNIMPLEMENTED', 'Method Not Allowed');
      }
      if (this.#isStopping) throw new EtcdError('Stopped');
      this.#begin(exchange, route);
    } catch (error) {
      discard(exchange.request);
      refuse(exchange, toStatus(error));
    }
  }

  /** Takes no new calls, ends the streams, and resolves when the calls under way were answered, or after `graceMs`. */
  stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    for (const call of [...this.#calls, ...this.#waiting]) {
      if (call.route.call.kind === 'stream') call.fail(new EtcdError('Stopped'));
    }
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#stopped = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #begin(exchange: HttpExchange, route: GatewayRoute): void {
    const over = (call: GatewayCall, error?: unknown): void => this.#over(call, error);
    const call = new GatewayCall({ route, over }, exchange, this.#options.messageBytesMax);
    if (this.#calls.size < this.#options.concurrentCallsMax) {
      this.#calls.add(call);
      if (call.wait()) call.start();
    } else if (this.#waiting.size < gatewayWaitingMax) {
      this.#waiting.add(call);
      call.wait();
    } else throw new EtcdError('TooManyRequests');
  }

  #over(call: GatewayCall, error: unknown): void {
    this.#waiting.delete(call);
    if (this.#calls.delete(call)) this.#next();
    if (this.#calls.size === 0) this.#stopped();
    if (error === undefined || isTold(error)) return;
    if (error instanceof AssertionError) {
      // Not ours to survive: the process ends with it.
      queueMicrotask(() => {
        throw error;
      });
    }
    const method = call.route.call.method.path;
    this.#modules.logger.error({ method, error }, 'call failed by a fault of ours');
  }

  #next(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    this.#calls.add(next);
    next.start();
  }
}

/** Errors that clients are meant to get; every other one is a bug. */
function isTold(error: unknown): boolean {
  return (
    error instanceof EtcdError ||
    error instanceof StatusError ||
    error instanceof JsonError ||
    error instanceof DecodeError
  );
}
