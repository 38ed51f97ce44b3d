import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import {
  bytesOf,
  type Keys,
  keysBetween,
  keysFrom,
  keysUnder,
  oneKey,
} from '../../server/client/keys.ts';
import { Permission, PermissionType, UserAddOptions } from '../../server/proto/gen/auth.ts';
import {
  AlarmAction,
  AlarmType,
  Auth,
  Cluster,
  DowngradeAction,
  KV,
  Lease,
  Maintenance,
} from '../../server/proto/gen/rpc.ts';
import type { Method } from '../../server/proto/wire.ts';
import { Authority, Files, tlsFlags } from '../support/certificates.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { needs } from '../support/tools.ts';
import {
  Api,
  compare,
  deleteOp,
  eventually,
  getOp,
  isOracle,
  pair,
  putOp,
  putRequest,
  type Store,
  sharedStore,
  times,
  txnOp,
  withStore,
} from './support.ts';

// Acceptance cases 51 and 80 to 88: who may do what.

const flags = ['--bcrypt-cost=4'];
const single = sharedStore({ flags });

const denied = '7 etcdserver: permission denied';
const nobody = '3 etcdserver: user name is empty';
const invalidToken = '16 etcdserver: invalid auth token';
const wrongPassword = '3 etcdserver: authentication failed, invalid user ID or password';
const methods = Auth.methods;

async function login(store: Store, name: string, password: string, place = 0): Promise<Api> {
  const { token } = await store.at(place).call(methods.authenticate, { name, password });
  return new Api(store.cluster.member(place).clientUrl, { token });
}

async function addUser(api: Api, name: string, roles: readonly string[]): Promise<void> {
  await api.call(methods.userAdd, { name, password: `${name}-123` });
  for (const role of roles) await api.call(methods.userGrantRole, { user: name, role });
}

function grant(
  api: Api,
  name: string,
  type: keyof typeof PermissionType,
  keys: Keys,
): Promise<unknown> {
  const perm = Permission.create({ permType: PermissionType[type], ...keys });
  return api.call(methods.roleGrantPermission, { name, perm });
}

interface Actors {
  readonly root: Api;
  /** May read and write what `role` may. */
  readonly user: Api;
  readonly anonymous: Api;
}

/** A role with these keys, a user with that role, root; authentication is on in `body` and off afterwards. */
async function withAuth(
  store: Store,
  keys: Keys,
  body: (actors: Actors) => Promise<void>,
): Promise<void> {
  const anonymous = store.at();
  await store.clear();
  await anonymous.call(methods.roleAdd, { name: 'role' });
  await grant(anonymous, 'role', 'READWRITE', keys);
  await addUser(anonymous, 'root', ['root']);
  await addUser(anonymous, 'user', ['role']);
  await anonymous.call(methods.authEnable);
  const root = await login(store, 'root', 'root-123');
  const user = await login(store, 'user', 'user-123');
  try {
    await body({ root, user, anonymous });
  } finally {
    const again = await login(store, 'root', 'root-123');
    await again.call(methods.authDisable);
    const { users } = await again.call(methods.userList);
    for (const name of users) await again.call(methods.userDelete, { name });
    const { roles } = await again.call(methods.roleList);
    for (const role of roles) await again.call(methods.roleDelete, { role });
    for (const api of [root, user, again]) api.close();
  }
}

const refusedPut = (api: Api, key: string, value = ''): Promise<string> =>
  api.refusal(KV.methods.put, putRequest(key, value));

const refusedRange = (api: Api, keys: Keys): Promise<string> => api.refusal(KV.methods.range, keys);

test('80 TestAuthEnable', async () => {
  const api = single().at();
  assert.equal(await api.refusal(methods.authEnable), '9 etcdserver: root user does not exist');
  await api.call(methods.userAdd, { name: 'root', password: 'x' });
  assert.equal(
    await api.refusal(methods.authEnable),
    '9 etcdserver: root user does not have root role',
  );
  await api.call(methods.userDelete, { name: 'root' });
  await withAuth(single(), oneKey('foo'), async ({ root, anonymous }) => {
    assert.equal(await refusedPut(anonymous, 'foo'), nobody);
    // Twice is as good as once.
    await root.call(methods.authEnable);
  });
});

