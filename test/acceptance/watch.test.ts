import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import { Client } from '../../server/client/client.ts';
import { keysBetween, keysFrom, keysUnder, oneKey } from '../../server/client/keys.ts';
import {
  FilterType,
  KV,
  type WatchCreateRequest,
  type WatchResponse,
} from '../../server/proto/gen/rpc.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { needs } from '../support/tools.ts';
import { withDividedStore } from './divided-store.ts';
import {
  Api,
  eventTexts,
  eventually,
  isOracle,
  pair,
  putOp,
  putRequest,
  sharedStore,
  times,
  type Watching,
  withStore,
} from './support.ts';

// Acceptance cases 31 to 50: watch. Those about the periodic notification of progress are in watch-progress.test.ts.

const three = sharedStore({ size: 3 });

const fooPrefix = keysUnder('foo');

/** A revision that is over, after which nothing of a test before comes: a watcher from there has to catch up. */
async function past(): Promise<number> {
  await three().clear();
  return three().at().putRevision('past');
}

test('31 TestWatch', needs('etcdctl'), async () => {
  await three().clear();
  const ctl = new Etcdctl(three().cluster);
  const api = three().at();
  const revision = await api.putRevision('sample', 'value');
  await api.put('sample/a', '1');
  await api.put('other', '2');
  await api.delete('sample');
  for (const [args, lines] of [
    [['sample'], ['PUT', 'sample', 'value', 'DELETE', 'sample', '']],
    [
      ['sample', '--prefix'],
      ['PUT', 'sample', 'value', 'PUT', 'sample/a', '1', 'DELETE', 'sample', ''],
    ],
    [
      ['sample/', 'sample0'],
      ['PUT', 'sample/a', '1'],
    ],
    [
      ['sample', '--prev-kv'],
      ['PUT', 'sample', 'value', 'DELETE', 'sample', 'value', 'sample', ''],
    ],
  ] as const) {
    const watch = ctl.start(['watch', ...args, '--rev', String(revision)]);
    assert.deepEqual(await watch.lines(lines.length), lines);
    watch.interrupt();
    await watch.finished();
  }
});

test('32 TestV3WatchFromCurrentRevision', async () => {
  const none = keysBetween('helloworld', 'helloworle');
  for (const [puts, keys, seen] of [
    [['foo'], oneKey('foo'), 1],
    [['foo'], oneKey('helloworld'), 0],
    [['fooLong'], fooPrefix, 1],
    [['foo'], none, 0],
    [['fooLong'], { key: Buffer.alloc(0), rangeEnd: Buffer.of(0) }, 1],
    [['foo', 'foo', 'foo'], oneKey('foo'), 3],
    [['foo', 'foo', 'foo'], fooPrefix, 3],
  ] as const) {
    const first = await three().clear();
    await three().caughtUp();
    const watch = three().at(1).watch();
    watch.create(keys);
    const created = await watch.next();
    assert.deepEqual(
      [created.created, created.canceled, created.header?.revision],
      [true, false, first],
    );
    for (const [n, key] of puts.entries())
      await three()
        .at(n % 3)
        .put(key, 'bar');
    for (let n = 1; n <= seen; n++) {
      const { header, watchId, events } = await watch.next();
      assert.deepEqual([header?.revision, watchId], [first + n, created.watchId]);
      const [{ kv } = { kv: undefined }] = events;
      assert(kv !== undefined && events.length === 1);
      assert.deepEqual(
        [pair(kv), kv.createRevision, kv.modRevision, kv.version],
        [`${puts[0]}=bar`, first + 1, first + n, n],
      );
    }
    await watch.silent();
    watch.close();
  }
});

test('33 TestV3WatchFutureRevision', async () => {
  const first = await three().clear();
  const api = three().at();
  const startRevision = first + 9;
  const watch = await api.watching('foo', { startRevision });
  for (let n = 1; n < 9; n++) await api.put('foo', 'early');
  await watch.silent(50);
  assert.equal(await api.putRevision('foo', 'bar'), startRevision);
  const response = await watch.next();
  assert.deepEqual(
    [response.header?.revision, eventTexts(response), response.events[0]?.kv?.modRevision],
    [startRevision, ['put foo=bar'], startRevision],
  );
  watch.close();
});

