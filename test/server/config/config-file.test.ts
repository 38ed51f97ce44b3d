import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { type CommandLine, readCommandLine } from '../../../server/config/config.ts';
import { UsageError } from '../../../server/config/flags.ts';

const directory = mkdtempSync(join(tmpdir(), 'mainstay-config-'));
const path = join(directory, 'member.yaml');
after(() => rmSync(directory, { recursive: true }));

type Read = Extract<CommandLine, { kind: 'serve' }>;

function read(text: string, argv: readonly string[] = [`--config-file=${path}`], env = {}): Read {
  writeFileSync(path, text);
  const line = readCommandLine(argv, env);
  assert(line.kind === 'serve');
  return line;
}

function refusal(text: string): string {
  try {
    read(text);
  } catch (error) {
    assert(error instanceof UsageError, String(error));
    assert(error.message.startsWith(`config file ${path}: `), error.message);
    return error.message.slice(`config file ${path}: `.length);
  }
  return 'accepted';
}

suite('a config file', () => {
  test('says what flags say', () => {
    const { config, warnings } = read(`
# As in etcd's sample.
name: 'a'
data-dir: /var/lib/a
wal-dir: /fast/a
snapshot-count: 5000
election-timeout: 2000
quota-backend-bytes: 4294967296
listen-peer-urls: https://10.0.0.1:2380,https://127.0.0.1:2380
listen-client-urls: "https://10.0.0.1:2379"
advertise-client-urls: https://10.0.0.1:2379
initial-advertise-peer-urls: https://10.0.0.1:2380
initial-cluster: a=https://10.0.0.1:2380,b=https://10.0.0.2:2380
initial-cluster-state: existing
initial-cluster-token:
cors:
discovery: ""
discovery-fallback: 'proxy'
strict-reconfig-check: no
max-wals: 5
client-transport-security:
  cert-file: /c.pem
  key-file: /c.key
  client-cert-auth: true
  trusted-ca-file: /ca.pem
  auto-tls: false
peer-transport-security:
  cert-file: /p.pem
  key-file: /p.key
  allowed-cn: [a, b]
  trusted-ca-file: ~
log-outputs: [stderr]
logger: zap
auto-compaction-mode: periodic
auto-compaction-retention: "1"
grpc-keepalive-min-time: 10000000000
grpc-keepalive-timeout: 30s
experimental-corrupt-check-time: 60000000000
feature-gates: LeaseCheckpoint=true
cipher-suites: [
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
]
`);
    const { maintenance, clientTls, peerTls } = config;
    assert.equal(config.name, 'a');
    assert.equal(config.dataDir, '/var/lib/a');
    assert.equal(config.walDir, '/fast/a');
    assert.equal(config.electionMs, 2000);
    assert.deepEqual(config.listenPeerUrls, ['https://10.0.0.1:2380', 'https://127.0.0.1:2380']);
    assert.deepEqual(
      config.initialCluster.map(({ name }) => name),
      ['a', 'b'],
    );
    assert.equal(config.initialClusterState, 'existing');
    assert.equal(config.initialClusterToken, 'etcd-cluster');
    assert.equal(maintenance.quotaBytes, 4_294_967_296);
    assert.equal(maintenance.isReconfigurationStrict, false);
    assert.equal(maintenance.keepalive.pingMsMin, 10_000);
    assert.equal(maintenance.keepalive.timeoutMs, 30_000);
    assert.equal(maintenance.corruptCheckMs, 60_000);
    assert.equal(clientTls.certFile, '/c.pem');
    assert.equal(clientTls.isClientCertRequired, true);
    assert.equal(peerTls.certFile, '/p.pem');
    assert.deepEqual(warnings, ['--max-wals has no effect']);
  });

  test('an empty one leaves every default', () => {
    const { config } = read('');
    assert.deepEqual(config, read('', []).config);
  });

  test('beside it nothing counts, and the log says so', () => {
    const argv = [`--config-file=${path}`, '--name=b'];
    const { config, warnings } = read('name: a', argv, { ETCD_DATA_DIR: '/b', PATH: '/bin' });
    assert.equal(config.name, 'a');
    assert.equal(config.dataDir, 'a.etcd');
    const ignored = 'has no effect: everything comes from the config file';
    assert.deepEqual(warnings, [`--name ${ignored}`, `ETCD_DATA_DIR ${ignored}`]);
    assert.equal(read('name: a', [], { ETCD_CONFIG_FILE: path }).config.name, 'a');
  });

  test('keys that are none have no effect, as in etcd, and the log says so', () => {
    const { warnings } = read('listen-client-url: x\npeer-transport-security: {cert: /p}');
    assert.deepEqual(warnings, [
      'listen-client-url is no key of the config file and has no effect',
      'peer-transport-security.cert is no key of the config file and has no effect',
    ]);
  });

  for (const [text, expected] of [
    ['name: [', /^it is no YAML: .* \(line 2\)$/],
    ['- name', /^it is no mapping of keys to values$/],
    ['name: {a: b}', /^name is neither a value nor a list of values$/],
    ['peer-transport-security: /p.pem', /^peer-transport-security is no mapping$/],
    [
      'client-transport-security: {allowed-cn: a}',
      /^client-transport-security\.allowed-cn is not supp/,
    ],
    ['election-timeout: 10', /^--election-timeout\[10ms\] should be at least/],
    ['max-txn-ops: many', /^invalid value "many" for flag --max-txn-ops: expected a whole number$/],
    ['discovery: http://x', /^--discovery is a flag of etcd that is not supported yet$/],
    ['enable-pprof: true', /^--enable-pprof=true is not supported yet; only false is$/],
  ] as const) {
    test(`refused: ${text}`, () => assert.match(refusal(text), expected));
  }

  test('one that is not there is refused', () => {
    const argv = [`--config-file=${path}.other`];
    assert.throws(() => readCommandLine(argv, {}), /member\.yaml\.other: cannot read it: ENOENT/);
  });
});
