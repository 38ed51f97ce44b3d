import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Authenticator } from '../../../server/api/authenticator.ts';
import type { CallContext } from '../../../server/api/call.ts';
import { type Services, servicesOf } from '../../../server/api/services.ts';
import { SimpleTokens } from '../../../server/auth/simple-tokens.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import {
  AlarmType,
  Auth,
  Cluster,
  KV,
  Lease,
  Maintenance,
  PutRequest,
  type RequestOp,
  TxnRequest,
  Watch,
  WatchCreateRequest,
} from '../../../server/proto/gen/rpc.ts';
import type { Method } from '../../../server/proto/wire.ts';
import { permission } from '../auth/support.ts';
import { ApplyingMember, call, must, plainPasswords, streamed } from './applying-member.ts';
import { contextOf } from './fake-member.ts';

// What was wrong in etcd's authentication once, each under the name by which it is known. Every test has a counterpart
// that is allowed, so that it does not pass because nothing is.

const noUser = '3 etcdserver: user name is empty';
const denied = '7 etcdserver: permission denied';

interface Store {
  readonly services: Services;
  readonly member: ApplyingMember;
  readonly root: CallContext;
  /** May read and write `mine`, write `drop`, read `look`. */
  readonly user: CallContext;
}

const mine = Buffer.from('mine');
const drop = Buffer.from('drop');
const secret = Buffer.from('secret');

async function store(options = { clientCertAuth: false }): Promise<Store> {
  const member = await ApplyingMember.open();
  let counter = 0;
  const tokens = new SimpleTokens(
    { clock: { nowMs: () => 0 }, random: { uint32: () => (counter += 0x1234_5679) >>> 0 } },
    { ttlMs: 1000, tokensMax: 10 },
  );
  member.auth.observe(tokens);
  const modules = { port: member, tokens, passwords: plainPasswords, logger: silentLogger };
  const authenticator = new Authenticator(modules, options);
  const limits = { txnOpsMax: 128, messageBytesMax: 1_000_000 };
  const services = servicesOf(member, limits, authenticator);
  const { auth } = member;
  for (const name of ['root', 'user']) {
    must(await call(services, Auth.methods.userAdd, { name, password: name }));
  }
  auth.addRole('r');
  for (const perm of [
    permission('READWRITE', 'mine'),
    permission('WRITE', 'drop'),
    permission('READ', 'look'),
  ]) {
    auth.grantPermission({ name: 'r', perm });
  }
  auth.grantRole('user', 'r');
  auth.grantRole('root', 'root');
  member.applying.put('secret', 'top');
  member.applying.put('drop', 'of another');
  auth.enable();
  const login = async (name: string): Promise<CallContext> => {
    const { token } = must(
      await call(services, Auth.methods.authenticate, { name, password: name }),
    );
    return contextOf({ token });
  };
  return { services, member, root: await login('root'), user: await login('user') };
}

async function asked<Request, Response>(
  services: Services,
  method: Method<Request, Response>,
  request: Partial<Request> = {},
  context: CallContext = contextOf(),
): Promise<string> {
  const ending = await call(services, method, request, context);
  return 'refusal' in ending ? ending.refusal : 'ok';
}

function put(options: Partial<PutRequest>): RequestOp {
  return { request: { kind: 'requestPut', value: PutRequest.create(options) } };
}

function nested(success: RequestOp[]): RequestOp {
  return { request: { kind: 'requestTxn', value: TxnRequest.create({ success }) } };
}

