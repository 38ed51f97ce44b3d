import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { hostLookup } from '../../../server/base/hosts.ts';
import { certificateReadMsMin } from '../../../server/config/limits.ts';
import {
  alternativeNames,
  isFor,
  type Names,
  refusalByAddress,
} from '../../../server/transport/certificate-check.ts';
import { PeerDialer } from '../../../server/transport/peer-dialer.ts';
import { Authority, Files, type Subject } from '../../support/certificates.ts';
import { credentialsOf, type Listening, Log, listenForPeers, tlsConfigOf } from './tls-support.ts';

// Two members: one listens, one connects. Each has a certificate, and each looks at the other's.

type Flags = Readonly<Record<string, string>>;

const files = new Files();
let authority: Authority;
let other: Authority;
let ca: string;

before(async () => {
  authority = await Authority.create('ca');
  other = await Authority.create('other');
  ca = files.write('ca.pem', authority.cert);
});

after(() => files.remove());

let made = 0;

async function flagsOf(subject: Subject, more: Flags = {}, signer = authority): Promise<Flags> {
  const { certFile, keyFile } = files.writePair(`pair-${made++}`, await signer.issue(subject));
  return {
    'peer-cert-file': certFile,
    'peer-key-file': keyFile,
    'peer-trusted-ca-file': ca,
    'peer-client-cert-auth': 'true',
    ...more,
  };
}

/** What a member with these flags gets from one that listens: `200`, or why nothing. */
async function dial(flags: Flags, { port }: Listening, host = '127.0.0.1'): Promise<string> {
  const credentials = credentialsOf(tlsConfigOf('peerTls', flags), new Log());
  const dialer = new PeerDialer({ lookup: hostLookup(undefined), credentials });
  const answer = await ask(dialer, `https://${host}:${port}`);
  dialer.close();
  return answer;
}

function ask(dialer: PeerDialer, url: string): Promise<string> {
  return new Promise((resolve) => {
    const request = dialer.request(url, '/members', { timeout: 5_000 });
    request.on('response', (response) => {
      response.resume();
      resolve(String(response.statusCode));
    });
    request.on('error', (error) => resolve(error.message));
    request.end();
  });
}

suite('a member that connects', () => {
  const rows: readonly (readonly [name: string, subject: Subject, expected: RegExp])[] = [
    ['meets the right certificate', {}, /^200$/],
    ['meets an expired one', { validFrom: -9, validTo: -1 }, /expired/],
    ['meets one for another name', { hosts: ['elsewhere.invalid'] }, /not 127\.0\.0\.1$/],
    [
      'meets one with its name as the common name only',
      { hosts: [], commonName: '127.0.0.1' },
      /valid for no name, not 127\.0\.0\.1$/,
    ],
    ['meets one for clients only', { usages: ['client'] }, /unsuitable certificate purpose/],
  ];
  for (const [name, subject, expected] of rows) {
    test(name, async () => {
      const listening = await listenForPeers(await flagsOf(subject));
      assert.match(await dial(await flagsOf({}), listening), expected);
      await listening.stop();
    });
  }

  test('meets one of another authority', async () => {
    const listening = await listenForPeers(await flagsOf({}, {}, other));
    assert.match(await dial(await flagsOf({}), listening), /unable to verify|unable to get/);
    await listening.stop();
  });

  test('meets a revoked one', async () => {
    const flags = await flagsOf({ serial: '0abc' });
    const listening = await listenForPeers(flags);
    const crl = files.write('revoked.der', await authority.revoke(['0abc']));
    const dialled = await dial(await flagsOf({}, { 'peer-crl-file': crl }), listening);
    assert.equal(dialled, 'certificate serial abc revoked');
    await listening.stop();
  });

  test('meets one whose common name is not allowed', async () => {
    const listening = await listenForPeers(await flagsOf({ commonName: 'member' }));
    const allowing = (cn: string) => flagsOf({}, { 'peer-cert-allowed-cn': cn });
    assert.equal(await dial(await allowing('x,member'), listening), '200');
    assert.match(await dial(await allowing('x,Member'), listening), /authentication failed$/);
    await listening.stop();
  });

  test('reads its files again: an authority that is new, one that is gone', async () => {
    const listening = await listenForPeers(await flagsOf({}));
    const own = files.write('own-ca.pem', other.cert);
    const flags = await flagsOf({}, { 'peer-trusted-ca-file': own });
    const credentials = credentialsOf(tlsConfigOf('peerTls', flags), new Log());
    const dialer = new PeerDialer({ lookup: hostLookup(undefined), credentials });
    const url = `https://127.0.0.1:${listening.port}`;
    assert.match(await ask(dialer, url), /unable to|self-signed/);
    files.write('own-ca.pem', authority.cert);
    await sleep(certificateReadMsMin + 20);
    assert.equal(await ask(dialer, url), '200');
    files.write('own-ca.pem', other.cert);
    await sleep(certificateReadMsMin + 20);
    assert.match(await ask(dialer, url), /unable to|self-signed/);
    dialer.close();
    await listening.stop();
  });
});

