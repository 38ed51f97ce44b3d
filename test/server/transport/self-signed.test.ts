import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { after, suite, test } from 'node:test';
import { isFor } from '../../../server/transport/certificate-check.ts';
import { selfSigned, withSelfSigned } from '../../../server/transport/self-signed.ts';
import { Files, x509 } from '../../support/certificates.ts';
import { needs, toolPath } from '../../support/tools.ts';
import { Log, tlsConfigOf } from './tls-support.ts';

const files = new Files();
after(() => files.remove());

const claims = {
  hosts: ['127.0.0.1', '::1', 'fd00::1:0:0', '::ffff:10.1.2.3', 'member.test'],
  notBefore: new Date('2026-01-02T03:04:05Z'),
  notAfter: new Date('2056-01-02T03:04:05Z'),
};

suite('certificates signed by themselves', () => {
  test('say what they should, to Node and to another reader', async () => {
    const { cert, key } = selfSigned(claims);
    const node = new X509Certificate(cert);
    assert(node.ca && node.verify(node.publicKey));
    assert.match(key, /^-----BEGIN PRIVATE KEY-----/);
    assert.equal(node.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    assert.equal(new Date(node.validFrom).getTime(), claims.notBefore.getTime());
    assert.equal(new Date(node.validTo).getTime(), claims.notAfter.getTime());
    for (const host of [...claims.hosts, '10.1.2.3']) {
      assert.equal(isFor(node, host), host !== '10.1.2.3', host);
    }
    const other = new x509.X509Certificate(cert);
    assert.equal(other.subject, 'O=mainstay');
    assert(await other.verify());
    assert.equal(
      other.getExtension(x509.KeyUsagesExtension)?.usages,
      x509.KeyUsageFlags.digitalSignature |
        x509.KeyUsageFlags.keyEncipherment |
        x509.KeyUsageFlags.keyCertSign,
    );
    assert.deepEqual(
      [...(other.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [])],
      [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth],
    );
    assert.notEqual(new X509Certificate(selfSigned(claims).cert).serialNumber, node.serialNumber);
  });

  test('hold by the strictest rules of OpenSSL', needs('openssl'), () => {
    const path = files.write('own.pem', selfSigned(claims).cert);
    const args = ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', path, path];
    const output = execFileSync(toolPath('openssl'), args, { encoding: 'utf8' });
    assert.match(output, /: OK$/m);
  });

  test('are made once: readable by their owner only, and kept', () => {
    const log = new Log();
    const place = {
      directory: files.path('fixtures/client'),
      listenUrls: ['https://127.0.0.1:1', 'https://[::1]:2', 'https://127.0.0.1:3'],
    };
    const config = tlsConfigOf('clientTls', {
      'auto-tls': 'true',
      'self-signed-cert-validity': '2',
    });
    const made = withSelfSigned({ logger: log }, config, place);
    assert.deepEqual(
      log.lines.map((line) => line.replace(/: $/, '')),
      ['automatically generate certificates', 'created cert file'],
    );
    const first = readFileSync(made.certFile, 'utf8');
    const certificate = new X509Certificate(first);
    assert.equal(certificate.subjectAltName, 'IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1');
    const days = (new Date(certificate.validTo).getTime() - Date.now()) / 86_400_000;
    assert(days > 729 && days < 731, String(days));
    assert.equal(statSync(made.keyFile).mode & 0o777, 0o600);
    assert.equal(statSync(place.directory).mode & 0o777, 0o700);
    const again = withSelfSigned({ logger: log }, config, place);
    assert.deepEqual(again, made);
    assert.equal(readFileSync(again.certFile, 'utf8'), first);
    assert.equal(log.lines.length, 2);
  });
});
