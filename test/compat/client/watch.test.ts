import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CompactedError } from '../../../server/client/errors.ts';
import type { KeySpace } from '../../../server/client/key-space.ts';
import { keysUnder, oneKey, textOf } from '../../../server/client/keys.ts';
import { putOp } from '../../../server/client/txn.ts';
import type { Watch, WatchBatch } from '../../../server/client/watch.ts';
import { EventType } from '../../../server/proto/gen/kv.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { onBoth } from './stores.ts';

/** The batches of a watch until so many events have come. */
async function read(watch: Watch, eventCount: number): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  let seen = 0;
  for await (const batch of watch) {
    batches.push(batch);
    seen += batch.events.length;
    if (seen >= eventCount) break;
  }
  return batches;
}

function told(batches: readonly WatchBatch[]): string[] {
  return batches.flatMap(({ events }) =>
    events.map(({ type, kv, prevKv }) => {
      const before = prevKv === undefined ? '' : ` was ${textOf(prevKv.value)}`;
      const name = type === EventType.PUT ? 'PUT' : 'DELETE';
      return `${name} ${textOf(kv.key)} ${textOf(kv.value)}${before}`;
    }),
  );
}

async function putMany(space: KeySpace, count: number, value = ''): Promise<void> {
  for (let at = 0; at < count; at++) await space.put(`k${at}`, value);
}

