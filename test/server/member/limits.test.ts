import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { PermissionType } from '../../../server/proto/gen/auth.ts';
import { Auth, KV, Maintenance, type RequestOp } from '../../../server/proto/gen/rpc.ts';
import { GrpcChannel, type Headers, type Outcome } from '../../support/grpc.ts';
import { type MemberProcess, withCluster } from '../../support/server-process.ts';

// Limits of a real member, by gRPC and by the gateway, with users and without.

const bytes = (text: string): Uint8Array => Buffer.from(text);
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** `ok`, or code and text. */
function endOf(outcome: Outcome<unknown>): string {
  return outcome.kind === 'ok' ? 'ok' : `${outcome.code} ${outcome.message}`;
}

async function gatewayPut(
  { clientUrl }: MemberProcess,
  { key, token }: { readonly key: string; readonly token?: string },
): Promise<Response> {
  return fetch(`${clientUrl}/v3/kv/put`, {
    method: 'POST',
    body: JSON.stringify({ key: base64(key), value: base64('v') }),
    headers: token === undefined ? {} : { Authorization: token },
  });
}

/** Users with the rights to all keys, root among them; their tokens as headers. */
async function logIn(channel: GrpcChannel, names: readonly string[]): Promise<Map<string, string>> {
  const { methods } = Auth;
  const password = 'pw';
  await channel.call(methods.roleAdd, { name: 'all' });
  const perm = {
    permType: PermissionType.READWRITE,
    key: bytes('\0'),
    rangeEnd: bytes('\0'),
  };
  await channel.call(methods.roleGrantPermission, { name: 'all', perm });
  for (const user of names) {
    await channel.call(methods.userAdd, { name: user, password });
    const role = user === 'root' ? 'root' : 'all';
    await channel.call(methods.userGrantRole, { user, role });
  }
  assert.equal(endOf(await channel.call(methods.authEnable, {})), 'ok');
  const tokens = new Map<string, string>();
  for (const name of names) {
    const login = await channel.call(methods.authenticate, { name, password });
    assert(login.kind === 'ok');
    tokens.set(name, login.response.token);
  }
  return tokens;
}

