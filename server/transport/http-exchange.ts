import type { IncomingMessage, ServerResponse } from 'node:http';
import { lingerMs } from '../config/limits.ts';

/** A request and where its answer goes. */
export interface HttpExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Reads what is left of a request and throws it away; a client that goes on for long is cut off. */
export function discard(request: IncomingMessage): void {
  request.resume();
  if (request.complete) return;
  const timer = setTimeout(() => request.socket.destroy(), lingerMs).unref();
  request.once('close', () => clearTimeout(timer));
  request.once('end', () => clearTimeout(timer));
}

/** A whole answer at once; of a HEAD request Node leaves out the body. */
export function answer(
  response: ServerResponse,
  status: number,
  { body, ...headers }: { readonly body: string } & Readonly<Record<string, string>>,
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