test('34 TestV3WatchWrongRange', async () => {
  const watch = three().at().watch();
  for (const [key, end, isRefused] of [
    ['a', 'a', true],
    ['b', 'a', true],
    ['foo', '\0', false],
  ] as const) {
    watch.create(keysBetween(key, end));
    const { created, canceled, watchId, cancelReason } = await watch.next();
    assert.deepEqual(
      [created, canceled, watchId, cancelReason],
      isRefused ? [true, true, -1n, 'mvcc: watcher range is empty'] : [true, false, 0n, ''],
    );
  }
  watch.close();
});

for (const [name, startRevision] of [
  ['35 TestV3WatchCancelSynced', 0],
  ['35 TestV3WatchCancelUnsynced', 1],
] as const) {
  test(name, async () => {
    await three().clear();
    const api = three().at();
    await api.put('foo', 'old');
    // From the first revision that is still there.
    const from = startRevision === 0 ? 0 : await api.revision();
    const watch = await api.watching('bar', { startRevision: from });
    watch.cancel(0n);
    const { canceled, watchId, cancelReason } = await watch.next();
    assert.deepEqual([canceled, watchId, cancelReason], [true, 0n, '']);
    await api.put('bar', 'new');
    await watch.silent();
    watch.close();
  });
}

for (const [name, isSynced] of [
  ['36 TestV3WatchMultipleWatchersSynced', true],
  ['36 TestV3WatchMultipleWatchersUnsynced', false],
] as const) {
  test(name, async () => {
    const startRevision = isSynced ? 0 : await past();
    const api = three().at();
    const watch = api.watch();
    for (let n = 0; n < 4; n++) watch.create('foo', { startRevision });
    watch.create(keysBetween('fo', 'fp'), { startRevision });
    const ids = new Set<bigint>();
    for (let n = 0; n < 5; n++) {
      const { created, watchId } = await watch.next();
      assert(created);
      ids.add(watchId);
    }
    assert.deepEqual([...ids], [0n, 1n, 2n, 3n, 4n]);
    await api.put('foo', 'bar');
    for (let n = 0; n < 5; n++) {
      const response = await watch.next();
      assert(ids.delete(response.watchId), `${response.watchId} was told before, or is not known`);
      assert.deepEqual(eventTexts(response), ['put foo=bar']);
    }
    await api.put('fo', 'bar');
    const last = await watch.next();
    assert.deepEqual([last.watchId, eventTexts(last)], [4n, ['put fo=bar']]);
    await watch.silent();
    watch.close();
  });
}

for (const [name, isSynced] of [
  ['36 TestV3WatchMultipleStreamsSynced', true],
  ['36 TestV3WatchMultipleStreamsUnsynced', false],
] as const) {
  test(name, async () => {
    const startRevision = isSynced ? 0 : await past();
    const api = three().at();
    const watches = await Promise.all(times(5, () => api.watching('foo', { startRevision })));
    const revision = await api.putRevision('foo', 'bar');
    for (const watch of watches) {
      const response = await watch.next();
      assert.equal(response.watchId, 0n);
      assert.deepEqual(eventTexts(response), ['put foo=bar']);
      assert.equal(response.events[0]?.kv?.modRevision, revision);
    }
    await Promise.all(watches.map((watch) => watch.silent()));
    for (const watch of watches) watch.close();
  });
}

for (const [name, isSynced] of [
  ['37 TestV3WatchMultipleEventsTxnSynced', true],
  ['37 TestV3WatchMultipleEventsTxnUnsynced', false],
] as const) {
  test(name, async () => {
    const startRevision = isSynced ? 0 : await past();
    const api = three().at();
    const watch = await api.watching(fooPrefix, { startRevision });
    await api.txn({ success: times(3, (n) => putOp(`foo${2 - n}`, 'bar')) });
    // All of one revision in one response, in the order of the operations.
    assert.deepEqual(eventTexts(await watch.next()), [
      'put foo2=bar',
      'put foo1=bar',
      'put foo0=bar',
    ]);
    await watch.silent();
    watch.close();
  });
}

test('37 TestV3WatchMultipleEventsPutUnsynced', async () => {
  const startRevision = await past();
  const api = three().at();
  await api.put('foo0', '1');
  await api.put('foo1', '1');
  const watch = await api.watching(fooPrefix, { startRevision });
  await api.put('foo0', '2');
  await api.put('foo1', '2');
  assert.deepEqual(await watch.events(4), ['put foo0=1', 'put foo1=1', 'put foo0=2', 'put foo1=2']);
  await watch.silent();
  watch.close();
});

