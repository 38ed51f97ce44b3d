import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { after, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificateReadMsMin } from '../../../server/config/limits.ts';
import { tlsFamilies } from '../../../server/metrics/tls-metrics.ts';
import { TlsError } from '../../../server/transport/tls-credentials.ts';
import { Authority, Files } from '../../support/certificates.ts';
import { credentialsOf, Log, tlsConfigOf } from './tls-support.ts';

const files = new Files();
after(() => files.remove());

async function open(log = new Log()) {
  const authority = await Authority.create('ca');
  const { certFile, keyFile } = files.writePair('own', await authority.issue());
  const flags = {
    'cert-file': certFile,
    'key-file': keyFile,
    'trusted-ca-file': files.write('ca.pem', authority.cert),
    'client-crl-file': files.write('crl.der', await authority.revoke(['0a'])),
  };
  const make = () => credentialsOf(tlsConfigOf('clientTls', flags), log);
  return { authority, flags, log, make, credentials: make() };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function noticed(): Promise<void> {
  await sleep(certificateReadMsMin + 20);
}

suite('credentials', () => {
  test('are the same object until a file changes', async () => {
    const { credentials } = await open();
    const { trust } = credentials;
    await noticed();
    files.write('unrelated', 'x');
    assert.equal(credentials.trust, trust);
  });

  test('each file is taken anew by itself; a broken one leaves what was', async () => {
    const { authority, credentials, log } = await open();
    const first = credentials.trust;
    files.write('crl.der', await authority.revoke(['0b']));
    files.write('ca.pem', `${authority.cert.slice(0, 300)}`);
    files.write('own.pem', 'no certificate');
    await noticed();
    const second = credentials.trust;
    assert.deepEqual([...second.revoked], ['B']);
    assert.equal(second.ca, first.ca);
    assert.equal(second.server, first.server);
    await noticed();
    assert.equal(credentials.trust, second);
    const lines = log.lines.map((line) => line.replace(/:.*$/, '')).sort();
    assert.deepEqual(lines, [
      'certificates cannot be used',
      'certificates cannot be used',
      'certificates were replaced',
    ]);
  });

  test('what is loaded is told as the files are', async () => {
    const { authority, credentials } = await open();
    const before = credentials.loaded;
    assert.equal(before.trustSha256, sha256(authority.cert));
    const pair = await authority.issue({ serial: '5a17', validTo: 7 });
    files.writePair('own', pair);
    const both = authority.cert + (await Authority.create('other')).cert;
    files.write('ca.pem', both);
    await noticed();
    const { own, trustSha256 } = credentials.loaded;
    assert.equal(own?.serial, '5a17');
    const { validFrom, validTo } = new X509Certificate(pair.cert);
    assert.equal(own.expirySeconds, Date.parse(validTo) / 1_000);
    assert.equal(own.lifetimeSeconds, (Date.parse(validTo) - Date.parse(validFrom)) / 1_000);
    assert.equal(trustSha256, sha256(both));
    const metrics = tlsFamilies({ client: credentials, peer: { loaded: before } });
    assert.deepEqual(
      metrics.flatMap(({ samples }) => samples.map(({ labels }) => labels)),
      [
        { listener: 'client', serial: '5a17' },
        { listener: 'peer', serial: before.own?.serial },
        { listener: 'client', serial: '5a17' },
        { listener: 'peer', serial: before.own?.serial },
        { listener: 'client', sha256: sha256(both) },
        { listener: 'peer', sha256: sha256(authority.cert) },
      ],
    );
  });

  test('a file that is gone for a moment, and one written in place', async () => {
    const { authority, credentials, log, flags } = await open();
    const { ca } = credentials.trust;
    rmSync(flags['trusted-ca-file']);
    await noticed();
    assert.equal(credentials.trust.ca, ca);
    assert.match(log.lines.join(), /cannot be used.*ENOENT/);
    const other = await Authority.create('other');
    writeFileSync(flags['trusted-ca-file'], other.cert);
    await noticed();
    assert.equal(String(credentials.trust.ca), other.cert);
    files.write('ca.pem', authority.cert);
    await noticed();
    assert.equal(String(credentials.trust.ca), authority.cert);
  });

  test('a member does not start with files that are missing, broken or of two pairs', async () => {
    const { authority, flags, make } = await open();
    const refused = (expected: RegExp): void => {
      assert.throws(make, (error) => error instanceof TlsError && expected.test(error.message));
    };
    files.write('own-key.pem', (await authority.issue()).key);
    refused(/own\.pem with .*own-key\.pem: the key is not that of the certificate$/);
    files.write('own-key.pem', 'no key');
    refused(/^cannot use .*own-key\.pem: /);
    files.writePair('own', await authority.issue());
    files.write('crl.der', 'no list');
    refused(/crl\.der: /);
    files.write('crl.der', await authority.revoke([]));
    files.write('ca.pem', '');
    refused(/ca\.pem: no PEM block of the kind CERTIFICATE$/);
    rmSync(flags['trusted-ca-file']);
    refused(/ca\.pem: ENOENT/);
    files.write('ca.pem', authority.cert);
    make();
  });
});
