import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { connect as connectPlain, createServer, type Socket } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { credentials as grpcCredentials } from '@grpc/grpc-js';
import type { CallContext } from '../../../server/api/call.ts';
import { Services } from '../../../server/api/services.ts';
import { certificateReadMsMin, handshakesPendingMax } from '../../../server/config/limits.ts';
import { KV, PutRequest, PutResponse } from '../../../server/proto/gen/rpc.ts';
import { GrpcServer } from '../../../server/transport/grpc.ts';
import { TlsAcceptor } from '../../../server/transport/tls-acceptor.ts';
import { Authority, Files, type Pair } from '../../support/certificates.ts';
import { freePort } from '../../support/server-process.ts';
import { outcome, TestClient } from './grpc-client.ts';
import {
  askGrpc,
  askProbe,
  credentialsOf,
  type Listening,
  Log,
  listenForClients,
  tlsConfigOf,
} from './tls-support.ts';

type Flags = Readonly<Record<string, string>>;

const key = Buffer.from('k');
const files = new Files();
let authority: Authority;
let ann: Pair;
let serverFlags: Flags;
let authFlags: Flags;
let shared: Listening;

before(async () => {
  authority = await Authority.create('ca');
  ann = await authority.issue({ commonName: 'ann', hosts: ['ann.test'] });
  const { certFile, keyFile } = files.writePair('server', await authority.issue());
  serverFlags = { 'cert-file': certFile, 'key-file': keyFile };
  authFlags = { ...serverFlags, 'trusted-ca-file': files.write('ca.pem', authority.cert) };
  shared = await listenForClients(serverFlags);
});

after(async () => {
  await shared.stop();
  files.remove();
});

function shown(pair?: Pair): ConnectionOptions {
  return { ca: authority.cert, ...(pair && { cert: pair.cert, key: pair.key }) };
}

/** A connection after its handshake; rejects with what the server said instead. */
function connected(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca: authority.cert, ...options }, () =>
      resolve(socket),
    );
    socket.on('error', reject);
  });
}

async function withListener(flags: Flags, body: (listening: Listening) => Promise<void>) {
  const listening = await listenForClients(flags);
  try {
    await body(listening);
  } finally {
    await listening.stop();
  }
}

