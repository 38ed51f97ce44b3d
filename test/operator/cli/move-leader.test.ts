import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemberRecord, StoreCluster, StoreClusterSpec } from '../../../operator/api/types.ts';
import { moveLeader } from '../../../operator/cli/move-leader.ts';
import { type Exchange, fakeApiServer, sendJson } from '../support/fake-api-server.ts';

function member(name: string, id: string, role: MemberRecord['role'], more: object = {}) {
  return { name, id, role, pod: name, healthy: true, ...more };
}

const members: readonly MemberRecord[] = [
  member('demo-1', 'a', 'follower', { healthy: false }),
  member('demo-2', 'ffffffffffffffff', 'leader'),
  member('demo-9', 'c', 'follower'),
  member('demo-10', 'd', 'follower'),
  member('demo-11', 'e', 'learner'),
];

function clusterOf(spec: Partial<StoreClusterSpec> = {}, all = members): StoreCluster {
  return {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreCluster',
    metadata: { name: 'demo', namespace: 'shop' },
    spec: { storage: { size: '1Gi' }, ...spec },
    status: { leader: 'demo-2', members: all },
  } as StoreCluster;
}

/** What was asked, and what came of it; each request is answered by `answer`, or as a store would. */
async function move(
  cluster: StoreCluster,
  target?: string,
  answer: (exchange: Exchange) => boolean = () => false,
) {
  const asked: string[] = [];
  let leader = 'nobody';
  const server = await fakeApiServer((exchange) => {
    const { method, path, body, response, token } = exchange;
    const short = path.replace('/api/v1/namespaces/shop/', '');
    asked.push([method, short, body, token].filter((part) => part !== '').join(' '));
    if (answer(exchange)) return;
    if (path.endsWith('/transfer-leadership')) leader = JSON.parse(body).targetID;
    if (path.includes('/secrets/')) {
      const password = Buffer.from('secret\n').toString('base64');
      const metadata = { name: 'root', namespace: 'shop' };
      return sendJson(response, 200, { kind: 'Secret', metadata, data: { password } });
    }
    sendJson(response, 200, path.endsWith('/status') ? { leader } : { token: 't0k' });
  });
  try {
    return { asked, said: await moveLeader(server.kube, cluster, target) };
  } catch (error) {
    return { asked, said: (error as Error).message };
  } finally {
    await server.close();
  }
}

test('the leader is asked through the API server; the lowest healthy follower takes over', async () => {
  assert.deepEqual(await move(clusterOf()), {
    asked: [
      'POST pods/demo-2:2379/proxy/v3/maintenance/transfer-leadership {"targetID":"12"}',
      'POST pods/demo-9:2379/proxy/v3/maintenance/status {}',
    ],
    said: 'demo-9 leads now; before it was demo-2.',
  });
  assert.equal(
    (await move(clusterOf(), 'demo-10')).said,
    'demo-10 leads now; before it was demo-2.',
  );
});

test('with TLS and auth: over https, as root, the token where the API server leaves it', async () => {
  const spec = { tls: { client: {} }, auth: { rootPassword: { name: 'root', key: 'password' } } };
  const { asked } = await move(clusterOf(spec as Partial<StoreClusterSpec>));
  assert.deepEqual(asked.slice(0, 3), [
    'GET secrets/root',
    'POST pods/https:demo-2:2379/proxy/v3/auth/authenticate {"name":"root","password":"secret"}',
    'POST pods/https:demo-2:2379/proxy/v3/maintenance/transfer-leadership {"targetID":"12"} t0k',
  ]);
});

test('who cannot lead is said before anything is asked', async () => {
  const said = async (target: string) => {
    const result = await move(clusterOf(), target);
    assert.deepEqual(result.asked, []);
    return result.said;
  };
  assert.match(await said('demo-1'), /demo-1 is not healthy/);
  assert.match(await said('demo-11'), /demo-11 is a learner/);
  assert.match(await said('other'), /other is no member; members are demo-1, demo-2/);
  assert.equal(await said('demo-2'), 'demo-2 leads already.');
  const alone = await move(clusterOf({}, members.slice(0, 2)));
  assert.match(alone.said, /no other member is a healthy voter/);
  const { status: _status, ...fresh } = clusterOf();
  assert.match((await move(fresh as StoreCluster)).said, /no leader is known/);
});

test('refusals say what would be needed', async () => {
  const refuse = (code: number, status: object) => (exchange: Exchange) => {
    sendJson(exchange.response, code, status);
    return true;
  };
  const forbidden = {
    kind: 'Status',
    reason: 'Forbidden',
    message: 'user x cannot create pods/proxy',
  };
  assert.match(
    (await move(clusterOf(), undefined, refuse(403, forbidden))).said,
    /cannot create pods\/proxy\. The right to create pods\/proxy is needed/,
  );
  const strict = clusterOf({
    tls: { client: { verifyClients: true } },
  } as Partial<StoreClusterSpec>);
  const failed = {
    kind: 'Status',
    reason: 'ServiceUnavailable',
    message: 'tls: certificate required',
  };
  assert.match(
    (await move(strict, undefined, refuse(503, failed))).said,
    /members want to see a certificate .*etcdctl move-leader/,
  );
  const gateway = { error: 'etcdserver: not leader', code: 9, message: 'etcdserver: not leader' };
  const notLeader = await move(clusterOf(), undefined, refuse(400, gateway));
  assert.match(notLeader.said, /etcdserver: not leader/);
});
