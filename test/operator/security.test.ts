import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import type { Secret } from '../../operator/api/objects.ts';
import type { StoreClusterSpec } from '../../operator/api/types.ts';
import { factsOf, pemCertificates } from '../../operator/resources/secret-facts.ts';
import { Pass } from './sim/operator.ts';
import { putSecret, removeSecret, secretOf } from './sim/secrets.ts';
import { World } from './sim/world.ts';

// The operator as shipped, with real certificates, on a world in memory: TLS and users over the life of a store.

const passesMax = 400;

const spec: Partial<StoreClusterSpec> = {
  tls: { client: { verifyClients: false }, peer: {} },
  auth: {
    rootPassword: { name: 'root-password' },
    roles: [{ name: 'app', permissions: [{ access: 'ReadWrite', prefix: 'app/' }] }],
    users: [
      { name: 'app', password: { name: 'its-password' }, roles: ['app'] },
      { name: 'guest', roles: [] },
    ],
  },
};

function worldWith(further: Partial<StoreClusterSpec>): World {
  const world = new World();
  putSecret(world.kube, 'root-password', { password: 'of root\n' });
  putSecret(world.kube, 'its-password', { password: 'first' });
  world.createCluster({ deletionPolicy: 'Delete', ...further });
  return world;
}

async function pass(world: World): Promise<void> {
  world.nowMs += 100;
  await new Pass(world).done;
}

async function converge(world: World): Promise<void> {
  const isDone = () =>
    world.cluster === undefined || world.cluster.status?.plan?.decision === 'Idle';
  for (let passes = 0; passes < 3 || !isDone(); passes += 1) {
    assert.ok(passes < passesMax, JSON.stringify(world.cluster?.status?.plan));
    await pass(world);
    world.turn();
  }
}

async function assertIdle(world: World): Promise<void> {
  const { writes } = world;
  for (let passes = 0; passes < 10; passes += 1) await pass(world);
  assert.equal(world.writes, writes, 'nothing is written any more');
}

function text(world: World, secret: string, entry: string): string {
  const value = secretOf(world.kube, secret)?.get(entry);
  assert.ok(value, `${secret} has no ${entry}`);
  return value.toString();
}

test('a store with TLS and users comes up, and nothing is written any more', async () => {
  const world = worldWith(spec);
  await converge(world);
  await assertIdle(world);
  const auth = world.store()?.auth;
  assert.ok(auth?.enabled);
  const users = [...auth.users].map(([name, { roles }]) => [name, [...roles]]);
  assert.deepEqual(
    users.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    [
      ['app', ['app']],
      ['guest', []],
      ['mainstay-operator', ['root']],
      ['root', ['root']],
    ],
  );
  const has = (user: string, password: string) =>
    assert.ok(auth.knows({ username: user, password }), user);
  has('root', 'of root');
  has('app', 'first');
  has('guest', text(world, 'demo-guest-connection', 'password'));
  has('mainstay-operator', text(world, 'demo-operator-auth', 'password'));
  assert.equal(text(world, 'demo-app-connection', 'username'), 'app');
  assert.equal(text(world, 'demo-app-connection', 'endpoints'), 'https://demo.default.svc:2379');
  const ca = new X509Certificate(text(world, 'demo-app-connection', 'ca.crt'));
  const server = new X509Certificate(text(world, 'demo-client-tls', 'tls.crt'));
  assert.ok(server.checkIssued(ca) && server.verify(ca.publicKey));
  const expiries = (world.cluster?.status?.certificates ?? []).map(({ name }) => name);
  assert.deepEqual(expiries, ['demo-ca', 'demo-client-tls', 'demo-peer-ca', 'demo-peer-tls']);
});

test('no key and no password is in what decisions are made of, nor in the status', async () => {
  const world = worldWith(spec);
  await converge(world);
  const salt = secretOf(world.kube, 'demo-operator-auth')?.get('salt');
  const secrets = world.kube.all().filter(({ kind }) => kind === 'Secret');
  assert.ok(secrets.length > 8);
  const facts = secrets.map((secret) => factsOf(secret as unknown as Secret, salt));
  const told = JSON.stringify([facts, world.cluster]);
  const generated = text(world, 'demo-guest-connection', 'password');
  for (const secret of ['of root', 'first', 'PRIVATE', generated, String(salt)]) {
    assert.ok(!told.includes(secret), secret);
  }
});

