import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { Authority, Files, type Pair } from '../../support/certificates.ts';
import { freePort } from '../../support/server-process.ts';
import {
  type Ask,
  askGrpc,
  askHealth,
  askPeer,
  askProbe,
  type Listening,
  listenForClients,
  listenForPeers,
} from './tls-support.ts';

// What was wrong with TLS in etcd, or in what stands under it, each as a test of its own, on every listener.

const files = new Files();
let authority: Authority;
let good: Pair;
let revoked: Pair;

/** Every way to listen with TLS, and what is asked there. */
const listeners: readonly (readonly [
  name: string,
  asks: readonly Ask[],
  listen: () => Promise<Listening>,
])[] = [
  ['clients', [askGrpc, askProbe], () => listenForClients(flags(''))],
  [
    'clients, on one port with those in clear',
    [askGrpc, askProbe],
    async () => {
      const port = await freePort();
      const urls = [`http://127.0.0.1:${port}`, `https://127.0.0.1:${port}`];
      return listenForClients(flags(''), urls);
    },
  ],
  [
    'HTTP alone',
    [askProbe],
    () => listenForClients(flags(''), [], { listenClientHttpUrls: ['https://127.0.0.1:0'] }),
  ],
  [
    'gRPC alone',
    [askGrpc],
    () =>
      listenForClients(flags(''), ['https://127.0.0.1:0'], {
        listenClientHttpUrls: ['http://127.0.0.1:0'],
      }),
  ],
  [
    'metrics',
    [askHealth],
    () => listenForClients(flags(''), [], { listenMetricsUrls: ['https://127.0.0.1:0'] }),
  ],
  ['peers', [askPeer], () => listenForPeers(flags('peer-'))],
];

let paths: Record<'cert' | 'key' | 'ca' | 'crl', string>;

function flags(side: '' | 'peer-'): Record<string, string> {
  return {
    [`${side}cert-file`]: paths.cert,
    [`${side}key-file`]: paths.key,
    [`${side}trusted-ca-file`]: paths.ca,
    [side === '' ? 'client-crl-file' : 'peer-crl-file']: paths.crl,
  };
}

before(async () => {
  authority = await Authority.create('ca');
  good = await authority.issue();
  revoked = await authority.issue();
  const { certFile, keyFile } = files.writePair('server', await authority.issue());
  paths = {
    cert: certFile,
    key: keyFile,
    ca: files.write('ca.pem', authority.cert),
    crl: files.write('crl.der', await authority.revoke([revoked.serial])),
  };
});

after(() => files.remove());

function shown({ cert, key }: Pair) {
  return { ca: authority.cert, cert, key };
}

function connected(port: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ...shown(good) }, () => resolve(socket));
    socket.on('error', reject);
  });
}

for (const [name, asks, listen] of listeners) {
  suite(`advisories, ${name}`, () => {
    let listening: Listening;
    before(async () => {
      listening = await listen();
    });
    after(() => listening.stop());

    test('GHSA-3wh4-j44w-pg92: a revoked certificate is refused, whatever is spoken', async () => {
      for (const ask of asks) {
        assert.equal(await ask(listening.port, shown(good)), '200');
        assert.notEqual(await ask(listening.port, shown(revoked)), '200');
      }
    });

    test('GHSA-6vch-q96h-7gc3: a handshake has a deadline, however slowly it goes on', async (context) => {
      const { port, log } = listening;
      log.lines.length = 0;
      context.mock.timers.enable({ apis: ['setTimeout'] });
      const socket = connectPlain(port, '127.0.0.1');
      const closed = isClosed(socket);
      socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
      await turns(20);
      for (let seconds = 1; seconds <= 10; seconds++) {
        assert.equal(await Promise.race([closed, turn()]), 'open', String(seconds));
        socket.write(Buffer.from([0]));
        await turns(5);
        context.mock.timers.tick(1_000);
      }
      assert.equal(await closed, 'closed');
      context.mock.timers.reset();
      assert.match(log.lines.join(), /TLS handshake timed out/);
    });

    for (const beginning of ['P', 'GET / HTTP/1.1\r\nx: ']) {
      test(`no ReadHeaderTimeout: who stops after ${JSON.stringify(beginning)} is dropped`, async (context) => {
        context.mock.timers.enable({ apis: ['setTimeout'] });
        const socket = await connected(listening.port);
        const closed = isClosed(socket);
        socket.write(beginning);
        await turns(20);
        // Where HTTP is not served it is over at once.
        if (name === 'gRPC alone' && beginning !== 'P') {
          assert.equal(await closed, 'closed');
          return;
        }
        context.mock.timers.tick(9_999);
        assert.equal(await Promise.race([closed, turn()]), 'open');
        context.mock.timers.tick(1);
        assert.equal(await closed, 'closed');
        context.mock.timers.reset();
      });
    }

    test('TOB-ETCD weak ciphers: without forward secrecy or authentication none is agreed on', async () => {
      const weak = ['AES128-GCM-SHA256', 'AES256-SHA', 'ECDHE-ECDSA-AES256-SHA', 'NULL-SHA256'];
      for (const ciphers of weak) {
        const socket = connect({
          host: '127.0.0.1',
          port: listening.port,
          ...shown(good),
          maxVersion: 'TLSv1.2',
          ciphers: `${ciphers}:@SECLEVEL=0`,
        });
        const [error] = (await once(socket, 'error')) as [Error];
        assert.match(error.message, /handshake failure|no ciphers available/, ciphers);
      }
    });

    test('CVE-2025-59465: a malformed HEADERS frame, and a reset, cost one connection', async () => {
      const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
      const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
      const headers = Buffer.from([0, 0, 5, 1, 4, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff]);
      for (const isReset of [false, true]) {
        const socket = await connected(listening.port);
        socket.write(Buffer.concat([Buffer.from(preface), settings, headers]));
        if (!isReset) await once(socket, 'data');
        socket.destroy();
      }
      for (const ask of asks) assert.equal(await ask(listening.port, shown(good)), '200');
    });
  });
}

function isClosed(socket: Socket): Promise<'closed'> {
  socket.on('error', () => undefined);
  socket.resume();
  return new Promise((resolve) => {
    socket.on('close', () => resolve('closed'));
  });
}

/** Time for sockets, while timers stand still. */
async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await turn();
}

function turn(): Promise<'open'> {
  return new Promise((resolve) => {
    setImmediate(resolve, 'open');
  });
}
