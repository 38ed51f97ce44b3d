import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import { latin1 } from '../../../server/base/bytes.ts';
import { singleKey } from '../../../server/mvcc/key-range.ts';
import { flush, openStore, put } from './support.ts';

test('a put is read back with its revisions, at each of them', async () => {
  const { store } = await openStore();
  assert.equal(put(store, 'a', 'one'), 2);
  assert.equal(put(store, 'a', 'two'), 3);
  const now = store.range({ range: singleKey('a') });
  assert.equal(now.count, 1);
  assert.deepEqual(
    now.kvs.map((kv) => [latin1(kv.value), kv.createRevision, kv.modRevision, kv.version]),
    [['two', 2, 3, 2]],
  );
  const then = store.range({ range: singleKey('a'), revision: 2 });
  assert.deepEqual(
    then.kvs.map((kv) => latin1(kv.value)),
    ['one'],
  );
});

test('the state survives a restart', async () => {
  const disk = new MemoryDisk();
  const first = await openStore(new MemoryStore({ disk }));
  put(first.store, 'a', 'one', 7n);
  first.backend.setApplied({ index: 1, term: 1 });
  await flush(first.backend);
  const second = await openStore(new MemoryStore({ disk }));
  assert.equal(second.store.revision, 2);
  assert.equal(second.backend.applied.index, 1);
  assert.deepEqual([...second.store.takeRestoredLeases()], [['a', 7n]]);
  assert.equal(latin1(second.store.get('a')?.value ?? new Uint8Array()), 'one');
});
