import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { text } from 'node:stream/consumers';
import type { Connection } from '../../operator/kube/client.ts';
import { KubeError } from '../../operator/kube/errors.ts';

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  /** JSON by default. */
  readonly contentType?: string;
}

const timeoutMs = 15_000;

/** What the operator's own client has no word for; the answer as it is. */
export async function sendRequest(connection: Connection, request: KubeRequest): Promise<string> {
  const url = new URL(connection.server);
  const body = request.body === undefined ? '' : JSON.stringify(request.body);
  const options: RequestOptions = {
    method: request.method,
    host: url.hostname,
    port: url.port,
    path: request.path,
    headers: {
      'content-type': request.contentType ?? 'application/json',
      'content-length': Buffer.byteLength(body),
    },
    signal: AbortSignal.timeout(timeoutMs),
  };
  await connection.authorize(options);
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const sent = send(options, (response) => {
      const code = response.statusCode ?? 0;
      text(response).then((answer) => {
        if (code < 300) resolve(answer);
        else reject(KubeError.fromAnswer(code, `${request.method} ${request.path}`, answer));
      }, reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
