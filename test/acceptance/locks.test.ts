import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import { bytesOf, keysFrom, keysUnder } from '../../server/client/keys.ts';
import { Election, type LeaderKey } from '../../server/proto/gen/election.ts';
import { Lock } from '../../server/proto/gen/lock.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { needs } from '../support/tools.ts';
import {
  type Api,
  compare,
  eventually,
  getOp,
  putOp,
  settlesIn,
  sharedStore,
  times,
  withStore,
} from './support.ts';

// Acceptance case 95: locks, elections and mirrors, by the services for it and by what etcdctl makes of keys and leases.

const three = sharedStore({ size: 3 });

test('95 TestCtlV3Lock, TestCtlV3LockWithCmd', needs('etcdctl'), async () => {
  await three().clear();
  const ctl = new Etcdctl(three().cluster);
  const holder = ctl.start(['lock', 'a']);
  const [key] = await holder.lines(1);
  assert.match(key ?? '', /^a\/[0-9a-f]+$/);
  const blocked = ctl.start(['lock', 'a']);
  await sleep(200);
  assert.equal(blocked.stdout, '');
  holder.interrupt();
  await holder.finished();
  const [next] = await blocked.lines(1);
  assert.notEqual(next, key);
  blocked.interrupt();
  await blocked.finished();
  assert.equal((await three().at().range(keysUnder('a'))).count, 0);
  const command = await ctl.run(['lock', 'b', 'echo', 'held']);
  assert.deepEqual([command.code, command.stdout], [0, 'held\n']);
  // As the command ended, so does the lock.
  const failed = await ctl.run(['lock', 'b', 'false']);
  assert.notEqual(failed.code, 0);
});

test('95 TestCtlV3Elect', needs('etcdctl'), async () => {
  await three().clear();
  const ctl = new Etcdctl(three().cluster);
  const first = ctl.start(['elect', 'a', 'p1']);
  const [key] = await first.lines(2);
  assert.match(key ?? '', /^a\/[0-9a-f]+$/);
  const second = ctl.start(['elect', 'a', 'p2']);
  await sleep(200);
  assert.equal(second.stdout, '');
  first.interrupt();
  await first.finished();
  assert.equal((await second.lines(2))[1], 'p2');
  second.interrupt();
  await second.finished();
});

test('95 TestCtlV3MakeMirror, TestCtlV3MakeMirrorModifyDestPrefix', needs('etcdctl'), () =>
  withStore({}, async (target) => {
    await three().clear();
    await three().at().put('mirror/before', '1');
    const ctl = new Etcdctl(three().cluster);
    const { clientUrl } = target.cluster.member(0);
    const all = ctl.start(['make-mirror', '--prefix', 'mirror/', clientUrl.replace('http://', '')]);
    const moved = ctl.start(
      ['make-mirror', '--prefix', 'mirror/', '--dest-prefix', 'copy/'].concat([
        clientUrl.replace('http://', ''),
      ]),
    );
    const mirrored = async (prefix: string): Promise<string[]> =>
      target.at().values(keysUnder(prefix));
    for (const prefix of ['mirror/', 'copy/']) {
      await eventually(async () => assert.deepEqual(await mirrored(prefix), ['1']));
    }
    await three()
      .at()
      .txn({ success: [putOp('mirror/later', '2'), putOp('other', '3')] });
    await three().at().delete('mirror/before');
    for (const prefix of ['mirror/', 'copy/']) {
      await eventually(async () => assert.deepEqual(await mirrored(prefix), ['2']));
    }
    assert.equal((await target.at().range('other')).count, 0);
    all.interrupt();
    moved.interrupt();
    await Promise.all([all.finished(), moved.finished()]);
  }),
);

test('95 TestV3LockLockWaiter', async () => {
  await three().clear();
  const [{ ID: one }, { ID: two }] = [await three().at().grant(30), await three().at().grant(30)];
  const name = bytesOf('foo');
  const { lock, unlock } = Lock.methods;
  const first = await three().at().call(lock, { name, lease: one });
  assert.equal(latin1(first.key), `foo/${one.toString(16)}`);
  const waiting = three().at(1).call(lock, { name, lease: two });
  assert.equal(await settlesIn(waiting, 200), false);
  await three().at(2).call(unlock, { key: first.key });
  const second = await waiting;
  assert((first.header?.revision ?? 0) < (second.header?.revision ?? 0));
  await three().at().call(unlock, { key: second.key });
});

