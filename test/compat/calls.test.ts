import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromLatin1 } from '../../server/base/bytes.ts';
import { Health } from '../../server/proto/gen/health.ts';
import {
  Cluster,
  KV,
  Lease,
  Maintenance,
  Watch,
  WatchCreateRequest,
} from '../../server/proto/gen/rpc.ts';
import type { MessageType, Method } from '../../server/proto/wire.ts';
import type { GrpcChannel } from '../support/grpc.ts';
import { needs } from '../support/tools.ts';
import { comparable, withStores } from './store-under-test.ts';

// Single calls at the edges of the API, that no random sequence makes: each must get etcd's answer.

const options = { ...needs('etcd'), timeout: 2 * 60_000 };

/** A call as it is, by its bytes. */
const raw: MessageType<Uint8Array> = {
  create: (bytes) => bytes as Uint8Array,
  encode: (bytes) => Buffer.from(bytes),
  decode: (bytes) => bytes,
};

function rawMethod(path: string): Method<Uint8Array, Uint8Array> {
  return {
    name: '',
    path,
    request: raw,
    response: raw,
    requestStream: false,
    responseStream: false,
  };
}

type Case = (channel: GrpcChannel) => Promise<unknown>;

const big = (sizeBytes: number): Uint8Array => new Uint8Array(sizeBytes).fill(120);
const a = fromLatin1('a');

