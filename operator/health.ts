// [io] /livez and /readyz of the operator.
import { createServer, type Server } from 'node:http';

/** `isReady` decides /readyz; /livez answers as long as the process turns. */
export function serveHealth(port: number, isReady: () => boolean): Server {
  const server = createServer((request, response) => {
    const ok = request.url === '/livez' || (request.url === '/readyz' && isReady());
    const known = request.url === '/livez' || request.url === '/readyz';
    response.writeHead(ok ? 200 : known ? 503 : 404, { 'content-type': 'text/plain' });
    response.end(ok ? 'ok\n' : known ? 'not ready\n' : 'not found\n');
  });
  return server.listen(port);
}
