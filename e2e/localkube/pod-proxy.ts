import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { badRequest, serviceUnavailable } from './errors.ts';
import type { KubeObject } from './objects.ts';

/** Whom a proxy path means: `demo-1:2379`, `https:demo-1:2379`, `demo-1`. */
export interface ProxyTarget {
  readonly scheme: 'http' | 'https';
  readonly pod: string;
  readonly port: string;
}

export function proxyTarget(name: string): ProxyTarget {
  const parts = name.split(':');
  const scheme = parts.length === 3 ? parts.shift() : 'http';
  const [pod = '', port = '80'] = parts;
  if ((scheme !== 'http' && scheme !== 'https') || parts.length > 2) {
    throw badRequest(`invalid pod request "${name}"`);
  }
  return { scheme, pod, port };
}

/** Headers that are about one connection, or tell the API server who asks. */
const droppedHeaders = ['authorization', 'connection', 'host', 'keep-alive', 'transfer-encoding'];

/** Passes a request on to a pod, as a real API server does: certificates are not checked, and none is shown. */
export function proxyToPod(
  pod: KubeObject,
  { scheme, port }: ProxyTarget,
  exchange: {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    /** With the query. */
    readonly path: string;
    readonly body: string;
  },
): void {
  const { request, response, path, body } = exchange;
  const { podIP } = (pod['status'] ?? {}) as { podIP?: string };
  if (podIP === undefined) throw serviceUnavailable(`address not allowed: the pod has none yet`);
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => !droppedHeaders.includes(name)),
  );
  const send = scheme === 'https' ? httpsRequest : httpRequest;
  const options = { method: request.method, host: podIP, port, path, headers };
  const forwarded = send({ ...options, rejectUnauthorized: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  forwarded.on('error', (error) => {
    const refusal = serviceUnavailable(`error trying to reach service: ${error.message}`);
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response.writeHead(refusal.code, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(refusal.status()));
  });
  forwarded.end(body);
}
