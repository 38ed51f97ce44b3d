import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FilterType, WatchCreateRequest } from '../../../server/proto/gen/rpc.ts';
import { Watching } from './watching.ts';

suite('creating a watch', () => {
  test('from now on: silent about the past, then one response per revision', () => {
    const watching = new Watching();
    watching.write('a=1');
    const client = watching.open();
    client.watch('a..c');
    watching.write('b=1', 'a=2', 'd=1');
    watching.write('d=2');
    watching.write('a');
    assert.deepEqual(client.lines(), ['#0 @2 created', '#0 @3 3:b=1 3:a=2', '#0 @5 5:-a']);
  });

  test('ranges: a key, an interval, from a key on, everything', () => {
    const watching = new Watching();
    const client = watching.open();
    for (const range of ['b', 'b..d', 'b..', '..']) client.watch(range);
    client.lines();
    for (const key of ['a', 'b', 'c', 'd']) watching.write(`${key}=1`);
    assert.deepEqual(client.lines().toSorted(), [
      '#0 @3 3:b=1',
      '#1 @3 3:b=1',
      '#1 @4 4:c=1',
      '#2 @3 3:b=1',
      '#2 @4 4:c=1',
      '#2 @5 5:d=1',
      '#3 @2 2:a=1',
      '#3 @3 3:b=1',
      '#3 @4 4:c=1',
      '#3 @5 5:d=1',
    ]);
  });

  test('an empty range is refused; so is a negative revision, and a second watch of the same id', () => {
    const client = new Watching().open();
    client.watch('b..a');
    client.watch('a..a');
    client.watch('a', { startRevision: -1 });
    client.watch('a', { watchId: 7n });
    client.watch('a', { watchId: 7n });
    assert.deepEqual(client.lines(), [
      '#-1 @1 created canceled (mvcc: watcher range is empty)',
      '#-1 @1 created canceled (mvcc: watcher range is empty)',
      '#-1 @1 created canceled (etcdserver: mvcc: required revision has been compacted)',
      '#7 @1 created',
      '#-1 @1 created canceled (mvcc: duplicate watch ID provided on the WatchStream)',
    ]);
    assert.equal(client.stream.size, 1);
  });

  test('ids are given from 0 on, past those that the client chose', () => {
    const client = new Watching().open();
    client.watch('a', { watchId: 1n });
    client.watch('a');
    client.watch('a');
    client.stream.cancel(0n);
    client.watch('a');
    client.watch('a', { watchId: -1n });
    assert.deepEqual(client.lines(), [
      '#1 @1 created',
      '#0 @1 created',
      '#2 @1 created',
      '#0 @1 canceled',
      '#3 @1 created',
      '#-1 @1 created',
    ]);
  });

  test('a revision that is not reached yet is waited for, without progress before it', () => {
    const watching = new Watching();
    const client = watching.open();
    client.watch('a', { startRevision: 4, progressNotify: true });
    watching.write('a=1');
    watching.write('a=2');
    client.stream.progress();
    client.stream.notifyProgress();
    assert.deepEqual(client.lines(), ['#0 @1 created']);
    watching.write('a=3');
    client.stream.progress();
    assert.deepEqual(client.lines(), ['#0 @4 4:a=3', '#-1 @4']);
  });

  test('filters, and what is filtered out whole is not sent', () => {
    const watching = new Watching();
    const client = watching.open();
    client.watch('..', { filters: [FilterType.NOPUT] });
    client.watch('..', { filters: [FilterType.NODELETE] });
    client.watch('..', { filters: [FilterType.NOPUT, FilterType.NODELETE] });
    client.lines();
    watching.write('a=1');
    watching.write('a', 'b=1');
    watching.settle();
    assert.deepEqual(client.lines(), ['#1 @2 2:a=1', '#0 @3 3:-a', '#1 @3 3:b=1']);
  });

  test('the previous value: of an update and a deletion, not of a creation, not when compacted', () => {
    const watching = new Watching();
    const client = watching.open();
    client.watch('a', { prevKv: true });
    client.watch('a');
    watching.write('a=1');
    watching.write('a=2');
    watching.write('a');
    watching.write('a=3');
    watching.history.compactRevision = 4;
    client.watch('a', { prevKv: true, startRevision: 4 });
    watching.settle();
    assert.deepEqual(client.lines(), [
      '#0 @1 created',
      '#1 @1 created',
      '#0 @2 2:a=1',
      '#1 @2 2:a=1',
      '#0 @3 3:a=2(was 1)',
      '#1 @3 3:a=2',
      '#0 @4 4:-a(was 2)',
      '#1 @4 4:-a',
      '#0 @5 5:a=3',
      '#1 @5 5:a=3',
      '#2 @5 created',
      '#2 @5 4:-a 5:a=3',
    ]);
  });
});