suite('limits of a member', () => {
  test('a flood of one user is refused with when to come again, others and root are served', async () => {
    const flags = ['--limit-user-requests-per-second=3', '--bcrypt-cost=4'];
    await withCluster({ program: 'mainstay', flags }, async (cluster) => {
      const member = cluster.member(0);
      const channel = new GrpcChannel(member.clientUrl);
      const tokens = await logIn(channel, ['root', 'ann', 'bob']);
      const put = async (user: string): Promise<string> => {
        const headers: Headers = { token: tokens.get(user) ?? '' };
        return endOf(await channel.call(KV.methods.put, { key: bytes('k') }, headers));
      };
      const flood = await Promise.all(Array.from({ length: 50 }, () => put('ann')));
      const refused = flood.filter((end) => end !== 'ok');
      // Fifty take less time here than fifty would be granted in.
      assert(refused.length >= 10, `${refused.length} were refused`);
      for (const end of refused) {
        assert.match(
          end,
          /^8 mainstay: this user may have 3 requests per second; retry in \d+ ms$/,
        );
      }
      assert.equal(await put('bob'), 'ok');
      for (let time = 0; time < 20; time++) assert.equal(await put('root'), 'ok');
      const token = tokens.get('ann') ?? '';
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => gatewayPut(member, { key: 'k', token })),
      );
      const tooMany = answers.filter(({ status }) => status === 429);
      assert(tooMany.length > 0);
      for (const answer of tooMany) {
        assert.equal(answer.headers.get('retry-after'), '1');
        assert.match(((await answer.json()) as { message: string }).message, /this user may have/);
      }
      const metrics = await (await fetch(`${member.clientUrl}/metrics`)).text();
      const counted = /mainstay_limit_refusals_total\{limit="userRequestsPerSecond"\} (\d+)/.exec(
        metrics,
      );
      assert.equal(Number(counted?.[1]), refused.length + tooMany.length);
      channel.close();
    });
  });

  test('without users a connection is limited, administration is not', async () => {
    const flags = ['--limit-connection-in-flight=2', '--limit-user-in-flight=1'];
    await withCluster({ program: 'mainstay', flags }, async (cluster) => {
      const [channel, other] = [0, 1].map(() => new GrpcChannel(cluster.member(0).clientUrl));
      assert(channel !== undefined && other !== undefined);
      const puts = Array.from({ length: 10 }, () =>
        channel.call(KV.methods.put, { key: bytes('k') }),
      );
      const status = channel.call(Maintenance.methods.status, {});
      const beside = other.call(KV.methods.put, { key: bytes('k') });
      const ends = (await Promise.all(puts)).map(endOf);
      assert.equal(endOf(await status), 'ok');
      assert.equal(endOf(await beside), 'ok');
      assert(ends.includes('ok'));
      const text = '8 mainstay: this connection may have 2 requests in flight; retry in 100 ms';
      assert(ends.includes(text), ends.join('\n'));
      assert.equal(endOf(await channel.call(KV.methods.put, { key: bytes('k') })), 'ok');
      channel.close();
      other.close();
    });
  });

  test('a prefix at its quota takes no more on any member, also after a start', async () => {
    const flags = ['--limit-prefix-quotas=/a/=1Ki'];
    await withCluster({ program: 'mainstay', size: 3, flags }, async (cluster) => {
      const full =
        /^8 mainstay: the keys with prefix "\/a\/" have a quota of 1024 bytes and take 1000/;
      const channels = [0, 1, 2].map((at) => new GrpcChannel(cluster.member(at).clientUrl));
      const put = async (at: number, key: string, size: number): Promise<string> => {
        const channel = channels[at];
        assert(channel !== undefined);
        // So that this member has applied what was put elsewhere.
        await channel.call(KV.methods.range, { key: bytes('/a/') });
        const value = Buffer.alloc(size);
        return endOf(await channel.call(KV.methods.put, { key: bytes(key), value }));
      };
      assert.equal(await put(0, '/a/1', 996), 'ok');
      for (const at of [0, 1, 2]) {
        assert.match(await put(at, '/a/2', 100), full);
        assert.equal(await put(at, '/b/2', 100_000), 'ok');
      }
      const gateway = await gatewayPut(cluster.member(1), { key: `/a/${'k'.repeat(60)}` });
      assert.equal(gateway.status, 429);
      assert.equal(gateway.headers.get('retry-after'), null);
      await cluster.member(2).stop('SIGKILL');
      cluster.member(2).spawn();
      await cluster.member(2).ready();
      channels[2]?.close();
      channels[2] = new GrpcChannel(cluster.member(2).clientUrl);
      assert.match(await put(2, '/a/2', 100), full);
      const success: RequestOp[] = [
        {
          request: {
            kind: 'requestPut',
            value: KV.methods.put.request.create({ key: bytes('/a/3'), value: Buffer.alloc(99) }),
          },
        },
      ];
      assert.match(
        endOf((await channels[2].call(KV.methods.txn, { success })) as Outcome<unknown>),
        full,
      );
      const deleted = await channels[2].call(KV.methods.deleteRange, { key: bytes('/a/1') });
      assert.equal(endOf(deleted), 'ok');
      assert.equal(await put(0, '/a/2', 1000), 'ok');
      const metrics = await (await fetch(`${cluster.member(0).clientUrl}/metrics`)).text();
      assert.match(metrics, /mainstay_prefix_used_bytes\{prefix="\/a\/"\} 1004\n/);
      assert.match(metrics, /mainstay_prefix_quota_bytes\{prefix="\/a\/"\} 1024\n/);
      for (const channel of channels) channel.close();
    });
  });
});
