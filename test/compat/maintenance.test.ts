import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromLatin1 } from '../../server/base/bytes.ts';
import {
  AlarmAction,
  AlarmType,
  Cluster,
  DeleteRangeRequest,
  DowngradeAction,
  KV,
  Lease,
  Maintenance,
  type Member,
  PutRequest,
  RangeRequest,
  type RequestOp,
  Watch,
  WatchCreateRequest,
} from '../../server/proto/gen/rpc.ts';
import type { GrpcChannel, Outcome } from '../support/grpc.ts';
import { needs } from '../support/tools.ts';
import { comparable, type StoreUnderTest, withStores } from './store-under-test.ts';

// What keeps a store in order: alarms, the quota, defragmentation, compaction by itself, downgrades. Both stores are
// told the same, and have to say the same.

const options = { ...needs('etcd'), timeout: 2 * 60_000 };

const bytes = fromLatin1;
const a = bytes('a');
const page = new Uint8Array(4096).fill(98);

function text(outcome: Outcome<unknown>): string {
  return outcome.kind === 'ok' ? 'ok' : `${outcome.code} ${outcome.message}`;
}

const putOp = (key: string): RequestOp => ({
  request: { kind: 'requestPut', value: PutRequest.create({ key: bytes(key), value: a }) },
});
const deleteOp = (key: string): RequestOp => ({
  request: { kind: 'requestDeleteRange', value: DeleteRangeRequest.create({ key: bytes(key) }) },
});
const rangeOp = (key: string): RequestOp => ({
  request: { kind: 'requestRange', value: RangeRequest.create({ key: bytes(key) }) },
});

/** What each kind of request comes to now. */
async function tried(channel: GrpcChannel): Promise<Record<string, string>> {
  const { put, range, deleteRange, txn, compact } = KV.methods;
  const { leaseGrant, leaseRevoke, leaseTimeToLive } = Lease.methods;
  return {
    put: text(await channel.call(put, { key: a, value: a })),
    range: text(await channel.call(range, { key: a })),
    delete: text(await channel.call(deleteRange, { key: bytes('none') })),
    'txn that puts': text(await channel.call(txn, { success: [putOp('b')] })),
    'txn that may put': text(await channel.call(txn, { failure: [putOp('b')] })),
    'txn that deletes': text(await channel.call(txn, { success: [deleteOp('none')] })),
    'txn that reads': text(await channel.call(txn, { success: [rangeOp('a')] })),
    'txn of nothing': text(await channel.call(txn, {})),
    grant: text(await channel.call(leaseGrant, { ID: 77n, TTL: 100 })),
    'time to live': text(await channel.call(leaseTimeToLive, { ID: 77n })),
    revoke: text(await channel.call(leaseRevoke, { ID: 77n })),
    compact: text(await channel.call(compact, { revision: 1 })),
    status: text(await channel.call(Maintenance.methods.status, {})),
  };
}

const alarm = (channel: GrpcChannel, action: AlarmAction, memberID: bigint, type: AlarmType) =>
  channel.call(Maintenance.methods.alarm, { action, memberID, alarm: type });

/** The answers of both stores, side by side. */
async function both<T>(
  stores: readonly StoreUnderTest[],
  run: (channel: GrpcChannel) => Promise<T>,
): Promise<T> {
  const [tested, etcd] = await Promise.all(stores.map(({ channel }) => run(channel)));
  assert.ok(tested !== undefined && etcd !== undefined);
  assert.deepEqual(comparable(tested, 0), comparable(etcd, 0));
  return tested;
}