suite('what is agreed on', () => {
  test('TLS 1.3, TLS 1.2, and no more than the flags allow', async () => {
    for (const [flags, tls12, tls13] of [
      [{}, true, true],
      [{ 'tls-min-version': 'TLS1.3' }, false, true],
      [{ 'tls-max-version': 'TLS1.2' }, true, false],
    ] as const) {
      await withListener({ ...serverFlags, ...flags }, async ({ port }) => {
        for (const [version, expected] of [
          ['TLSv1.2', tls12],
          ['TLSv1.3', tls13],
        ] as const) {
          const attempt = connected(port, { minVersion: version, maxVersion: version });
          if (expected) (await attempt).destroy();
          else
            await assert.rejects(
              attempt,
              /protocol version/,
              `${JSON.stringify(flags)} ${version}`,
            );
        }
      });
    }
  });

  test('only the cipher suites that are named, in their order; weak ones only when they are', async () => {
    const flags = {
      ...serverFlags,
      'cipher-suites':
        'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA',
    };
    const cipherWith = async (port: number, ciphers: string): Promise<string> => {
      const socket = await connected(port, { maxVersion: 'TLSv1.2', ciphers });
      const { name } = socket.getCipher();
      socket.destroy();
      return name;
    };
    const [best, weak] = ['ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-AES128-SHA'];
    await withListener(flags, async ({ port }) => {
      assert.equal(await cipherWith(port, `${weak}:${best}`), best);
      assert.equal(await cipherWith(port, weak), weak);
      await assert.rejects(cipherWith(port, 'ECDHE-ECDSA-CHACHA20-POLY1305'), /handshake failure/);
      const newest = await connected(port);
      assert.equal(newest.getProtocol(), 'TLSv1.3');
      newest.destroy();
    });
    await assert.rejects(cipherWith(shared.port, weak), /handshake failure/);
  });

  test('gRPC with and without ALPN, and where the client offers HTTP/1.1 as well', async () => {
    for (const offered of [['h2'], undefined, ['h2', 'http/1.1'], ['grpc-exp', 'h2']]) {
      const socket = await connected(shared.port, offered && { ALPNProtocols: offered });
      const agreed = offered !== undefined && 'h2';
      assert.equal(socket.alpnProtocol, agreed);
      const session = http2.connect('https://localhost', { createConnection: () => socket });
      const call = session.request({
        ':method': 'POST',
        ':path': KV.methods.put.path,
        'content-type': 'application/grpc',
      });
      const message = PutRequest.encode(PutRequest.create({ key }));
      call.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
      const [headers] = (await once(call, 'response')) as [http2.IncomingHttpHeaders];
      assert.equal(headers[':status'], 200);
      session.destroy();
    }
    await assert.rejects(
      connected(shared.port, { ALPNProtocols: ['spdy/3'] }),
      /application protocol/,
    );
  });

  test('a session is never resumed: each connection shows its certificate', async () => {
    await withListener(authFlags, async ({ port }) => {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const first = await connected(port, { ...shown(ann), maxVersion });
        let session = first.getSession();
        first.on('session', (given) => {
          session = given;
        });
        first.write('GET /version HTTP/1.1\r\nHost: x\r\n\r\n');
        await once(first, 'data');
        first.destroy();
        const again = await connected(port, {
          ...shown(ann),
          maxVersion,
          ...(session && { session }),
        });
        assert.equal(again.isSessionReused(), false);
        again.destroy();
      }
    });
  });
});

suite('who the client is', () => {
  test('the service is told the common name of a certificate that was verified, and of no other', async () => {
    const names: (string | undefined)[] = [];
    const run = async (_request: unknown, context: CallContext) => {
      names.push(context.commonName);
      return PutResponse.create();
    };
    const logger = new Log();
    const services = new Services([{ kind: 'unary', method: KV.methods.put, run }]);
    for (const flags of [authFlags, serverFlags]) {
      const grpc = new GrpcServer({ services, logger }, { messageBytesMax: 1024 });
      const credentials = credentialsOf(tlsConfigOf('clientTls', flags), logger);
      const acceptor = new TlsAcceptor(
        { credentials, logger, secured: (socket) => grpc.accept(socket) },
        'client',
      );
      const server = createServer((socket) => acceptor.accept(socket));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      assert.equal(await askGrpc(port, shown(ann)), '200');
      await grpc.stop(100);
      server.close();
    }
    assert.deepEqual(names, ['ann', undefined]);
  });

  test('only those for an allowed host name', async () => {
    for (const [allowed, served] of [
      ['ben.test,ann.test', true],
      ['ben.test', false],
    ] as const) {
      await withListener(
        { ...authFlags, 'client-cert-allowed-hostname': allowed },
        async ({ port }) => {
          for (const ask of [askGrpc, askProbe]) {
            assert.equal((await ask(port, shown(ann))) === '200', served);
          }
        },
      );
    }
  });

  test('a chain over an authority in the middle is followed, and revoked with it', async () => {
    const middle = await authority.subordinate('middle');
    const deep = await middle.issue({ commonName: 'deep' });
    const chain = { ...deep, cert: deep.cert + middle.cert };
    const crl = files.write('middle.der', await authority.revoke([]));
    await withListener({ ...authFlags, 'client-crl-file': crl }, async ({ port }) => {
      assert.equal(await askGrpc(port, shown(chain)), '200');
      assert.notEqual(await askGrpc(port, shown(deep)), '200');
      files.write('middle.der', await authority.revoke([middle.serial]));
      await sleep(certificateReadMsMin + 20);
      assert.notEqual(await askGrpc(port, shown(chain)), '200');
    });
  });
});

