import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { StateDamagedError } from '../../../server/backend/damage.ts';
import { MemoryStore } from '../../../server/backend/memory.ts';
import { latin1 } from '../../../server/base/bytes.ts';
import {
  encodeMemberSnapshot,
  receiveMemberSnapshot,
  SnapshotError,
} from '../../../server/snapshot/member-snapshot.ts';
import { storeKinds } from '../backend/support.ts';
import { flush, type Opened, openStore, put } from '../mvcc/support.ts';

const clusterId = 0xcafe_f00d_dead_beefn;

/** Some of it durable, some not yet; keys deleted, overwritten and compacted. */
async function someState(keys: number): Promise<Opened> {
  const opened = await openStore();
  const { backend, store } = opened;
  let index = 0;
  const applied = () => backend.setApplied({ index: ++index, term: 3 });
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < keys; number++) {
      put(store, `key ${number}`, `value ${round} of ${number}`, BigInt(number % 3));
      applied();
    }
    if (round === 0) await flush(backend);
  }
  const txn = store.beginWrite();
  txn.deleteRange({ start: 'key 1', end: 'key 2', single: false });
  txn.end();
  store.compact(store.revision - 3);
  applied();
  while (store.compactionStep());
  return opened;
}

async function encoded({ backend }: Opened): Promise<Buffer> {
  const pinned = backend.pin();
  const chunks: Uint8Array[] = [];
  for await (const chunk of encodeMemberSnapshot(pinned, { clusterId })) chunks.push(chunk);
  pinned.release();
  return Buffer.concat(chunks);
}

async function* piecesOf(bytes: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

for (const kind of storeKinds) {
  test(`${kind.name}: a state arrives whole, whatever the pieces it comes in`, async () => {
    const sender = await someState(3000);
    const bytes = await encoded(sender);
    for (const pieceBytes of [bytes.length, 65_536, 1009]) {
      const place = kind.make();
      const into = await place.open();
      const chunks = piecesOf(bytes, pieceBytes);
      const { applied } = await receiveMemberSnapshot({ store: into, chunks, clusterId });
      assert.deepEqual(applied, sender.backend.applied);
      await into.close();
      const receiver = await openStore(await place.open());
      assert.deepEqual(receiver.backend.applied, sender.backend.applied);
      assert.equal(receiver.store.revision, sender.store.revision);
      assert.equal(receiver.store.compactRevision, sender.store.compactRevision);
      assert.deepEqual(await receiver.store.hashKv(0), await sender.store.hashKv(0));
      assert.equal(latin1(receiver.store.get('key 5')?.value ?? Buffer.of()), 'value 1 of 5');
      await receiver.backend.close();
      place.remove();
    }
  });
}

test('the view that is sent stays as it was while others write', async () => {
  const sender = await someState(2500);
  const { hash } = await sender.store.hashKv(0);
  const pinned = sender.backend.pin();
  const { index } = pinned.applied;
  const chunks = encodeMemberSnapshot(pinned, { clusterId });
  async function* whileWriting(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      put(sender.store, 'key 7', 'later');
      sender.backend.setApplied({ index: sender.backend.applied.index + 1, term: 3 });
      await flush(sender.backend);
      yield chunk;
    }
  }
  const into = new MemoryStore();
  await receiveMemberSnapshot({ store: into, chunks: whileWriting(), clusterId });
  const receiver = await openStore(into);
  assert.equal(receiver.backend.applied.index, index);
  assert.equal((await receiver.store.hashKv(0)).hash, hash);
});

test('a snapshot cut off or changed anywhere is refused, and what it left is no state', async () => {
  const bytes = await encoded(await someState(20));
  const receive = async (damaged: Uint8Array) => {
    const store = new MemoryStore();
    const chunks = piecesOf(damaged, 4096);
    await assert.rejects(receiveMemberSnapshot({ store, chunks, clusterId }), SnapshotError);
    return store;
  };
  for (let size = 0; size < bytes.length; size += 7) await receive(bytes.subarray(0, size));
  for (let at = 0; at < bytes.length; at++) {
    // The head's index and term are only vouched for at the end.
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
    const store = await receive(damaged);
    for await (const _chunk of store.scan({})) {
      await assert.rejects(openStore(store), StateDamagedError);
      break;
    }
  }
});

test('a snapshot of another cluster is refused', async () => {
  const bytes = await encoded(await someState(3));
  const chunks = piecesOf(bytes, 4096);
  await assert.rejects(
    receiveMemberSnapshot({ store: new MemoryStore(), chunks, clusterId: 1n }),
    /another cluster/,
  );
});