test('alarms, and what they forbid', options, () =>
  withStores({}, async (stores) => {
    const { GET, ACTIVATE, DEACTIVATE } = AlarmAction;
    const { NONE, NOSPACE, CORRUPT } = AlarmType;
    const steps: readonly (readonly [AlarmAction, bigint, AlarmType])[] = [
      [GET, 0n, NONE],
      [ACTIVATE, 5n, NONE],
      [DEACTIVATE, 5n, NOSPACE],
      [ACTIVATE, 5n, NOSPACE],
      [ACTIVATE, 5n, NOSPACE],
      [GET, 0n, NONE],
      [GET, 0n, CORRUPT],
      [GET, 6n, NOSPACE],
    ];
    for (const [action, member, type] of steps) {
      await both(stores, (channel) => alarm(channel, action, member, type));
    }
    const capped = await both(stores, tried);
    assert.equal(capped['put'], '8 etcdserver: mvcc: database space exceeded');
    await both(stores, (channel) => alarm(channel, DEACTIVATE, 5n, NOSPACE));
    await both(stores, tried);
    await both(stores, (channel) => alarm(channel, ACTIVATE, 0n, CORRUPT));
    const corrupt = await both(stores, tried);
    assert.equal(corrupt['put'], '15 etcdserver: corrupt cluster');
    await both(stores, async (channel) => {
      const answer = await channel.call(Maintenance.methods.status, {});
      return answer.kind === 'ok' ? answer.response.errors : answer;
    });
    await both(stores, (channel) => alarm(channel, DEACTIVATE, 0n, CORRUPT));
    await both(stores, tried);
  }),
);

const quotaBytes = 13 * 4096;

test('a quota that is used up: compaction, defragmentation and disarming make room', options, () =>
  withStores({ flags: [`--quota-backend-bytes=${quotaBytes}`] }, async (stores) => {
    await both(stores, async (channel) => {
      for (let count = 0; ; count++) {
        assert.ok(count < 100, 'the quota is never used up');
        const answer = await channel.call(KV.methods.put, { key: bytes('1st'), value: page });
        if (answer.kind === 'error') return text(answer);
      }
    });
    await both(stores, tried);
    const sizes = await Promise.all(
      stores.map(async ({ channel }) => {
        const listed = await alarm(channel, AlarmAction.GET, 0n, AlarmType.NONE);
        const status = await channel.call(Maintenance.methods.status, {});
        assert.ok(status.kind === 'ok' && listed.kind === 'ok');
        const raised = { memberID: status.response.header?.memberId, alarm: AlarmType.NOSPACE };
        assert.deepEqual(listed.response.alarms, [raised]);
        return status.response;
      }),
    );
    await both(stores, async (channel) => {
      const answer = await channel.call(KV.methods.range, { key: a });
      assert.ok(answer.kind === 'ok');
      const revision = answer.response.header?.revision ?? 0;
      return text(await channel.call(KV.methods.compact, { revision, physical: true }));
    });
    await both(stores, (channel) => channel.call(Maintenance.methods.defragment, {}));
    for (const [at, { channel }] of stores.entries()) {
      const status = await channel.call(Maintenance.methods.status, {});
      assert.ok(status.kind === 'ok');
      const { dbSize, dbSizeInUse, header } = status.response;
      assert.ok(dbSize < (sizes[at]?.dbSize ?? 0), 'defragmentation makes it smaller');
      assert.ok(dbSizeInUse <= dbSize);
      const memberID = header?.memberId ?? 0n;
      await alarm(channel, AlarmAction.DEACTIVATE, memberID, AlarmType.NOSPACE);
    }
    const again = await both(stores, tried);
    assert.equal(again['put'], 'ok');
    assert.equal(
      await both(stores, async (channel) =>
        text(await channel.call(KV.methods.put, { key: bytes('4th'), value: page })),
      ),
      'ok',
    );
  }),
);

test('downgrades that are refused', options, () =>
  withStores({}, async (stores) => {
    const { VALIDATE, ENABLE, CANCEL } = DowngradeAction;
    /** `-1` and the like: the minor version counted from the store's own. */
    const steps: readonly (readonly [DowngradeAction, string])[] = [
      [CANCEL, ''],
      [VALIDATE, ''],
      [VALIDATE, '3'],
      [VALIDATE, 'x.y'],
      [VALIDATE, '3.1.2.3'],
      [VALIDATE, '-0'],
      [VALIDATE, '-2'],
      [VALIDATE, '-1'],
      // What 3.5 allows it does not do: it times out.
      [ENABLE, '-2'],
    ];
    const minors = [6, 5];
    for (const [action, asked] of steps) {
      const answers = await Promise.all(
        stores.map(async ({ channel }, at) => {
          const minor = (minors[at] ?? 0) + Number(asked);
          const version = asked.startsWith('-') ? `3.${minor}.0` : asked;
          const answer = await channel.call(Maintenance.methods.downgrade, { action, version });
          if (answer.kind === 'error') return answer;
          // 3.5 says 3.5.0; later ones leave the last number out.
          assert.equal(answer.response.version.replace(/\.0$/, ''), `3.${minors[at]}`);
          return { ...answer.response, version: '' };
        }),
      );
      const [tested, etcd] = answers.map((answer) => comparable(answer, 0));
      assert.deepEqual(tested, etcd, `${action} ${asked}`);
    }
  }),
);