test('80 TestAuthDisable', async () => {
  const api = single().at();
  // Of what is off nothing can be asked for.
  assert.equal(
    await api.refusal(methods.authenticate, { name: 'root', password: 'x' }),
    '9 etcdserver: authentication is not enabled',
  );
  await withAuth(single(), oneKey('foo'), async ({ root, user, anonymous }) => {
    await user.put('foo', 'bar');
    assert.equal(await refusedPut(user, 'hoo'), denied);
    await root.call(methods.authDisable);
    await anonymous.put('hoo', 'bar');
    // Tokens that are left over do no harm.
    await user.put('hoo', 'baz');
    await anonymous.call(methods.authEnable);
  });
});

test('80 TestAuthGracefulDisable', () =>
  withStore({ flags }, async (store) => {
    await withAuth(store, oneKey('key'), async ({ root }) => {
      await root.call(methods.authDisable);
      await store.cluster.member(0).stop();
      await store.cluster.member(0).start();
      store.disconnect();
      const watch = await store.at().watching('key', { startRevision: 1 });
      await store.at().put('key', 'value');
      assert.deepEqual(await watch.events(1), ['put key=value']);
      await store.at().call(methods.authEnable);
    });
  }));

test('80 TestAuthStatus', async () => {
  const off = await single().at().call(methods.authStatus);
  assert.equal(off.enabled, false);
  await withAuth(single(), oneKey('foo'), async ({ root }) => {
    const on = await root.call(methods.authStatus);
    assert.equal(on.enabled, true);
    assert(on.authRevision > off.authRevision);
    // Each change is one.
    await root.call(methods.roleAdd, { name: 'more' });
    assert.equal((await root.call(methods.authStatus)).authRevision, on.authRevision + 1);
  });
});

test('81 TestAuthWriteKey', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user, anonymous }) => {
    await root.put('foo', 'a');
    assert.equal(await refusedPut(anonymous, 'foo', 'bar'), nobody);
    assert.equal(
      await anonymous.refusal(methods.authenticate, { name: 'user', password: 'wrong' }),
      wrongPassword,
    );
    await user.put('foo', 'bar');
    assert.deepEqual(await user.values('foo'), ['bar']);
    assert.equal(await refusedPut(user, 'baz', 'bar'), denied);
    assert.deepEqual(await root.values(keysFrom('')), ['bar']);
  }));

test('81 TestAuthPrefixPerm', () =>
  withAuth(single(), keysUnder('/prefix/'), async ({ user }) => {
    for (let n = 0; n < 3; n++) await user.put(`/prefix/${n}`, 'v');
    assert.equal(await refusedPut(user, '/prefix', 'v'), denied);
    assert.equal(await refusedPut(user, '/prefix0', 'v'), denied);
    assert.equal((await user.range(keysUnder('/prefix/'))).count, 3);
    assert.equal(await refusedRange(user, keysUnder('/prefix')), denied);
  }));

test('81 TestCtlV3AuthFromKeyPerm', () =>
  withAuth(single(), keysFrom('z'), async ({ root, user }) => {
    for (const key of ['z', 'z1', 'zz', '\xff']) await user.put(key, 'v');
    assert.equal((await user.range(keysFrom('z'))).count, 4);
    assert.equal(await refusedPut(user, 'y', 'v'), denied);
    assert.equal(await refusedRange(user, keysFrom('y')), denied);
    const request = { role: 'role', ...keysFrom('z') };
    await root.call(methods.roleRevokePermission, request);
    assert.equal(await refusedPut(user, 'z', 'v'), denied);
    // Everything, by a permission from the first key on.
    await grant(root, 'role', 'READWRITE', keysFrom(''));
    await user.put('a', 'v');
    assert.equal((await user.range(keysFrom(''))).count, 5);
  }));

test('81 TestAuthTxn', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    await grant(root, 'role', 'READ', oneKey('readable'));
    await root.put('foo', '1');
    const condition = [compare('foo', 'version', '>', 0)];
    const success = [getOp('readable')];
    await user.txn({ compare: condition, success, failure: [putOp('foo', '2')] });
    const { txn } = KV.methods;
    for (const request of [
      { compare: [compare('secret', 'version', '>', 0)] },
      { compare: condition, success: [getOp('secret')] },
      // Also in the branch that is not taken.
      { compare: condition, success, failure: [putOp('secret', '1')] },
      { compare: condition, success: [putOp('readable', '1')] },
      { success: [deleteOp('readable')] },
    ]) {
      assert.equal(await user.refusal(txn, request), denied);
    }
  }));

