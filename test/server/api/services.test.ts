import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import type { CallContext, Requests, StreamCall, UnaryCall } from '../../../server/api/call.ts';
import { toStatus } from '../../../server/api/errors.ts';
import { type Services, servicesOf } from '../../../server/api/services.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import { Health } from '../../../server/proto/gen/health.ts';
import {
  AlarmType,
  Cluster,
  CompactionRequest,
  DeleteRangeRequest,
  KV,
  Lease,
  LeaseGrantRequest,
  type LeaseKeepAliveResponse,
  LeaseTimeToLiveRequest,
  Maintenance,
  MemberAddRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
  Watch,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../../server/proto/gen/rpc.ts';
import { Stamps } from '../../../server/proto/gen/stamps.ts';
import type { Method } from '../../../server/proto/wire.ts';
import { contextOf, FakeMember, FakeResponses } from './fake-member.ts';

const key = Buffer.from('k');
const value = Buffer.from('v');

function served(member: FakeMember): Services {
  return servicesOf(member, { txnOpsMax: 128, messageBytesMax: 1000 });
}

async function call<Request, Response>(
  member: FakeMember,
  method: Method<Request, Response>,
  request: Request,
  context: CallContext = contextOf(),
): Promise<Response> {
  const found = served(member).find(method.path) as UnaryCall<Request, Response>;
  assert.equal(found.kind, 'unary');
  return found.run(request, context);
}

/** `code message` of the status that the call ends with. */
async function failure(outcome: Promise<unknown>): Promise<string> {
  try {
    await outcome;
  } catch (error) {
    const { code, message } = toStatus(error);
    return `${code} ${message}`;
  }
  return 'ok';
}

function open<Request, Response>(
  member: FakeMember,
  method: Method<Request, Response>,
  headers: Readonly<Record<string, string>> = {},
): { requests: Requests<Request>; responses: FakeResponses<Response> } {
  const found = served(member).find(method.path) as StreamCall<Request, Response>;
  const responses = new FakeResponses<Response>();
  return { requests: found.open(responses, contextOf(headers)), responses };
}

suite('KV', () => {
  test('a put goes through raft and its header is filled in', async () => {
    const member = new FakeMember();
    const response = await call(member, KV.methods.put, PutRequest.create({ key, value }));
    const header = { clusterId: 0xc1n, memberId: 0xa1n, revision: 6, raftTerm: 7 };
    assert.deepEqual(response.header, header);
    assert.deepEqual(member.calls, ['propose put']);
  });

  test('what applying said is thrown', async () => {
    const member = new FakeMember();
    member.answer = () => ({ error: new EtcdError('LeaseNotFound'), revision: 5 });
    const outcome = call(member, KV.methods.put, PutRequest.create({ key, lease: 9n }));
    assert.equal(await failure(outcome), '5 etcdserver: requested lease not found');
  });

  test('nothing is proposed when a check fails', async () => {
    const member = new FakeMember();
    const put = call(member, KV.methods.put, PutRequest.create());
    assert.equal(await failure(put), '3 etcdserver: key is not provided');
    const del = call(member, KV.methods.deleteRange, DeleteRangeRequest.create());
    assert.equal(await failure(del), '3 etcdserver: key is not provided');
    assert.deepEqual(member.calls, []);
  });

  test('a range is linearizable unless it asks not to be', async () => {
    const member = new FakeMember();
    const range = (partial: Partial<RangeRequest>) =>
      call(member, KV.methods.range, RangeRequest.create({ key, ...partial }));
    assert.equal((await range({})).header?.revision, 5);
    assert.deepEqual(member.calls.splice(0), ['linearizableRead', 'range']);
    await range({ serializable: true });
    assert.deepEqual(member.calls.splice(0), ['range']);
    assert.equal(
      await failure(range({ revision: 99 })),
      '11 etcdserver: mvcc: required revision is a future revision',
    );
    member.read = () => Promise.reject(new EtcdError('Timeout'));
    assert.equal(await failure(range({})), '14 etcdserver: request timed out');
  });

  test('a transaction of ranges alone does not go through raft', async () => {
    const member = new FakeMember();
    const op = (serializable: boolean) => ({
      request: { kind: 'requestRange' as const, value: RangeRequest.create({ key, serializable }) },
    });
    const put = { request: { kind: 'requestPut' as const, value: PutRequest.create({ key }) } };
    const nested = { request: { kind: 'requestTxn' as const, value: TxnRequest.create() } };
    const cases: readonly [TxnRequest['success'], TxnRequest['failure'], string[]][] = [
      [[], [], ['linearizableRead', 'readTxn']],
      [[op(false)], [op(true)], ['linearizableRead', 'readTxn']],
      [[op(true)], [op(true)], ['readTxn']],
      [[op(true)], [put], ['propose txn']],
      [[nested], [], ['propose txn']],
    ];
    for (const [success, failed, calls] of cases) {
      const request = TxnRequest.create({ success, failure: failed });
      assert.equal((await call(member, KV.methods.txn, request)).header?.memberId, 0xa1n);
      assert.deepEqual(member.calls.splice(0), calls);
    }
  });

  test('a physical compaction waits for its work', async () => {
    const member = new FakeMember();
    const compact = (physical: boolean) =>
      call(member, KV.methods.compact, CompactionRequest.create({ revision: 3, physical }));
    assert.equal((await compact(false)).header?.revision, 5);
    assert.deepEqual(member.calls.splice(0), ['propose compaction']);
    await compact(true);
    assert.deepEqual(member.calls, ['propose compaction', 'compactionDone']);
  });
});

suite('before any service', () => {
  test('a learner serves status, health and serializable ranges', async () => {
    const member = new FakeMember();
    member.raft.isLearner = true;
    const refused = '9 etcdserver: rpc not supported for learner';
    const range = (serializable: boolean) =>
      call(member, KV.methods.range, RangeRequest.create({ key, serializable }));
    assert.equal(await failure(range(true)), 'ok');
    assert.equal(await failure(call(member, Maintenance.methods.status, {})), 'ok');
    assert.equal(await failure(call(member, Health.methods.check, { service: '' })), 'ok');
    const run = async () => range(false);
    assert.equal(await failure(run()), refused);
    const put = async () => call(member, KV.methods.put, PutRequest.create({ key }));
    assert.equal(await failure(put()), refused);
    assert.throws(() => open(member, Watch.methods.watch), { error: 'NotSupportedForLearner' });
  });

  test('an observer serves every read and refuses what changes something', async () => {
    const member = new FakeMember();
    Object.assign(member.raft, { isLearner: true, isObserver: true });
    const refused = '9 etcdserver: rpc not supported for learner';
    const range = RangeRequest.create({ key });
    const op = { request: { kind: 'requestRange' as const, value: range } };
    const put = { request: { kind: 'requestPut' as const, value: PutRequest.create({ key }) } };
    assert.equal(await failure(call(member, KV.methods.range, range)), 'ok');
    assert.equal(
      await failure(call(member, KV.methods.txn, TxnRequest.create({ success: [op] }))),
      'ok',
    );
    assert.equal(
      await failure(call(member, Cluster.methods.memberList, { linearizable: true })),
      'ok',
    );
    assert.equal(await failure(call(member, Lease.methods.leaseLeases, {})), 'ok');
    assert.deepEqual((await call(member, Maintenance.methods.status, {})).isObserver, true);
    assert.equal(open(member, Watch.methods.watch).responses.over, undefined);
    for (const write of [
      async () => call(member, KV.methods.put, PutRequest.create({ key })),
      async () => call(member, KV.methods.txn, TxnRequest.create({ success: [put] })),
      async () => call(member, Cluster.methods.memberRemove, { ID: 5n }),
      async () => call(member, Maintenance.methods.moveLeader, { targetID: 5n }),
    ]) {
      assert.equal(await failure(write()), refused);
    }
    assert.throws(() => open(member, Lease.methods.leaseKeepAlive), {
      error: 'NotSupportedForLearner',
    });
  });

  test('an observer that may be too old answers no reads and ends its watches', async () => {
    const member = new FakeMember();
    Object.assign(member.raft, { isLearner: true, isObserver: true });
    const { responses } = open(member, Watch.methods.watch);
    member.stale = true;
    for (const tell of member.becameStale) tell();
    const tooOld =
      '14 etcdserver: this observer may be older than --observer-max-staleness allows: ask another member';
    const { error } = responses.over as { readonly error: unknown };
    assert.equal(`14 ${toStatus(error).message}`, tooOld);
    assert.throws(() => open(member, Watch.methods.watch), { error: 'ObserverStale' });
    for (const serializable of [true, false]) {
      const range = async () =>
        call(member, KV.methods.range, RangeRequest.create({ key, serializable }));
      assert.equal(await failure(range()), tooOld);
    }
    assert.equal(await failure(call(member, Maintenance.methods.status, {})), 'ok');
    assert.equal(await failure(call(member, Health.methods.check, { service: '' })), 'ok');
    // A barrier is asked for first: one that makes the state new again is as good as any.
    member.read = async () => {
      member.stale = false;
    };
    assert.equal(await failure(call(member, KV.methods.range, RangeRequest.create({ key }))), 'ok');
  });

  test('hasleader is refused at once without a leader', async () => {
    const member = new FakeMember();
    const needs = contextOf({ hasleader: 'true' });
    const range = async (context: CallContext) =>
      call(member, KV.methods.range, RangeRequest.create({ key }), context);
    assert.equal(await failure(range(needs)), 'ok');
    member.raft.leader = 0n;
    assert.equal(await failure(range(needs)), '14 etcdserver: no leader');
    assert.equal(await failure(range(contextOf())), 'ok');
  });

  test('open streams that need a leader end when it is lost, others stay', () => {
    const member = new FakeMember();
    const needing = open(member, Watch.methods.watch, { hasleader: 'true' });
    const other = open(member, Watch.methods.watch);
    const closed = open(member, Watch.methods.watch, { hasleader: 'true' });
    closed.requests.closed();
    for (const lost of member.leaderLost) lost();
    assert.deepEqual(needing.responses.over, { error: new EtcdError('NoLeader') });
    assert.equal(other.responses.over, undefined);
    assert.equal(closed.responses.over, undefined);
    assert.deepEqual(member.streams[2]?.calls, ['close']);
  });

  test('a client version that is no text is refused', async () => {
    const member = new FakeMember();
    const version = Buffer.from([0xff]).toString('latin1');
    const context = contextOf({ 'client-api-version': version });
    const status = async () => call(member, Maintenance.methods.status, {}, context);
    assert.equal(await failure(status()), '3 etcdserver: invalid client api version');
  });

  test('calls that no one serves', () => {
    const services = served(new FakeMember());
    const text = (path: string) => {
      assert.equal(services.find(path), undefined);
      return services.unknown(path).message;
    };
    assert.equal(text('/etcdserverpb.KV/Scan'), 'unknown method Scan for service etcdserverpb.KV');
    assert.equal(text('/v3lockpb.Lock/Steal'), 'unknown method Steal for service v3lockpb.Lock');
    assert.equal(text('/a.B/C'), 'unknown service a.B');
    assert.equal(text('x'), 'malformed method name: "x"');
    assert.equal(text('/x'), 'malformed method name: "/x"');
  });
});

suite('Watch', () => {
  const create = (partial: Partial<WatchCreateRequest> = {}): WatchRequest => ({
    requestUnion: { kind: 'createRequest', value: WatchCreateRequest.create({ key, ...partial }) },
  });

  test('requests reach the stream, responses get the member’s header', () => {
    const member = new FakeMember();
    const { requests, responses } = open(member, Watch.methods.watch);
    void requests.next(create());
    void requests.next({ requestUnion: { kind: 'progressRequest', value: {} } });
    void requests.next({ requestUnion: { kind: 'cancelRequest', value: { watchId: 0n } } });
    void requests.next({ requestUnion: undefined });
    requests.halfClosed();
    assert.deepEqual(member.streams[0]?.calls, ['create k', 'progress', 'cancel 0']);
    assert.equal(responses.over, undefined);
    assert.deepEqual(
      responses.sent.map(({ watchId, header }) => [watchId, header]),
      [0n, -1n, 0n].map((id) => [
        id,
        { clusterId: 0xc1n, memberId: 0xa1n, revision: 5, raftTerm: 7 },
      ]),
    );
    requests.closed();
    assert.equal(member.streams[0]?.calls.at(-1), 'close');
  });

  test('while the client does not read, neither events nor requests go on', async () => {
    const member = new FakeMember();
    const { requests, responses } = open(member, Watch.methods.watch);
    void requests.next(create());
    responses.hasRoom = false;
    assert.equal(member.streams[0]?.send({ watchId: 0n }), false);
    let isNext = false;
    const next = Promise.resolve(requests.next(create())).then(() => {
      isNext = true;
    });
    await new Promise(setImmediate);
    assert.equal(isNext, false);
    requests.drained();
    await next;
    assert.equal(member.streams[0]?.calls.includes('drained'), true);
  });

  test('a revision of 0 stays 0', () => {
    const member = new FakeMember();
    const { responses } = open(member, Watch.methods.watch);
    member.streams[0]?.send({ watchId: 0n, canceled: true, compactRevision: 3 }, 0);
    assert.equal(responses.sent[0]?.header?.revision, 0);
  });

  const event = (size: number) => ({
    type: 0 as const,
    kv: { ...kvDefaults, key, value: new Uint8Array(size) },
    prevKv: undefined,
  });
  const kvDefaults = { createRevision: 2, modRevision: 2, version: 1, lease: 0n };
  const shape = (sent: readonly WatchResponse[]) =>
    sent.filter(({ created }) => !created).map(({ events, fragment }) => [events.length, fragment]);

  test('large responses are cut between events for those who asked', () => {
    const member = new FakeMember();
    const { requests, responses } = open(member, Watch.methods.watch);
    void requests.next(create({ fragment: true }));
    void requests.next(create());
    const events = [event(10), event(2000), event(300), event(300), event(300)];
    member.streams[0]?.send({ watchId: 0n, events });
    assert.deepEqual(shape(responses.sent), [
      [1, true],
      [1, true],
      [2, true],
      [1, false],
    ]);
    responses.sent.length = 0;
    member.streams[0]?.send({ watchId: 1n, events });
    member.streams[0]?.send({ watchId: 0n, events: [event(1)] });
    assert.deepEqual(shape(responses.sent), [
      [5, false],
      [1, false],
    ]);
  });

  test('a stream has only so many watchers', () => {
    const member = new FakeMember();
    const { requests, responses } = open(member, Watch.methods.watch);
    const [stream] = member.streams;
    assert(stream !== undefined);
    stream.size = 10_000;
    void requests.next(create());
    assert.equal(responses.sent[0]?.cancelReason, 'etcdserver: too many requests');
  });
});

suite('Lease', () => {
  test('a grant without an id gets one; one with an id keeps it', async () => {
    const member = new FakeMember();
    const grant = (partial: Partial<LeaseGrantRequest>) =>
      call(member, Lease.methods.leaseGrant, LeaseGrantRequest.create(partial));
    assert.equal((await grant({ TTL: 5 })).ID, 77n);
    const given = await grant({ TTL: 5, ID: -3n });
    assert.equal(given.ID, -3n);
    assert.equal(given.header?.revision, 5);
  });

  test('revoke, time to live and list', async () => {
    const member = new FakeMember();
    await call(member, Lease.methods.leaseRevoke, { ID: 4n });
    assert.deepEqual(member.proposed, [{ kind: 'leaseRevoke', value: { id: 4n, term: 0 } }]);
    const ttl = (ID: bigint, keys: boolean) =>
      call(member, Lease.methods.leaseTimeToLive, LeaseTimeToLiveRequest.create({ ID, keys }));
    const { header, ...known } = await ttl(1n, true);
    assert.equal(header?.revision, 5);
    assert.deepEqual(known, { ID: 1n, TTL: 50, grantedTTL: 60, keys: [key] });
    const { header: _, ...unknown } = await ttl(2n, true);
    assert.deepEqual(unknown, { ID: 2n, TTL: -1, grantedTTL: 0, keys: [] });
    const list = await call(member, Lease.methods.leaseLeases, {});
    assert.deepEqual(list.leases, [{ ID: 1n }, { ID: -2n }]);
  });

  test('keep-alives are answered in order; a half-closed stream ends', async () => {
    const member = new FakeMember();
    const { requests, responses } = open(member, Lease.methods.leaseKeepAlive);
    await requests.next({ ID: 1n });
    await requests.next({ ID: 2n });
    const brief = ({ ID, TTL }: LeaseKeepAliveResponse) => [ID, TTL];
    assert.deepEqual(responses.sent.map(brief), [
      [1n, 60],
      [2n, 0],
    ]);
    requests.halfClosed();
    assert.equal(responses.over, 'end');
  });
});

suite('Cluster and Maintenance', () => {
  test('members as etcd tells them; headers have revision 0', async () => {
    const member = new FakeMember();
    const list = await call(member, Cluster.methods.memberList, { linearizable: true });
    assert.deepEqual(member.calls, ['linearizableRead']);
    assert.equal(list.header?.revision, 0);
    assert.deepEqual(list.members, [
      {
        ID: 0xa1n,
        name: 'a',
        peerURLs: ['http://a:2380'],
        clientURLs: ['http://a:1'],
        isLearner: false,
        isObserver: false,
      },
      {
        ID: 0xb2n,
        name: '',
        peerURLs: ['http://b:2380'],
        clientURLs: [],
        isLearner: true,
        isObserver: false,
      },
    ]);
  });

  test('an added member is told apart; bad URLs are refused before anything', async () => {
    const member = new FakeMember();
    const add = (peerURLs: string[], isLearner = false) =>
      call(member, Cluster.methods.memberAdd, MemberAddRequest.create({ peerURLs, isLearner }));
    const answer = await add(['http://c:2', 'http://c:1'], true);
    assert.equal(answer.member?.ID, 0xc3n);
    assert.equal(answer.members.length, 3);
    assert.deepEqual(member.changes, [
      { kind: 'addLearner', peerUrls: ['http://c:1', 'http://c:2'] },
    ]);
    for (const wrong of [[], ['c:1'], ['http://c:1/x']]) {
      assert.equal(await failure(add(wrong)), '3 etcdserver: given member URLs are invalid');
    }
    await call(member, Cluster.methods.memberRemove, { ID: 5n });
    await call(member, Cluster.methods.memberPromote, { ID: 6n });
    await call(member, Cluster.methods.memberUpdate, { ID: 7n, peerURLs: ['http://d:1'] });
    assert.deepEqual(member.changes.slice(1), [
      { kind: 'remove', memberId: 5n },
      { kind: 'promote', memberId: 6n },
      { kind: 'update', memberId: 7n, peerUrls: ['http://d:1'] },
    ]);
  });

  test('status', async () => {
    const member = new FakeMember();
    member.raised = [{ memberID: 161n, alarm: AlarmType.NOSPACE }];
    member.raft.leader = 0n;
    const status = await call(member, Maintenance.methods.status, {});
    assert.match(status.version, /^3\.6\.\d+$/);
    assert.equal(status.storageVersion, '3.6.0');
    assert.deepEqual(status.errors, ['etcdserver: no leader', 'memberID:161 alarm:NOSPACE ']);
    assert.deepEqual(
      [
        status.dbSize,
        status.dbSizeInUse,
        status.raftIndex,
        status.raftAppliedIndex,
        status.raftTerm,
      ],
      [2000, 1000, 30, 29, 7],
    );
  });

  test('everything about alarms goes through raft', async () => {
    const member = new FakeMember();
    const alarms = [{ memberID: 161n, alarm: AlarmType.CORRUPT }];
    member.answer = () => ({ response: { header: undefined, alarms }, revision: 5 });
    for (const action of [0, 1, 2] as const) {
      const request = { action, memberID: 161n, alarm: AlarmType.CORRUPT };
      const response = await call(member, Maintenance.methods.alarm, request);
      assert.deepEqual(response.alarms, alarms);
      assert.equal(response.header?.revision, 5);
      assert.deepEqual(member.proposed.at(-1), { kind: 'alarm', value: request });
    }
  });

  test('a request for which the quota has no room raises the alarm and is refused', async () => {
    const member = new FakeMember();
    member.quotaBytes = 2257;
    const put = (bytes: number) =>
      call(member, KV.methods.put, PutRequest.create({ key: new Uint8Array(bytes) }));
    await put(0).catch(() => {});
    assert.deepEqual(member.calls.splice(0), [], 'it fits, and is then found to have no key');
    assert.equal(await failure(put(1)), '8 etcdserver: mvcc: database space exceeded');
    const value = { action: 1, memberID: 0xa1n, alarm: AlarmType.NOSPACE };
    assert.deepEqual(member.proposed, [{ kind: 'alarm', value }]);
    member.raised = [{ memberID: 0xa1n, alarm: AlarmType.NOSPACE }];
    assert.equal(await failure(put(0)), '3 etcdserver: key is not provided');
    assert.equal(await failure(put(1)), '8 etcdserver: mvcc: database space exceeded');
    assert.equal(member.proposed.length, 1, 'it is raised already');
    member.quotaBytes = 2064;
    const grant = call(member, Lease.methods.leaseGrant, LeaseGrantRequest.create({ TTL: 9 }));
    assert.equal(await failure(grant), '8 etcdserver: mvcc: database space exceeded');
    const compare = call(member, KV.methods.txn, TxnRequest.create());
    assert.equal(await failure(compare), 'ok');
    await call(member, KV.methods.deleteRange, DeleteRangeRequest.create({ key }));
  });

  test('where the alarm cannot be raised, the client is told of the space all the same', async () => {
    const member = new FakeMember();
    member.quotaBytes = 0;
    member.answer = () => Promise.reject(new EtcdError('Timeout'));
    const put = call(member, KV.methods.put, PutRequest.create({ key }));
    assert.equal(await failure(put), '8 etcdserver: mvcc: database space exceeded');
  });

  test('defragmentation answers without a header', async () => {
    const member = new FakeMember();
    assert.deepEqual(await call(member, Maintenance.methods.defragment, {}), { header: undefined });
    assert.deepEqual(member.calls, ['defragment']);
  });

  test('a downgrade is agreed on, once, and taken back', async () => {
    const member = new FakeMember();
    const ask = (action: 0 | 1 | 2 | 3, version = '') =>
      call(member, Maintenance.methods.downgrade, { action: action as 0, version });
    assert.equal((await ask(0, '3.5')).version, '3.6');
    assert.equal((await ask(1, '3.5.12')).header?.revision, 5);
    assert.deepEqual(member.proposed, [
      { kind: 'downgradeSet', value: { targetVersion: '3.5.0' } },
    ]);
    member.downgradeTo = '3.5.0';
    const { downgradeInfo } = await call(member, Maintenance.methods.status, {});
    assert.deepEqual(downgradeInfo, { enabled: true, targetVersion: '3.5.0' });
    for (const action of [0, 1] as const) {
      const told = '9 etcdserver: cluster has a downgrade job in progress';
      assert.equal(await failure(ask(action, '3.5')), told);
    }
    await ask(2);
    assert.deepEqual(member.proposed.at(-1), {
      kind: 'downgradeSet',
      value: { targetVersion: '' },
    });
    member.downgradeTo = '';
    assert.equal(await failure(ask(2)), '9 etcdserver: no inflight downgrade job');
    assert.equal(await failure(ask(3)), '2 etcdserver: unknown method');
    for (const wrong of ['', '3', 'v3.5', '3.5.', '3.5.1.2', '3.5-rc']) {
      const told = '3 etcdserver: wrong downgrade target version format';
      assert.equal(await failure(ask(1, wrong)), told);
    }
    const told = '3 etcdserver: invalid downgrade target version';
    for (const far of ['3.4', '3.6', '2.5', '4.5.0'])
      assert.equal(await failure(ask(1, far)), told);
  });

  test('leadership moves only from the leader, to a voter', async () => {
    const member = new FakeMember();
    const move = (targetID: bigint) => call(member, Maintenance.methods.moveLeader, { targetID });
    assert.equal(await failure(move(0xb2n)), '9 etcdserver: bad leader transferee');
    assert.equal(await failure(move(9n)), '9 etcdserver: bad leader transferee');
    assert.deepEqual(await move(0xa1n), { header: undefined });
    assert.deepEqual(member.calls, []);
    for (const each of member.memberList) each.isLearner = false;
    await move(0xb2n);
    assert.deepEqual(member.calls, ['transferLeadership b2']);
    member.raft.isLeader = false;
    assert.equal(await failure(move(0xb2n)), '9 etcdserver: not leader');
  });

  test('health speaks for the server as a whole', async () => {
    const member = new FakeMember();
    assert.deepEqual(await call(member, Health.methods.check, { service: '' }), { status: 1 });
    const other = call(member, Health.methods.check, { service: 'etcdserverpb.KV' });
    assert.equal(await failure(other), '5 unknown service');
    const { requests, responses } = open(member, Health.methods.watch);
    void requests.next({ service: '' });
    assert.deepEqual(responses.sent, [{ status: 1 }]);
  });

  test('whoever watches health is told once, however often it asks', async () => {
    const { requests, responses } = open(new FakeMember(), Health.methods.watch);
    for (let n = 0; n < 3; n++) await requests.next({ service: '' });
    assert.deepEqual(responses.sent, [{ status: 1 }]);
  });

  test('stamps are told as the leader has them; one of an older release is as a service that is not there', async () => {
    const member = new FakeMember();
    const stamp = { revision: 5, stampMs: 8_000, isLeaders: true };
    member.stamps = { ...member.stamps, leader: 0xb2n, revision: 6, stamps: [stamp] };
    const list = (after: number) => call(member, Stamps.methods.list, { after });
    assert.deepEqual(await list(3), {
      header: { clusterId: 0xc1n, memberId: 0xa1n, revision: 5, raftTerm: 7 },
      leader: 0xb2n,
      askedMs: 8_999,
      nowMs: 9_000,
      revision: 6,
      unknownTo: 2,
      stamps: [{ revision: 5, stampMs: 8_000, byLeader: true }],
    });
    await list(-1);
    assert.deepEqual(member.calls, ['leaderStamps 3', 'leaderStamps 0']);
    member.leaderStamps = () => Promise.reject(new EtcdError('NotCapable'));
    assert.equal(await failure(list(0)), '12 the leader is of a release that tells no stamps');
  });
});
