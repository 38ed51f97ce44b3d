import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type {
  OrderedStore,
  StoreOp,
  StoreRange,
  StoreScan,
} from '../../../server/backend/ordered-store.ts';
import { compareBytes, fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { type StoreKind, storeKinds, write } from './support.ts';

async function withStore(
  kind: StoreKind,
  use: (store: OrderedStore, reopen: () => Promise<OrderedStore>) => Promise<void>,
): Promise<void> {
  const place = kind.make();
  let store = await place.open();
  try {
    await use(store, async () => {
      await store.close();
      store = await place.open();
      return store;
    });
  } finally {
    await store.close();
    place.remove();
  }
}

const putOf = (key: string, value: string): StoreOp => ({
  kind: 'put',
  key: fromLatin1(key),
  value: fromLatin1(value),
});

const deleteOf = (key: string): StoreOp => ({ kind: 'delete', key: fromLatin1(key) });

async function all(scan: StoreScan): Promise<[string, string][]> {
  const records: [string, string][] = [];
  for await (const chunk of scan) {
    assert.ok(chunk.length > 0);
    for (const [key, value] of chunk) records.push([latin1(key), latin1(value)]);
  }
  return records;
}

function rangeOf(gte: string | undefined, lt: string | undefined): StoreRange {
  return {
    ...(gte === undefined ? {} : { gte: fromLatin1(gte) }),
    ...(lt === undefined ? {} : { lt: fromLatin1(lt) }),
  };
}

for (const kind of storeKinds) {
  test(`${kind.name}: what was written is read, also after it was opened again`, () =>
    withStore(kind, async (store, reopen) => {
      assert.equal(store.get(fromLatin1('a')), undefined);
      await write(store, [putOf('a', '1'), putOf('b', ''), putOf('\0\xff', '\xff')]);
      await write(store, [deleteOf('a'), deleteOf('nothing'), putOf('c', '3')]);
      assert.deepEqual(await store.hasMany(['a', 'b', 'c'].map(fromLatin1)), [false, true, true]);
      const expected = [
        ['\0\xff', '\xff'],
        ['b', ''],
        ['c', '3'],
      ];
      assert.deepEqual(await all(store.scan({})), expected);
      const again = await reopen();
      assert.deepEqual(await all(again.scan({})), expected);
      assert.equal(latin1(again.get(fromLatin1('c')) ?? new Uint8Array()), '3');
      assert.equal(again.suspicion, undefined);
    }));

  test(`${kind.name}: the later operation of a batch counts`, () =>
    withStore(kind, async (store) => {
      await write(store, [
        putOf('a', '1'),
        deleteOf('a'),
        putOf('b', '1'),
        deleteOf('b'),
        putOf('b', '2'),
      ]);
      assert.deepEqual(await all(store.scan({})), [['b', '2']]);
    }));

  test(`${kind.name}: done comes later, in order`, () =>
    withStore(kind, async (store) => {
      const seen: string[] = [];
      const first = write(store, [putOf('a', '1')]).then(() => seen.push('durable'));
      seen.push('written');
      await first;
      assert.deepEqual(seen, ['written', 'durable']);
    }));

  test(`${kind.name}: a pinned view stays as it was`, () =>
    withStore(kind, async (store) => {
      await write(store, [putOf('a', '1'), putOf('b', '1')]);
      const pinned = store.pin();
      await write(store, [putOf('a', '2'), deleteOf('b'), putOf('c', '2')]);
      assert.deepEqual(await all(pinned.scan({})), [
        ['a', '1'],
        ['b', '1'],
      ]);
      assert.equal(latin1(pinned.get(fromLatin1('b')) ?? new Uint8Array()), '1');
      assert.equal(pinned.get(fromLatin1('c')), undefined);
      pinned.release();
      assert.deepEqual(await all(store.scan({})), [
        ['a', '2'],
        ['c', '2'],
      ]);
    }));

  test(`${kind.name}: a scan of many records comes in chunks, complete`, () =>
    withStore(kind, async (store) => {
      const ops = Array.from({ length: 2500 }, (_, index) =>
        putOf(`k${String(index).padStart(5, '0')}`, 'v'.repeat(100)),
      );
      await write(store, ops);
      let count = 0;
      for await (const chunk of store.scan({})) {
        assert.ok(chunk.length <= 1000);
        count += chunk.length;
      }
      assert.equal(count, 2500);
      assert.equal((await all(store.scan(rangeOf('k00100', 'k00110')))).length, 10);
      for await (const _chunk of store.scan({})) break;
    }));

  test(`${kind.name}: ranges are bytewise and half-open`, () =>
    withStore(kind, async (store) => {
      const key = fc.uint8Array({ minLength: 1, maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(
          fc.array(key, { maxLength: 20 }),
          fc.option(key, { nil: undefined }),
          fc.option(key, { nil: undefined }),
          async (keys, gte, lt) => {
            const before = await all(store.scan({}));
            await write(
              store,
              before.map(([old]) => deleteOf(old)),
            );
            await write(
              store,
              keys.map((each) => ({ kind: 'put', key: each, value: each })),
            );
            const expected = [...new Map(keys.map((each) => [latin1(each), each])).values()]
              .sort(compareBytes)
              .filter((each) => gte === undefined || compareBytes(each, gte) >= 0)
              .filter((each) => lt === undefined || compareBytes(each, lt) < 0);
            const range = {
              ...(gte === undefined ? {} : { gte }),
              ...(lt === undefined ? {} : { lt }),
            };
            const found = await all(store.scan(range));
            assert.deepEqual(
              found.map(([each]) => each),
              expected.map(latin1),
            );
          },
        ),
        { numRuns: 40 },
      );
    }));

  test(`${kind.name}: the size grows with what is written`, () =>
    withStore(kind, async (store, reopen) => {
      const before = store.sizeBytes();
      await write(store, [putOf('a', 'v'.repeat(100_000))]);
      const again = await reopen();
      assert.ok(again.sizeBytes() > before);
    }));

  test(`${kind.name}: a closed store cannot be read, and reports a write as failed`, () =>
    withStore(kind, async (store) => {
      await write(store, [putOf('a', '1')]);
      await store.close();
      assert.throws(() => store.get(fromLatin1('a')));
      await assert.rejects(async () => all(store.scan({})));
      await assert.rejects(write(store, [putOf('a', '1')]));
    }));
}
