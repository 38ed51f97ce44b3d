import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Authenticator } from '../../../server/api/authenticator.ts';
import type { CallContext } from '../../../server/api/call.ts';
import { Gate } from '../../../server/api/gate.ts';
import { type Services, servicesOf } from '../../../server/api/services.ts';
import type { Passwords } from '../../../server/auth/passwords.ts';
import { SimpleTokens } from '../../../server/auth/simple-tokens.ts';
import { TokenError, type Tokens } from '../../../server/auth/tokens.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import type { Logger } from '../../../server/base/logger.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { InternalRequest } from '../../../server/proto/gen/internal.ts';
import {
  Auth,
  type AuthenticateResponse,
  AuthUserAddRequest,
  Cluster,
  KV,
  Lease,
  Maintenance,
  PutRequest,
  Watch,
  WatchCreateRequest,
  type WatchRequest,
} from '../../../server/proto/gen/rpc.ts';
import { addUser, permission } from '../auth/support.ts';
import {
  ApplyingMember,
  call,
  type Ending,
  must,
  plainPasswords,
  streamed,
} from './applying-member.ts';
import { contextOf, FakeResponses } from './fake-member.ts';

const key = Buffer.from('k');
const { methods } = Auth;

interface Setup {
  readonly tokens?: Tokens;
  readonly passwords?: Passwords;
  readonly clientCertAuth?: boolean;
  readonly logger?: Logger;
}

class Served {
  readonly member: ApplyingMember;
  readonly authenticator: Authenticator;
  readonly services: Services;
  nowMs = 0;

  static async open(setup: Setup = {}): Promise<Served> {
    return new Served(await ApplyingMember.open(), setup);
  }

  private constructor(member: ApplyingMember, setup: Setup) {
    this.member = member;
    let counter = 0;
    const simple = new SimpleTokens(
      {
        clock: { nowMs: () => this.nowMs },
        random: { uint32: () => (counter += 0x1234_5678) >>> 0 },
      },
      { ttlMs: 1000, tokensMax: 100 },
    );
    member.auth.observe(simple);
    const { passwords = plainPasswords, logger = silentLogger, tokens = simple } = setup;
    this.authenticator = new Authenticator(
      { port: member, tokens, passwords, logger },
      { clientCertAuth: setup.clientCertAuth ?? false },
    );
    const options = { txnOpsMax: 128, messageBytesMax: 1_000_000 };
    this.services = servicesOf(member, options, this.authenticator);
  }

  /** Root with the password `root`, user `u` with `u` that may do everything with `k`; on. */
  async enabled(): Promise<this> {
    for (const name of ['root', 'u']) {
      must(await call(this.services, methods.userAdd, { name, password: name }));
    }
    const { auth } = this.member;
    auth.addRole('r');
    auth.grantPermission({ name: 'r', perm: permission('READWRITE', 'k') });
    auth.grantRole('u', 'r');
    auth.grantRole('root', 'root');
    must(await call(this.services, methods.authEnable));
    return this;
  }

  login(name: string, password = name): Promise<Ending<AuthenticateResponse>> {
    return call(this.services, methods.authenticate, { name, password });
  }

  async as(name: string): Promise<CallContext> {
    return contextOf({ token: must(await this.login(name)).token });
  }

  putAsRoot(name: string, options: Partial<PutRequest> = {}): void {
    const root = { username: 'root', authRevision: this.member.auth.revision };
    const value = PutRequest.create({ key: Buffer.from(name), ...options });
    assert.equal(this.member.applying.apply({ kind: 'put', value }, root).error, undefined);
  }

  async put(context: CallContext): Promise<string> {
    return outcome(await call(this.services, KV.methods.put, { key, value: key }, context));
  }

  async get(context: CallContext): Promise<string> {
    return outcome(await call(this.services, KV.methods.range, { key }, context));
  }
}

function outcome(ending: Ending<unknown>): string {
  return 'refusal' in ending ? ending.refusal : 'ok';
}

const invalidToken = '16 etcdserver: invalid auth token';
const denied = '7 etcdserver: permission denied';
const noUser = '3 etcdserver: user name is empty';
const oldRevision = '3 etcdserver: revision of auth store is old';
const failed = '3 etcdserver: authentication failed, invalid user ID or password';

