import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { MemberPort } from '../api/member-port.ts';
import type { ProbeCounters } from '../api/probe-counters.ts';
import { probe } from '../api/probes.ts';
import type { Logger } from '../base/logger.ts';
import { headerListBytesMax, headersMsMax, pipelinedRequestsMax } from '../config/limits.ts';
import { isOverTls, verifiedCommonName } from './certificate-check.ts';
import type { ConsoleFiles } from './console-files.ts';
import { debugVars } from './debug-vars.ts';
import type { GatewayServer } from './gateway.ts';
import { type AccessControl, allowAllAccess } from './http-access.ts';
import { answer, discard, type HttpExchange } from './http-exchange.ts';

export interface HttpModules {
  readonly port: MemberPort;
  readonly logger: Logger;
  /** `/v3/*`; without one there is no such path. */
  readonly gateway?: GatewayServer | undefined;
  /** `/console/`; without it there is no such path. */
  readonly consoleFiles?: ConsoleFiles | undefined;
  /** The text of `/metrics`; without it there is no such path. */
  readonly scrape?: (() => string) | undefined;
  readonly probes?: ProbeCounters | undefined;
  /** Whether clients are known by their certificates: the gateway does not do that, and says so. */
  readonly knowsByCertificate?: (() => boolean) | undefined;
  /** Who may ask, and what browsers are told. */
  readonly access?: AccessControl | undefined;
}

export interface HttpOptions {
  /** Only what watches over the member: `/metrics`, `/health`, `/livez`, `/readyz`. */
  readonly isForMetrics: boolean;
}