test('81 TestAuthRevokeWithDelete', () =>
  withAuth(single(), oneKey('foo'), async ({ root }) => {
    await root.call(methods.roleAdd, { name: 'role2' });
    await root.call(methods.userGrantRole, { user: 'user', role: 'role2' });
    const roles = async (): Promise<string[]> =>
      (await root.call(methods.userGet, { name: 'user' })).roles;
    assert.deepEqual(new Set(await roles()), new Set(['role', 'role2']));
    await root.call(methods.roleDelete, { role: 'role2' });
    assert.deepEqual(await roles(), ['role']);
  }));

/** Who is told that his token is of an older time gets a new one, as clients do. */
async function renewed(store: Store, refusal: string): Promise<Api> {
  assert.match(
    refusal,
    /^(16 etcdserver: invalid auth token|3 etcdserver: revision of auth store is old)$/,
  );
  return login(store, 'user', 'user-123');
}

test('82 TestAuthRoleUpdate', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    await user.put('foo', 'bar');
    assert.equal(await refusedPut(user, 'hoo', 'bar'), denied);
    await grant(root, 'role', 'READWRITE', oneKey('hoo'));
    // At once, for one who is in already.
    await user.put('hoo', 'bar');
    await root.call(methods.roleRevokePermission, { role: 'role', key: bytesOf('hoo') });
    assert.equal(await refusedPut(user, 'hoo', 'bar'), denied);
    await user.put('foo', 'bar');
  }));

test('82 TestAuthUserDeleteDuringOps', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    await user.put('foo', 'bar');
    await root.call(methods.userDelete, { name: 'user' });
    assert.equal(await refusedPut(user, 'foo', 'baz'), invalidToken);
    const again = { name: 'user', password: 'user-123' };
    assert.equal(await root.refusal(methods.authenticate, again), wrongPassword);
  }));

test('82 TestAuthRoleRevokeDuringOps', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    await user.put('foo', 'bar');
    await root.call(methods.roleAdd, { name: 'role2' });
    await grant(root, 'role2', 'READWRITE', oneKey('hoo'));
    await root.call(methods.userGrantRole, { user: 'user', role: 'role2' });
    await user.put('hoo', 'bar');
    await root.call(methods.userRevokeRole, { name: 'user', role: 'role' });
    assert.equal(await refusedPut(user, 'foo', 'baz'), denied);
    await user.put('hoo', 'bar2');
    assert.deepEqual((await user.range('hoo')).kvs.map(pair), ['hoo=bar2']);
  }));

test('83 TestAuthLeaseTimeToLive', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user, anonymous }) => {
    const { ID } = await user.grant(30);
    await user.put('foo', 'bar', { lease: ID });
    const { keys } = await user.ttl(ID, true);
    assert.deepEqual(keys.map(latin1), ['foo']);
    const method = Lease.methods.leaseTimeToLive;
    for (const withKeys of [false, true]) {
      assert.equal(await anonymous.refusal(method, { ID, keys: withKeys }), nobody);
    }
    await root.put('bar', 'foo', { lease: ID });
    assert.equal(await user.refusal(method, { ID, keys: true }), denied);
    assert.equal((await user.ttl(ID)).grantedTTL, 30);
  }));

test('83 TestAuthLeaseGrantLeases, TestAuthLeaseLeases', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user, anonymous }) => {
    const { ID } = await root.grant(30);
    assert.deepEqual(await root.leases(), [ID]);
    assert.equal(await anonymous.refusal(Lease.methods.leaseGrant, { TTL: 30 }), nobody);
    assert.equal(await anonymous.refusal(Lease.methods.leaseLeases), nobody);
    const own = await user.grant(30);
    assert.deepEqual(new Set(await user.leases()), new Set([ID, own.ID]));
  }));

