import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Config, readCommandLine, requestTimeoutMs } from '../../../server/config/config.ts';
import { helpText, UsageError } from '../../../server/config/flags.ts';
import { listenAddress, memberUrls, parseUrl, UrlError } from '../../../server/config/urls.ts';

type Env = Readonly<Record<string, string | undefined>>;

function configOf(line: string, env: Env = {}): Config {
  const read = readCommandLine(line.split(' ').filter(Boolean), env);
  assert.equal(read.kind, 'serve');
  assert(read.kind === 'serve');
  return read.config;
}

function refusal(line: string, env: Env = {}): string {
  try {
    readCommandLine(line.split(' ').filter(Boolean), env);
  } catch (error) {
    assert(error instanceof UsageError, String(error));
    return error.message;
  }
  return 'accepted';
}

suite('config', () => {
  test('defaults are etcd’s', () => {
    const { clientTls: _client, peerTls: _peer, ...config } = configOf('');
    assert.deepEqual(config, {
      name: 'default',
      dataDir: 'default.etcd',
      walDir: undefined,
      listenClientUrls: ['http://localhost:2379'],
      advertiseClientUrls: ['http://localhost:2379'],
      listenPeerUrls: ['http://localhost:2380'],
      advertisePeerUrls: ['http://localhost:2380'],
      initialCluster: [{ name: 'default', peerUrls: ['http://localhost:2380'] }],
      initialClusterState: 'new',
      initialClusterToken: 'etcd-cluster',
      forceNewCluster: false,
      heartbeatMs: 100,
      electionMs: 1000,
      snapshotCount: 10_000,
      requestBytesMax: 1_572_864,
      txnOpsMax: 128,
      audit: undefined,
      requestLimits: {
        user: { requestsPerSecond: 0, inFlight: 0 },
        connection: { requestsPerSecond: 0, inFlight: 0 },
        expensiveInFlight: 16,
        prefixQuotas: [],
      },
      authToken: { kind: 'simple' },
      authTokenTtlMs: 300_000,
      bcryptCost: 10,
      listenClientHttpUrls: [],
      listenMetricsUrls: [],
      hasExtensiveMetrics: false,
      hasGateway: true,
      hasConsole: false,
      dataEncryptionKeyFiles: [],
      concurrentStreamsMax: undefined,
      corsOrigins: [],
      hostWhitelist: [],
      logLevel: 'info',
      maintenance: {
        quotaBytes: 2_147_483_648,
        autoCompaction: undefined,
        isReconfigurationStrict: true,
        learnersMax: 1,
        observersMax: 8,
        observerStalenessMaxMs: 10_000,
        watchProgressNotifyMs: 600_000,
        checksDataInitially: false,
        corruptCheckMs: 0,
        compactHashCheckMs: 60_000,
        leaseCheckpointMs: 0,
        keepalive: { pingMsMin: 5_000, intervalMs: 7_200_000, timeoutMs: 20_000 },
        warnings: [],
      },
      walSegmentBytes: 67_108_864,
    });
    assert.equal(requestTimeoutMs(configOf('')), 7000);
  });

  test('--auth-token is read as etcd reads it', () => {
    const read = (text: string) => configOf(`--auth-token=${text}`).authToken;
    assert.deepEqual(read('simple,whatever=1'), { kind: 'simple' });
    assert.deepEqual(read(''), { kind: 'none' });
    assert.deepEqual(read('jwt,pub-key=a.pub,priv-key=a.key,sign-method=RS256,ttl=1h30m'), {
      kind: 'jwt',
      signMethod: 'RS256',
      publicKeyFile: 'a.pub',
      privateKeyFile: 'a.key',
      ttlMs: 5_400_000,
    });
    assert.deepEqual(read('jwt,sign-method=HS256,priv-key=k'), {
      kind: 'jwt',
      signMethod: 'HS256',
      publicKeyFile: undefined,
      privateKeyFile: 'k',
      ttlMs: 300_000,
    });
    assert.throws(() => read('jwt,ttl'), /invalid option "ttl"/);
    assert.throws(() => read('jwt,ttl=1=2'), /invalid option/);
    assert.throws(() => read('jwt,ttl=1s,ttl=2s'), /invalid option/);
    assert.throws(() => read('jwt,ttl=soon'), /ttl is no duration/);
    assert.throws(() => read('oauth'), /unknown type "oauth"/);
    assert.equal(configOf('--auth-token-ttl 7').authTokenTtlMs, 7_000);
    assert.equal(configOf('--bcrypt-cost=4').bcryptCost, 4);
  });

  test('a member of three, in every spelling of a flag', () => {
    const config = configOf(
      '--name b -data-dir=/d --listen-peer-urls http://0.0.0.0:1 --initial-advertise-peer-urls=http://b:1' +
        ' --initial-cluster a=http://a:1,b=http://b:1,a=http://a:0 --initial-cluster-state existing' +
        ' --listen-client-urls http://[::]:2,http://127.0.0.1:3 --advertise-client-urls http://b:2' +
        ' --heartbeat-interval 10 --election-timeout 50 --pre-vote --logger=zap --log-level panic',
    );
    assert.deepEqual(config.initialCluster, [
      { name: 'a', peerUrls: ['http://a:0', 'http://a:1'] },
      { name: 'b', peerUrls: ['http://b:1'] },
    ]);
    assert.deepEqual(config.listenClientUrls, ['http://127.0.0.1:3', 'http://[::]:2']);
    assert.equal(config.dataDir, '/d');
    assert.equal(config.initialClusterState, 'existing');
    assert.equal(config.logLevel, 'fatal');
    assert.throws(() => {
      (config.initialCluster[0] as { name: string }).name = 'c';
    }, TypeError);
  });

  test('what HTTP serves, and where', () => {
    const config = configOf(
      '--listen-client-http-urls http://127.0.0.1:4 --listen-metrics-urls http://127.0.0.1:6,http://127.0.0.1:5' +
        ' --metrics extensive --enable-grpc-gateway=false --max-concurrent-streams 3' +
        ' --cors http://a.test:80,* --host-whitelist a.test,b.test',
    );
    assert.deepEqual(config.listenClientHttpUrls, ['http://127.0.0.1:4']);
    assert.deepEqual(config.listenMetricsUrls, ['http://127.0.0.1:5', 'http://127.0.0.1:6']);
    assert.equal(config.hasExtensiveMetrics, true);
    assert.equal(config.hasGateway, false);
    assert.equal(config.concurrentStreamsMax, 3);
    assert.deepEqual(config.corsOrigins, ['http://a.test:80', '*']);
    assert.deepEqual(config.hostWhitelist, ['a.test', 'b.test']);
    assert.equal(configOf('--enable-grpc-gateway').hasGateway, true);
    assert.equal(configOf('--enable-console').hasConsole, true);
    assert.equal(configOf('', { ETCD_ENABLE_GRPC_GATEWAY: 'F' }).hasGateway, false);
    assert.equal(configOf('--max-concurrent-streams 4294967295').concurrentStreamsMax, undefined);
    for (const [line, reason] of [
      ['--metrics full', /--metrics: expected basic or extensive/],
      ['--max-concurrent-streams 0', /from 1 to 4294967295/],
      ['--max-concurrent-streams 4294967296', /from 1 to 4294967295/],
      ['--enable-grpc-gateway=maybe', /expected true or false/],
      ['--enable-console --enable-grpc-gateway=false', /--enable-console needs the JSON gateway/],
      ['--cors a.test', /--cors: URL scheme must be/],
      ['--cors http://a.test', /--cors: URL address does not have the form/],
      ['--listen-metrics-urls http://a.test:1', /expected IP in URL for binding/],
    ] as const) {
      assert.match(refusal(line), reason, line);
    }
  });

  test('the environment stands in for flags; unknown variables are only warned of', () => {
    const env = {
      ETCD_NAME: 'x',
      ETCD_MAX_TXN_OPS: '5',
      ETCD_DATA_DIR: '',
      ETCD_PORT: 'tcp://x',
      HOME: '/',
      MAINSTAY_WAL_SEGMENT_BYTES: '8192',
    };
    const config = configOf('', env);
    assert.equal(config.name, 'x');
    assert.equal(config.txnOpsMax, 5);
    assert.equal(config.walSegmentBytes, 8192);
    assert.equal(config.dataDir, 'x.etcd');
    const read = readCommandLine([], env);
    assert(read.kind === 'serve');
    assert.deepEqual(read.warnings, ['unrecognized environment variable ETCD_PORT']);
  });

  test('version and help win over everything that is not a flag error', () => {
    assert.equal(readCommandLine(['--version'], {}).kind, 'version');
    assert.equal(readCommandLine(['-version'], {}).kind, 'version');
    assert.equal(readCommandLine(['--name', 'x', '-h'], {}).kind, 'help');
    assert.match(helpText('mainstay'), /--initial-cluster NAME=URL/);
  });
});

