import assert from 'node:assert/strict';
import { test } from 'node:test';
import { singleKey } from '../../../server/mvcc/key-range.ts';
import type { Store } from '../../../server/mvcc/store.ts';
import { openStore, put } from './support.ts';

const fail = (error: Error): never => {
  throw error;
};

async function openRemembering(): Promise<Store> {
  const { store } = await openStore();
  store.rememberCompactionHashes({ failed: fail, pause: async () => {} });
  return store;
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test('the hash of a compaction is that of its revision before it, whatever follows', async () => {
  const store = await openRemembering();
  for (let at = 0; at < 300; at++) put(store, `key ${at % 70}`, `v${at}`);
  const txn = store.beginWrite();
  txn.deleteRange(singleKey('key 3'));
  txn.end();
  store.compact(100);
  while (store.compactionStep());
  await settle();
  const before = await store.hashKv(250);
  store.compact(250);
  put(store, 'key 1', 'later');
  while (store.compactionStep());
  await settle();
  assert.deepEqual(
    store.compactionHashes.map(({ hashRevision, compactRevision }) => [
      hashRevision,
      compactRevision,
    ]),
    [
      [250, 100],
      [100, -1],
    ],
  );
  assert.equal(store.compactionHashes[0]?.hash, before.hash);
});

test('two stores with one history agree, however far the erasing before got', async () => {
  const hashes = [];
  for (const steps of [0, 1, 1000]) {
    const store = await openRemembering();
    for (let at = 0; at < 2000; at++) put(store, `key ${at % 700}`, `v${at}`);
    store.compact(900);
    for (let step = 0; step < steps && store.compactionStep(); step++);
    await settle();
    store.compact(1800);
    await settle();
    hashes.push(store.compactionHashes[0]);
  }
  assert.equal(hashes[0]?.hashRevision, 1800);
  assert.deepEqual(hashes[1], hashes[0]);
  assert.deepEqual(hashes[2], hashes[0]);
});

test('one that is abandoned lets its view of the state go, and leaves no hash', async () => {
  const { store, backend } = await openStore();
  let pauses = 0;
  store.rememberCompactionHashes({
    failed: fail,
    pause: () => {
      pauses++;
      return new Promise((resolve) => setImmediate(resolve));
    },
  });
  for (let at = 0; at < 5000; at++) put(store, `key ${at % 1500}`, `v${at}`);
  let held = 0;
  const pin = backend.pin.bind(backend);
  backend.pin = () => {
    const pinned = pin();
    const release = pinned.release.bind(pinned);
    held++;
    pinned.release = () => {
      held--;
      release();
    };
    return pinned;
  };
  store.compact(4000);
  assert.equal(held, 1);
  await store.abandonCompactionHash();
  assert.equal(held, 0);
  assert.equal(store.compactionHashes.length, 0);
  assert(pauses < 3, 'it stops at once');
  put(store, 'key', 'later');
  store.compact(5001);
  for (let turn = 0; turn < 20; turn++) await settle();
  assert.equal(store.compactionHashes[0]?.hashRevision, 5001);
});

test('a compaction that overtakes another leaves no hash of it; ten are remembered', async () => {
  const store = await openRemembering();
  for (let at = 0; at < 40; at++) put(store, `key ${at % 5}`, `v${at}`);
  store.compact(3);
  store.compact(5);
  await settle();
  assert.deepEqual(
    store.compactionHashes.map(({ hashRevision }) => hashRevision),
    [5],
  );
  for (let revision = 6; revision < 20; revision++) {
    store.compact(revision);
    await settle();
  }
  assert.equal(store.compactionHashes.length, 10);
  assert.equal(store.compactionHashes[0]?.hashRevision, 19);
});