test('83 TestAuthLeaseRevoke, TestV3AuthWithLeaseRevoke', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user, anonymous }) => {
    const { ID } = await root.grant(30);
    await root.put('key', 'value', { lease: ID });
    const method = Lease.methods.leaseRevoke;
    assert.equal(await anonymous.refusal(method, { ID }), nobody);
    // It would delete a key that he may not write.
    assert.equal(await user.refusal(method, { ID }), denied);
    await root.revoke(ID);
    assert.equal((await root.range('key')).count, 0);
    const own = await user.grant(30);
    await user.put('foo', 'value', { lease: own.ID });
    await user.revoke(own.ID);
  }));

test('83 TestAuthLeaseKeepAlive, TestV3AuthWithLeaseRenew', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    const { ID } = await user.grant(30);
    await user.put('foo', 'bar', { lease: ID });
    assert.equal(await user.keepAlive(ID), 30);
    await root.put('bar', 'foo', { lease: ID });
    const stream = user.stream(Lease.methods.leaseKeepAlive);
    stream.send({ ID });
    const end = await stream.ended();
    assert(end.kind === 'error');
    assert.equal(`${end.code} ${end.message}`, denied);
    assert.equal(await root.keepAlive(ID), 30);
  }));

test('83 TestV3AuthWithLeaseAttach', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    const { ID } = await root.grant(30);
    await root.put('k2', 'val', { lease: ID });
    // Whoever attaches a key could have the others of the lease deleted.
    const lease = { lease: ID };
    assert.equal(await user.refusal(KV.methods.put, putRequest('foo', 'val', lease)), denied);
    const own = await user.grant(30);
    await user.put('foo', 'val', { lease: own.ID });
  }));

test('84 TestAuthMemberAdd, TestAuthMemberList, TestAuthMemberRemove', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user, anonymous }) => {
    const { memberAdd, memberList, memberRemove } = Cluster.methods;
    const request = { peerURLs: ['http://127.0.0.1:11'], isLearner: true };
    assert.equal(await anonymous.refusal(memberAdd, request), nobody);
    assert.equal(await user.refusal(memberAdd, request), denied);
    assert.equal(await anonymous.refusal(memberList), nobody);
    assert.equal((await user.members()).length, 1);
    const { member } = await root.call(memberAdd, request);
    const ID = member?.ID ?? 0n;
    assert.equal(await user.refusal(memberRemove, { ID }), denied);
    await root.call(memberRemove, { ID });
    assert.equal((await root.members()).length, 1);
  }));

test('84 TestAuthCompact', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    const revision = await user.putRevision('foo', 'bar');
    assert.equal(await user.refusal(KV.methods.compact, { revision }), denied);
    await root.compact(revision);
  }));

test('84 TestAuthAlarm', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user, anonymous }) => {
    const { alarm } = Maintenance.methods;
    const raise = { action: AlarmAction.ACTIVATE, alarm: AlarmType.NOSPACE, memberID: 1n };
    const disarm = { ...raise, action: AlarmAction.DEACTIVATE };
    assert.equal(await anonymous.refusal(alarm, raise), nobody);
    assert.equal(await user.refusal(alarm, raise), denied);
    await root.call(alarm, raise);
    assert.equal((await user.call(alarm)).alarms.length, 1);
    assert.equal(await user.refusal(alarm, disarm), denied);
    await root.call(alarm, disarm);
    assert.deepEqual((await user.call(alarm)).alarms, []);
  }));

/** Asks for something that root gets, or is told what is wrong with it. */
const maintenance: Record<string, (api: Api, ownId: bigint) => Promise<unknown>> = {
  Defragment: (api) => api.call(Maintenance.methods.defragment),
  Downgrade: (api) =>
    api.call(Maintenance.methods.downgrade, {
      action: DowngradeAction.VALIDATE,
      version: 'nonsense',
    }),
  HashKV: (api) => api.hashKV(),
  MoveLeader: (api, targetID) => api.call(Maintenance.methods.moveLeader, { targetID }),
  Snapshot: async (api) => {
    const stream = api.stream(Maintenance.methods.snapshot);
    stream.send({});
    stream.halfClose();
    const end = await stream.ended();
    if (end.kind === 'error' && end.code !== 0) throw new Error(`${end.code} ${end.message}`);
  },
  Status: (api) => api.status(),
};