onBoth('watch', {}, (store) => {
  test('puts and deletes from when it has started', async () => {
    const space = store.client().namespace('w1/');
    const { header } = await space.put('a', '0');
    const watch = space.watch(keysUnder(''), { prevKv: true });
    assert.equal(await watch.started(), header.revision + 1);
    await space.put('a', '1');
    await space.when().do(putOp('b', '2'), putOp('c', '3')).commit();
    await space.delete(oneKey('a'));
    const batches = await read(watch, 4);
    assert.deepEqual(told(batches), ['PUT a 1 was 0', 'PUT b 2', 'PUT c 3', 'DELETE a  was 1']);
    assert.deepEqual(
      batches.map(({ revision, events }) => [revision - header.revision, events.length]),
      [
        [1, 1],
        [2, 2],
        [3, 1],
      ],
    );
  });

  test('from a revision, without what is not wanted', async () => {
    const space = store.client().namespace('w2/');
    const { header } = await space.put('a', '1');
    await space.delete(oneKey('a'));
    await space.put('a', '2');
    const from = { startRevision: header.revision };
    assert.equal(await space.watch(oneKey('a'), from).started(), header.revision);
    const all = await read(space.watch(oneKey('a'), from), 3);
    assert.deepEqual(told(all), ['PUT a 1', 'DELETE a ', 'PUT a 2']);
    const puts = await read(space.watch(oneKey('a'), { ...from, without: 'deletes' }), 2);
    assert.deepEqual(told(puts), ['PUT a 1', 'PUT a 2']);
    const deletes = await read(space.watch(oneKey('a'), { ...from, without: 'puts' }), 1);
    assert.deepEqual(told(deletes), ['DELETE a ']);
  });

  test('says how far it is when it is asked', async () => {
    const space = store.client().namespace('w3/');
    const watch = space.watch(keysUnder(''));
    const first = await watch.started();
    const batches = watch[Symbol.asyncIterator]();
    await watch.requestProgress();
    const { header: answered, ...before } = (await batches.next()).value as WatchBatch;
    assert.deepEqual(before, { revision: first - 1, events: [] });
    assert.equal(answered.revision, first - 1);
    await space.put('a', '1');
    const { header } = await store.client().put('elsewhere', '');
    assert.deepEqual(told([(await batches.next()).value as WatchBatch]), ['PUT a 1']);
    await watch.requestProgress();
    const { header: last, ...after } = (await batches.next()).value as WatchBatch;
    assert.deepEqual(after, { revision: header.revision, events: [] });
    assert.equal(last.revision, header.revision);
    await batches.return();
  });

  test('large responses come in parts that end with a revision', async () => {
    const space = store.client().namespace('w4/');
    const value = 'x'.repeat(140_000);
    const puts = Array.from({ length: 8 }, (_, i) => putOp(`k${i}`, value));
    const { header } = await space
      .when()
      .do(...puts)
      .commit();
    for (let i = 0; i < 3; i++)
      await space
        .when()
        .do(...puts)
        .commit();
    const startRevision = header.revision;
    const batches = await read(space.watch(keysUnder(''), { startRevision, prevKv: true }), 32);
    const sizes = new Map<number, number>();
    for (const { events, revision } of batches) {
      assert.equal(events.at(-1)?.kv.modRevision, revision);
      for (const { kv } of events) sizes.set(kv.modRevision, (sizes.get(kv.modRevision) ?? 0) + 1);
    }
    assert.deepEqual(
      [...sizes],
      [0, 1, 2, 3].map((n) => [startRevision + n, 8]),
    );
    // Each revision is whole in one batch.
    const revisions = batches.map(({ events }) => new Set(events.map(({ kv }) => kv.modRevision)));
    assert.equal(
      revisions.reduce((sum, { size }) => sum + size, 0),
      4,
    );
  });

  test('a slow reader holds up nobody, and misses nothing', async () => {
    const client = store.client();
    const space = client.namespace('w5/');
    const watch = space.watch(keysUnder(''));
    await watch.started();
    const batches = watch[Symbol.asyncIterator]();
    const value = 'x'.repeat(200_000);
    const heapBefore = process.memoryUsage().arrayBuffers;
    await putMany(space, 150, value);
    await sleep(100);
    // 30 MB were written, of which the watch has taken what fits its window and its buffer.
    const heldBytes = process.memoryUsage().arrayBuffers - heapBefore;
    assert(heldBytes < 20_000_000, `${heldBytes} bytes`);
    const seen: string[] = [];
    while (seen.length < 150) {
      const { value: batch } = await batches.next();
      assert(batch !== undefined);
      seen.push(...batch.events.map(({ kv }) => textOf(kv.key)));
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 150 }, (_, i) => `k${i}`),
    );
    await batches.return();
  });

  test('a history that is gone is an error that says where to begin', async () => {
    const client = store.client();
    const { header } = await client.put('w6', '1');
    const last = await client.put('w6', '2');
    await client.compact(last.header.revision);
    const isCompacted = (error: unknown) =>
      error instanceof CompactedError && error.compactRevision === last.header.revision;
    const { revision: startRevision } = header;
    await assert.rejects(read(client.watch(oneKey('w6'), { startRevision }), 1), isCompacted);
    const from = client.watch(oneKey('w6'), { startRevision: last.header.revision });
    assert.deepEqual(told(await read(from, 1)), ['PUT w6 2']);
  });

  test('ends when it is cancelled, by its signal and with its client', async () => {
    const client = store.client();
    const abort = new AbortController();
    const signalled = client.watch(oneKey('w7'), { signal: abort.signal });
    const cancelled = client.watch(oneKey('w7'));
    const closed = client.watch(oneKey('w7'));
    const ends = [signalled, cancelled, closed].map((watch) => read(watch, 1));
    await Promise.all([signalled, cancelled, closed].map((watch) => watch.started()));
    cancelled.cancel();
    assert.deepEqual(await ends[1], []);
    abort.abort();
    assert.deepEqual(await ends[0], []);
    client.close();
    assert.deepEqual(await ends[2], []);
    assert.deepEqual(await read(client.watch(oneKey('w7'), { signal: abort.signal }), 1), []);
  });

  test('goes on through cut connections without loss or repetition', async () => {
    const proxy = await TcpProxy.open(store.cluster.endpoints[0] ?? '');
    try {
      const watcher = store.client({ endpoints: [proxy.url] });
      const writer = store.client().namespace('w8/');
      const watch = watcher.namespace('w8/').watch(keysUnder(''));
      await watch.started();
      const reading = read(watch, 300);
      for (let at = 0; at < 300; at++) {
        await writer.put('k', String(at));
        if (at % 60 === 30) proxy.cut();
        if (at % 10 === 0) await sleep(10);
      }
      const events = told(await reading);
      assert.deepEqual(
        events,
        Array.from({ length: 300 }, (_, at) => `PUT k ${at}`),
      );
      assert(proxy.connections > 2, `${proxy.connections} connections`);
    } finally {
      await proxy.close();
    }
  });

  test('a revision that is compacted while the connection is cut is told', async () => {
    const proxy = await TcpProxy.open(store.cluster.endpoints[0] ?? '');
    try {
      const [client, writer] = [store.client({ endpoints: [proxy.url] }), store.client()];
      const watch = client.watch(oneKey('w9'));
      await watch.started();
      const reading = read(watch, 2);
      proxy.isOpen = false;
      proxy.cut();
      await writer.put('w9', '1');
      const { header } = await writer.put('w9', '2');
      await writer.compact(header.revision);
      proxy.isOpen = true;
      await assert.rejects(
        reading,
        (error) => error instanceof CompactedError && error.compactRevision === header.revision,
      );
    } finally {
      await proxy.close();
    }
  });
});
