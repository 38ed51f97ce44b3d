import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { silentLogger } from '../../../server/base/logger.ts';
import type { AuthTokenConfig } from '../../../server/config/config.ts';
import { UsageError } from '../../../server/config/flags.ts';
import { authenticatorOf } from '../../../server/member/authentication.ts';
import { nodeClock, nodeRandom } from '../../../server/member/node-ports.ts';
import { Auth, KV } from '../../../server/proto/gen/rpc.ts';
import { GrpcChannel, type Outcome } from '../../support/grpc.ts';
import { withCluster } from '../../support/server-process.ts';
import { FakeMember } from '../api/fake-member.ts';

const directory = mkdtempSync(join(tmpdir(), 'mainstay-auth-'));
after(() => rmSync(directory, { recursive: true }));

const { methods } = Auth;
const key = Buffer.from('k');

function must<Response>(outcome: Outcome<Response>): Response {
  if (outcome.kind === 'ok') return outcome.response;
  throw new Error(`${outcome.code} ${outcome.message}`);
}

function refusal(outcome: Outcome<unknown>): string {
  return outcome.kind === 'ok' ? 'ok' : outcome.message;
}

/** Root with the password, on. */
async function enable(channel: GrpcChannel, password: string): Promise<void> {
  must(await channel.call(methods.userAdd, { name: 'root', password }));
  must(await channel.call(methods.userGrantRole, { user: 'root', role: 'root' }));
  must(await channel.call(methods.authEnable, {}));
}

async function login(channel: GrpcChannel, password: string): Promise<{ token: string }> {
  const { token } = must(await channel.call(methods.authenticate, { name: 'root', password }));
  return { token };
}

