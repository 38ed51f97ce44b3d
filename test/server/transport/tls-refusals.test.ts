import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { connect as connectPlain } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { Authority, Files, type Pair } from '../../support/certificates.ts';
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

// Every listener refuses the same. Each row is an attempt; each column a listener, or a protocol on it.

const files = new Files();
const pairs = new Map<string, Pair>();
let trusted: Authority;
type Port = 'client' | 'http' | 'metrics' | 'peer';
let listenings: Record<Port, Listening>;

before(async () => {
  trusted = await Authority.create('trusted');
  const other = await Authority.create('other');
  pairs.set('good', await trusted.issue({ commonName: 'ann' }));
  pairs.set('without names', await trusted.issue({ commonName: 'ann', hosts: [] }));
  pairs.set('expired', await trusted.issue({ validFrom: -48, validTo: -1 }));
  pairs.set('not yet valid', await trusted.issue({ validFrom: 1 }));
  pairs.set('of another authority', await other.issue({ commonName: 'ann' }));
  pairs.set('revoked', await trusted.issue({ commonName: 'eve' }));
  pairs.set('for servers only', await trusted.issue({ usages: ['server'] }));
  pairs.set('for another address', await trusted.issue({ hosts: ['10.9.8.7'] }));
  pairs.set('for another name', await trusted.issue({ hosts: ['elsewhere.invalid'] }));
  const server = files.writePair('server', await trusted.issue());
  const ca = files.write('ca.pem', trusted.cert);
  const crl = files.write('crl.der', await trusted.revoke([pairs.get('revoked')?.serial ?? '']));
  const flags = {
    'cert-file': server.certFile,
    'key-file': server.keyFile,
    'trusted-ca-file': ca,
    'client-crl-file': crl,
    'client-cert-auth': 'true',
  };
  const urls = ['https://127.0.0.1:0'];
  listenings = {
    client: await listenForClients(flags),
    http: await listenForClients(flags, [], { listenClientHttpUrls: urls }),
    metrics: await listenForClients(flags, [], { listenMetricsUrls: urls }),
    peer: await listenForPeers({
      'peer-cert-file': server.certFile,
      'peer-key-file': server.keyFile,
      'peer-trusted-ca-file': ca,
      'peer-crl-file': crl,
      'peer-client-cert-auth': 'true',
    }),
  };
});

after(async () => {
  for (const { stop } of Object.values(listenings)) await stop();
  files.remove();
});

const columns: readonly (readonly [name: string, port: Port, ask: Ask])[] = [
  ['client gRPC', 'client', askGrpc],
  ['client HTTP', 'client', askProbe],
  ['HTTP alone', 'http', askProbe],
  ['metrics', 'metrics', askHealth],
  ['peer', 'peer', askPeer],
];

/** A certificate, and what the server says to itself when it is refused; where the columns differ, by side. */
const rows: readonly (readonly [name: string, reason: RegExp | undefined, peerReason?: RegExp])[] =
  [
    ['good', undefined],
    ['without names', undefined],
    ['none', /peer did not return a certificate|UNABLE_TO_GET_ISSUER_CERT/],
    ['expired', /CERT_HAS_EXPIRED/],
    ['not yet valid', /CERT_NOT_YET_VALID/],
    ['of another authority', /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/],
    ['revoked', /^certificate serial [0-9a-f]+ revoked$/],
    ['for servers only', /INVALID_PURPOSE/],
    ['for another address', undefined, /valid for 10\.9\.8\.7, not 127\.0\.0\.1$/],
    ['for another name', undefined, /"127\.0\.0\.1" does not match any of DNSNames \["elsewhere/],
  ];

for (const [column, place, ask] of columns) {
  const side = place === 'peer' ? 'peer' : 'client';
  suite(`a certificate of a client, ${column}`, () => {
    for (const [name, reason, peerReason] of rows) {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const expected = side === 'peer' ? (peerReason ?? reason) : reason;
        test(`${name}, ${maxVersion}: ${expected === undefined ? 'served' : 'refused'}`, async () => {
          const { port, log } = listenings[place];
          log.lines.length = 0;
          const answer = await ask(port, { ...shown(name), maxVersion });
          const rejections = log.lines.filter((line) => line.startsWith('rejected connection on'));
          if (expected === undefined) {
            assert.equal(answer, '200');
            assert.deepEqual(rejections, []);
          } else {
            assert.notEqual(answer, '200');
            const [said = ''] = rejections;
            assert.match(said, new RegExp(`^rejected connection on ${side} endpoint: `));
            assert.match(said.replace(/^.*? endpoint: (?:Error: )?/, ''), expected);
          }
        });
      }
    }
  });
}

function shown(name: string): ConnectionOptions {
  const pair = pairs.get(name);
  return { ca: trusted.cert, ...(pair && { cert: pair.cert, key: pair.key }) };
}

for (const side of ['client', 'http', 'metrics', 'peer'] as const) {
  suite(`who does not speak TLS, ${side} port`, () => {
    test('a plain request gets no answer', async () => {
      const { port } = listenings[side];
      for (const hello of ['GET /version HTTP/1.1\r\nHost: x\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\n']) {
        const socket = connectPlain(port, '127.0.0.1');
        socket.on('error', () => undefined);
        let text = '';
        socket.on('data', (chunk) => {
          text += String(chunk);
        });
        socket.write(hello);
        await once(socket, 'close');
        assert.doesNotMatch(text, /HTTP/);
      }
    });

    test('TLS 1.1 is too old', async () => {
      const answer = await new Promise<string>((resolve) => {
        const socket = connect({
          port: listenings[side].port,
          host: '127.0.0.1',
          minVersion: 'TLSv1',
          maxVersion: 'TLSv1.1',
          ciphers: 'DEFAULT@SECLEVEL=0',
          ...shown('good'),
        });
        socket.on('secureConnect', () => resolve('connected'));
        socket.on('error', (error) => resolve(error.message));
      });
      assert.match(answer, /protocol version/);
    });
  });
}

test('TLS on a port in clear is refused at once', async () => {
  const clients = await listenForClients({}, ['http://127.0.0.1:0']);
  const peers = await listenForPeers({}, ['http://127.0.0.1:0']);
  for (const { port } of [clients, peers]) {
    const answer = await askProbe(port, { ca: trusted.cert });
    assert.match(answer, /wrong version number|packet length too long/, answer);
  }
  const plain = http.get({ host: '127.0.0.1', port: clients.port, path: '/version' });
  const [response] = (await once(plain, 'response')) as [http.IncomingMessage];
  assert.equal(response.statusCode, 200);
  response.resume();
  await clients.stop();
  await peers.stop();
});
