import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import { Services } from '../../../server/api/services.ts';
import { verifiedCommonName } from '../../../server/transport/certificate-check.ts';
import { GrpcServer } from '../../../server/transport/grpc.ts';
import { TlsAcceptor } from '../../../server/transport/tls-acceptor.ts';
import { Authority, Files, type Pair } from '../../support/certificates.ts';
import { credentialsOf, Log, tlsConfigOf } from './tls-support.ts';

// Requests of HTTP/2 that are not gRPC's, over TLS, answered by a server of HTTP/1.1.

const files = new Files();
const gone: string[] = [];
let ann: Pair;
let ca: string;
let grpc: GrpcServer;
let listener: Server;
let session: http2.ClientHttp2Session;

const server = http.createServer((request, response) => {
  request.on('error', () => undefined);
  response.on('close', () => gone.push(request.url ?? ''));
  switch (request.url) {
    case '/who':
      response.setHeader('set-cookie', ['a=1', 'b=2']);
      response.end(
        JSON.stringify({
          commonName: verifiedCommonName(request.socket),
          address: request.socket.remoteAddress,
          host: request.headers.host,
          asked: request.headers['x-asked'],
          method: request.method,
        }),
      );
      break;
    case '/echo':
      response.writeHead(201, { 'content-type': 'application/octet-stream' });
      request.pipe(response);
      break;
    case '/stream':
      response.write('first\n');
      setTimeout(() => response.write('second\n'), 20);
      break;
    case '/broken':
      response.write('part');
      setTimeout(() => request.socket.destroy(), 20);
      break;
    default:
      response.writeHead(404).end('nothing\n');
  }
});

before(async () => {
  const authority = await Authority.create('ca');
  ca = authority.cert;
  ann = await authority.issue({ commonName: 'ann' });
  const { certFile, keyFile } = files.writePair('server', await authority.issue());
  const config = tlsConfigOf('clientTls', {
    'cert-file': certFile,
    'key-file': keyFile,
    'trusted-ca-file': files.write('ca.pem', ca),
  });
  const logger = new Log();
  const modules = {
    services: new Services([]),
    logger,
    http: { accept: (socket: unknown) => void server.emit('connection', socket) },
  };
  grpc = new GrpcServer(modules, { messageBytesMax: 1024 });
  const secured = (socket: Parameters<GrpcServer['accept']>[0]): void => grpc.accept(socket);
  const credentials = credentialsOf(config, logger);
  const acceptor = new TlsAcceptor({ credentials, logger, secured }, 'client');
  listener = createServer((socket) => acceptor.accept(socket));
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  session = http2.connect(`https://localhost:${port}`, { ca, cert: ann.cert, key: ann.key });
});

after(async () => {
  session.destroy();
  await grpc.stop(100);
  listener.close();
  files.remove();
});

async function ask(
  headers: http2.OutgoingHttpHeaders,
  body?: Uint8Array,
): Promise<{ headers: http2.IncomingHttpHeaders; body: Buffer }> {
  const call = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) call.end(body);
  const [answered] = (await once(call, 'response')) as [http2.IncomingHttpHeaders];
  return { headers: answered, body: await buffer(call) };
}

suite('HTTP over HTTP/2', () => {
  test('headers go both ways, and the client stays who it is', async () => {
    const { headers, body } = await ask({ ':path': '/who', 'x-asked': 'this' });
    assert.equal(headers[':status'], 200);
    assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
    assert.equal(headers['connection'], undefined);
    assert.equal(headers['transfer-encoding'], undefined);
    assert.deepEqual(JSON.parse(String(body)), {
      commonName: 'ann',
      address: '127.0.0.1',
      host: new URL(`https://${session.originSet?.[0]?.slice(8) ?? ''}`).host,
      asked: 'this',
      method: 'GET',
    });
  });

  test('what is not there, and no body where there is none', async () => {
    const { headers, body } = await ask({ ':path': '/nowhere' });
    assert.deepEqual([headers[':status'], String(body)], [404, 'nothing\n']);
    const head = await ask({ ':path': '/who', ':method': 'HEAD' });
    assert.deepEqual([head.headers[':status'], head.body.length], [200, 0]);
    const empty = await ask({ ':path': '/echo', ':method': 'POST' }, new Uint8Array());
    assert.deepEqual([empty.headers[':status'], empty.body.length], [201, 0]);
  });

  test('bodies of any size, many at once', async () => {
    const bodies = [1, 16_384, 16_385, 3_000_000, 0, 70_000].map((size) => randomBytes(size));
    const answers = await Promise.all(
      bodies.map((body) => ask({ ':path': '/echo', ':method': 'POST' }, body)),
    );
    const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
    assert.deepEqual(
      answers.map(({ body }) => digest(body)),
      bodies.map(digest),
    );
    const all = Array.from({ length: 300 }, () => ask({ ':path': '/who' }));
    for (const { headers } of await Promise.all(all)) assert.equal(headers[':status'], 200);
  });

  test('a stream comes as it is written, and ends when the client leaves', async () => {
    gone.length = 0;
    const call = session.request({ ':path': '/stream' });
    call.setEncoding('utf8');
    let text = '';
    call.on('data', (chunk: string) => {
      text += chunk;
    });
    while (!text.includes('second')) await once(call, 'data');
    assert.equal(text, 'first\nsecond\n');
    call.close(http2.constants.NGHTTP2_CANCEL);
    while (!gone.includes('/stream')) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  test('an answer that breaks off is reset, and the connection goes on', async () => {
    const call = session.request({ ':path': '/broken' });
    call.resume();
    const [error] = (await once(call, 'error')) as [Error];
    assert.match(error.message, /NGHTTP2_INTERNAL_ERROR/);
    assert.equal((await ask({ ':path': '/who' })).headers[':status'], 200);
  });

  test('what HTTP/1.1 cannot say is reset, and the connection goes on', async () => {
    const odd: http2.OutgoingHttpHeaders[] = [
      { ':path': '/a b' },
      { ':path': '/who', ':method': 'G T' },
      { ':path': '/who', 'x-asked': 'a\u0001b' },
    ];
    for (const headers of odd) {
      const call = session.request(headers);
      call.resume();
      const [error] = (await once(call, 'error')) as [Error];
      assert.match(error.message, /NGHTTP2_PROTOCOL_ERROR/, JSON.stringify(headers));
    }
    assert.equal((await ask({ ':path': '/who' })).headers[':status'], 200);
  });

  test('gRPC is still gRPC', async () => {
    const { headers } = await ask({
      ':path': '/a.B/C',
      ':method': 'POST',
      'content-type': 'application/grpc',
    });
    assert.equal(headers['grpc-status'], '12');
  });
});
