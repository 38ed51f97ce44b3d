import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Authority, Files, type Pair, tlsFlags } from '../support/certificates.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { programPath } from '../support/programs.ts';
import {
  freePort,
  type MemberProcess,
  type Program,
  TestCluster,
} from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';

// What clients that are not ours see over TLS: etcdctl, curl and openssl, on three members of this store and of etcd.

interface Setting {
  readonly cluster: TestCluster;
  readonly files: Files;
  readonly ca: string;
  /** Flags of etcdctl and mainstayctl. */
  readonly flags: readonly string[];
  readonly authority: Authority;
}

async function withTls(
  { program, size = 3, more = [] }: { program: Program; size?: number; more?: readonly string[] },
  body: (setting: Setting) => Promise<void>,
): Promise<void> {
  const files = new Files();
  const authority = await Authority.create('ca');
  const ca = files.write('ca.pem', authority.cert);
  const member = files.writePair('member', await authority.issue());
  const { certFile, keyFile } = files.writePair(
    'ann',
    await authority.issue({ commonName: 'ann' }),
  );
  const cluster = await TestCluster.start({
    program,
    size,
    schemes: { client: 'https', peer: 'https' },
    flags: [...tlsFlags(member, ca), ...more],
  });
  try {
    const flags = ['--cacert', ca, '--cert', certFile, '--key', keyFile];
    await cluster.showLogsOnFailure(() => body({ cluster, files, ca, flags, authority }));
  } finally {
    await cluster.stop();
    files.remove();
  }
}

const withEtcd = { ...needs('etcd', 'etcdctl'), timeout: 3 * 60_000 };
const options = { ...needs('etcdctl', 'curl', 'openssl'), timeout: 3 * 60_000 };

test('etcdctl, mainstayctl and curl on three members over TLS', options, () =>
  withTls({ program: 'mainstay' }, async ({ cluster, flags, ca, files }) => {
    const ctl = new Etcdctl(cluster, flags);
    const watching = ctl.start(['watch', 'k']);
    const put = await ctl.run(['put', 'k', 'v']);
    assert.equal(put.stdout, 'OK\n', put.stderr);
    assert.equal((await ctl.run(['get', 'k', '--print-value-only'])).stdout, 'v\n');
    await ctl.run(['put', 'k', 'w']);
    assert.deepEqual((await watching.lines(3)).slice(-3, -2), ['PUT']);
    watching.interrupt();
    const health = await ctl.run(['endpoint', 'health', '--cluster']);
    assert.equal(health.code, 0, health.stderr);
    const members = await ctl.run(['member', 'list']);
    assert.equal(members.stdout.match(/started, .*https:.*https:/g)?.length, 3, members.stdout);

    const own = await mainstayctl([...flags, '--endpoints', cluster.endpoints.join(), 'get', 'k']);
    assert.deepEqual(own, { status: 0, output: 'k\nw\n' });
    const environment = {
      ETCDCTL_CACERT: ca,
      ETCDCTL_CERT: files.path('ann.pem'),
      MAINSTAYCTL_KEY: files.path('ann-key.pem'),
      ETCDCTL_ENDPOINTS: cluster.endpoints.join().replaceAll('https://', ''),
    };
    assert.deepEqual(await mainstayctl(['get', 'k'], environment), { status: 0, output: 'k\nw\n' });
    const unverified = ['--insecure-skip-tls-verify', '--cert', files.path('ann.pem')];
    unverified.push('--key', files.path('ann-key.pem'), '--endpoints', cluster.endpoints.join());
    assert.deepEqual(await mainstayctl([...unverified, 'get', 'k']), {
      status: 0,
      output: 'k\nw\n',
    });
    const unknown = await mainstayctl(['--endpoints', cluster.endpoints.join(), 'get', 'k']);
    assert.equal(unknown.status, 1, unknown.output);

    for (const version of ['--http1.1', '--http2']) {
      const { stdout } = await curl([version, ...flags, `${cluster.endpoints[0]}/version`]);
      assert.match(stdout, /"etcdserver":"3\./, version);
    }
    const stranger = await (await Authority.create('stranger')).issue({ commonName: 'eve' });
    for (const shown of [undefined, stranger]) {
      const refused = await new Etcdctl(cluster, refusedFlags(files, ca, shown)).run([
        '--command-timeout=1s',
        'get',
        'k',
      ]);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /context deadline exceeded|certificate/);
    }
  }),
);