/** The only one, once it has told its name. */
async function namedMember(channel: GrpcChannel): Promise<Member> {
  for (;;) {
    const members = await channel.call(Cluster.methods.memberList, {});
    const member = members.kind === 'ok' ? members.response.members[0] : undefined;
    if (member !== undefined && member.name !== '') return member;
    await sleep(20);
  }
}

test('a member is told another peer URL', options, () =>
  withStores({}, async (stores) => {
    for (const { channel } of stores) {
      const member = await namedMember(channel);
      const update = (peerURLs: string[]) =>
        channel.call(Cluster.methods.memberUpdate, { ID: member.ID, peerURLs });
      const changed = await update(['http://127.0.0.1:1', 'http://127.0.0.1:2']);
      assert.ok(changed.kind === 'ok', text(changed));
      assert.equal(changed.response.header?.revision, 0);
      assert.deepEqual(changed.response.members, [
        { ...member, peerURLs: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] },
      ]);
      assert.equal(text(await update(member.peerURLs)), 'ok');
    }
  }),
);

test('progress is notified on an interval, and not right after an event', options, () =>
  withStores({ flags: ['--experimental-watch-progress-notify-interval=300ms'] }, async (stores) => {
    await both(stores, async (channel) => {
      const stream = channel.stream(Watch.methods.watch);
      const value = WatchCreateRequest.create({ key: a, progressNotify: true });
      stream.send({ requestUnion: { kind: 'createRequest', value } });
      const created = await stream.find(0, (response) => response.created);
      const notified = await stream.find(created.next, ({ events }) => events.length === 0);
      await channel.call(KV.methods.put, { key: a, value: a });
      const event = await stream.find(notified.next, ({ events }) => events.length > 0);
      const last = await stream.find(event.next, ({ events }) => events.length === 0);
      stream.cancel();
      return [created, notified, event, last].map(({ response }) => response);
    });
  }),
);

test('hashes of compacted revisions, which members compare', options, () =>
  withStores({}, async (stores) => {
    await both(stores, async (channel) => {
      const hashes: object[] = [];
      let compacted = -1;
      for (let round = 0; round < 4; round++) {
        for (let n = 0; n < 30; n++) {
          const key = bytes(`k${(n * (round + 3)) % 17}`);
          if (n % 5 === round) await channel.call(KV.methods.deleteRange, { key });
          else await channel.call(KV.methods.put, { key, value: bytes(`${round}-${n}`) });
        }
        const { header } = must(await channel.call(KV.methods.range, { key: a }));
        const revision = (header?.revision ?? 0) - 2 * round;
        must(await channel.call(KV.methods.compact, { revision, physical: true }));
        hashes.push(await hashOf(channel, revision, compacted), await hashOf(channel, 0, revision));
        compacted = revision;
      }
      return hashes;
    });
  }),
);

/** Once the compaction has been seen to: it takes its hash meanwhile. */
async function hashOf(channel: GrpcChannel, revision: number, compacted: number): Promise<object> {
  for (let tries = 0; ; tries++) {
    const answer = must(await channel.call(Maintenance.methods.hashKV, { revision }));
    const { hash, compactRevision } = answer;
    if (compactRevision === compacted || tries === 100) return { hash, compactRevision };
    await sleep(20);
  }
}

function must<Response>(outcome: Outcome<Response>): Response {
  assert.ok(outcome.kind === 'ok', text(outcome));
  return outcome.response;
}

suite('compaction by itself', options, () => {
  test('periodic', () =>
    withStores(
      { flags: ['--auto-compaction-mode=periodic', '--auto-compaction-retention=2s'] },
      async (stores) => {
        await both(stores, async (channel) => {
          for (let n = 0; n < 5; n++) await channel.call(KV.methods.put, { key: a, value: a });
          const deadline = performance.now() + 20_000;
          for (;;) {
            const answer = await channel.call(KV.methods.range, { key: a, revision: 4 });
            if (answer.kind === 'error') return text(answer);
            assert.ok(performance.now() < deadline, 'nothing was compacted');
            await sleep(100);
          }
        });
      },
    ));
});