test('95 TestMutexLockSingleNode, TestMutexLockMultiNode, TestMutexSessionRelock', async () => {
  await three().clear();
  const name = bytesOf('my-lock');
  const { lock, unlock } = Lock.methods;
  let holders = 0;
  await Promise.all(
    times(6, async (n) => {
      const api = three().at(n % 3);
      const { ID: lease } = await api.grant(60);
      for (let round = 0; round < 2; round++) {
        const { key } = await api.call(lock, { name, lease });
        // The same again by the same lease is no second lock.
        assert.deepEqual((await api.call(lock, { name, lease })).key, key);
        assert.equal(++holders, 1, 'two hold the lock');
        await sleep(5);
        holders--;
        await api.call(unlock, { key });
      }
    }),
  );
  // With the lease of whoever holds it, it is free.
  const { ID: lost } = await three().at().grant(60);
  await three().at().call(lock, { name, lease: lost });
  const { ID: next } = await three().at().grant(60);
  const waiting = three().at().call(lock, { name, lease: next });
  await three().at().revoke(lost);
  await waiting;
});

test('95 TestRWMutex', async () => {
  await three().clear();
  const api = three().at();
  // Readers wait for the writers before them, writers for everyone: made of keys with revisions, as upstream makes it.
  const enter = async (kind: 'read' | 'write', n: number): Promise<string> => {
    const { ID: lease } = await api.grant(60);
    const key = `rw/${kind}/${n}`;
    const mine = await api.putRevision(key, '', { lease });
    const before = keysUnder(kind === 'read' ? 'rw/write' : 'rw/');
    await eventually(async () => {
      const { count, kvs } = await api.range(before, { maxCreateRevision: mine - 1 });
      assert(count >= 0 && kvs.length === 0, 'somebody is before');
    });
    return key;
  };
  let [readers, writers, readersMost] = [0, 0, 0];
  await Promise.all(
    times(6, async (n) => {
      const kind = n % 3 === 0 ? 'write' : 'read';
      const key = await enter(kind, n);
      if (kind === 'write') assert.deepEqual([readers, ++writers], [0, 1]);
      else assert.equal(writers, 0);
      if (kind === 'read') readersMost = Math.max(readersMost, ++readers);
      await sleep(40);
      if (kind === 'write') writers--;
      else readers--;
      await api.delete(key);
    }),
  );
  assert(readersMost >= 1);
});

test('95 TestQueueOneReaderOneWriter, TestQueueManyReaderManyWriter', async () => {
  await three().clear();
  const taken: string[] = [];
  const dequeue = async (api: Api): Promise<void> => {
    for (;;) {
      const { kvs } = await api.range(keysUnder('queue/'), {
        limit: 1,
        sortTarget: 2,
        sortOrder: 1,
      });
      const [first] = kvs;
      if (first === undefined) {
        await sleep(5);
        continue;
      }
      const key = latin1(first.key);
      const { succeeded } = await api.txn({
        compare: [compare(key, 'modRevision', '=', first.modRevision)],
        success: [
          {
            request: {
              kind: 'requestDeleteRange',
              value: { key: first.key, rangeEnd: new Uint8Array(), prevKv: false },
            },
          },
        ],
      });
      if (succeeded) {
        taken.push(latin1(first.value));
        return;
      }
    }
  };
  const count = 20;
  const readers = times(count, (n) => dequeue(three().at(n % 3)));
  await Promise.all(
    times(count, (n) =>
      three()
        .at(n % 3)
        .put(`queue/${Math.random()}`, String(n)),
    ),
  );
  await Promise.all(readers);
  assert.deepEqual(new Set(taken), new Set(times(count, String)));
  assert.equal(taken.length, count);
});

test('95 TestBarrierSingleNode, TestBarrierMultiNode, TestDoubleBarrier', async () => {
  await three().clear();
  await three().at().put('barrier', '');
  const waiters = await Promise.all(three().apis.map((api) => api.watching('barrier')));
  for (const api of three().apis) assert.equal((await api.range('barrier')).count, 1);
  await Promise.all(waiters.map((watch) => watch.silent(100)));
  await three().at(1).delete('barrier');
  for (const watch of waiters) {
    assert.deepEqual(await watch.events(1), ['delete barrier']);
    watch.close();
  }
  // All come, or nobody passes.
  const entered: number[] = [];
  await Promise.all(
    three().apis.map(async (api, n) => {
      const watch = await api.watching('both/ready');
      await sleep(n * 50);
      await api.put(`both/waiters/${n}`);
      const { count } = await api.range(keysUnder('both/waiters/'));
      if (count === 3) await api.txn({ success: [putOp('both/ready'), getOp('both/ready')] });
      await watch.events(1);
      entered.push((await api.range(keysUnder('both/waiters/'))).count);
      watch.close();
    }),
  );
  assert.deepEqual(entered, [3, 3, 3]);
});