suite('history', () => {
  test('a watch from the past catches up, then goes on live without gap or repeat', () => {
    const watching = new Watching({ sliceCostMax: 4, logRevisionsMax: 3 });
    for (let i = 1; i <= 6; i += 1) watching.write(`a=${i}`);
    const client = watching.open();
    client.watch('a', { startRevision: 2 });
    assert.deepEqual(client.lines(), ['#0 @7 created']);
    watching.turn();
    watching.write('a=7');
    watching.settle();
    watching.write('a=8');
    assert.deepEqual(client.lines(), [
      '#0 @3 2:a=1 3:a=2',
      '#0 @5 4:a=3 5:a=4',
      '#0 @7 6:a=5 7:a=6',
      '#0 @8 8:a=7',
      '#0 @9 9:a=8',
    ]);
  });

  test('a compacted start is created, then canceled with the compact revision', () => {
    const watching = new Watching();
    for (let i = 1; i <= 4; i += 1) watching.write(`a=${i}`);
    watching.history.compactRevision = 4;
    const client = watching.open();
    client.watch('a', { startRevision: 3 });
    watching.settle();
    assert.deepEqual(client.lines(), ['#0 @5 created', '#0 @0 canceled compact=4']);
    client.stream.cancel(0n);
    assert.deepEqual(client.lines(), []);
  });

  test('the compact revision itself can be watched from, tombstone and all', () => {
    const watching = new Watching();
    watching.write('a=1');
    watching.write('a');
    watching.history.compactRevision = 3;
    const client = watching.open();
    client.watch('a', { startRevision: 3 });
    watching.settle();
    assert.deepEqual(client.lines(), ['#0 @3 created', '#0 @3 3:-a']);
  });

  test('many watchers of the same past are read for together', () => {
    const watching = new Watching({ logRevisionsMax: 0 });
    for (let i = 1; i <= 100; i += 1) watching.write(`a${i % 10}=${i}`);
    const client = watching.open();
    for (let i = 0; i < 1000; i += 1) client.watch(`a${i % 10}`, { startRevision: 2 });
    watching.settle();
    const events = client.received.flatMap((response) => response.events);
    assert.equal(events.length, 100 * 100);
    assert.ok(watching.history.reads < 1500, `${watching.history.reads} revisions were read`);
  });

  test('one far behind does not make one that is near wait', () => {
    const watching = new Watching({ sliceCostMax: 10, logRevisionsMax: 0 });
    for (let i = 1; i <= 1000; i += 1) watching.write(`a=${i}`);
    const client = watching.open();
    client.watch('a', { startRevision: 2 });
    client.watch('a', { startRevision: 1001 });
    watching.turn();
    watching.turn();
    assert.ok(client.lines().includes('#1 @1001 1001:a=1000'));
  });
});

suite('a slow client', () => {
  test('its cursors stop when the sink is full, and go on from history when it has drained', () => {
    const watching = new Watching({ logRevisionsMax: 1 });
    const client = watching.open(3);
    client.watch('a');
    for (let i = 1; i <= 5; i += 1) watching.write(`a=${i}`);
    watching.settle();
    assert.deepEqual(client.lines(), ['#0 @1 created', '#0 @2 2:a=1', '#0 @3 3:a=2']);
    assert.equal(watching.hub.counts.behind, 1);
    assert.ok(watching.hub.counts.pending > 0);
    client.drain();
    watching.settle();
    watching.write('a=6');
    assert.deepEqual(client.lines(), ['#0 @6 4:a=3 5:a=4 6:a=5', '#0 @7 7:a=6']);
    assert.equal(watching.hub.counts.behind, 0);
  });

  test('a compaction that overtakes it cancels it', () => {
    const watching = new Watching();
    const client = watching.open(1);
    client.watch('a');
    client.watch('b');
    watching.write('a=1');
    watching.write('a=2');
    watching.history.compactRevision = 3;
    client.finish();
    watching.write('b=1');
    assert.deepEqual(client.lines(), [
      '#0 @1 created',
      '#1 @1 created',
      '#0 @0 canceled compact=3',
      '#1 @4 4:b=1',
    ]);
  });

  test('manual progress waits until every watcher of the stream is up to date', () => {
    const watching = new Watching();
    watching.write('a=1');
    const client = watching.open();
    client.stream.progress();
    client.watch('b');
    client.stream.progress();
    client.watch('a', { startRevision: 2 });
    client.stream.progress();
    watching.settle();
    client.stream.progress();
    assert.deepEqual(client.lines(), [
      '#0 @2 created',
      '#-1 @2',
      '#1 @2 created',
      '#1 @2 2:a=1',
      '#-1 @2',
    ]);
  });

  test('progress notification: only to those who asked, and not after an event', () => {
    const watching = new Watching();
    const client = watching.open();
    client.watch('a', { progressNotify: true });
    client.watch('b');
    client.lines();
    client.stream.notifyProgress();
    watching.write('a=1');
    client.stream.notifyProgress();
    client.stream.notifyProgress();
    assert.deepEqual(client.lines(), ['#0 @1', '#0 @2 2:a=1', '#0 @2']);
  });
});