suite('a member that is connected to', () => {
  const byName = {
    'peer-skip-client-san-verification': 'true',
    'peer-cert-allowed-hostname': 'b.cluster.test',
  };
  const rows: readonly (readonly [name: string, subject: Subject, more: Flags, served: boolean])[] =
    [
      ['by its address', { hosts: ['127.0.0.1'] }, {}, true],
      ['by another address, which the certificate names', { hosts: ['10.0.0.1'] }, {}, false],
      ['by a name that has the address', { hosts: ['10.0.0.1', 'localhost'] }, {}, true],
      ['by a name that has another address', { hosts: ['x.invalid', '*.invalid'] }, {}, false],
      [
        'by another address, which is not looked at',
        { hosts: ['10.0.0.1'] },
        { 'peer-skip-client-san-verification': 'true' },
        true,
      ],
      [
        'by an allowed name',
        { hosts: ['127.0.0.1', 'a.cluster.test'] },
        { 'peer-cert-allowed-hostname': 'b.cluster.test,a.cluster.test' },
        true,
      ],
      [
        'by a wildcard that an allowed name fits',
        { hosts: ['127.0.0.1', '*.cluster.test'] },
        { 'peer-cert-allowed-hostname': 'b.cluster.test' },
        true,
      ],
      [
        'by a wildcard one label off',
        { hosts: ['127.0.0.1', '*.cluster.test'] },
        { 'peer-cert-allowed-hostname': 'c.b.cluster.test' },
        false,
      ],
      // As the operator starts members with a person's certificates: the name alone counts, and it does count.
      ['by an allowed name, wherever it is', { hosts: ['*.cluster.test'] }, byName, true],
      ['by no name, wherever it is', { commonName: 'b.cluster.test', hosts: [] }, byName, false],
      ['by another name, wherever it is', { hosts: ['*.other.test'] }, byName, false],
      ['by an allowed common name', { commonName: 'm' }, { 'peer-cert-allowed-cn': 'n,m' }, true],
      ['by another common name', { commonName: 'ma' }, { 'peer-cert-allowed-cn': 'n,m' }, false],
    ];
  for (const [name, subject, more, served] of rows) {
    test(`${name}: ${served ? 'served' : 'refused'}`, async () => {
      const listening = await listenForPeers(
        await flagsOf({ commonName: 'm', hosts: ['127.0.0.1', 'b.cluster.test'] }, more),
      );
      const answer = await dial(await flagsOf(subject), listening);
      assert.equal(answer === '200', served, answer);
      const rejected = listening.log.lines.some((line) => line.startsWith('rejected connection'));
      assert.equal(rejected, !served);
      await listening.stop();
    });
  }
});

suite('addresses and names', () => {
  async function refusal(hosts: readonly string[], from: string, names: Names) {
    const { cert } = await authority.issue({ hosts });
    const raw = new X509Certificate(cert);
    const socket = {
      remoteAddress: from,
      getPeerCertificate: () => ({ raw: raw.raw, subjectaltname: raw.subjectAltName }),
    } as unknown as TLSSocket;
    return refusalByAddress(socket, names);
  }
  const names: Names = {
    addressesOf: async (name) => {
      if (name === 'known.test') return ['10.0.0.1', '10.0.0.2'];
      throw new Error('ENOTFOUND');
    },
    namesOf: async (address) => {
      if (address === '10.0.0.3') return ['deep.wild.test.'];
      throw new Error('ENOTFOUND');
    },
  };

  test('a name counts when it has the address, or the address has it', async () => {
    assert.equal(await refusal(['known.test'], '10.0.0.2', names), undefined);
    assert.equal(await refusal(['known.test'], '::ffff:10.0.0.2', names), undefined);
    assert.equal(await refusal(['*.wild.test'], '10.0.0.3', names), undefined);
    assert.equal(await refusal(['deep.wild.test'], '10.0.0.3', names), undefined);
    assert.match(String(await refusal(['known.test'], '10.0.0.9', names)), /does not match any/);
    assert.match(String(await refusal(['*.test2'], '10.0.0.3', names)), /does not match any/);
    assert.match(String(await refusal(['10.0.0.1'], '', names)), /no address/);
    assert.equal(await refusal(['fd00::1'], 'fd00:0:0::1', names), undefined);
    assert.equal(await refusal([], '10.0.0.9', names), undefined);
  });

  test('the text of the alternative names', () => {
    assert.deepEqual(
      alternativeNames('DNS:a.b, IP Address:1.2.3.4, URI:x, DNS:"c, IP Address:9.9.9.9", DNS:*.d'),
      { addresses: ['1.2.3.4'], dnsNames: ['a.b', 'c, IP Address:9.9.9.9', '*.d'] },
    );
    assert.deepEqual(alternativeNames(''), { addresses: [], dnsNames: [] });
  });

  test('a wildcard is one label', async () => {
    const { cert } = await authority.issue({
      hosts: ['*.a.test', '1.2.3.4'],
      commonName: 'cn.test',
    });
    const certificate = new X509Certificate(cert);
    const fits = (host: string): boolean => isFor(certificate, host);
    assert.deepEqual(
      ['x.a.test', 'X.A.TEST', '1.2.3.4', 'a.test', 'x.y.a.test', 'cn.test', '1.2.3.5'].map(fits),
      [true, true, true, false, false, false, false],
    );
  });
});