test('84 Test{Defragment,Downgrade,HashKV,MoveLeader,Snapshot,Status}With{No,Invalid,Root,User}Auth', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user, anonymous }) => {
    const invalid = new Api(single().cluster.member(0).clientUrl, { token: 'no-such-token.1' });
    const [own] = await root.members();
    for (const [name, call] of Object.entries(maintenance)) {
      const texts: string[] = [];
      for (const api of [anonymous, invalid, user, root]) {
        const text = await call(api, own?.ID ?? 0n).then(
          () => 'ok',
          (error: unknown) => (error instanceof Error ? error.message : String(error)),
        );
        texts.push(text.replace(/^\w+: /, ''));
      }
      const [byNobody, byInvalid, byUser = '', byRoot = ''] = texts;
      // 3.5 has its own words for some of it.
      if (!isOracle) assert.deepEqual([byNobody, byInvalid], [nobody, invalidToken], name);
      assert(byNobody !== 'ok' && byInvalid !== 'ok', name);
      // In later versions it is for every user.
      if (name === 'Status' && !isOracle) assert.equal(byUser, 'ok');
      else assert.match(byUser, isOracle ? /permission denied$/ : new RegExp(`^${denied}$`), name);
      if (name === 'Downgrade') assert.match(byRoot, /wrong downgrade target version format/);
      else assert.equal(byRoot, 'ok', name);
    }
    invalid.close();
  }));