suite('advisories', () => {
  test('CVE-2026-33413: members, alarms, leases and compaction are not open to everybody', async () => {
    const { services, root, user } = await store();
    const grant = Lease.methods.leaseGrant;
    assert.equal(await asked(services, Cluster.methods.memberList), noUser);
    assert.equal(await asked(services, Cluster.methods.memberList, {}, user), 'ok');
    assert.equal(await asked(services, Maintenance.methods.alarm), noUser);
    assert.equal(await asked(services, Maintenance.methods.alarm, {}, user), 'ok');
    const disarm = { action: 2, alarm: AlarmType.NOSPACE } as const;
    assert.equal(await asked(services, Maintenance.methods.alarm, disarm, user), denied);
    assert.equal(await asked(services, grant, { ID: 7n, TTL: 60 }), noUser);
    assert.equal(await asked(services, grant, { ID: 7n, TTL: 60 }, user), 'ok');
    assert.equal(await asked(services, Lease.methods.leaseTimeToLive, { ID: 7n }), noUser);
    assert.equal(await asked(services, Lease.methods.leaseLeases), noUser);
    assert.equal(await asked(services, Lease.methods.leaseRevoke, { ID: 7n }), noUser);
    const renewal = await streamed(services, Lease.methods.leaseKeepAlive, { ID: 7n });
    assert.deepEqual(renewal, { refusal: noUser });
    assert.equal(await asked(services, Lease.methods.leaseRevoke, { ID: 7n }, user), 'ok');
    assert.equal(await asked(services, KV.methods.compact, { revision: 2 }), noUser);
    assert.equal(await asked(services, KV.methods.compact, { revision: 2 }, user), denied);
    assert.equal(await asked(services, KV.methods.compact, { revision: 2 }, root), 'ok');
  });

  test('CVE-2026-33343: a nested transaction is checked like any other', async () => {
    const { services, member, user } = await store();
    const write = put({ key: secret, value: Buffer.from('mine now') });
    for (const success of [[write], [nested([write])], [nested([nested([write])])]]) {
      assert.equal(await asked(services, KV.methods.txn, { success }, user), denied);
      assert.equal(await asked(services, KV.methods.txn, { failure: success }, user), denied);
    }
    assert.equal(member.applying.store.get('secret')?.version, 1);
    const allowed = [nested([put({ key: mine })])];
    assert.equal(await asked(services, KV.methods.txn, { success: allowed }, user), 'ok');
  });

  test('CVE-2026-44283: prev_kv and lease of a nested put need their rights', async () => {
    const { services, member, root, user } = await store();
    const read = put({ key: drop, prevKv: true });
    assert.equal(await asked(services, KV.methods.txn, { success: [read] }, user), denied);
    assert.equal(
      await asked(services, KV.methods.txn, { success: [nested([read])] }, user),
      denied,
    );
    const blind = put({ key: drop });
    assert.equal(await asked(services, KV.methods.txn, { success: [nested([blind])] }, user), 'ok');

    must(await call(services, Lease.methods.leaseGrant, { ID: 7n, TTL: 60 }, root));
    must(await call(services, KV.methods.put, { key: secret, lease: 7n }, root));
    const attach = put({ key: mine, lease: 7n });
    assert.equal(await asked(services, KV.methods.txn, { success: [attach] }, user), denied);
    assert.equal(
      await asked(services, KV.methods.txn, { success: [nested([attach])] }, user),
      denied,
    );
    assert.deepEqual(member.applying.lessor.keysOf(7n), ['secret']);
    must(await call(services, Lease.methods.leaseGrant, { ID: 8n, TTL: 60 }, user));
    const own = [nested([put({ key: mine, lease: 8n })])];
    assert.equal(await asked(services, KV.methods.txn, { success: own }, user), 'ok');
  });

  test('CVE-2026-73499, GHSA-xg4h-6gfc-h4m8: a watch with an open end is no watch of one key', async () => {
    const { services, user } = await store();
    const watch = async (rangeEnd: Buffer): Promise<string> => {
      const value = WatchCreateRequest.create({ key: mine, rangeEnd });
      const request = { requestUnion: { kind: 'createRequest' as const, value } };
      const response = must(await streamed(services, Watch.methods.watch, request, user));
      return `${response.watchId} ${response.canceled} ${response.cancelReason}`;
    };
    const refusal =
      '-1 true rpc error: code = PermissionDenied desc = etcdserver: permission denied';
    assert.equal(await watch(Buffer.from('\0')), refusal);
    assert.equal(await watch(Buffer.from('n')), refusal);
    assert.equal(await watch(Buffer.alloc(0)), '0 false ');
  });

  test('CVE-2021-28235: a password is in nothing that is written or logged', async () => {
    const { services, member } = await store();
    const credentials = { name: 'user', password: 'user' };
    const request = { ...credentials, name: 'none', password: 'hunter2' };
    await call(services, Auth.methods.authenticate, request);
    must(await call(services, Auth.methods.authenticate, credentials));
    const logins = member.proposed.filter(({ kind }) => kind === 'authenticate');
    assert.ok(logins.length > 0);
    for (const { value } of member.proposed) {
      assert.ok(!JSON.stringify(value).includes('"password":"u'), JSON.stringify(value));
      assert.ok(!JSON.stringify(value).includes('hunter2'));
    }
  });

  test('CVE-2018-16886: the certificate of the gateway is nobody’s', async () => {
    const { services } = await store({ clientCertAuth: true });
    const gateway: CallContext = {
      ...contextOf({ 'grpcgateway-accept': 'application/json' }),
      commonName: 'root',
    };
    assert.equal(await asked(services, Auth.methods.userList, {}, gateway), noUser);
    const direct: CallContext = { ...contextOf(), commonName: 'root' };
    assert.equal(await asked(services, Auth.methods.userList, {}, direct), 'ok');
  });

  test('etcd#13937: an entry that is refused for want of a right is applied all the same', async () => {
    const { member, services, user } = await store();
    const before = member.applying.backend.applied.index;
    assert.equal(await asked(services, KV.methods.put, { key: secret }, user), denied);
    assert.equal(member.applying.backend.applied.index, before + 1);
  });

  test('etcd#14571: users and roles are part of the state that a snapshot brings', async () => {
    const { member, services, user } = await store();
    must(await call(services, KV.methods.put, { key: mine }, user));
    const reopened = await member.applying.reopen();
    assert.equal(reopened.auth.isEnabled, true);
    assert.equal(reopened.auth.revision, member.auth.revision);
    const caller = { username: 'user', authRevision: reopened.auth.revision };
    const write = (key: Buffer) =>
      reopened.apply({ kind: 'put', value: PutRequest.create({ key }) }, caller).error?.error;
    assert.equal(write(mine), undefined);
    assert.equal(write(secret), 'PermissionDenied');
  });
});