test('38 TestV3WatchCurrentPutOverlap', async () => {
  const first = await three().clear();
  await three().caughtUp();
  const last = first + 31;
  const puts = Promise.all(
    times(31, (n) =>
      three()
        .at(n % 3)
        .put('foo', 'bar'),
    ),
  );
  const watch = three().at(1).watch();
  /** The revision that each watcher must see next. */
  const wanted = new Map<bigint, number>();
  watch.create(fooPrefix);
  let isComplete = false;
  while (!isComplete || [...wanted.values()].some((revision) => revision <= last)) {
    const { created, watchId, header, events } = await watch.next();
    if (created) {
      const revision = header?.revision ?? 0;
      wanted.set(watchId, revision + 1);
      // The next one while more is put, until there is no more to come.
      if (revision === last) isComplete = true;
      else watch.create(fooPrefix);
      continue;
    }
    for (const { kv } of events) {
      assert.equal(kv?.modRevision, wanted.get(watchId), `watcher ${watchId}`);
      wanted.set(watchId, (kv?.modRevision ?? 0) + 1);
    }
  }
  await puts;
  await watch.silent();
  watch.close();
});

test('39 TestV3WatchEmptyKey', async () => {
  const first = await three().clear();
  const watch = await three().at().watching('foo');
  await three().at().put('foo', '');
  const { events } = await watch.next();
  const [event] = events;
  assert.deepEqual(eventTexts({ events }), ['put foo=']);
  assert.deepEqual(
    [event?.kv?.createRevision, event?.kv?.modRevision, event?.kv?.version],
    [first + 1, first + 1, 1],
  );
  watch.close();
});

test('40 TestV3WatchWithFilter', async () => {
  await three().clear();
  const api = three().at();
  const watch = await api.watching('foo', { filters: [FilterType.NOPUT] });
  await api.put('foo', '');
  await watch.silent(100);
  await api.delete('foo');
  assert.deepEqual(await watch.events(1), ['delete foo']);
  const other = await api.watching('foo', { filters: [FilterType.NODELETE] });
  await api.put('foo', '1');
  await api.delete('foo');
  await api.put('foo', '2');
  assert.deepEqual(await other.events(2), ['put foo=1', 'put foo=2']);
  watch.close();
  other.close();
});

test('40 TestV3WatchWithPrevKV', async () => {
  await three().clear();
  const api = three().at();
  for (const [key, keys] of [
    ['foo', fooPrefix],
    ['/abc', keysBetween('/abc', '/abd')],
  ] as const) {
    await api.put(key, 'first');
    const watch = await api.watching(keys, { prevKv: true });
    await api.put(key, 'second');
    await api.delete(key);
    await api.put(key, 'third');
    const prev: Array<string | undefined> = [];
    while (prev.length < 3) {
      for (const { prevKv } of (await watch.next()).events) prev.push(prevKv && pair(prevKv));
    }
    assert.deepEqual(prev, [`${key}=first`, `${key}=second`, undefined]);
    watch.close();
  }
});

test('41 TestWatchRequestProgress', async () => {
  for (const watchers of [1, 2]) {
    await three().clear();
    const api = three().at();
    const watch = api.watch();
    for (let n = 0; n < watchers; n++) {
      watch.create(keysUnder('/'));
      await watch.next();
    }
    await api.put('/a', '1');
    await watch.events(watchers);
    // A revision that no watcher sees.
    const revision = await api.putRevision('x', '1');
    watch.requestProgress();
    const { watchId, header, events } = await watch.next();
    assert.deepEqual([watchId, header?.revision, events.length], [-1n, revision, 0]);
    await watch.silent(50);
    watch.close();
  }
});

test('41 TestV3WatchProgressWaitsForSync', async () => {
  const first = await three().clear();
  const api = three().at();
  const count = 1_001;
  await Promise.all(times(count, (n) => api.put('foo', `bar${n}`)));
  const watch = api.watch();
  watch.create('foo', { startRevision: first });
  watch.requestProgress();
  let [seen, next] = [0, first + 1];
  while (seen < count) {
    const response = await watch.next();
    if (response.created) continue;
    // No progress before the events that it would be after.
    assert.notEqual(response.watchId, -1n, `progress after ${seen} events`);
    for (const { kv } of response.events) assert.equal(kv?.modRevision, next++);
    seen += response.events.length;
  }
  watch.requestProgress();
  const progress = await watch.next();
  assert.deepEqual([progress.watchId, progress.header?.revision], [-1n, first + count]);
  watch.close();
});

