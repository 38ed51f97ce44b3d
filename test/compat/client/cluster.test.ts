import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../../server/client/client.ts';
import { ClientError } from '../../../server/client/errors.ts';
import { etcdTexts } from '../../../server/client/etcd-texts.ts';
import type { KeySpace } from '../../../server/client/key-space.ts';
import { keysUnder, oneKey, textOf } from '../../../server/client/keys.ts';
import { freePort } from '../../support/server-process.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { isWhole } from '../../support/whole.ts';
import { failureOf, leaderOf, onBoth, type StoreToUse } from './stores.ts';

/** What writers did and a watcher saw, through a fault; {@link check} says whether both agree with the store. */
class Traffic {
  readonly acknowledged = new Map<string, number>();
  readonly refused = new Set<string>();
  uncertain = 0;
  slowestMs = 0;
  readonly #events: { value: string; revision: number }[] = [];
  readonly #space: KeySpace;
  readonly #watching: Promise<void>;
  readonly #writing: Promise<void>[];
  #isStopped = false;
  #lastRevision = Number.POSITIVE_INFINITY;

  constructor(client: Client, name: string, writers = 4) {
    this.#space = client.namespace(`${name}/`);
    this.#watching = this.#watch();
    this.#writing = Array.from({ length: writers }, (_, at) => this.#write(`w${at}`));
  }

  /** Resolves when so many more writes were acknowledged. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count;
    while (this.acknowledged.size < wanted && !this.#isStopped) await sleep(10);
  }

  async check(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#writing);
    const last = await this.#space.put('end', 'end', { timeoutMs: 30_000, mayRepeat: true });
    this.#lastRevision = last.header.revision;
    await this.#watching;
    const revisions = this.#events.map(({ revision }) => revision);
    assert.deepEqual(
      revisions,
      [...new Set(revisions)].toSorted((a, b) => a - b),
      'the watch repeats or reorders',
    );
    const seen = new Map(this.#events.map(({ value, revision }) => [value, revision]));
    for (const [value, revision] of this.acknowledged)
      assert.equal(seen.get(value), revision, value);
    for (const value of this.refused) assert.equal(seen.has(value), false, `${value} was refused`);
    const unknown = this.#events.length - this.acknowledged.size - 1;
    assert(unknown <= this.uncertain, `${unknown} writes of ${this.uncertain} uncertain ones`);
  }

  async #watch(): Promise<void> {
    for await (const { events, revision } of this.#space.watch(keysUnder(''), {
      startRevision: 1,
    })) {
      for (const { kv } of events) {
        this.#events.push({ value: textOf(kv.value), revision: kv.modRevision });
      }
      if (revision >= this.#lastRevision) return;
      if (events.some(({ kv }) => textOf(kv.key) === 'end')) return;
    }
  }

  async #write(name: string): Promise<void> {
    for (let n = 0; !this.#isStopped; n++) {
      const value = `${name}-${n}`;
      const start = performance.now();
      try {
        const { header } = await this.#space.put(name, value);
        this.acknowledged.set(value, header.revision);
        this.slowestMs = Math.max(this.slowestMs, performance.now() - start);
      } catch (error) {
        assert(error instanceof ClientError, String(error));
        // The test has failed.
        if (error.text === 'the client is closed') return;
        if (error.isUncertain) this.uncertain++;
        else this.refused.add(value);
      }
      await sleep(5);
    }
  }
}

async function whenReady(store: StoreToUse): Promise<void> {
  const asked = store.client();
  for (const url of store.cluster.endpoints) {
    while ((await asked.status(url, { timeoutMs: 30_000 })).leader === 0n) await sleep(20);
  }
}

onBoth('a cluster', { size: 3 }, (store) => {
  // The client is the same: what takes long is tried on etcd only where all is.
  const testLong = (name: string, body: () => Promise<void>) => {
    if (store.program === 'mainstay' || isWhole) void test(name, body);
  };

  test('calls go to the members in turn', async () => {
    const client = store.client();
    const members = new Map<bigint, number>();
    for (let n = 0; n < 60; n++) {
      const { header } = await client.range(oneKey('k'), { serializable: true });
      members.set(header.memberId, (members.get(header.memberId) ?? 0) + 1);
    }
    assert.equal(members.size, 3);
    for (const count of members.values()) assert(count >= 15, `${[...members.values()]}`);
  });

  test('members and their state', async () => {
    const client = store.client({ endpoints: store.cluster.endpoints.slice(0, 1) });
    assert.deepEqual((await client.syncEndpoints()).toSorted(), store.cluster.endpoints.toSorted());
    const { members } = await client.memberList();
    assert.equal(members.length, 3);
    const leader = await leaderOf(store.cluster, client);
    const target = members.find(
      ({ clientURLs }) => clientURLs[0] !== store.cluster.endpoints[leader],
    );
    assert(target !== undefined);
    await client.moveLeader(target.ID);
    const moved = await leaderOf(store.cluster, client);
    assert.equal(store.cluster.endpoints[moved], target.clientURLs[0]);
    const peerUrl = `http://127.0.0.1:${await freePort()}`;
    const added = await untilHealthy(() => client.memberAdd([peerUrl], { isLearner: true }));
    const id = added.member?.ID ?? 0n;
    assert.equal((await failureOf(client.memberPromote(id))).text, etcdTexts.learnerNotReady);
    await untilHealthy(() => client.memberRemove(id));
    assert.deepEqual((await client.alarms()).alarms, []);
  });

  test('hashes of members', async () => {
    const client = store.client();
    const { header } = await client.put('hash', '1');
    const hashes = await Promise.all(
      store.cluster.endpoints.map(async (url) => {
        await client.get('hash');
        return client.hashKV(url, { revision: header.revision });
      }),
    );
    assert.equal(new Set(hashes.map(({ hash }) => hash)).size, 1);
  });

  test('defragment', async () => {
    await store.client().defragment(store.cluster.endpoints[0] ?? '', { timeoutMs: 30_000 });
  });

  test('a snapshot comes whole', async () => {
    const client = store.client();
    await client.put('snap', 'x'.repeat(1_000_000));
    const chunks: Uint8Array[] = [];
    for await (const bytes of client.snapshot()) chunks.push(bytes);
    const whole = Buffer.concat(chunks);
    const [body, hash] = [whole.subarray(0, -32), whole.subarray(-32)];
    assert.equal(body.length % 512, 0);
    assert.deepEqual(createHash('sha256').update(body).digest(), hash);
    const first = client.snapshot({ endpoint: store.cluster.endpoints[1] })[Symbol.asyncIterator]();
    assert.equal((await first.next()).done, false);
    await first.return();
  });

  testLong('writes and watches go on when the leader is killed', async () => {
    const client = store.client();
    const lock = await client.lock('guarded', { ttlSeconds: 20 });
    const traffic = new Traffic(client, 'kill');
    await traffic.more(20);
    const leader = store.cluster.member(await leaderOf(store.cluster, client));
    await leader.stop('SIGKILL');
    await traffic.more(50);
    await leader.start(store.cluster.flagsFor('existing'));
    await whenReady(store);
    await traffic.more(20);
    await traffic.check();
    assert(traffic.slowestMs < 10_000, `${traffic.slowestMs} ms`);
    assert.equal(lock.lost.aborted, false);
    assert.equal((await client.when(lock.guard).commit()).succeeded, true);
    await lock.unlock();
  });

  testLong('writes and watches go on when the leader is paused', async () => {
    const client = store.client({ timeoutMs: 3_000 });
    const traffic = new Traffic(client, 'pause');
    await traffic.more(20);
    const leader = store.cluster.member(await leaderOf(store.cluster, client));
    leader.signal('SIGSTOP');
    try {
      await traffic.more(50);
      await client.get('k', { timeoutMs: 10_000 });
    } finally {
      leader.signal('SIGCONT');
    }
    await traffic.more(20);
    await traffic.check();
  });

  test('writes and watches go on when all connections are cut again and again', async () => {
    const proxies = await Promise.all(store.cluster.endpoints.map((url) => TcpProxy.open(url)));
    try {
      const client = store.client({ endpoints: proxies.map(({ url }) => url) });
      const traffic = new Traffic(client, 'cut');
      for (let n = 0; n < 8; n++) {
        await traffic.more(15);
        for (const proxy of proxies) if (n % 3 !== 0 || proxy === proxies[n % 2]) proxy.cut();
      }
      await traffic.check();
      assert(proxies.reduce((sum, { connections }) => sum + connections, 0) > 8);
    } finally {
      await Promise.all(proxies.map((proxy) => proxy.close()));
    }
  });

  /** It takes the 15 s of a ping that is not answered. */
  const hangingConnection = async () => {
    const proxies = await Promise.all(store.cluster.endpoints.map((url) => TcpProxy.open(url)));
    try {
      const client = store.client({ endpoints: proxies.map(({ url }) => url) });
      const watch = client.watch(oneKey('hang'));
      await watch.started();
      for (const proxy of proxies) proxy.hold();
      const start = performance.now();
      await store.client().put('hang', '1');
      for await (const { events } of watch) {
        assert.deepEqual(
          events.map(({ kv }) => textOf(kv.value)),
          ['1'],
        );
        break;
      }
      assert(performance.now() - start < 40_000);
    } finally {
      await Promise.all(proxies.map((proxy) => proxy.close()));
    }
  };
  if (isWhole) testLong('a watch leaves a connection that hangs', hangingConnection);

