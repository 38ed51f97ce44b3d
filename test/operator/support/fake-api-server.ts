import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HttpKubeClient } from '../../../operator/kube/client.ts';

export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  readonly contentType: string;
  /** Of a store behind it: Grpc-Metadata-Token; empty when there is none. */
  readonly token: string;
  readonly response: ServerResponse;
}

/** A plain HTTP server that a test answers by hand. */
export async function fakeApiServer(answer: (exchange: Exchange) => void) {
  const server = createServer((request, response) => void serve(request, response, answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const kube = new HttpKubeClient({
    server: `http://127.0.0.1:${port}`,
    authorize: async (options) => {
      options.headers = { ...(options.headers as object), Authorization: 'Bearer token' };
    },
  });
  const close = () => {
    kube.close();
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { kube, close };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  answer: (exchange: Exchange) => void,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const url = new URL(request.url ?? '/', 'http://server');
  answer({
    method: request.method ?? '',
    path: url.pathname,
    query: url.searchParams,
    body: Buffer.concat(chunks).toString('utf8'),
    contentType: request.headers['content-type'] ?? '',
    token: String(request.headers['grpc-metadata-token'] ?? ''),
    response,
  });
}

export function sendJson(response: ServerResponse, code: number, value: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}