test('41 TestV3WatchProgressWaitsForSyncNoEvents', async () => {
  await three().clear();
  const api = three().at();
  const startRevision = await api.putRevision('bar', '1');
  const watch = await api.watching('foo', { startRevision });
  watch.requestProgress();
  const asking = setInterval(() => watch.requestProgress(), 100).unref();
  const { watchId, header } = await watch.next();
  clearInterval(asking);
  assert.deepEqual([watchId, header?.revision], [-1n, startRevision]);
  watch.close();
});

test('43 TestWatchCompactRevision', async () => {
  const first = await three().clear();
  const api = three().at();
  for (let n = 0; n < 5; n++) await api.put('foo', 'bar');
  await api.compact(first + 3);
  const watch = await api.watching('foo', { startRevision: first + 1 });
  const { canceled, compactRevision, events } = await watch.next();
  assert.deepEqual([canceled, compactRevision, events], [true, first + 3, []]);
  await watch.silent();
  // The revision of the compaction itself is still there.
  const kept = await api.watching('foo', { startRevision: first + 3 });
  assert.equal((await kept.events(3)).length, 3);
  watch.close();
  kept.close();
});

test('43 TestWatchResumeCompacted', () =>
  withStore({ size: 3 }, async (store) => {
    const [watched, asked] = store.cluster.members;
    assert(watched !== undefined && asked !== undefined);
    const client = new Client({ endpoints: [watched.clientUrl] });
    const abort = new AbortController();
    const seen: number[] = [];
    const reading = (async () => {
      for await (const { events } of client.watch(oneKey('foo'), {
        startRevision: 1,
        signal: abort.signal,
      })) {
        for (const { kv } of events) seen.push(kv?.modRevision ?? 0);
      }
    })();
    const ended = reading.then(
      () => undefined,
      (error: unknown) => String(error),
    );
    const first = await store.of(asked).revision();
    await watched.stop();
    await eventually(() => store.of(asked).put('foo', 'bar'));
    for (let n = 1; n < 5; n++) await store.of(asked).put('foo', 'bar');
    await store.of(asked).compact(first + 2);
    await watched.start();
    // Either all of it, or nothing and the reason.
    await eventually(async () => {
      if (seen.length < 5) assert.match((await ended) ?? '', /compacted/);
    });
    assert.deepEqual(seen, seen.length === 5 ? times(5, (n) => first + 1 + n) : []);
    abort.abort();
    client.close();
  }));

test('43 TestV3NoEventsLostOnCompact', async () => {
  const first = await three().clear();
  const api = three().at();
  const watch = await api.watching('foo', { prevKv: true });
  // Not read while it is written, more than what lies in buffers, and compacted behind its back.
  const value = 'x'.repeat(64 * 1024);
  const count = 150;
  watch.stream.pause();
  for (let n = 0; n < count; n += 10) {
    await Promise.all(times(10, () => api.put('foo', value)));
  }
  await api.compact(first + count);
  watch.stream.resume();
  let next = first + 1;
  let end: WatchResponse | undefined;
  while (end === undefined && next <= first + count) {
    const response = await watch.next();
    if (response.canceled) end = response;
    // What is told has no gap, up to the end or to the compaction.
    for (const { kv } of response.events) assert.equal(kv?.modRevision, next++);
  }
  assert.equal(end?.compactRevision ?? first + count, first + count);
  watch.close();
});

for (const isTombstone of [true, false]) {
  const kind = isTombstone ? 'a deletion' : 'a put';
  test(`44 TestStartWatcherFromCompactedRevision, ${kind}`, async () => {
    const first = await three().clear();
    const api = three().at();
    const wanted: string[] = [];
    const compactions: number[] = [];
    for (let n = 1; n <= 49; n++) {
      const deletes = isTombstone && n % 7 === 0;
      const { header } = deletes ? await api.delete('foo') : await api.put('foo', String(n));
      wanted.push(deletes ? 'delete foo' : `put foo=${n}`);
      if (n % 7 !== 0) continue;
      const startRevision = header?.revision ?? 0;
      await api.compact(startRevision, true);
      compactions.push(startRevision);
      const watch = await api.watching('foo', { startRevision });
      // What was compacted just here is still told.
      const [text] = await watch.events(1);
      assert.equal(text, wanted.at(-1));
      watch.close();
    }
    assert.equal(compactions.at(-1), first + 49);
  });
}