const cases: Record<string, Case> = {
  'a method that the service does not have': (channel) =>
    channel.call(rawMethod('/etcdserverpb.KV/None'), new Uint8Array()),
  'a service that there is not': (channel) =>
    channel.call(rawMethod('/none.None/None'), new Uint8Array()),
  'a path without a method': (channel) => channel.call(rawMethod('/none'), new Uint8Array()),
  'health of the server': (channel) => channel.call(Health.methods.check, { service: '' }),
  'health of a service': (channel) =>
    channel.call(Health.methods.check, { service: 'etcdserverpb.KV' }),
  'a request larger than the limit': (channel) =>
    channel.call(KV.methods.put, { key: a, value: big(1_600_000) }),
  'a message larger than the limit': (channel) =>
    channel.call(KV.methods.put, { key: a, value: big(2_200_000) }),
  'a request just below the limit': (channel) =>
    channel.call(KV.methods.put, { key: a, value: big(1_572_000) }),
  'a large response': async (channel) => {
    for (const key of ['l1', 'l2', 'l3', 'l4']) {
      await channel.call(KV.methods.put, { key: fromLatin1(key), value: big(1_400_000) });
    }
    return channel.call(KV.methods.range, { key: fromLatin1('l'), rangeEnd: fromLatin1('m') });
  },
  'a message that is none': async (channel) => {
    const answer = await channel.call(
      rawMethod('/etcdserverpb.KV/Range'),
      new Uint8Array([0xff, 0xff]),
    );
    return answer.kind === 'error' ? answer.code : answer;
  },
  'a lease without an id': async (channel) => {
    const answer = await channel.call(Lease.methods.leaseGrant, { TTL: 100 });
    assert.ok(answer.kind === 'ok' && answer.response.ID > 0n);
    return { ...answer, response: { ...answer.response, ID: 0n } };
  },
  'time to live of no lease': (channel) =>
    channel.call(Lease.methods.leaseTimeToLive, { ID: 99n, keys: true }),
  'keep-alives of one stream': async (channel) => {
    await channel.call(Lease.methods.leaseGrant, { ID: 5n, TTL: 77 });
    const stream = channel.stream(Lease.methods.leaseKeepAlive);
    for (const ID of [5n, 6n, 5n, 0n]) stream.send({ ID });
    await stream.find(3, () => true);
    stream.halfClose();
    return { responses: stream.responses, end: await stream.ended() };
  },
  'a member with a bad URL': (channel) =>
    channel.call(Cluster.methods.memberAdd, { peerURLs: ['127.0.0.1:1'] }),
  'a member with a path in its URL': (channel) =>
    channel.call(Cluster.methods.memberAdd, { peerURLs: ['http://127.0.0.1:1/path'] }),
  'a member without a URL': (channel) => channel.call(Cluster.methods.memberAdd, {}),
  'removal of no member': (channel) => channel.call(Cluster.methods.memberRemove, { ID: 1n }),
  'promotion of no member': (channel) => channel.call(Cluster.methods.memberPromote, { ID: 1n }),
  'promotion of a voter': async (channel) =>
    channel.call(Cluster.methods.memberPromote, { ID: await memberId(channel) }),
  'update of no member': (channel) =>
    channel.call(Cluster.methods.memberUpdate, { ID: 1n, peerURLs: ['http://127.0.0.1:1'] }),
  'removal of the last member': async (channel) =>
    channel.call(Cluster.methods.memberRemove, { ID: await memberId(channel) }),
  'members, linearizable and not': async (channel) => {
    const answers = await Promise.all(
      [true, false].map((linearizable) =>
        channel.call(Cluster.methods.memberList, { linearizable }),
      ),
    );
    return answers.map((answer) =>
      answer.kind === 'error' ? answer : { header: answer.response.header, members: 1 },
    );
  },
  'leadership to no member': (channel) =>
    channel.call(Maintenance.methods.moveLeader, { targetID: 1n }),
  'leadership to the leader': async (channel) =>
    channel.call(Maintenance.methods.moveLeader, { targetID: await memberId(channel) }),
  status: async (channel) => {
    const answer = await channel.call(Maintenance.methods.status, {});
    if (answer.kind === 'error') return answer;
    const { header, leader, errors, isLearner, raftTerm, raftIndex, raftAppliedIndex, ...rest } =
      answer.response;
    assert.ok(raftTerm > 0 && raftIndex > 0 && raftAppliedIndex > 0);
    assert.ok(rest.dbSize > 0 && rest.dbSizeInUse > 0);
    assert.match(rest.version, /^3\.\d+\.\d+$/);
    return { header, errors, isLearner, isLeader: leader === header?.memberId };
  },
  'alarms, when there are none': (channel) => channel.call(Maintenance.methods.alarm, {}),
  'a watch stream that is half-closed goes on': async (channel) => {
    const stream = channel.stream(Watch.methods.watch);
    stream.send(watchRequest('w'));
    await stream.find(0, ({ created }) => created);
    stream.halfClose();
    await channel.call(KV.methods.put, { key: fromLatin1('w'), value: a });
    await stream.find(0, ({ events }) => events.length > 0);
    stream.cancel();
    return stream.responses;
  },
  'fragments of a large response': async (channel) => {
    const put = (key: string) => ({
      request: {
        kind: 'requestPut' as const,
        value: KV.methods.put.request.create({ key: fromLatin1(key), value: big(500_000) }),
      },
    });
    const stream = channel.stream(Watch.methods.watch);
    stream.send(watchRequest('f', { fragment: true, prevKv: true }));
    await stream.find(0, ({ created }) => created);
    for (const keys of [
      ['f1', 'f2'],
      ['f1', 'f2', 'f3'],
      ['f1', 'f2', 'f3'],
    ]) {
      const from = stream.responses.length;
      await channel.call(KV.methods.txn, { success: keys.map(put) });
      // All of it first: what a client is slow to take may be joined with what comes after.
      await stream.find(from, ({ fragment }) => !fragment);
    }
    stream.cancel();
    return stream.responses;
  },
};

function watchRequest(key: string, more: Partial<WatchCreateRequest> = {}) {
  const value = WatchCreateRequest.create({
    key: fromLatin1(key),
    rangeEnd: fromLatin1(`${key}~`),
    ...more,
  });
  return { requestUnion: { kind: 'createRequest' as const, value } };
}

async function memberId(channel: GrpcChannel): Promise<bigint> {
  const answer = await channel.call(Cluster.methods.memberList, {});
  return answer.kind === 'ok' ? (answer.response.members[0]?.ID ?? 0n) : 0n;
}

test('single calls get the answers of etcd', options, (context) =>
  withStores({}, async (stores) => {
    for (const [name, call] of Object.entries(cases)) {
      await context.test(name, async () => {
        const [tested, etcd] = await Promise.all(
          stores.map(async ({ channel }) => comparable(await call(channel), 0)),
        );
        assert.deepEqual(tested, etcd);
      });
    }
  }),
);
