import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { keysFrom, oneKey } from '../../server/client/keys.ts';
import { eventually, isOracle, sharedStore, times, withStore } from './support.ts';

// Acceptance cases 42, 48 and 49: what watchers are told when nothing happens.

const periodMs = 200;
const flag = `--${isOracle ? 'experimental-' : ''}watch-progress-notify-interval=${periodMs}ms`;
const three = sharedStore({ size: 3, flags: [flag] });

test('42 TestConfigurableWatchProgressNotifyInterval', async () => {
  const watch = await three().at(1).watching('foo', { progressNotify: true });
  const begun = performance.now();
  for (let n = 0; n < 3; n++) {
    const { events, watchId, canceled } = await watch.next();
    assert.deepEqual([events, watchId, canceled], [[], 0n, false]);
  }
  const tookMs = performance.now() - begun;
  assert(tookMs > 2 * periodMs && tookMs < 5_000, `three in ${Math.round(tookMs)} ms`);
  watch.close();
});

test('42 TestWatchWithProgressNotify', async () => {
  const first = await three().clear();
  const api = three().at();
  const watch = api.watch();
  // One that asked for it, and one that did not.
  watch.create('foo', { progressNotify: true, startRevision: first });
  watch.create('foo', { startRevision: first });
  const told = new Map<bigint, number>();
  for (let n = 0; n < 4; ) {
    const { created, watchId, header, events } = await watch.next();
    if (created) continue;
    assert.deepEqual([header?.revision, events.length], [first, 0]);
    told.set(watchId, (told.get(watchId) ?? 0) + 1);
    n++;
  }
  assert.deepEqual([...told.keys()], [0n]);
  // An event says as much: the notice that would follow is left out.
  const busy = setInterval(() => void api.put('foo', 'x'), periodMs / 8).unref();
  await sleep(2.5 * periodMs);
  clearInterval(busy);
  const from = watch.stream.responses.findIndex(({ events }) => events.length > 0);
  const during = watch.stream.responses.slice(from).filter(({ watchId }) => watchId === 0n);
  const notices = during.filter(({ events }) => events.length === 0).length;
  assert(from > 0 && notices <= 2, `${notices} notices among ${during.length} responses`);
  watch.close();
});

test('48 TestV3WatchProgressOnMemberRestart', () =>
  withStore({ flags: [flag] }, async (store) => {
    const [member] = store.cluster.members;
    const client = new Client({ endpoints: store.cluster.endpoints });
    const abort = new AbortController();
    const seen: number[] = [];
    let notices = 0;
    const reading = (async () => {
      const options = { progressNotify: true, signal: abort.signal };
      for await (const { events } of client.watch(oneKey('foo'), options)) {
        if (events.length === 0) notices++;
        for (const { kv } of events) seen.push(kv?.modRevision ?? 0);
      }
    })();
    await sleep(2 * periodMs);
    await store.at().put('foo', 'bar1');
    await eventually(async () => assert(seen.length === 1));
    // After a notice, so that the client could go on from its revision.
    await sleep(3 * periodMs);
    await member?.stop();
    await member?.start();
    store.disconnect();
    await store.at().put('foo', 'bar2');
    await eventually(async () => assert(seen.length >= 2));
    await sleep(periodMs);
    assert.deepEqual(seen, [seen[0], (seen[0] ?? 0) + 1], 'told twice, or not at all');
    assert(notices >= 0);
    abort.abort();
    await reading;
    client.close();
  }));

test('49 TestWatchDelayForPeriodicProgressNotification', async () => {
  await three().clear();
  const api = three().at();
  for (let n = 0; n < 50; n++) await api.put(`load${n}`, 'x'.repeat(20_000));
  let isOver = false;
  const readers = times(4, async () => {
    while (!isOver) await api.range(keysFrom(''));
  });
  const watch = await api.watching('fake-key', { progressNotify: true });
  const delays: number[] = [];
  let last = performance.now();
  while (delays.length < 6) {
    await watch.next();
    delays.push(performance.now() - last - periodMs);
    last = performance.now();
  }
  isOver = true;
  await Promise.all(readers);
  const sorted = delays.toSorted((a, b) => a - b);
  console.log(`  late: ${sorted.map(Math.round).join()} ms`);
  assert((sorted[3] ?? Infinity) < 400, 'the notices come late');
  watch.close();
});
