import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { connect, createServer, type PeerCertificate, type TLSSocket } from 'node:tls';
import { issue, makeAuthority } from '../../../operator/act/issue.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import {
  type CertificateRequest,
  certificateRequests,
} from '../../../operator/resources/certificates.ts';
import { factsOf } from '../../../operator/resources/secret-facts.ts';

const now = new Date().toISOString();
const dayMs = 86_400_000;

const cluster: StoreCluster = {
  apiVersion: 'mainstay.dev/v1alpha1',
  kind: 'StoreCluster',
  metadata: { name: 'demo', namespace: 'shop', uid: 'u1' },
  spec: {
    storage: { size: '1Gi' },
    tls: {
      client: { verifyClients: true, names: ['store.example.com', '192.0.2.7', '2001:db8::7'] },
      peer: {},
    },
    auth: { rootPassword: { name: 'root' }, users: [{ name: 'app' }] },
  },
};

function request(secret: string): CertificateRequest {
  const found = certificateRequests(cluster, 'k8s.test').find((each) => each.secret === secret);
  assert.ok(found, `no certificate for ${secret}`);
  return found;
}

test('a CA signs for itself, for certificates only, and is unlike every other', async () => {
  const [first, second] = await Promise.all([
    makeAuthority('Mine', now),
    makeAuthority('Mine', now),
  ]);
  const certificate = new X509Certificate(first.cert);
  assert.ok(certificate.ca && certificate.verify(certificate.publicKey));
  assert.match(certificate.subject, /^CN=Mine [0-9a-f]{12}$/);
  assert.notEqual(certificate.subject, new X509Certificate(second.cert).subject);
  assert.ok(Date.parse(certificate.validTo) > Date.now() + 3_600 * dayMs);
});

test('the certificate of the client port is for every name that leads there', async () => {
  const authority = await makeAuthority('CA', now);
  const pair = await issue(authority, request('demo-client-tls'), { now, days: 90 });
  const certificate = new X509Certificate(pair.cert);
  const signer = new X509Certificate(authority.cert);
  assert.ok(certificate.checkIssued(signer) && certificate.verify(signer.publicKey));
  for (const host of [
    'demo',
    'demo.shop',
    'demo.shop.svc',
    'demo.shop.svc.k8s.test',
    'demo-7.demo-peers.shop.svc',
    'demo-7.demo-peers.shop.svc.k8s.test',
    'localhost',
    'store.example.com',
  ]) {
    assert.equal(certificate.checkHost(host, { subject: 'never' }) !== undefined, true, host);
  }
  for (const ip of ['127.0.0.1', '192.0.2.7', '2001:db8::7'])
    assert.ok(certificate.checkIP(ip), ip);
  assert.equal(certificate.checkHost('other.shop.svc', { subject: 'never' }), undefined);
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  const lifeMs = Date.parse(certificate.validTo) - Date.parse(certificate.validFrom);
  assert.equal(lifeMs, 90 * dayMs);
});

test('peers are servers and clients, clients are clients, with the user as common name', async () => {
  const authority = await makeAuthority('CA', now);
  const usages = async (secret: string) => {
    const pair = await issue(authority, request(secret), { now, days: 1 });
    const { keyUsage, subject } = new X509Certificate(pair.cert);
    return [keyUsage, subject];
  };
  const [server, client] = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
  assert.deepEqual(await usages('demo-peer-tls'), [[server, client], 'CN=demo-peers.shop.svc']);
  assert.deepEqual(await usages('demo-app-connection'), [[client], 'CN=app']);
  assert.deepEqual(await usages('demo-operator-tls'), [[client], 'CN=mainstay-operator']);
});

test('no certificate outlives its CA', async () => {
  const authority = await makeAuthority('CA', new Date(Date.now() - 3_600 * dayMs).toISOString());
  const pair = await issue(authority, request('demo-peer-tls'), { now, days: 825 });
  const [certificate, signer] = [
    new X509Certificate(pair.cert),
    new X509Certificate(authority.cert),
  ];
  assert.equal(certificate.validTo, signer.validTo);
});

test('what was issued is what is read back, and does for a handshake of both sides', async () => {
  const authority = await makeAuthority('CA', now);
  const wanted = request('demo-client-tls');
  const [server, client] = [
    await issue(authority, wanted, { now, days: 90 }),
    await issue(authority, request('demo-app-connection'), { now, days: 90 }),
  ];
  const data = { 'tls.crt': server.cert, 'tls.key': server.key, 'ca.crt': authority.cert };
  const facts = factsOf(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'x' },
      data: Object.fromEntries(
        Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
      ),
    },
    undefined,
  );
  assert.deepEqual(facts.certificate?.names.toSorted(), [...wanted.names].toSorted());
  assert.equal(facts.certificate?.issuer, facts.trust?.certificates[0]?.subject);
  assert.equal(await shakenHands(authority.cert, server, client), 'app');
});

/** The common name that the server has seen. */
function shakenHands(
  ca: string,
  server: { cert: string; key: string },
  client: { cert: string; key: string },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const listener = createServer({ ...server, ca, requestCert: true, rejectUnauthorized: true });
    listener.on('tlsClientError', reject);
    listener.on('secureConnection', (socket: TLSSocket) => {
      const { subject } = socket.getPeerCertificate() as PeerCertificate;
      socket.destroy();
      listener.close();
      resolve(String(subject.CN));
    });
    listener.listen(0, '127.0.0.1', () => {
      const { port } = listener.address() as { port: number };
      const servername = 'demo-3.demo-peers.shop.svc';
      connect({ port, host: '127.0.0.1', servername, ca, ...client }).on('error', reject);
    });
  });
}