const refused: readonly (readonly [line: string, message: RegExp, env?: Env])[] = [
  ['--foo', /^unknown flag --foo; --help lists the flags$/],
  ['--foo=1', /^unknown flag --foo;/],
  ['--experimental-foo=1', /^unknown flag/],
  ['serve', /^'serve' is not a valid flag$/],
  ['--name', /^flag needs a value: --name$/],
  ['--name=', /^--name must not be empty$/],
  ['--name x', /ETCD_NAME" is shadowed by corresponding command-line flag/, { ETCD_NAME: 'x' }],
  ['--discovery=x', /^--discovery is a flag of etcd that is not supported yet$/],
  ['--experimental-memory-mlock=true', /^--memory-mlock=true is not supported yet; only false is$/],
  ['--discovery-token=x', /not supported yet$/],
  ['', /^--discovery is a flag of etcd/, { ETCD_DISCOVERY: 'x' }],
  ['--pre-vote=false', /^--pre-vote=false is not supported yet; only true is$/],
  ['--log-outputs stdout', /only default or stderr is$/],
  [
    '--heartbeat-interval=abc',
    /^invalid value "abc" for flag --heartbeat-interval: expected a whole/,
  ],
  ['--heartbeat-interval=-1', /expected a whole number/],
  ['', /"1k" for MAINSTAY_WAL_SEGMENT_BYTES: expected a/, { MAINSTAY_WAL_SEGMENT_BYTES: '1k' }],
  ['--snapshot-count=1e3', /expected a whole number/],
  ['--max-txn-ops=99999999999999999999', /expected a whole number/],
  ['--heartbeat-interval=0', /^--heartbeat-interval must be >0 \(set to 0ms\)$/],
  [
    '--election-timeout=300',
    /^--election-timeout\[300ms\] should be at least as 5 times as --heartbeat-interval\[100ms\]$/,
  ],
  ['--election-timeout=60000', /is too long, and should be set less than 50000ms$/],
  ['--max-request-bytes=0', /must be from 1 to 16777216$/],
  ['--max-request-bytes=16777217', /must be from 1 to 16777216$/],
  ['--max-txn-ops=0', /at least 1$/],
  [
    '--initial-cluster-state=x',
    /^invalid value "x" for flag --initial-cluster-state: expected new or/,
  ],
  ['--log-level=loud', /expected info or debug/],
  ['--listen-client-urls=http://localhost:1', /^--advertise-client-urls is required when/],
  [
    '--listen-peer-urls=http://foo:1',
    /^--listen-peer-urls: expected IP in URL for binding \(http:\/\/foo:1\)$/,
  ],
  ['--listen-peer-urls=http://:1', /expected IP/],
  ['--advertise-client-urls=http://:1', /unexpected empty host \(http:\/\/:1\)$/],
  [
    '--advertise-client-urls=localhost:1',
    /URL scheme must be http, https, unix, or unixs: localhost:1$/,
  ],
  ['--advertise-client-urls=http://a', /does not have the form "host:port": http:\/\/a$/],
  ['--advertise-client-urls=http://a:70000', /does not have the form "host:port"/],
  ['--advertise-client-urls=http://a:1/x', /URL must not contain a path: http:\/\/a:1\/x$/],
  ['--advertise-client-urls=', /URL scheme must be/],
  ['--initial-cluster=a=http://localhost:1', /^couldn't find local name "default" in the initial/],
  [
    '--initial-cluster=default=http://localhost:1',
    /^--initial-cluster has default=http:\/\/localhost:1 but --initial-advertise-peer-urls is http:\/\/localhost:2380;/,
  ],
  ['--initial-cluster=x', /expected NAME=URL but found "x"$/],
  ['--initial-cluster==http://a:1', /expected NAME=URL/],
  [
    '--initial-cluster=default=http://localhost:2380,b=http://localhost:2380',
    /has http:\/\/localhost:2380 more than once$/,
  ],
];

suite('a wrong flag is told in one line', () => {
  for (const [line, message, env] of refused) {
    test(`${line}${env === undefined ? '' : JSON.stringify(env)}`, () => {
      const text = refusal(line, env);
      assert.match(text, message);
      assert(!text.includes('\n'));
    });
  }
});

suite('URLs', () => {
  test('parts', () => {
    assert.deepEqual(parseUrl('https://[::1]:80'), { scheme: 'https', host: '::1', port: 80 });
    assert.deepEqual(parseUrl('http://a.b-c_d:0'), { scheme: 'http', host: 'a.b-c_d', port: 0 });
    assert.deepEqual(listenAddress('http://localhost:1'), { host: '127.0.0.1', port: 1 });
    assert.deepEqual(listenAddress('http://[::]:1'), { host: '::', port: 1 });
    assert.deepEqual(listenAddress('unix://a:1'), { path: 'a:1' });
    assert.deepEqual(listenAddress('unixs:///run/a.sock'), { path: '/run/a.sock' });
  });

  test('a list is trimmed and sorted; an empty one is refused', () => {
    assert.deepEqual(memberUrls([' http://b:1', 'http://a:1 ']), ['http://a:1', 'http://b:1']);
    for (const wrong of [[], [''], ['http://a'], ['http://a:1/'], ['http://a:1?x']]) {
      assert.throws(() => memberUrls(wrong), UrlError);
    }
  });
});