async function campaign(api: Api, name: string, value: string, ttl = 30): Promise<LeaderKey> {
  const { ID: lease } = await api.grant(ttl);
  const request = { name: bytesOf(name), lease, value: bytesOf(value) };
  const { leader } = await api.call(Election.methods.campaign, request);
  assert(leader !== undefined);
  return leader;
}

test('95 TestV3ElectionCampaign', async () => {
  await three().clear();
  const leader = await campaign(three().at(), 'foo', 'abc');
  const waiting = campaign(three().at(1), 'foo', 'def');
  assert.equal(await settlesIn(waiting, 200), false);
  const { proclaim, resign } = Election.methods;
  await three()
    .at()
    .call(proclaim, { leader, value: bytesOf('abc2') });
  await three().at(2).call(resign, { leader });
  const next = await waiting;
  assert(next.rev > leader.rev);
  const { kv } = await three()
    .at()
    .call(Election.methods.leader, { name: bytesOf('foo') });
  assert.equal(latin1(kv?.value ?? Buffer.alloc(0)), 'def');
  // Who has resigned has nothing to say.
  assert.match(
    await three()
      .at()
      .refusal(proclaim, { leader, value: bytesOf('late') }),
    /^2 election: not leader$/,
  );
});

test('95 TestV3ElectionObserve, TestElectionObserveFreshResponsesOnProclaim', async () => {
  await three().clear();
  const api = three().at();
  const stream = three().at(1).stream(Election.methods.observe);
  stream.send({ name: bytesOf('foo') });
  stream.halfClose();
  const seen = async (from: number, text: string): Promise<number> => {
    const { next } = await stream.find(
      from,
      ({ kv }) => latin1(kv?.value ?? Buffer.alloc(0)) === text,
    );
    return next;
  };
  const first = await campaign(api, 'foo', 'abc');
  let place = await seen(0, 'abc');
  for (const value of ['0', '1', '2']) {
    await api.call(Election.methods.proclaim, { leader: first, value: bytesOf(value) });
    place = await seen(place, value);
  }
  const waiting = campaign(api, 'foo', 'next');
  await api.call(Election.methods.resign, { leader: first });
  await waiting;
  await seen(place, 'next');
  stream.cancel();
});

test('95 TestElectionWait, TestElectionFailover', async () => {
  await three().clear();
  const api = three().at();
  // One after the other, whatever becomes of the one before.
  const first = await campaign(api, 'test-election', 'foo', 60);
  const rest = times(3, (n) => campaign(three().at(n), 'test-election', String(n)));
  assert.equal(await settlesIn(Promise.race(rest), 200), false);
  await api.revoke(first.lease);
  let before = first.rev;
  for (const pending of [1, 2, 3]) {
    const name = bytesOf('test-election');
    const { kv } = await eventually(() => api.call(Election.methods.leader, { name }));
    assert(kv !== undefined && kv.createRevision > before, `the ${pending}. to lead`);
    before = kv.createRevision;
    await eventually(async () => {
      assert.equal((await api.range(keysUnder('test-election/'))).count, 4 - pending);
    });
    await api.delete(latin1(kv.key));
  }
  await Promise.all(rest);
});

test('95 TestElectionOnPrefixOfExistingKey, TestElectionObserveCompacted', async () => {
  await three().clear();
  const api = three().at();
  await api.put('testa', 'value');
  const leader = await campaign(api, 'test', 'abc');
  await api.call(Election.methods.proclaim, { leader, value: bytesOf('def') });
  await api.compact(await api.revision());
  const stream = api.stream(Election.methods.observe);
  stream.send({ name: bytesOf('test') });
  stream.halfClose();
  const { response } = await stream.find(0, () => true);
  assert.equal(latin1(response.kv?.value ?? Buffer.alloc(0)), 'def');
  assert.equal((await api.range(keysFrom('testa'))).count, 1);
  stream.cancel();
});
