import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NotLeaderError } from '../../../server/client/election.ts';
import { LeaseLostError } from '../../../server/client/errors.ts';
import { keysUnder, oneKey, textOf } from '../../../server/client/keys.ts';
import type { Lock } from '../../../server/client/lock.ts';
import { putOp } from '../../../server/client/txn.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { onBoth } from './stores.ts';

function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      resolve(signal.reason);
    });
  });
}

onBoth('leases, locks and elections', {}, (store) => {
  test('a session outlives its time to live, and its keys end with it', async () => {
    const client = store.client();
    const session = await client.session({ ttlSeconds: 2 });
    await client.put('s/a', '', { lease: session.id });
    await sleep(3_500);
    assert.equal(session.lost.aborted, false);
    assert.notEqual(await client.get('s/a'), undefined);
    await session.end();
    assert.equal(await client.get('s/a'), undefined);
    assert.equal((await client.leaseTimeToLive(session.id)).TTL, -1);
    assert.equal(session.lost.aborted, false);
  });

  test('a session says that its lease is gone', async () => {
    const client = store.client();
    const revoked = await client.session({ ttlSeconds: 2 });
    const proxy = await TcpProxy.open(store.cluster.endpoints[0] ?? '');
    const cutOff = await store.client({ endpoints: [proxy.url] }).session({ ttlSeconds: 2 });
    const start = performance.now();
    const reasons = [revoked, cutOff].map(({ lost }) => aborted(lost));
    await client.leaseRevoke(revoked.id);
    proxy.isOpen = false;
    proxy.cut();
    for (const reason of await Promise.all(reasons)) assert(reason instanceof LeaseLostError);
    // The one that cannot ask is not later than the lease itself.
    const lasted = performance.now() - start;
    assert(lasted < 2_300, `${lasted} ms`);
    await proxy.close();
  });

  test('a lock has one holder at a time, in the order of asking', async () => {
    const client = store.client();
    let holders = 0;
    const revisions: number[] = [];
    const work = async (lock: Lock) => {
      assert.equal(++holders, 1);
      revisions.push(lock.revision);
      const { succeeded } = await client
        .when(lock.guard)
        .do(putOp('l/work', String(revisions.length)))
        .commit();
      assert.equal(succeeded, true);
      await sleep(5);
      holders--;
      await lock.unlock();
    };
    await Promise.all(
      Array.from({ length: 8 }, async () => work(await client.lock('l/one', { ttlSeconds: 30 }))),
    );
    assert.equal(revisions.length, 8);
    assert.deepEqual(
      revisions,
      revisions.toSorted((a, b) => a - b),
    );
    const { kvs } = await client.range(keysUnder('l/one/'));
    assert.deepEqual(kvs, []);
    assert.equal((await client.get('l/work'))?.version, 8);
  });

  test('a lock can be tried, given up and lost', async () => {
    const client = store.client();
    const lock = await client.lock('l/two', { ttlSeconds: 2 });
    assert.equal(await client.tryLock('l/two'), undefined);
    const reason = new Error('enough');
    const signal = AbortSignal.timeout(300);
    await assert.rejects(client.lock('l/two', { signal }), { name: 'TimeoutError' });
    await assert.rejects(client.lock('l/two', { signal: AbortSignal.abort(reason) }), reason);
    assert.equal((await client.range(keysUnder('l/two/'))).kvs.length, 1);
    const next = client.lock('l/two', { ttlSeconds: 2 });
    await client.delete(oneKey(lock.key));
    const follower = await next;
    assert(follower.revision > lock.revision);
    const late = await client.when(lock.guard).do(putOp('l/late', '')).commit();
    assert.equal(late.succeeded, false);
    const { kvs } = await client.range(keysUnder('l/two/'));
    await client.leaseRevoke(kvs[0]?.lease ?? 0n);
    const loss = await aborted(follower.lost);
    assert(loss instanceof LeaseLostError);
    await follower.unlock();
    assert.notEqual(await client.tryLock('l/two'), undefined);
  });

  test('one session holds many locks, each once', async () => {
    const client = store.client();
    const session = await client.session();
    const [a, b] = [
      await client.lock('l/a', { session }),
      await client.namespace('x/').lock('l/b', { session }),
    ];
    await assert.rejects(client.lock('l/a', { session }), /already holds/);
    await a.unlock();
    const again = await client.lock('l/a', { session });
    assert(again.revision > a.revision);
    assert.equal((await client.range(keysUnder('x/l/b/'))).kvs.length, 1);
    await b.unlock();
    assert.equal(session.isOpen, true);
    await session.end();
    assert.notEqual(await client.tryLock('l/a'), undefined);
  });

  test('an election has one leader, whom everybody sees', async () => {
    const client = store.client();
    const election = client.election('e/one');
    assert.equal(await election.leader(), undefined);
    const seen: string[] = [];
    const abort = new AbortController();
    const observed = (async () => {
      for await (const { value } of election.observe({ signal: abort.signal })) {
        seen.push(textOf(value));
      }
    })();
    const until = async (value: string) => {
      while (seen.at(-1) !== value) await sleep(10);
    };
    const first = await election.campaign('first');
    const second = election.campaign('second');
    await until('first');
    assert.equal(textOf((await election.leader())?.value), 'first');
    await first.proclaim('still first');
    await until('still first');
    await first.resign();
    const next = await second;
    await until('second');
    assert(next.revision > first.revision);
    await assert.rejects(first.proclaim('again'), NotLeaderError);
    assert.equal((await client.when(first.guard).commit()).succeeded, false);
    assert.equal((await client.when(next.guard).commit()).succeeded, true);
    await next.resign();
    abort.abort();
    await observed;
    assert.deepEqual(seen, ['first', 'still first', 'second']);
    assert.equal((await client.range(keysUnder('e/one/'))).kvs.length, 0);
  });

  test('in a shared session too, who gives up leaves nothing behind', async () => {
    const client = store.client();
    const session = await client.session();
    const reason = new Error('enough');
    for (let n = 0; n < 6; n++) {
      // Before, while and after the key is written.
      const abort = new AbortController();
      setTimeout(() => {
        abort.abort(reason);
      }, n);
      const { signal } = abort;
      const others = await client.lock('l/shared');
      await assert.rejects(client.lock('l/shared', { session, signal }), reason);
      const election = client.election('e/shared');
      const leader = await election.campaign('leader');
      await assert.rejects(election.campaign('other', { session, signal }), reason);
      for (const [prefix, holder] of [
        ['l/shared/', others.key],
        ['e/shared/', leader.key],
      ] as const) {
        const { kvs } = await client.range(keysUnder(prefix));
        assert.deepEqual(
          kvs.map(({ key }) => textOf(key)),
          [holder],
        );
      }
      await others.unlock();
      await leader.resign();
    }
    // What an attempt has left all the same does not speak for the next one.
    const key = `e/shared/${session.id.toString(16)}`;
    await client.put(key, 'stale', { lease: session.id });
    const leadership = await client.election('e/shared').campaign('fresh', { session });
    assert.equal(textOf((await client.get(key))?.value), 'fresh');
    await leadership.resign();
    await session.end();
  });

  test('a candidate who gives up leaves the line', async () => {
    const client = store.client();
    const election = client.election('e/two');
    const leader = await election.campaign('leader');
    const signal = AbortSignal.timeout(200);
    await assert.rejects(election.campaign('other', { signal }), { name: 'TimeoutError' });
    assert.equal((await client.range(keysUnder('e/two/'))).kvs.length, 1);
    await leader.resign();
  });
});