suite('authentication', () => {
  test('there is none until it is enabled', async () => {
    const served = await Served.open();
    assert.deepEqual(await served.login('root'), {
      refusal: '9 etcdserver: authentication is not enabled',
    });
    assert.equal(await served.put(contextOf({ token: 'garbage' })), 'ok');
    assert.equal(await served.put(contextOf()), 'ok');
    const { header, ...status } = must(await call(served.services, methods.authStatus));
    assert.deepEqual(status, { enabled: false, authRevision: 1 });
    assert.equal(header?.revision, 3);
  });

  test('a token is what the entry made, in either header, and nothing else is one', async () => {
    const served = await (await Served.open()).enabled();
    const { token, header } = must(await served.login('u'));
    assert.match(token, /^[a-zA-Z]{16}\.[0-9]+$/);
    assert.deepEqual(header, { clusterId: 0xc1n, memberId: 0xa1n, revision: 1, raftTerm: 7 });
    for (const headers of [
      { token },
      { authorization: token },
      { authorization: `Bearer ${token}` },
      { token: `${token}, ${token}` },
      { token, authorization: 'ignored' },
    ]) {
      assert.equal(await served.put(contextOf(headers as Record<string, string>)), 'ok');
    }
    for (const headers of [{ token: '' }, { token: `${token}0` }, { authorization: 'Basic x' }]) {
      assert.equal(await served.put(contextOf(headers as Record<string, string>)), invalidToken);
      assert.equal(await served.get(contextOf(headers as Record<string, string>)), invalidToken);
    }
    assert.equal(await served.put(contextOf()), noUser);
    assert.equal(await served.get(contextOf()), noUser);
  });

  test('wrong passwords, unknown users and users without password do not get in', async () => {
    const logged: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (fields, message) => logged.push(`${message} ${JSON.stringify(fields)}`),
    };
    const served = await (await Served.open({ logger })).enabled();
    const root = await served.as('root');
    const request = { name: 'cn', password: 'secret', options: { noPassword: true } };
    must(await call(served.services, methods.userAdd, request, root));
    assert.deepEqual(await served.login('u', 'wrong'), { refusal: failed });
    assert.deepEqual(await served.login('none', 'u'), { refusal: failed });
    assert.deepEqual(await served.login('cn', 'secret'), {
      refusal: '2 auth: authentication failed, password was given for no password user',
    });
    assert.deepEqual(served.authenticator.counters, { failedLogins: 3, denials: 0 });
    assert.equal(logged.length, 3);
    assert.ok(!logged.join().includes('wrong') && !logged.join().includes('secret'));
  });

  test('an unknown user costs as much as a wrong password', async () => {
    const verified: string[] = [];
    const passwords: Passwords = {
      ...plainPasswords,
      verify: async (_, hash) => {
        verified.push(hash);
        return false;
      },
    };
    const served = await (await Served.open({ passwords })).enabled();
    await served.login('u', 'wrong');
    await served.login('none', 'wrong');
    assert.equal(verified.length, 2, 'both were verified');
  });

  test('a password that is changed while it is checked is checked again', async () => {
    let checks = 0;
    const passwords: Passwords = {
      ...plainPasswords,
      verify: async (password, hash) => {
        checks += 1;
        if (checks === 1) {
          served.member.auth.changePassword({
            name: 'u',
            password: '',
            hashedPassword: Buffer.from('hash of new').toString('base64'),
          });
        }
        return plainPasswords.verify(password, hash);
      },
    };
    const served = await (await Served.open({ passwords })).enabled();
    assert.deepEqual(await served.login('u'), { refusal: failed });
    assert.equal(checks, 2);
    assert.equal(outcome(await served.login('u', 'new')), 'ok');
  });

  test('a token ends with its time, its user’s password, its user and authentication', async () => {
    const served = await (await Served.open()).enabled();
    const root = await served.as('root');
    let u = await served.as('u');
    served.nowMs += 999;
    assert.equal(await served.put(u), 'ok');
    served.nowMs += 999;
    assert.equal(await served.put(u), 'ok', 'it was used');
    served.nowMs += 1001;
    assert.equal(await served.put(u), invalidToken);

    const again = await served.as('root');
    assert.equal(outcome(await call(served.services, methods.userList, {}, root)), invalidToken);
    u = await served.as('u');
    const change = { name: 'u', password: 'new' };
    must(await call(served.services, methods.userChangePassword, change, again));
    assert.equal(await served.put(u), invalidToken);

    u = contextOf({ token: must(await served.login('u', 'new')).token });
    assert.equal(await served.put(u), 'ok');
    must(await call(served.services, methods.userDelete, { name: 'u' }, again));
    assert.equal(await served.put(u), invalidToken);

    must(await call(served.services, methods.authDisable, {}, again));
    assert.equal(await served.put(contextOf()), 'ok');
    must(await call(served.services, methods.authEnable));
    assert.equal(await served.put(again), invalidToken);
  });

  test('a member that is behind waits for the entry that made the token', async () => {
    const served = await (await Served.open()).enabled();
    const { token } = must(await served.login('u'));
    const [prefix = '', index = ''] = token.split('.');
    const ahead = `${prefix}.${Number(index) + 5}`;
    const reads = (): number =>
      served.member.calls.filter((each) => each === 'linearizableRead').length;
    const before = reads();
    served.member.read = async () => {
      served.member.auth.grantRole('u', 'root');
    };
    assert.equal(await served.put(contextOf({ token: ahead })), invalidToken);
    assert.equal(reads(), before + 1, 'it asked how far the others are');
    served.member.read = () => Promise.reject(new EtcdError('Timeout'));
    assert.equal(
      await served.put(contextOf({ token: ahead })),
      '14 etcdserver: request timed out',
      'it cannot tell',
    );
    assert.equal(await served.put(contextOf({ token })), 'ok', 'it has that entry');
  });

  test('the name in a client’s certificate is a user, where that is asked for', async () => {
    const served = await (await Served.open({ clientCertAuth: true })).enabled();
    const withName = (commonName: string | undefined, headers = {}): CallContext => ({
      ...contextOf(headers),
      commonName,
    });
    assert.equal(await served.put(withName('u')), 'ok');
    assert.equal(await served.put(withName('none')), denied);
    assert.equal(await served.put(withName(undefined)), noUser);
    assert.equal(await served.put(withName('root', { token: 'garbage' })), invalidToken);
    const root = must(await served.login('root'));
    assert.equal(outcome(await call(served.services, methods.userList, {}, withName('u'))), denied);
    const both = withName('u', { token: root.token });
    assert.equal(
      outcome(await call(served.services, methods.userList, {}, both)),
      'ok',
      'the token',
    );
    const deaf = await (await Served.open()).enabled();
    assert.equal(await deaf.put(withName('u')), noUser);
  });

  test('tokens that are signed are made by the member that was asked', async () => {
    const tokens: Tokens = {
      newPrefix: () => '',
      issue: ({ username, authRevision }) => `${username}@${authRevision}`,
      madeAt: () => 0n,
      callerOf: (token) => {
        const [username = '', revision] = token.split('@');
        return { username, authRevision: Number(revision) };
      },
    };
    const served = await (await Served.open({ tokens })).enabled();
    const { revision } = served.member.auth;
    assert.equal(must(await served.login('u')).token, `u@${revision}`);
    const u = contextOf({ token: `u@${revision}` });
    assert.equal(await served.put(u), 'ok');
    assert.equal(await served.get(u), 'ok');
    served.member.auth.addRole('other');
    assert.equal(await served.put(u), oldRevision, 'where it is applied');
    assert.equal(await served.get(u), oldRevision, 'where it is read');
    const verifying: Tokens = {
      ...tokens,
      issue: () => {
        throw new TokenError('token signing attempted with verify-only key');
      },
    };
    const verifier = await (await Served.open({ tokens: verifying })).enabled();
    assert.deepEqual(await verifier.login('u'), {
      refusal: '2 auth: token signing attempted with verify-only key',
    });
  });
});