test('44 TestDeleteEventDrop_Issue18089', async () => {
  await three().clear();
  const api = three().at();
  for (const value of ['v2', 'v3', 'v4']) await api.put('k', value);
  const startRevision = (await api.delete('k')).header?.revision ?? 0;
  await api.put('k', 'v6');
  await api.compact(startRevision, true);
  const watch = await api.watching('k', { startRevision });
  assert.deepEqual(await watch.events(2), ['delete k', 'put k=v6']);
  watch.close();
});

for (const [name, fragment] of [
  ['45 TestWatchFragmentDisable', false],
  ['45 TestWatchFragmentEnable', true],
] as const) {
  test(name, async () => {
    const first = await three().clear();
    const api = three().at();
    const value = 'a'.repeat(1024 * 1024);
    await Promise.all(
      times(10, (n) =>
        three()
          .at(n % 3)
          .put(`foo${n}`, value),
      ),
    );
    const watch = await api.watching(fooPrefix, { startRevision: first + 1, fragment });
    const keys: string[] = [];
    let isCut = false;
    while (keys.length < 10 || isCut) {
      const response = await watch.next();
      for (const { kv } of response.events) keys.push(latin1(kv?.key ?? Buffer.alloc(0)));
      isCut = response.fragment;
      assert(!isCut || fragment, 'a fragment that nobody asked for');
      // Below what a client must be ready to take, the limit of a request and 512 KiB: one of these events.
      assert(!fragment || response.events.length <= 1, `${response.events.length} events at once`);
    }
    assert.deepEqual(
      keys.toSorted(),
      times(10, (n) => `foo${n}`),
    );
    await watch.silent(50);
    watch.close();
  });
}

test('45 TestWatchFragmentDisableWithGRPCLimit, TestWatchFragmentEnableWithGRPCLimit', async () => {
  const first = await three().clear();
  const value = 'a'.repeat(1024 * 1024);
  // Two in one revision, so that they are one response where it is not cut.
  const both = KV.methods.txn.request.create({
    success: times(2, (n) => putOp(`foo${n}`, value.slice(0, 700_000))),
  });
  await three().at().call(KV.methods.txn, both);
  for (const [fragment, prevKv] of [
    [true, true],
    [false, false],
  ] as const) {
    const more: Partial<WatchCreateRequest> = { startRevision: first + 1, fragment, prevKv };
    const watch = await three().at().watching(fooPrefix, more);
    assert.equal((await watch.events(2)).length, 2);
    watch.close();
  }
});

test('46 TestWatchWithCreatedNotification', async () => {
  const watch = three().at().watch();
  watch.create('a');
  const { created, events } = await watch.next();
  assert.deepEqual([created, events], [true, []]);
  watch.close();
});

test('46 TestWatchWithCreatedNotificationDropConn, TestWatchResumeAfterDisconnect', async () => {
  await three().clear();
  const api = three().at();
  const bridge = await TcpProxy.open(three().cluster.member(0).clientUrl);
  const client = new Client({ endpoints: [bridge.url] });
  const abort = new AbortController();
  const seen: string[] = [];
  const startRevision = (await api.revision()) + 1;
  const reading = (async () => {
    for await (const { events } of client.watch(oneKey('a'), {
      startRevision,
      signal: abort.signal,
    })) {
      seen.push(...eventTexts({ events }));
    }
  })();
  const wanted: string[] = [];
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 3; n++) {
      await api.put('a', `${round}.${n}`);
      wanted.push(`put a=${round}.${n}`);
      if (n === 1) bridge.cut();
    }
    await eventually(async () => {
      assert(seen.length >= wanted.length);
    });
  }
  // Neither lost nor told twice.
  assert.deepEqual(seen, wanted);
  abort.abort();
  await reading;
  client.close();
  await bridge.close();
});

test('47 TestV3WatchRestoreSnapshotUnsync', async () => {
  const catchUp = isOracle ? ['--experimental-snapshot-catchup-entries=5'] : [];
  const flags = ['--snapshot-count=10', ...catchUp];
  await withDividedStore({ size: 3, flags }, async (store) => {
    const [slow, asked] = await store.followers();
    assert(slow !== undefined && asked !== undefined);
    const first = await store.of(slow).putRevision('bar', '1');
    const watch = await store.of(slow).watching('foo', { startRevision: first + 3 });
    const fromNow = await store.of(slow).watching('foo');
    store.divide([slow]);
    for (let n = 0; n < 60; n++) await store.of(asked).put('foo', `bar${n}`);
    store.heal();
    // It gets the state of another member, because the log has gone on without it, and what it has missed is told.
    assert.deepEqual(
      await watch.events(58),
      times(58, (n) => `put foo=bar${n + 2}`),
    );
    assert.equal((await fromNow.events(60)).length, 60);
    const received = isOracle ? 'received and saved database snapshot' : 'snapshot';
    assert(slow.log.includes(received), 'no snapshot was received');
    await watch.silent();
  });
});