test('users by the common names of their certificates, as in etcd', withEtcd, async () => {
  const told: string[][] = [];
  for (const program of ['mainstay', 'etcd'] as const) {
    await withTls({ program, size: 1 }, async ({ cluster, flags, ca, files, authority }) => {
      const nameless = files.writePair('nameless', await authority.issue({}));
      const eve = files.writePair('eve', await authority.issue({ commonName: 'eve' }));
      const by = ({ certFile, keyFile }: { certFile: string; keyFile: string }): Etcdctl =>
        new Etcdctl(cluster, ['--cacert', ca, '--cert', certFile, '--key', keyFile]);
      const ann = new Etcdctl(cluster, flags);
      const lines: string[] = [];
      const say = async (ctl: Etcdctl, command: string): Promise<void> => {
        const { code, stdout, stderr } = await ctl.run(command.split(' '));
        const error = /desc = [^"}\n]*|^Error:.*$/m.exec(stderr)?.[0] ?? '';
        lines.push(`${command}: ${code} ${stdout.trim()} ${error}`);
      };
      for (const command of [
        'user add root:pw',
        'role add r',
        'role grant-permission r readwrite k',
        'user add ann --no-password',
        'user grant-role ann r',
        'user grant-role root root',
        'auth enable',
        'put k 1',
        'put z 1',
        'get k',
        'user list',
        '--user root:pw put z 2',
        '--user root:pw get z',
      ]) {
        await say(ann, command);
      }
      for (const ctl of [by(eve), by(nameless)]) {
        await say(ctl, 'get k');
        await say(ctl, '--user root:pw get z');
      }
      told.push(lines);
    });
  }
  const [ours = [], etcds = []] = told;
  assert.deepEqual(ours, etcds);
  assert.match(ours.join('\n'), /put k 1: 0 OK \nput z 1: 1 .*permission denied/);
});

test('members that make their own certificates', options, async () => {
  const cluster = await TestCluster.start({
    program: 'mainstay',
    size: 3,
    schemes: { client: 'https', peer: 'https' },
    flags: ['--auto-tls', '--peer-auto-tls=true'],
  });
  try {
    const ctl = new Etcdctl(cluster, ['--insecure-skip-tls-verify', '--insecure-transport=false']);
    const put = await ctl.run(['put', 'k', 'v']);
    assert.equal(put.stdout, 'OK\n', put.stderr);
    const [member] = cluster.members as [MemberProcess];
    assert.match(member.log, /"automatically generate certificates"/);
    const certificate = join(member.dataDirectory, 'fixtures/client/cert.pem');
    const made = readFileSync(certificate, 'utf8');
    const pinned = ['--cacert', certificate, `${member.clientUrl}/version`];
    assert.match((await curl(pinned)).stdout, /"etcdserver":"3\./);
    await member.stop('SIGTERM');
    await member.start();
    assert.doesNotMatch(member.log, /automatically generate certificates/);
    assert.equal(readFileSync(certificate, 'utf8'), made);
    assert.match((await curl(pinned)).stdout, /"etcdserver":"3\./);
    const get = await ctl.run(['get', 'k', '--print-value-only'], {
      endpoints: [member.clientUrl],
    });
    assert.equal(get.stdout, 'v\n', get.stderr);
  } finally {
    await cluster.stop();
  }
});

for (const program of ['etcd', 'mainstay'] as const) {
  test(`curl on the gateway and /metrics over TLS, with users: ${program}`, {
    ...options,
    ...needs('curl', 'etcd'),
  }, async () => {
    const metricsUrl = `https://127.0.0.1:${await freePort()}`;
    const more = [`--listen-metrics-urls=${metricsUrl}`, '--bcrypt-cost=4'];
    await withTls({ program, size: 1, more }, async ({ cluster, flags, ca, files, authority }) => {
      const url = cluster.endpoints[0] ?? '';
      const post = async (path: string, body: object, args: readonly string[] = flags) => {
        const data = ['-d', JSON.stringify(body), '-w', '\n%{http_code}'];
        const { stdout } = await curl([...args, ...data, `${url}/v3/${path}`]);
        return { status: Number(stdout.slice(-3)), text: stdout.slice(0, -4) };
      };
      const key = 'aw==';
      assert.equal((await post('kv/put', { key, value: 'dg==' })).status, 200);
      const create = `{"create_request":{"key":"${key}"}}`;
      const args = ['-sS', '--max-time', '2', ...flags, '-d', create, `${url}/v3/watch`];
      const watching = run(toolPath('curl'), args);
      const seen = await watching.catch((error: unknown) => error as { stdout: string });
      assert.match(seen.stdout, /"created":true\}\}\n$/);
      const { stdout } = await curl([...flags, `${metricsUrl}/metrics`]);
      assert.match(stdout, /^etcd_server_has_leader 1$/m);
      await assert.rejects(curl(['--cacert', ca, `${metricsUrl}/metrics`]));

      await post('auth/user/add', { name: 'root', password: 'toor' });
      await post('auth/role/add', { name: 'root' });
      await post('auth/user/grant', { user: 'root', role: 'root' });
      assert.equal((await post('auth/enable', {})).status, 200);
      // A name in the certificate is not a user's here, and the client is told so.
      const named = await post('kv/range', { key });
      assert.equal(named.status, 400);
      assert.match(named.text, /^CommonName of client sending a request against gateway/);
      const nameless = files.writePair('nameless', await authority.issue({ commonName: '' }));
      const other = ['--cacert', ca, '--cert', nameless.certFile, '--key', nameless.keyFile];
      assert.match((await post('kv/range', { key }, other)).text, /user name is empty/);
      const login = { name: 'root', password: 'toor' };
      const [, token = ''] =
        /"token":\s*"([^"]+)"/.exec((await post('auth/authenticate', login, other)).text) ?? [];
      const withToken = [...other, '-H', `Authorization: ${token}`];
      assert.equal((await post('kv/range', { key }, withToken)).status, 200);
      assert.equal((await post('auth/disable', {}, withToken)).status, 200);
    });
  });
}

function refusedFlags(files: Files, ca: string, pair: Pair | undefined): string[] {
  if (pair === undefined) return ['--cacert', ca];
  const { certFile, keyFile } = files.writePair('eve', pair);
  return ['--cacert', ca, '--cert', certFile, '--key', keyFile];
}

const run = promisify(execFile);

function curl(args: readonly string[]): Promise<{ stdout: string }> {
  return run(toolPath('curl'), ['-sS', '--max-time', '10', ...args]);
}

const ctlMain = programPath('server/ctl/main');

/** Its exit status, and what it wrote to both outputs. */
async function mainstayctl(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ status: number; output: string }> {
  const env = { PATH: process.env['PATH'], ...environment };
  try {
    const { stdout, stderr } = await run(process.execPath, [ctlMain, ...args], { env });
    return { status: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, output: stdout + stderr };
  }
}