suite('rights', () => {
  test('what was read is not told when rights have changed meanwhile', async () => {
    const served = await (await Served.open()).enabled();
    const u = await served.as('u');
    const { range } = served.member;
    served.member.range = (request) => {
      served.member.auth.revokeRole('u', 'r');
      return range.call(served.member, request);
    };
    assert.equal(await served.get(u), oldRevision);
    assert.equal(await served.get(u), denied);
    assert.equal(served.authenticator.counters.denials, 1, 'an old revision is no denial');
  });

  test('keys that came to a lease meanwhile are not told', async () => {
    const served = await (await Served.open()).enabled();
    const u = await served.as('u');
    const grant = { ID: 5n, TTL: 60 };
    must(await call(served.services, Lease.methods.leaseGrant, grant, u));
    must(await call(served.services, KV.methods.put, { key, lease: 5n }, u));
    const timeToLive = async (keys: boolean): Promise<string> => {
      const request = { ID: 5n, keys };
      return outcome(await call(served.services, Lease.methods.leaseTimeToLive, request, u));
    };
    assert.equal(await timeToLive(true), 'ok');
    const { leaseTimeToLive } = served.member;
    served.member.leaseTimeToLive = (id) => {
      served.putAsRoot('secret', { lease: 5n });
      return leaseTimeToLive.call(served.member, id);
    };
    assert.equal(await timeToLive(true), denied);
    assert.equal(await timeToLive(false), 'ok', 'only the keys are secret');
  });

  test('a watch that is refused is told so, and the stream and its ids go on', async () => {
    const served = await (await Served.open()).enabled();
    const u = await served.as('u');
    const found = served.services.find(Watch.methods.watch.path);
    assert.ok(found?.kind === 'stream');
    const responses = new FakeResponses<unknown>();
    const requests = found.open(responses, u);
    const create = (watched: string, startRevision = 0): unknown =>
      requests.next(watchRequest(watched, startRevision));
    await create('secret');
    await create('k', -1);
    await create('k');
    served.putAsRoot('k');
    await turn();
    const seen = responses.sent as { watchId: bigint; canceled: boolean; cancelReason: string }[];
    assert.deepEqual(
      seen.map(({ watchId, canceled, cancelReason }) => [watchId, canceled, cancelReason]),
      [
        [-1n, true, 'rpc error: code = PermissionDenied desc = etcdserver: permission denied'],
        [-1n, true, 'etcdserver: mvcc: required revision has been compacted'],
        [0n, false, ''],
        [0n, false, ''],
      ],
    );
    assert.equal(responses.over, undefined);
  });

  test('watches say of each refusal what it is', async () => {
    const served = await (await Served.open()).enabled();
    const reason = async (context: CallContext): Promise<string> => {
      const request = watchRequest('k', 0);
      const ending = await streamed(served.services, Watch.methods.watch, request, context);
      return 'response' in ending ? ending.response.cancelReason : ending.refusal;
    };
    assert.equal(
      await reason(contextOf()),
      'rpc error: code = InvalidArgument desc = etcdserver: user name is empty',
    );
    assert.equal(
      await reason(contextOf({ token: 'garbage' })),
      'rpc error: code = Unauthenticated desc = etcdserver: invalid auth token',
    );
    served.member.read = () => Promise.reject(new EtcdError('Timeout'));
    assert.equal(
      await reason(contextOf({ token: 'ahead.99' })),
      '14 etcdserver: request timed out',
    );
  });

  test('a stream that is closed while its caller is looked up gets no request any more', async () => {
    const served = await (await Served.open()).enabled();
    const u = await served.as('u');
    const found = served.services.find(Lease.methods.leaseKeepAlive.path);
    assert.ok(found?.kind === 'stream');
    const responses = new FakeResponses<unknown>();
    const requests = found.open(responses, u);
    const next = requests.next({ ID: 1n });
    requests.closed();
    await next;
    assert.deepEqual(responses.sent, []);
  });

  test('a member that is behind asks whether there are users once it is up to date', async () => {
    const behind = async (): Promise<Served> => {
      const served = await (await Served.open()).enabled();
      const { auth } = served.member;
      auth.disable();
      served.member.read = async () => auth.enable();
      return served;
    };
    const linearizable = { key };
    const { range, rangeStream, txn } = KV.methods;
    const answers = [
      await call((await behind()).services, range, linearizable),
      await call((await behind()).services, txn, {}),
      await call((await behind()).services, Cluster.methods.memberList, { linearizable: true }),
      await call((await behind()).services, methods.userList),
      await streamed((await behind()).services, rangeStream, linearizable),
    ];
    // A transaction without compares and operations looks at no key.
    assert.deepEqual(answers.map(outcome), [noUser, 'ok', noUser, noUser, noUser]);
  });

  test('the end of a stream that was read is not told when rights have changed meanwhile', async () => {
    const served = await (await Served.open()).enabled();
    const u = await served.as('u');
    const gate = new Gate({ port: served.member, authenticator: served.authenticator });
    const method = KV.methods.rangeStream;
    const stream = gate.stream(method, 'refuses', (responses) => ({
      next() {
        responses.send(method.response.create());
        if (changes) served.member.auth.addRole('other');
        responses.end();
      },
      halfClosed() {},
      drained() {},
      closed() {},
    }));
    let changes = false;
    const read = async (context: CallContext, watched = key): Promise<unknown> => {
      const responses = new FakeResponses<unknown>();
      const requests = stream.open(responses, context);
      try {
        await requests.next(method.request.create({ key: watched }));
      } catch (error) {
        responses.fail(error);
      }
      requests.closed();
      const { over } = responses;
      return typeof over === 'object' ? (over.error as EtcdError).error : over;
    };
    assert.equal(await read(u), 'end');
    assert.equal(await read(u, Buffer.from('secret')), 'PermissionDenied');
    assert.equal(await read(contextOf()), 'UserEmpty');
    changes = true;
    assert.equal(await read(u), 'AuthOldRevision');
  });

  test('users may look at themselves and their roles, root at all', async () => {
    const served = await (await Served.open()).enabled();
    const u = await served.as('u');
    const root = await served.as('root');
    addUser(served.member.auth, 'v');
    const again = await served.as('u');
    const { services } = served;
    assert.deepEqual(must(await call(services, methods.userGet, { name: 'u' }, again)).roles, [
      'r',
    ]);
    assert.deepEqual(must(await call(services, methods.roleGet, { role: 'r' }, u)).perm, [
      permission('READWRITE', 'k'),
    ]);
    assert.equal(outcome(await call(services, methods.userGet, { name: 'v' }, u)), denied);
    assert.equal(outcome(await call(services, methods.roleGet, { role: 'of v' }, u)), denied);
    assert.equal(outcome(await call(services, methods.userList, {}, u)), denied);
    assert.equal(outcome(await call(services, methods.roleList, {}, u)), denied);
    assert.equal(outcome(await call(services, methods.authStatus, {}, u)), denied);
    assert.deepEqual(must(await call(services, methods.userList, {}, root)).users, [
      'root',
      'u',
      'v',
    ]);
    assert.deepEqual(must(await call(services, methods.roleList, {}, root)).roles, ['of v', 'r']);
    const none = await call(services, methods.userGet, { name: 'none' }, root);
    assert.equal(outcome(none), '9 etcdserver: user name not found');
    const noRole = await call(services, methods.roleGet, { role: 'none' }, root);
    assert.equal(outcome(noRole), '9 etcdserver: role name not found');
  });

  test('nobody who may not add users has a password hashed', async () => {
    let hashes = 0;
    const passwords: Passwords = {
      ...plainPasswords,
      hash: async (password) => {
        hashes += 1;
        return plainPasswords.hash(password);
      },
    };
    const served = await (await Served.open({ passwords })).enabled();
    const before = hashes;
    const u = await served.as('u');
    const user = { name: 'v', password: 'v' };
    assert.equal(outcome(await call(served.services, methods.userAdd, user, u)), denied);
    assert.equal(outcome(await call(served.services, methods.userAdd, user)), noUser);
    assert.equal(outcome(await call(served.services, methods.userChangePassword, user, u)), denied);
    assert.equal(hashes, before);
  });
});