const loadMs = 1_500;
const periodMs = 100;

/** Readers of everything, four at a time, while `body` runs. */
async function underReadLoad(api: Api, body: () => Promise<void>): Promise<void> {
  for (let n = 0; n < 50; n++) await api.put(`load${n}`, 'x'.repeat(20_000));
  let isOver = false;
  const readers = times(4, async () => {
    const reader = new Api(three().cluster.member(0).clientUrl);
    while (!isOver) await reader.range(keysFrom(''));
    reader.close();
  });
  await body();
  isOver = true;
  await Promise.all(readers);
}

/** How long after another responses came, but for the period: upstream wants 150 ms at most, on a machine of its own. */
async function checkDelays(watch: Watching, ended: () => boolean): Promise<void> {
  const delays: number[] = [];
  let last = performance.now();
  while (!ended()) {
    await watch.next();
    const now = performance.now();
    delays.push(now - last - periodMs);
    last = now;
  }
  const sorted = delays.toSorted((a, b) => a - b);
  const [median = 0, worst = 0] = [sorted[sorted.length >> 1], sorted.at(-1)];
  console.log(
    `  ${delays.length} responses, ${Math.round(median)} ms late, at most ${Math.round(worst)}`,
  );
  assert(delays.length > 3);
  assert(median < 400 && worst < 3_000, `late: ${sorted.map(Math.round).join()}`);
}

test('49 TestWatchDelayForEvent', async () => {
  await three().clear();
  const api = three().at();
  await underReadLoad(api, async () => {
    const watch = await api.watching('key');
    const end = performance.now() + loadMs;
    const ended = (): boolean => performance.now() > end;
    const writing = (async () => {
      for (let n = 0; !ended(); n++) {
        await api.put('key', String(n));
        await sleep(periodMs);
      }
      // So that whoever waits for one more gets it.
      await api.put('key', 'end');
    })();
    await checkDelays(watch, ended);
    await writing;
    watch.close();
  });
});

test('49 TestWatchDelayForManualProgressNotification', async () => {
  await three().clear();
  const api = three().at();
  await underReadLoad(api, async () => {
    const watch = await api.watching('fake-key');
    const end = performance.now() + loadMs;
    const asking = setInterval(() => watch.requestProgress(), periodMs).unref();
    await checkDelays(watch, () => performance.now() > end);
    clearInterval(asking);
    watch.close();
  });
});

const quick = { flags: ['--heartbeat-interval=50', '--election-timeout=500'] };
const noLeader = '14 etcdserver: no leader';

test('50 TestWatchWithRequireLeader, TestGRPCStreamRequireLeader, TestGRPCRequireLeader', () =>
  withStore({ size: 3, ...quick }, async (store) => {
    const [alone, ...others] = store.cluster.members;
    assert(alone !== undefined);
    const api = new Api(alone.clientUrl, { hasleader: 'true' });
    await api.put('foo', 'bar');
    const watch = await api.watching('foo');
    const patient = await store.of(alone).watching('foo');
    await Promise.all(others.map((member) => member.stop()));
    // The open stream ends once the leader has been missed for three election timeouts.
    const end = await watch.stream.ended();
    assert(end.kind === 'error');
    assert.equal(`${end.code} ${end.message}`, noLeader);
    // New streams and calls are refused at once.
    const late = await api.watch().stream.ended();
    assert(late.kind === 'error');
    assert.equal(`${late.code} ${late.message}`, noLeader);
    const begun = performance.now();
    assert.equal(await api.refusal(KV.methods.put, putRequest('foo', 'bar')), noLeader);
    assert(performance.now() - begun < 1_000);
    // Without the header a watch stays, and tells what is there already.
    const old = await store.of(alone).watching('foo', { startRevision: 1 });
    assert.deepEqual(await old.events(1), ['put foo=bar']);
    assert.equal(patient.stream.end, undefined);
    await Promise.all(others.map((member) => member.start()));
    await eventually(() => api.put('foo', 'again'));
    const again = await api.watching('foo');
    again.close();
    api.close();
  }));
