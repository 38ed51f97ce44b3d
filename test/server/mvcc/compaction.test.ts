import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import { bucketRange, prefix } from '../../../server/backend/schema.ts';
import { latin1 } from '../../../server/base/bytes.ts';
import { singleKey } from '../../../server/mvcc/key-range.ts';
import type { Store } from '../../../server/mvcc/store.ts';
import { flush, type Opened, openStore, put } from './support.ts';

const everything = { start: '', end: undefined, single: false };

/** Many versions of few keys, few of many, deleted ones, one deleted exactly at the compacted revision. */
async function manyVersions(under: MemoryStore): Promise<Opened> {
  const opened = await openStore(under);
  const { backend, store } = opened;
  for (let number = 0; number < 1200; number++) put(store, 'hot', `h${number}`);
  for (let number = 0; number < 700; number++) put(store, 'doomed', `d${number}`);
  remove(store, 'doomed');
  for (let number = 0; number < 1800; number++) put(store, `key ${number % 600}`, `v${number}`);
  for (let number = 0; number < 200; number++) remove(store, `key ${number}`);
  for (let number = 0; number < 50; number++) put(store, `key ${number}`, 'again');
  remove(store, 'key 300');
  store.compact(store.revision);
  put(store, 'hot', 'newest');
  remove(store, 'key 301');
  backend.setApplied({ index: 1, term: 1 });
  await flush(backend);
  return opened;
}

function remove(store: Store, key: string): void {
  const txn = store.beginWrite();
  txn.deleteRange(singleKey(key));
  txn.end();
}

/** All that can be seen. */
async function shown(store: Store): Promise<unknown> {
  const at = (revision: number) =>
    store
      .range({ range: everything, revision })
      .kvs.map((kv) => [latin1(kv.key), latin1(kv.value), kv.createRevision, kv.version]);
  const events = [...store.readRevisions(store.compactRevision, store.revision)].map((each) => ({
    revision: each.revision,
    events: each.events.map((event) => [event.kind, event.key, event.prevKv()?.modRevision]),
  }));
  return {
    revision: store.revision,
    compactRevision: store.compactRevision,
    compacted: at(store.compactRevision),
    now: at(store.revision),
    events,
    hash: await store.hashKv(0),
  };
}

async function recordCount({ backend }: Opened): Promise<number> {
  const pinned = backend.pin();
  let count = 0;
  for await (const chunk of pinned.scan(bucketRange(prefix.revision))) count += chunk.length;
  pinned.release();
  return count;
}

async function finish(opened: Opened): Promise<number> {
  while (opened.store.compactionStep());
  await flush(opened.backend);
  assert.ok(opened.store.isCompactionIdle);
  return recordCount(opened);
}

test('a compaction cut off by a crash at any step changes nothing that can be seen, and is finished later', async () => {
  const whole = await manyVersions(new MemoryStore());
  const expected = await shown(whole.store);
  const recordsLeft = await finish(whole);
  assert.deepEqual(await shown(whole.store), expected);
  for (let steps = 0, isMore = true; isMore; steps++) {
    for (const flushesEach of [false, true]) {
      const disk = new MemoryDisk();
      const first = await manyVersions(new MemoryStore({ disk }));
      for (let step = 0; step < steps && isMore; step++) {
        isMore = first.store.compactionStep();
        if (flushesEach) await flush(first.backend);
      }
      // The process ends here; what was not flushed is lost.
      disk.crash({ uint32: () => steps * 0x1234_5678 });
      const second = await openStore(new MemoryStore({ disk }));
      assert.deepEqual(await shown(second.store), expected, `after ${steps} steps`);
      assert.equal(await finish(second), recordsLeft);
      const third = await openStore(new MemoryStore({ disk }));
      assert.deepEqual(await shown(third.store), expected);
      assert.ok(third.store.isCompactionIdle);
    }
  }
});

test('the revision does not go back when a compaction leaves nothing', async () => {
  const disk = new MemoryDisk();
  const first = await openStore(new MemoryStore({ disk }));
  put(first.store, 'a', '1');
  remove(first.store, 'a');
  put(first.store, 'b', '1');
  remove(first.store, 'b');
  first.store.compact(5);
  await finish(first);
  put(first.store, 'c', '1');
  remove(first.store, 'c');
  first.store.compact(7);
  assert.equal(await finish(first), 1, 'the tombstone at the compacted revision');
  const second = await openStore(new MemoryStore({ disk }));
  assert.equal(second.store.revision, 7);
  assert.equal(put(second.store, 'd', '1'), 8);
});

test('a compaction that comes while another is at work is done after it; both are told', async () => {
  const opened = await openStore();
  const { store } = opened;
  for (let number = 0; number < 2000; number++) put(store, `key ${number % 50}`, `v${number}`);
  const ended: string[] = [];
  store.compact(1000, () => ended.push('first'));
  store.compactionStep();
  store.compact(1500, () => ended.push('second'));
  store.compact(2000, () => ended.push('third'));
  assert.equal(await finish(opened), 51);
  assert.deepEqual(ended, ['first', 'second', 'third']);
});

test('a compaction asks for batches by itself, and waits for them', async () => {
  const ends: (() => void)[] = [];
  const opened = await openStore(
    new MemoryStore({ disk: new MemoryDisk(), schedule: (end) => ends.push(end) }),
  );
  const { backend, store } = opened;
  for (let number = 0; number < 40_000; number++) put(store, `key ${number % 10}`, 'v');
  let isDurable = false;
  backend.setApplied({ index: 1, term: 1 });
  backend.flush(() => {
    isDurable = true;
  });
  while (!isDurable) ends.shift()?.();
  store.compact(store.revision);
  while (store.compactionStep());
  assert.ok(ends.length > 0);
  for (let end = ends.shift(); end !== undefined; end = ends.shift()) end();
  assert.equal(backend.isDirty, false);
});
