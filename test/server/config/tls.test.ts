import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { type Config, readCommandLine } from '../../../server/config/config.ts';
import { UsageError } from '../../../server/config/flags.ts';
import { isSelfSigned, warnOfIgnoredTls } from '../../../server/config/tls.ts';
import { Log } from '../transport/tls-support.ts';

function configOf(line: string, env: Record<string, string> = {}): Config {
  const read = readCommandLine(line.split(' ').filter(Boolean), env);
  assert(read.kind === 'serve');
  return read.config;
}

function refusal(line: string): string {
  try {
    configOf(line);
  } catch (error) {
    assert(error instanceof UsageError, String(error));
    return error.message;
  }
  return 'accepted';
}

const secureClients =
  '--listen-client-urls=https://127.0.0.1:1 --advertise-client-urls=https://127.0.0.1:1';

suite('TLS flags', () => {
  test('nothing is given: no certificate, TLS 1.2 and 1.3, forward secret and authenticated suites', () => {
    const { clientTls, peerTls } = configOf('');
    assert.deepEqual(
      { ...clientTls, ciphers: '' },
      {
        certFile: '',
        keyFile: '',
        clientCertFile: '',
        clientKeyFile: '',
        trustedCaFile: '',
        crlFile: '',
        isClientCertRequired: false,
        allowedCommonNames: [],
        allowedHostnames: [],
        skipsClientSanCheck: true,
        isAuto: false,
        selfSignedYears: 1,
        ciphers: '',
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.3',
      },
    );
    assert.equal(peerTls.skipsClientSanCheck, false);
    const suites = clientTls.ciphers.split(':');
    assert(suites.every((name) => name.startsWith('TLS_') || /^ECDHE-.*(GCM|CHACHA20)/.test(name)));
  });

  test('both sides, by flags and by the environment', () => {
    const { clientTls, peerTls } = configOf(
      `${secureClients} --cert-file=c --key-file=k --client-cert-auth --trusted-ca-file=ca --client-crl-file=crl` +
        ' --client-cert-allowed-hostname=a,b --client-cert-file=cc --client-key-file=ck' +
        ' --peer-cert-file=pc --peer-key-file=pk --peer-client-cert-auth=T --peer-trusted-ca-file=pca' +
        ' --peer-crl-file=pcrl --peer-cert-allowed-cn=x,y --peer-skip-client-san-verification',
      {
        ETCD_PEER_CLIENT_CERT_FILE: 'pcc',
        ETCD_PEER_CLIENT_KEY_FILE: 'pck',
        ETCD_TLS_MIN_VERSION: 'TLS1.3',
        ETCD_SELF_SIGNED_CERT_VALIDITY: '3',
      },
    );
    const common = {
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      selfSignedYears: 3,
      isAuto: false,
    };
    assert.deepEqual(
      { ...clientTls, ciphers: '' },
      {
        ...common,
        certFile: 'c',
        keyFile: 'k',
        clientCertFile: 'cc',
        clientKeyFile: 'ck',
        trustedCaFile: 'ca',
        crlFile: 'crl',
        isClientCertRequired: true,
        allowedCommonNames: [],
        allowedHostnames: ['a', 'b'],
        skipsClientSanCheck: true,
        ciphers: '',
      },
    );
    assert.deepEqual(
      { ...peerTls, ciphers: '' },
      {
        ...common,
        certFile: 'pc',
        keyFile: 'pk',
        clientCertFile: 'pcc',
        clientKeyFile: 'pck',
        trustedCaFile: 'pca',
        crlFile: 'pcrl',
        isClientCertRequired: true,
        allowedCommonNames: ['x', 'y'],
        allowedHostnames: [],
        skipsClientSanCheck: true,
        ciphers: '',
      },
    );
  });

  test('cipher suites by the names of Go; OpenSSL knows each', () => {
    const names = [
      'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
      'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305',
      'TLS_RSA_WITH_AES_256_CBC_SHA',
      'TLS_AES_128_GCM_SHA256',
    ];
    const { ciphers } = configOf(`--cipher-suites=${names.join()}`).clientTls;
    assert.match(
      ciphers,
      /^TLS_.*:TLS_.*:TLS_[A-Z0-9_]+:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:AES256-SHA$/,
    );
    for (const cipher of ciphers.split(':').slice(3)) {
      createSecureContext({ ciphers: cipher, maxVersion: 'TLSv1.2' });
    }
    assert.throws(() => createSecureContext({ ciphers: 'NO-SUCH', maxVersion: 'TLSv1.2' }));
  });

  const refused: readonly (readonly [line: string, message: string])[] = [
    ['--cert-file=x', 'KeyFile and CertFile must both be present[key: , cert: x]'],
    ['--peer-key-file=x', 'KeyFile and CertFile must both be present[key: x, cert: ]'],
    [
      '--client-cert-file=x',
      'ClientKeyFile and ClientCertFile must both be present or both absent: key: , cert: x]',
    ],
    [
      secureClients,
      'TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme',
    ],
    [
      '--listen-peer-urls=https://127.0.0.1:1',
      'cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented',
    ],
    ['--cipher-suites=FOO', 'unexpected TLS cipher suite "FOO"'],
    [
      '--cipher-suites=TLS_RSA_WITH_RC4_128_SHA',
      'TLS cipher suite "TLS_RSA_WITH_RC4_128_SHA" is broken: not supported',
    ],
    [
      '--tls-min-version=TLS1.1',
      'unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)',
    ],
    [
      '--tls-min-version=TLS1.3 --tls-max-version=TLS1.2',
      'min version (TLS1.3) is greater than max version (TLS1.2)',
    ],
    [
      '--tls-min-version=TLS1.3 --cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
      'cipher suites cannot be configured when only TLS1.3 is enabled',
    ],
    [
      '--peer-cert-allowed-cn=a,b --peer-cert-allowed-hostname=c',
      'AllowedCNs and AllowedHostnames are mutually exclusive (cns=["a" "b"], hostnames=["c"])',
    ],
    [
      '--self-signed-cert-validity=0',
      'selfSignedCertValidity is invalid,it should be greater than 0',
    ],
    [
      '--self-signed-cert-validity=1.5',
      '--self-signed-cert-validity: expected a number of years from 1 to 999',
    ],
    [
      '--client-cert-auth=maybe',
      'invalid value "maybe" for flag --client-cert-auth: expected true or false',
    ],
    ['--client-cert-auth true', "'true' is not a valid flag"],
    [
      '--auto-tls --client-cert-auth',
      '--auto-tls makes certificates that nobody can verify: it excludes --trusted-ca-file,' +
        ' --client-cert-auth, revocation lists and allowed names',
    ],
  ];
  for (const [line, message] of refused) {
    test(`refused: ${line}`, () => {
      assert.equal(refusal(line), message);
    });
  }

  test('a certificate that is given wins over one that would be made', () => {
    const given = '--cert-file=c --key-file=k';
    assert(!isSelfSigned(configOf(`--auto-tls --client-cert-auth ${given}`).clientTls));
    assert(isSelfSigned(configOf(`--auto-tls ${secureClients}`).clientTls));
  });

  test('URLs in clear: that the certificates do not count is said', () => {
    const log = new Log();
    const config = configOf('--cert-file=c --key-file=k --client-cert-auth').clientTls;
    warnOfIgnoredTls({ logger: log, config }, '', ['http://127.0.0.1:1', 'https://127.0.0.1:2']);
    warnOfIgnoredTls({ logger: log, config }, 'peer-', ['http://127.0.0.1:1']);
    assert.deepEqual(
      log.lines.map((line) => line.replace(/: $/, '')),
      [
        'scheme is http or unix while key and cert files are present; ignoring key and cert files',
        'scheme is http or unix while --client-cert-auth is enabled; ignoring client cert auth for this URL',
        'scheme is HTTP while key and cert files are present; ignoring key and cert files',
        'scheme is HTTP while --peer-client-cert-auth is enabled; ignoring client cert auth for this URL',
      ],
    );
  });
});