function signed(key: string, claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`;
  return `${head}.${sign('sha256', Buffer.from(head), createPrivateKey(key)).toString('base64url')}`;
}

/** A member with signed tokens. */
async function withJwt(
  options: { ttl: string; privateKey: boolean },
  body: (store: Store, key: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-test-jwt-'));
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const [publicFile, privateFile] = [join(directory, 'public'), join(directory, 'private')];
  writeFileSync(publicFile, publicKey);
  writeFileSync(privateFile, privateKey);
  const keys = [
    `pub-key=${publicFile}`,
    ...(options.privateKey ? [`priv-key=${privateFile}`] : []),
  ];
  const token = ['jwt', ...keys, 'sign-method=RS256', `ttl=${options.ttl}`].join();
  try {
    await withStore({ flags: [...flags, `--auth-token=${token}`] }, (store) =>
      body(store, privateKey),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('85 TestAuthJWTExpire', () =>
  withJwt({ ttl: '2s', privateKey: true }, (store) =>
    withAuth(store, oneKey('foo'), async ({ user }) => {
      await user.put('foo', 'bar');
      await sleep(3_100);
      const refusal = await refusedPut(user, 'foo', 'bar');
      assert.equal(refusal, invalidToken);
      const again = await renewed(store, refusal);
      await again.put('foo', 'baz');
      again.close();
    }),
  ));

test('85 TestAuthJWTOnly', () =>
  withJwt({ ttl: '5m', privateKey: false }, async (store, key) => {
    const api = store.at();
    await api.call(methods.roleAdd, { name: 'role' });
    await grant(api, 'role', 'READWRITE', oneKey('foo'));
    await addUser(api, 'root', ['root']);
    await addUser(api, 'user', ['role']);
    await api.call(methods.authEnable);
    const { clientUrl } = store.cluster.member(0);
    const exp = Math.floor(Date.now() / 1_000) + 300;
    const tokenOf = (claims: object): Api =>
      new Api(clientUrl, { token: signed(key, { exp, ...claims }) });
    const { authRevision } = await tokenOf({ username: 'root', revision: 8 }).call(
      methods.authStatus,
    );
    const user = tokenOf({ username: 'user', revision: authRevision });
    await user.put('foo', 'bar');
    assert.equal(await refusedPut(user, 'bar', 'bar'), denied);
    const late = tokenOf({ username: 'user', revision: authRevision, exp: exp - 600 });
    assert.equal(await refusedPut(late, 'foo', 'bar'), invalidToken);
  }));

test('85 TestCtlV3AuthCertCN, TestCtlV3AuthCertCNAndUsername', needs('etcdctl'), async () => {
  const files = new Files();
  const authority = await Authority.create('ca');
  const ca = files.write('ca.pem', authority.cert);
  const member = files.writePair('member', await authority.issue());
  const certificates = async (commonName: string): Promise<string[]> => {
    const made = files.writePair(commonName, await authority.issue({ commonName }));
    return ['--cacert', ca, '--cert', made.certFile, '--key', made.keyFile];
  };
  const tls = {
    schemes: { client: 'https', peer: 'https' } as const,
    flags: [...flags, ...tlsFlags(member, ca)],
  };
  try {
    await withStore(tls, async (store) => {
      const [asRoot, asUser] = [await certificates('root'), await certificates('user')];
      const run = async (who: string[], ...args: string[]) => {
        const { code, stdout, stderr } = await new Etcdctl(store.cluster, who).run(args);
        return code === 0 ? stdout : stderr;
      };
      for (const args of [
        ['role', 'add', 'role'],
        ['role', 'grant-permission', 'role', 'readwrite', 'hoo'],
        ['user', 'add', 'root', '--no-password'],
        ['user', 'add', 'user:user-123'],
        ['user', 'grant-role', 'user', 'role'],
        ['user', 'grant-role', 'root', 'root'],
        ['auth', 'enable'],
      ]) {
        await run(asRoot, ...args);
      }
      assert.equal(await run(asUser, 'put', 'hoo', 'bar'), 'OK\n');
      assert.match(await run(asUser, 'put', 'baz', 'bar'), /permission denied/);
      assert.equal(await run(asRoot, 'put', 'baz', 'bar'), 'OK\n');
      // A password goes before the certificate.
      const both = [...asRoot, '--user', 'user:user-123'];
      assert.equal(await run(both, 'put', 'hoo', 'bar'), 'OK\n');
      assert.match(await run(both, 'put', 'baz', 'bar'), /permission denied/);
    });
  } finally {
    files.remove();
  }
});

test('86 TestAuthRevisionConsistency, TestAuthTestCacheReload', () =>
  withStore({ flags }, (store) =>
    withAuth(store, oneKey('foo'), async ({ root, user }) => {
      await user.put('foo', 'bar');
      await root.call(methods.userAdd, { name: 'other', password: 'x' });
      await root.call(methods.userDelete, { name: 'other' });
      const { authRevision } = await root.call(methods.authStatus);
      await store.cluster.member(0).stop();
      await store.cluster.member(0).start();
      store.disconnect();
      const again = await login(store, 'root', 'root-123');
      assert.equal((await again.call(methods.authStatus)).authRevision, authRevision);
      const back = await login(store, 'user', 'user-123');
      await back.put('foo', 'bar2');
      assert.equal(await refusedPut(back, 'hoo'), denied);
      again.close();
      back.close();
    }),
  ));

test('86 TestAuthCluster', () =>
  withStore({ flags: [...flags, '--snapshot-count=2'] }, (store) =>
    withAuth(store, keysUnder('/test/'), async ({ root, user }) => {
      for (let n = 0; n <= 10; n++) await user.put(`/test/${n}`, 'test');
      const joining = await store.cluster.newMember();
      await root.call(Cluster.methods.memberAdd, { peerURLs: [joining.peerUrl] });
      await joining.start(store.cluster.flagsFor('existing'));
      const roots: Api[] = [];
      for (const place of [0, 1]) {
        const asUser = await eventually(() => login(store, 'user', 'user-123', place));
        await asUser.put('/test/key', String(place));
        assert.equal(await refusedPut(asUser, 'elsewhere'), denied);
        asUser.close();
        roots.push(await login(store, 'root', 'root-123', place));
      }
      await eventually(async () => {
        const [one, two] = await Promise.all(roots.map((api) => api.hashKV()));
        assert.deepEqual([one?.hash, one?.header?.revision], [two?.hash, two?.header?.revision]);
      });
      for (const api of roots) api.close();
    }),
  ));

test('86 TestV3AuthOldRevConcurrent', () =>
  withAuth(single(), oneKey('foo'), async ({ root }) => {
    // Whoever is told that his revision is old, which others have changed meanwhile, tries again and gets through.
    const insist = <Request, Response>(
      method: Method<Request, Response>,
      request: Partial<Request>,
    ): Promise<Response> =>
      eventually(async () => {
        const outcome = await root.channel.call(method, request, await headersOf());
        if (outcome.kind === 'ok') return outcome.response;
        assert.equal(outcome.message, 'etcdserver: revision of auth store is old');
        throw new Error(outcome.message);
      });
    const headersOf = async (): Promise<{ token: string }> => {
      const request = { name: 'root', password: 'root-123' };
      return { token: (await single().at().call(methods.authenticate, request)).token };
    };
    await Promise.all(
      times(3, async (n) => {
        await insist(methods.roleAdd, { name: `role-${n}` });
        const perm = Permission.create({ permType: PermissionType.READWRITE, ...keysFrom('') });
        await insist(methods.roleGrantPermission, { name: `role-${n}`, perm });
        await insist(methods.userAdd, { name: `user-${n}`, password: '123' });
        await insist(KV.methods.put, putRequest('a', 'b'));
      }),
    );
  }));

test('87 TestAuth_CVE_2021_28235', () =>
  withStore({ flags: [...flags, '--log-level=debug'] }, (store) =>
    withAuth(store, oneKey('foo'), async ({ root }) => {
      await root.put('foo', 'bar');
      const { clientUrl, log } = store.cluster.member(0);
      const path = '/debug/requests?fam=grpc.Recv.etcdserverpb.Auth&b=0&exp=1';
      const page = await (await fetch(`${clientUrl}${path}`)).text();
      assert(!page.includes('root-123'), 'the page has a password');
      assert(!log.includes('root-123'), 'the log has a password');
    }),
  ));

test('87 TestV3AuthNestedTxnPermissionDenied', () =>
  withAuth(single(), keysUnder('foo'), async ({ root, user }) => {
    await root.put('secret', 'x');
    const { txn } = KV.methods;
    const nested = (op: ReturnType<typeof getOp>) => ({
      success: [txnOp({ success: [txnOp({ failure: [op] })] })],
    });
    for (const op of [getOp('secret'), putOp('secret', 'y'), deleteOp('secret')]) {
      assert.equal(await user.refusal(txn, nested(op)), denied);
    }
    const hidden = { success: [txnOp({ compare: [compare('secret', 'value', '=', 'x')] })] };
    assert.equal(await user.refusal(txn, hidden), denied);
    await user.txn(nested(putOp('foo1', 'y')));
    assert.deepEqual(await root.values('secret'), ['x']);
  }));

test('87 TestReadWithPrevKvInTXN', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    await grant(root, 'role', 'WRITE', oneKey('write-only'));
    await root.put('write-only', 'secret');
    await user.txn({ success: [putOp('write-only', 'x')] });
    const { put, txn, deleteRange } = KV.methods;
    const prevKv = true;
    // What was there would be told to one who may not read it.
    assert.equal(await user.refusal(put, putRequest('write-only', 'x', { prevKv })), denied);
    assert.equal(
      await user.refusal(txn, { success: [putOp('write-only', 'x', { prevKv })] }),
      denied,
    );
    assert.equal(await user.refusal(deleteRange, { key: bytesOf('write-only'), prevKv }), denied);
    assert.equal((await user.delete('write-only')).deleted, 1);
  }));

test('87 TestPutWithLeaseInTXN', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    const { ID: lease } = await root.grant(30);
    await root.put('other', 'x', { lease });
    const success = [putOp('foo', 'x', { lease })];
    assert.equal(await user.refusal(KV.methods.txn, { success }), denied);
  }));

test('88 TestUserAdd_Simple, TestUserAdd_DuplicateUserNotAllowed, TestUserList, TestUserDelete', async () => {
  const api = single().at();
  await api.call(methods.userAdd, { name: 'one', password: 'x' });
  const options = UserAddOptions.create({ noPassword: true });
  await api.call(methods.userAdd, { name: 'two', options });
  assert.equal(
    await api.refusal(methods.userAdd, { name: 'one', password: 'y' }),
    '9 etcdserver: user name already exists',
  );
  assert.equal(await api.refusal(methods.userAdd, { password: 'y' }), nobody);
  assert.deepEqual((await api.call(methods.userList)).users, ['one', 'two']);
  const gone = '9 etcdserver: user name not found';
  for (const name of ['one', 'two']) {
    await api.call(methods.userDelete, { name });
    assert.equal(await api.refusal(methods.userDelete, { name }), gone);
    assert.equal(await api.refusal(methods.userGet, { name }), gone);
  }
});

test('88 TestUserChangePassword', () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    const change = { name: 'user', password: 'new' };
    assert.equal(await user.refusal(methods.userChangePassword, change), denied);
    await root.call(methods.userChangePassword, change);
    assert.equal(await refusedPut(user, 'foo', 'x'), invalidToken);
    const old = { name: 'user', password: 'user-123' };
    assert.equal(await root.refusal(methods.authenticate, old), wrongPassword);
    const again = await login(single(), 'user', 'new');
    await again.put('foo', 'x');
    again.close();
    assert.equal(
      await root.refusal(methods.userChangePassword, { name: 'none', password: 'x' }),
      '9 etcdserver: user name not found',
    );
  }));

test('88 TestRoleAdd_Simple, TestRoleAdd_Error, TestRootRole, TestRoleGrantRevokePermission, TestRoleDelete', async () => {
  const api = single().at();
  await api.call(methods.roleAdd, { name: 'role' });
  assert.equal(
    await api.refusal(methods.roleAdd, { name: 'role' }),
    '9 etcdserver: role name already exists',
  );
  assert.equal(await api.refusal(methods.roleAdd), '3 etcdserver: role name is empty');
  const perm = async (): Promise<string[]> =>
    (await api.call(methods.roleGet, { role: 'role' })).perm.map(
      ({ key, rangeEnd }) => `${Buffer.from(key)}-${Buffer.from(rangeEnd)}`,
    );
  await grant(api, 'role', 'READWRITE', oneKey('bar'));
  await grant(api, 'role', 'READ', keysBetween('foo', 'fop'));
  // Once more is a change of its kind.
  await grant(api, 'role', 'WRITE', oneKey('bar'));
  assert.deepEqual(await perm(), ['bar-', 'foo-fop']);
  assert.equal(
    await api.refusal(methods.roleRevokePermission, { role: 'role', key: bytesOf('foo') }),
    '9 etcdserver: permission is not granted to the role',
  );
  await api.call(methods.roleRevokePermission, { role: 'role', key: bytesOf('bar') });
  assert.deepEqual(await perm(), ['foo-fop']);
  await api.call(methods.roleDelete, { role: 'role' });
  const gone = '9 etcdserver: role name not found';
  assert.equal(await api.refusal(methods.roleDelete, { role: 'role' }), gone);
  assert.equal(await api.refusal(methods.roleGet, { role: 'role' }), gone);
  await withAuth(single(), oneKey('foo'), async ({ root }) => {
    const { roles } = await root.call(methods.userGet, { name: 'root' });
    assert.deepEqual(roles, ['root']);
    const invalid = '3 etcdserver: invalid auth management';
    assert.equal(await root.refusal(methods.userDelete, { name: 'root' }), invalid);
    const revoke = { name: 'root', role: 'root' };
    assert.equal(await root.refusal(methods.userRevokeRole, revoke), invalid);
  });
});

// GHSA-xg4h-6gfc-h4m8, which 3.5 has.
const fixed = { skip: isOracle ? 'etcd 3.5 still has the fault' : false };

test('51 TestWatchWithLowPermissionUser', fixed, () =>
  withAuth(single(), oneKey('foo'), async ({ root, user }) => {
    for (const keys of [keysFrom('foo'), keysUnder('foo'), keysFrom('')]) {
      const watch = user.watch();
      watch.create(keys);
      const { created, canceled, watchId, cancelReason } = await watch.next();
      assert.deepEqual([created, canceled, watchId], [true, true, -1n]);
      assert.match(cancelReason, /etcdserver: permission denied$/);
      await root.put('foo1', 'not for him');
      await watch.silent(50);
      watch.close();
    }
    const own = await user.watching('foo');
    await user.put('foo', 'bar');
    assert.deepEqual(await own.events(1), ['put foo=bar']);
    own.close();
  }),
);

test('51 TestV3AuthWatchErrorAndWatchId0', () =>
  withAuth(single(), keysBetween('k1', 'k2'), async ({ user }) => {
    const watch = await user.watching('k1');
    watch.create('non-allowed-key');
    const refused = await watch.next();
    assert.deepEqual([refused.created, refused.canceled, refused.watchId], [true, true, -1n]);
    // The first watcher, whose id is 0, is not touched.
    await user.put('k1', 'val');
    const { watchId } = await watch.next();
    assert.equal(watchId, 0n);
    watch.close();
  }));