test('passwords follow their Secrets, the old one beside the new one until the store has it', async () => {
  const world = worldWith(spec);
  await converge(world);
  putSecret(world.kube, 'its-password', { password: 'second\n' });
  await pass(world);
  assert.equal(text(world, 'demo-app-connection', 'password'), 'second');
  assert.equal(text(world, 'demo-app-connection', 'previous-password'), 'first');
  assert.ok(world.store()?.auth.knows({ username: 'app', password: 'first' }));
  await converge(world);
  assert.ok(world.store()?.auth.knows({ username: 'app', password: 'second' }));
  assert.equal(secretOf(world.kube, 'demo-app-connection')?.has('previous-password'), false);
  putSecret(world.kube, 'root-password', { password: 'another' });
  await converge(world);
  assert.ok(world.store()?.auth.knows({ username: 'root', password: 'another' }));
  await assertIdle(world);
});

test('a user and a role that are not declared any more go; others stay', async () => {
  const world = worldWith(spec);
  await converge(world);
  const auth = world.store()?.auth;
  auth?.change({ kind: 'addUser', user: 'by-hand' }, 'x');
  world.edit({ auth: { rootPassword: { name: 'root-password' } } });
  await converge(world);
  assert.deepEqual([...(auth?.users.keys() ?? [])].sort(), [
    'by-hand',
    'mainstay-operator',
    'root',
  ]);
  assert.deepEqual([...(auth?.roles.keys() ?? [])], []);
  assert.equal(secretOf(world.kube, 'demo-app-connection'), undefined);
  await assertIdle(world);
});

test('without spec.auth authentication is off, and comes back with it', async () => {
  const world = worldWith(spec);
  await converge(world);
  world.kube.set('/apis/mainstay.dev/v1alpha1/namespaces/default/storeclusters/demo', (object) => {
    const { auth: _auth, ...others } = object['spec'] as Record<string, unknown>;
    return { spec: others };
  });
  await converge(world);
  assert.equal(world.store()?.auth.enabled, false);
  assert.equal(secretOf(world.kube, 'demo-operator-auth'), undefined);
  await assertIdle(world);
  world.edit(spec);
  await converge(world);
  assert.ok(world.store()?.auth.knows({ username: 'app', password: 'first' }));
  await assertIdle(world);
});

test('a store that does not know the operator is entered as root, or waits for a person', async () => {
  const world = worldWith(spec);
  await converge(world);
  const auth = world.store()?.auth;
  removeSecret(world.kube, 'demo-operator-auth');
  await converge(world);
  assert.ok(
    auth?.knows({
      username: 'mainstay-operator',
      password: text(world, 'demo-operator-auth', 'password'),
    }),
  );
  for (const user of ['root', 'mainstay-operator'])
    auth?.change({ kind: 'setPassword', user }, 'restored');
  for (let passes = 0; passes < 5; passes += 1) await pass(world);
  const { plan } = world.cluster?.status ?? {};
  assert.equal(plan?.reason, 'AccessRefused');
  assert.match(plan?.message ?? '', /Secret root-password/);
  putSecret(world.kube, 'root-password', { password: 'restored' });
  await converge(world);
  await assertIdle(world);
});

test('another CA takes the place of the first, and all is signed by it', async () => {
  const world = worldWith(spec);
  await converge(world);
  const names = ['demo-client-tls', 'demo-peer-tls'];
  const issuers = () =>
    names.map((name) => new X509Certificate(text(world, name, 'tls.crt')).issuer);
  const before = issuers();
  world.edit({ tls: { ...spec.tls, rotateCA: '2026-11' } });
  const trusted = new Set<number>();
  for (let passes = 0; passes < 60; passes += 1) {
    await pass(world);
    trusted.add(pemCertificates(text(world, 'demo-app-connection', 'ca.crt')).length);
  }
  await converge(world);
  assert.deepEqual([...trusted], [1, 2], 'one, then both');
  assert.equal(pemCertificates(text(world, 'demo-app-connection', 'ca.crt')).length, 1);
  issuers().forEach((issuer, at) => assert.notEqual(issuer, before[at]));
  await assertIdle(world);
});

test('a Secret of somebody else is never touched', async () => {
  const world = worldWith(spec);
  putSecret(world.kube, 'demo-client-tls', { mine: 'x' });
  for (let passes = 0; passes < 20; passes += 1) {
    await pass(world);
    world.turn();
  }
  assert.equal(world.cluster?.status?.plan?.reason, 'NameTaken');
  assert.deepEqual(
    [...(secretOf(world.kube, 'demo-client-tls') ?? [])].map(([name]) => name),
    ['mine'],
  );
  assert.equal(world.pods().length, 0);
});

test('all Secrets of the operator go with the StoreCluster', async () => {
  const world = worldWith(spec);
  await converge(world);
  world.deleteCluster();
  await converge(world);
  const left = world.kube
    .all()
    .filter(({ kind }) => kind !== 'Node')
    .map(({ metadata }) => metadata.name);
  assert.deepEqual(left.sort(), ['its-password', 'root-password']);
});
