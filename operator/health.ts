// [io] /livez, /readyz and /metrics of the operator.
import { createServer, type Server } from 'node:http';

export interface HealthSources {
  /** Whether everything that is followed was seen once; a standby is ready too. */
  readonly isReady: () => boolean;
  /** What will not come to an end without a restart, in words; undefined when all goes on. */
  readonly stuck: () => string | undefined;
  /** Prometheus' text. */
  readonly metrics: () => string;
}

/** Resolves when it listens. Fails when the port is taken. */
export function serveHealth(port: number, sources: HealthSources): Promise<Server> {
  const server = createServer((request, response) => {
    const { code, text, type = 'text/plain' } = answerTo(request.url ?? '/', sources);
    response.writeHead(code, { 'content-type': type });
    response.end(request.method === 'HEAD' ? undefined : text);
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new Error(`health and metrics cannot be served on port ${port}: ${error.message}`)),
    );
    server.listen(port, () => resolve(server));
  });
}

function answerTo(url: string, { isReady, stuck, metrics }: HealthSources) {
  switch (url.split('?')[0]) {
    case '/livez': {
      const why = stuck();
      return why === undefined ? { code: 200, text: 'ok\n' } : { code: 503, text: `${why}\n` };
    }
    case '/readyz':
      return isReady() ? { code: 200, text: 'ok\n' } : { code: 503, text: 'not ready\n' };
    case '/metrics':
      return { code: 200, text: metrics(), type: 'text/plain; version=0.0.4; charset=utf-8' };
    default:
      return { code: 404, text: 'not found: /livez, /readyz and /metrics are here\n' };
  }
}
