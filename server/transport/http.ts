import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { MemberPort } from '../api/member-port.ts';
import { type ProbeAnswer, probe } from '../api/probes.ts';
import type { Logger } from '../base/logger.ts';
import { headerListBytesMax, headersMsMax } from '../config/limits.ts';

const notFound: ProbeAnswer = {
  status: 404,
  contentType: 'text/plain; charset=utf-8',
  body: '404 page not found\n',
};

/** HTTP/1.1 beside gRPC, on sockets that someone else accepts. */
export class HttpServer {
  readonly #port: MemberPort;
  readonly #logger: Logger;
  readonly #server: Server;

  constructor(modules: { port: MemberPort; logger: Logger }) {
    this.#port = modules.port;
    this.#logger = modules.logger;
    this.#server = createServer(
      { maxHeaderSize: headerListBytesMax, headersTimeout: headersMsMax, noDelay: true },
      (request, response) => {
        void this.#serve(request, response);
      },
    );
  }

  /** Takes over a socket; what was read of it is unshifted. */
  accept(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  /** Idle connections are closed; the caller closes the others. */
  stop(): void {
    this.#server.closeIdleConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A body means nothing to a probe.
    request.resume();
    try {
      send(response, await this.#answer(request));
    } catch (error) {
      this.#logger.error({ url: request.url, error }, 'HTTP request failed by a fault of ours');
      send(response, { ...notFound, status: 500, body: 'internal error\n' });
    }
  }

  async #answer(request: IncomingMessage): Promise<ProbeAnswer> {
    const url = request.url ?? '';
    const at = url.indexOf('?');
    const path = at < 0 ? url : url.slice(0, at);
    const query = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
    const asked = { method: request.method ?? '', path, query };
    return (await probe(this.#port, asked)) ?? notFound;
  }
}

function send(response: ServerResponse, answer: ProbeAnswer): void {
  response.writeHead(answer.status, {
    'Content-Type': answer.contentType,
    'Content-Length': Buffer.byteLength(answer.body),
    'X-Content-Type-Options': 'nosniff',
    ...(answer.allow === undefined ? {} : { Allow: answer.allow }),
  });
  response.end(answer.body);
}