suite('the end of a watch', () => {
  test('a cancelled watch is silent; an unknown id is ignored', () => {
    const watching = new Watching();
    const client = watching.open();
    client.watch('a');
    client.watch('a', { startRevision: 1 });
    client.stream.cancel(0n);
    client.stream.cancel(1n);
    client.stream.cancel(9n);
    watching.write('a=1');
    watching.settle();
    assert.deepEqual(client.lines(), [
      '#0 @1 created',
      '#1 @1 created',
      '#0 @1 canceled',
      '#1 @1 canceled',
    ]);
  });

  test('a closed stream leaves nothing behind', () => {
    const watching = new Watching();
    const client = watching.open();
    client.watch('a');
    client.watch('a..b', { startRevision: 1 });
    client.stream.close();
    client.lines();
    watching.write('a=1');
    watching.settle();
    assert.deepEqual(client.lines(), []);
    assert.deepEqual(watching.hub.counts, { streams: 0, watchers: 0, behind: 0, pending: 0 });
  });
});

test('when a snapshot takes the place of the store, every watcher goes on without loss or repeat', () => {
  const watching = new Watching();
  const client = watching.open();
  watching.write('a=1');
  client.watch('a');
  client.watch('a', { startRevision: 2 });
  client.watch('a', { startRevision: 5 });
  client.watch('a', { startRevision: 9 });
  client.lines();
  for (let i = 2; i <= 5; i += 1) watching.history.write([{ key: 'a', value: `${i}` }]);
  watching.hub.storeReplaced(watching.history);
  watching.settle();
  watching.write('a=6');
  assert.deepEqual(client.lines().toSorted(), [
    '#0 @6 3:a=2 4:a=3 5:a=4 6:a=5',
    '#0 @7 7:a=6',
    '#1 @6 2:a=1 3:a=2 4:a=3 5:a=4 6:a=5',
    '#1 @7 7:a=6',
    '#2 @6 5:a=4 6:a=5',
    '#2 @7 7:a=6',
  ]);
});

test('an idle watch costs less than 2 KiB, an event among 10,000 disjoint prefixes a few microseconds', (t) => {
  const watching = new Watching();
  const count = 10_000;
  const sink = { send: () => true };
  const heapBefore = heapBytes();
  const streams = Array.from({ length: 100 }, () => watching.hub.openStream(sink));
  for (let i = 0; i < count; i += 1) {
    const prefix = `/registry/pods/namespace-${i}/`;
    streams[i % 100]?.create(
      WatchCreateRequest.create({
        key: Buffer.from(prefix),
        rangeEnd: Buffer.from(`${prefix.slice(0, -1)}0`),
      }),
    );
  }
  const perWatch = (heapBytes() - heapBefore) / count;
  const written = Array.from({ length: 20_000 }, (_, i) =>
    watching.history.write([{ key: `/registry/pods/namespace-${i % count}/pod`, value: `${i}` }]),
  );
  const startMs = performance.now();
  for (const entry of written) if (entry) watching.hub.publish(entry.revision, entry.events);
  const perEventUs = ((performance.now() - startMs) * 1000) / written.length;
  t.diagnostic(`${Math.round(perWatch)} bytes per idle watch`);
  t.diagnostic(`${perEventUs.toFixed(2)} us to publish one event to its watcher among ${count}`);
  assert.ok(perWatch < 2048);
  assert.ok(perEventUs < 200);
});

function heapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