const plainText = { 'Content-Type': 'text/plain; charset=utf-8' };
const noSniff = { ...plainText, 'X-Content-Type-Options': 'nosniff' };
const notAllowed = { ...noSniff, Allow: 'GET', body: 'Method Not Allowed\n' };
const jsonText = { 'Content-Type': 'application/json; charset=utf-8' };
const metricsText = { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' };

/** HTTP beside gRPC, on sockets that someone else accepts. */
export class HttpServer {
  readonly #modules: HttpModules;
  readonly #options: HttpOptions;
  readonly #access: AccessControl;
  readonly #server: Server;
  /** What ends a connection whose next request does not come. */
  readonly #patience = new WeakMap<Socket, NodeJS.Timeout>();
  /** Requests that were sent one behind another and are not answered yet. */
  readonly #underWay = new WeakMap<Socket, number>();

  constructor(modules: HttpModules, options: HttpOptions = { isForMetrics: false }) {
    this.#modules = modules;
    this.#options = options;
    this.#access = modules.access ?? allowAllAccess;
    this.#server = createServer(
      { maxHeaderSize: headerListBytesMax, noDelay: true },
      (request: IncomingMessage, response: ServerResponse) => {
        const { socket } = request;
        if (socket.destroyed) return;
        clearTimeout(this.#patience.get(socket));
        const underWay = this.#count(socket, 1);
        if (underWay > pipelinedRequestsMax) {
          socket.destroy();
          return;
        }
        response.once('close', () => {
          if (this.#count(socket, -1) > 0) return;
          this.#awaitHeaders(socket, headersMsMax + this.#server.keepAliveTimeout);
        });
        this.#begin({ request, response });
      },
    );
  }

  /** Takes over a socket on which the client speaks HTTP/1.1; what was read of it is unshifted. */
  accept(socket: Socket): void {
    socket.once('close', () => {
      clearTimeout(this.#patience.get(socket));
    });
    this.#awaitHeaders(socket, headersMsMax);
    this.#server.emit('connection', socket);
  }

  #count(socket: Socket, change: number): number {
    const underWay = (this.#underWay.get(socket) ?? 0) + change;
    this.#underWay.set(socket, underWay);
    return underWay;
  }

  /** Node looks at the time that headers take only on sockets that its server has accepted itself. */
  #awaitHeaders(socket: Socket, ms: number): void {
    clearTimeout(this.#patience.get(socket));
    if (socket.destroyed) return;
    this.#patience.set(
      socket,
      setTimeout(() => socket.destroy(), ms),
    );
  }

  /** Idle connections are closed; the caller closes the others. */
  stop(): void {
    this.#server.closeIdleConnections();
  }

  #begin(exchange: HttpExchange): void {
    const { url = '' } = exchange.request;
    this.#serve(exchange).catch((error: unknown) => {
      this.#modules.logger.error({ url, error }, 'HTTP request failed by a fault of ours');
      answer(exchange.response, 500, { ...noSniff, body: 'internal error\n' });
    });
  }

  async #serve(exchange: HttpExchange): Promise<void> {
    const { request, response } = exchange;
    const url = request.url ?? '';
    const at = url.indexOf('?');
    const path = (at < 0 ? url : url.slice(0, at)).replace(/^\/v3beta\//, '/v3/');
    const query = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
    if (!this.#options.isForMetrics) {
      if (this.#isRefused(exchange, path)) return;
      for (const [name, value] of this.#access.headers(request.headers.origin)) {
        response.setHeader(name, value);
      }
    }
    await this.#dispatch(exchange, { path, query });
  }

  /** Answers a request that is not for us, or that mistakes the gateway. */
  #isRefused({ request, response }: HttpExchange, path: string): boolean {
    const { socket, headers } = request;
    const isSecure = isOverTls(socket);
    const { logger, gateway, knowsByCertificate } = this.#modules;
    const refusal = this.#access.refusal(headers.host ?? '', isSecure);
    if (refusal !== undefined) {
      logger.warn(
        { host: headers.host },
        'rejecting HTTP request to prevent DNS rebinding attacks',
      );
      discard(request);
      answer(response, 421, { ...noSniff, body: `${refusal}\n` });
      return true;
    }
    const isForGateway = isSecure && gateway !== undefined && path.startsWith('/v3/');
    if (!isForGateway || knowsByCertificate?.() !== true) return false;
    const name = verifiedCommonName(socket);
    if (name === undefined || name === '') return false;
    discard(request);
    answer(response, 400, { ...noSniff, body: nameIgnored });
    return true;
  }

  async #dispatch(
    exchange: HttpExchange,
    { path, query }: { path: string; query: URLSearchParams },
  ): Promise<void> {
    const { request, response } = exchange;
    const { gateway, scrape } = this.#modules;
    const { isForMetrics } = this.#options;
    if (request.method === 'OPTIONS' && !isForMetrics) {
      discard(request);
      return answer(response, 200, { body: '' });
    }
    if (gateway !== undefined && path.startsWith('/v3/')) return gateway.serve(exchange, path);
    // A body means nothing to the others.
    discard(request);
    const { consoleFiles } = this.#modules;
    if (consoleFiles !== undefined && /^\/console(?:\/|$)/.test(path)) {
      return consoleFiles.serve(exchange, path);
    }
    if (path === '/metrics' && scrape !== undefined) {
      return answer(response, 200, { ...metricsText, body: scrape() });
    }
    if (path === '/debug/vars' && !isForMetrics) {
      if (request.method !== 'GET') return answer(response, 405, notAllowed);
      return answer(response, 200, { ...jsonText, body: debugVars(this.#modules.port) });
    }
    if (gateway !== undefined && path === '/v3') {
      return answer(response, 301, { Location: '/v3/', body: '' });
    }
    const asked = { method: request.method ?? '', path, query };
    const isOffered = !(isForMetrics && path === '/version');
    const { port, probes } = this.#modules;
    const probed = isOffered ? await probe(port, asked, probes) : undefined;
    if (probed === undefined) return answer(response, 404, { ...noSniff, body: notFound });
    const { status, contentType, body, allow } = probed;
    answer(response, status, {
      'Content-Type': contentType,
      'X-Content-Type-Options': 'nosniff',
      ...(allow === undefined ? {} : { Allow: allow }),
      body,
    });
  }
}

const nameIgnored =
  'CommonName of client sending a request against gateway will be ignored and not used as expected\n';
const notFound = '404 page not found\n';