suite('authentication of a member', () => {
  test('outlives a restart, tokens do not; a password is in no file and no line of the log', async () => {
    const flags = ['--bcrypt-cost', '4', '--log-level', 'debug'];
    await withCluster({ program: 'mainstay', flags }, async (cluster) => {
      const member = cluster.member(0);
      const passwords = ['correct horse', 'battery staple', 'never a user’s'];
      const [first = '', second = '', wrong = ''] = passwords;
      let channel = new GrpcChannel(member.clientUrl);
      await enable(channel, first);
      const before = await login(channel, first);
      const change = { name: 'root', password: second };
      must(await channel.call(methods.userChangePassword, change, before));
      const without = { name: 'cn', password: wrong, options: { noPassword: true } };
      const again = await login(channel, second);
      must(await channel.call(methods.userAdd, without, again));
      const attempt = await channel.call(methods.authenticate, { name: 'root', password: wrong });
      assert.match(refusal(attempt), /authentication failed/);
      channel.close();

      await member.stop('SIGTERM');
      member.spawn();
      await member.ready();
      channel = new GrpcChannel(member.clientUrl);
      const put = (headers = {}) => channel.call(KV.methods.put, { key }, headers);
      assert.equal(refusal(await put()), 'etcdserver: user name is empty');
      assert.equal(refusal(await put(again)), 'etcdserver: invalid auth token');
      assert.equal(refusal(await put(await login(channel, second))), 'ok');
      channel.close();
      await member.stop('SIGKILL');

      const files = readdirSync(member.dataDirectory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name));
      assert.ok(files.length > 2);
      for (const file of [...files, `${member.dataDirectory}.log`]) {
        const bytes = readFileSync(file);
        for (const password of passwords) {
          assert.equal(bytes.includes(password), false, `${password} in ${file}`);
        }
      }
    });
  });

  test('failed logins and denials are counted, and shown', async () => {
    const flags = ['--bcrypt-cost', '4'];
    await withCluster({ program: 'mainstay', flags }, async (cluster) => {
      const { clientUrl } = cluster.member(0);
      const channel = new GrpcChannel(clientUrl);
      await enable(channel, 'p');
      for (const name of ['root', 'none']) {
        const attempt = await channel.call(methods.authenticate, { name, password: 'wrong' });
        assert.match(refusal(attempt), /authentication failed/);
      }
      assert.match(refusal(await channel.call(KV.methods.put, { key })), /user name is empty/);
      channel.close();
      const text = await (await fetch(`${clientUrl}/metrics`)).text();
      const shown = text.split('\n').filter((line) => /^(mainstay|etcd_debugging)_auth/.test(line));
      assert.deepEqual(shown, [
        'etcd_debugging_auth_revision 3',
        'mainstay_auth_denials_total 1',
        'mainstay_auth_failed_logins_total 2',
      ]);
    });
  });

  test('a token of one member is good on the others at once, and everywhere bad after it', async () => {
    const flags = ['--bcrypt-cost', '4'];
    await withCluster({ program: 'mainstay', size: 3, flags }, async (cluster) => {
      const channels = cluster.members.map(({ clientUrl }) => new GrpcChannel(clientUrl));
      const [first] = channels;
      assert.ok(first !== undefined);
      await enable(first, 'p');
      const puts = (token: { token: string }) =>
        Promise.all(channels.map((each) => each.call(KV.methods.put, { key }, token)));
      for (const channel of channels) {
        const token = await login(channel, 'p');
        assert.deepEqual((await puts(token)).map(refusal), ['ok', 'ok', 'ok']);
        const change = { name: 'root', password: 'p' };
        must(await channel.call(methods.userChangePassword, change, token));
        for (const refused of (await puts(token)).map(refusal)) {
          // A member that is a moment behind knows the token, but what it proposes is of an old revision.
          assert.match(refused, /^etcdserver: (invalid auth token|revision of auth store is old)$/);
        }
      }
      for (const channel of channels) channel.close();
    });
  });

  test('signed tokens are good on another member, and after a restart', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const files = { pub: join(directory, 'es.pub'), priv: join(directory, 'es.key') };
    writeFileSync(files.pub, publicKey.export({ type: 'spki', format: 'pem' }));
    writeFileSync(files.priv, privateKey.export({ type: 'sec1', format: 'pem' }));
    const jwt = `jwt,sign-method=ES256,pub-key=${files.pub},priv-key=${files.priv},ttl=1h`;
    const flags = ['--bcrypt-cost', '4', '--auth-token', jwt];
    await withCluster({ program: 'mainstay', flags }, async (cluster) => {
      const member = cluster.member(0);
      let channel = new GrpcChannel(member.clientUrl);
      await enable(channel, 'p');
      const token = await login(channel, 'p');
      channel.close();
      await member.stop('SIGTERM');
      member.spawn();
      await member.ready();
      channel = new GrpcChannel(member.clientUrl);
      assert.equal(refusal(await channel.call(KV.methods.put, { key }, token)), 'ok');
      must(await channel.call(methods.roleAdd, { name: 'r' }, token));
      assert.equal(
        refusal(await channel.call(KV.methods.put, { key }, token)),
        'etcdserver: revision of auth store is old',
      );
      channel.close();
    });
  });

  test('keys that are of no use are told at the start', () => {
    const make = (authToken: AuthTokenConfig) =>
      authenticatorOf(
        { port: new FakeMember(), clock: nodeClock, random: nodeRandom, logger: silentLogger },
        {
          authToken,
          authTokenTtlMs: 0,
          bcryptCost: 10,
          clientTls: { isClientCertRequired: false },
        },
      );
    const jwt = {
      kind: 'jwt',
      publicKeyFile: undefined,
      privateKeyFile: undefined,
      ttlMs: 1,
    } as const;
    const told = (authToken: AuthTokenConfig, expected: RegExp): void => {
      assert.throws(
        () => make(authToken),
        (error) => error instanceof UsageError && expected.test(error.message),
      );
    };
    told({ ...jwt, signMethod: 'XS256' }, /unknown sign-method "XS256"/);
    told({ ...jwt, signMethod: 'constructor' }, /unknown sign-method/);
    told({ ...jwt, signMethod: 'RS256' }, /missing key data/);
    told({ ...jwt, signMethod: 'RS256', publicKeyFile: '/none' }, /ENOENT/);
    assert.equal(make({ kind: 'simple' }).tokens.newPrefix().length, 16);
    assert.equal(make({ kind: 'none' }).tokens.newPrefix(), '');
  });
});