suite('what is proposed', () => {
  test('no password stands in an entry', async () => {
    const served = await (await Served.open()).enabled();
    const root = await served.as('root');
    const secret = 'correct horse battery staple';
    const { services, member } = served;
    for (const request of [
      { name: 'a', password: secret },
      { name: 'b', password: secret, options: { noPassword: true } },
      { name: 'c', password: secret, hashedPassword: 'ignored' },
    ]) {
      must(await call(services, methods.userAdd, request, root));
    }
    const change = { name: 'c', password: `${secret}!` };
    must(await call(services, methods.userChangePassword, change, root));
    await served.login('a', secret);
    const refused = AuthUserAddRequest.create({ name: 'a', password: secret });
    assert.equal(
      outcome(await call(services, methods.userAdd, refused, root)),
      '9 etcdserver: user name already exists',
    );
    assert.ok(member.proposed.length > 6);
    for (const request of member.proposed) {
      const entry = InternalRequest.encode(InternalRequest.create({ id: 1n, request }));
      assert.ok(!entry.includes(secret), `in an entry of ${request.kind}`);
    }
    assert.equal(outcome(await served.login('c', `${secret}!`)), 'ok');
  });

  test('a password of more than 72 bytes is refused as by Go', async () => {
    const served = await Served.open();
    const add = (password: string) =>
      call(served.services, methods.userAdd, { name: password.slice(0, 3), password });
    assert.equal(
      outcome(await add('é'.repeat(36) + '!')),
      '2 bcrypt: password length exceeds 72 bytes',
    );
    assert.equal(outcome(await add('é'.repeat(36))), 'ok');
  });

  test('a hash of the client’s own counts only where it changes a password to none', async () => {
    const served = await (await Served.open()).enabled();
    const root = await served.as('root');
    const own = Buffer.from('hash of own').toString('base64');
    const add = { name: 'a', password: 'p', hashedPassword: own };
    must(await call(served.services, methods.userAdd, add, root));
    assert.equal(outcome(await served.login('a', 'own')), failed);
    const change = { name: 'a', password: '', hashedPassword: own };
    must(await call(served.services, methods.userChangePassword, change, root));
    assert.equal(outcome(await served.login('a', 'own')), 'ok');
    const bad = { name: 'a', password: '', hashedPassword: '%' };
    assert.equal(
      outcome(await call(served.services, methods.userChangePassword, bad, root)),
      '2 auth: authentication failed, password was given for no password user',
    );
    const none = { name: 'a', password: '', hashedPassword: '' };
    must(await call(served.services, methods.userChangePassword, none, root));
    assert.equal(outcome(await served.login('a', '')), failed, 'no password at all');
  });

  test('every write carries who asked, and by which revision', async () => {
    const served = await (await Served.open()).enabled();
    const u = await served.as('u');
    const seen: unknown[] = [];
    const { propose } = served.member;
    served.member.propose = (request, caller) => {
      seen.push([request.kind, caller]);
      return propose.call(served.member, request, caller);
    };
    const { services } = served;
    const authRevision = served.member.auth.revision;
    await call(services, KV.methods.put, { key }, u);
    await call(services, KV.methods.deleteRange, { key }, u);
    const put = {
      request: { kind: 'requestPut' as const, value: KV.methods.put.request.create({ key }) },
    };
    await call(services, KV.methods.txn, { success: [put] }, u);
    await call(services, Lease.methods.leaseGrant, { TTL: 60 }, u);
    await call(services, Lease.methods.leaseRevoke, { ID: 1n }, u);
    await call(services, methods.roleAdd, { name: 'x' }, u);
    const caller = { username: 'u', authRevision };
    assert.deepEqual(
      seen,
      ['put', 'deleteRange', 'txn', 'leaseGrant', 'leaseRevoke', 'authRoleAdd'].map((kind) => [
        kind,
        caller,
      ]),
    );
  });
});

test('statuses, alarms and members are told to any user, and to no one else', async () => {
  const served = await (await Served.open()).enabled();
  const u = await served.as('u');
  const { status, alarm } = Maintenance.methods;
  assert.equal(outcome(await call(served.services, status, {}, u)), 'ok');
  assert.equal(outcome(await call(served.services, status)), noUser);
  assert.equal(outcome(await call(served.services, alarm, { action: 0 }, u)), 'ok');
  assert.equal(outcome(await call(served.services, alarm, { action: 1 }, u)), denied);
});

function watchRequest(watched: string, startRevision: number): WatchRequest {
  const value = WatchCreateRequest.create({ key: Buffer.from(watched), startRevision });
  return { requestUnion: { kind: 'createRequest', value } };
}