suite('half-open handshakes', () => {
  /** Connections that say nothing, or the beginning of a handshake and no more. */
  async function halfOpen(port: number, count: number): Promise<Socket[]> {
    const hello = Buffer.from([0x16, 3, 1, 2, 0, 1]);
    const sockets = Array.from({ length: count }, () => connectPlain(port, '127.0.0.1'));
    const connections = sockets.map((socket, at) => {
      socket.on('error', () => undefined);
      socket.resume();
      if (at % 2 === 0) socket.write(hello);
      return once(socket, 'connect');
    });
    await Promise.all(connections);
    return sockets;
  }

  test('hold nobody up', async () => {
    const sockets = await halfOpen(shared.port, 10);
    assert.equal(await askGrpc(shared.port, shown()), '200');
    assert.equal(await askProbe(shared.port, shown()), '200');
    for (const socket of sockets) socket.destroy();
  });

  test('are dropped: the oldest when there are too many, all with the listener', async () => {
    const { port, stop } = await listenForClients(serverFlags);
    const [first] = (await halfOpen(port, 1)) as [Socket];
    const dropped = once(first, 'close');
    const others = await halfOpen(port, handshakesPendingMax);
    await dropped;
    assert.equal(others.filter(({ destroyed }) => destroyed).length, 0);
    assert.equal(await askGrpc(port, shown()), '200');
    const closing = others.slice(5).map((socket) => once(socket, 'close'));
    await stop();
    await Promise.all(closing);
  });
});

suite('addresses', () => {
  test('one port for TLS and in clear: the first byte tells', async () => {
    const port = await freePort();
    const both = await listenForClients(serverFlags, [
      `http://127.0.0.1:${port}`,
      `https://127.0.0.1:${port}`,
    ]);
    assert.equal(both.listener.addresses.length, 1);
    assert.equal(await askGrpc(port, shown()), '200');
    assert.equal(await askProbe(port, shown()), '200');
    const plain = new TestClient(`127.0.0.1:${port}`);
    assert.equal(await outcome(plain.unary(KV.methods.put, PutRequest.create({ key }))), '0');
    plain.close();
    const response = await get({ host: '127.0.0.1', port, path: '/version' });
    assert.equal(response, 200);
    await both.stop();
  });

  test('sockets of the file system, in clear and with TLS', async () => {
    const [clear, secure] = [files.path('a.sock'), files.path('b.sock')];
    const opened = await listenForClients(serverFlags, [`unix://${clear}`, `unixs://${secure}`]);
    assert.equal(await get({ socketPath: clear, path: '/version' }), 200);
    const plain = new TestClient(`unix:${clear}`);
    assert.equal(await outcome(plain.unary(KV.methods.put, PutRequest.create({ key }))), '0');
    plain.close();
    const secured = new TestClient(
      `unix:${secure}`,
      { 'grpc.ssl_target_name_override': 'localhost' },
      grpcCredentials.createSsl(Buffer.from(authority.cert)),
    );
    assert.equal(await outcome(secured.unary(KV.methods.put, PutRequest.create({ key }))), '0');
    secured.close();
    await opened.stop();
    assert(!existsSync(clear) && !existsSync(secure));
  });

  test('a socket file left behind is taken over, any other file is not', async () => {
    const path = files.path('left.sock');
    const left = createServer();
    left.listen(path);
    await once(left, 'listening');
    // Renamed while it listens, the file is not removed when that ends.
    const url = [`unix://${path}`];
    await (await listenForClients(serverFlags, url)).stop();
    left.close();
    files.write('left.sock', 'a file');
    await assert.rejects(listenForClients(serverFlags, url), /EADDRINUSE/);
    assert(existsSync(path));
  });
});

function get(options: http.RequestOptions): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    http
      .get(options, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
      .on('error', reject);
  });
}