  testLong('sessions and watches outlive a restart of every member', async () => {
    const client = store.client();
    const session = await client.session({ ttlSeconds: 20 });
    await client.put('s/alive', '', { lease: session.id });
    const traffic = new Traffic(client, 'restart', 2);
    for (const member of store.cluster.members) {
      await traffic.more(10);
      await member.stop('SIGTERM');
      await member.start(store.cluster.flagsFor('existing'));
      await whenReady(store);
    }
    await traffic.more(10);
    await traffic.check();
    assert.equal(session.lost.aborted, false);
    assert.notEqual(await client.get('s/alive'), undefined);
    await session.end();
  });

  test('nobody there: told within the time, and found again', async () => {
    const client = store.client({ timeoutMs: 1_000 });
    await client.put('back', '1');
    await Promise.all(store.cluster.members.map((member) => member.stop('SIGKILL')));
    // This one may still be sent, on a connection whose end is not yet seen.
    await failureOf(client.put('back', '2'));
    const start = performance.now();
    const failure = await failureOf(client.put('back', '2'));
    assert.equal(failure.code, 14);
    assert.equal(failure.isSafeToRetry, true);
    assert(performance.now() - start < 3_000);
    const put = client.put('back', '3', { timeoutMs: 30_000 });
    for (const member of store.cluster.members) member.spawn(store.cluster.flagsFor('existing'));
    await put;
    assert.equal(textOf((await client.get('back', { timeoutMs: 10_000 }))?.value), '3');
  });
});

/** A member that has just begun to lead does not count the others as active yet. */
async function untilHealthy<T>(change: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await change();
    } catch (error) {
      const isPassing = error instanceof ClientError && error.text === etcdTexts.unhealthy;
      if (!isPassing) throw error;
      await sleep(200);
    }
  }
}
