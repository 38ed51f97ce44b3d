import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyBytes, fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import { lifeLogMax } from '../../../server/config/limits.ts';
import { isEmptyRange, isInRange, keyRange } from '../../../server/mvcc/key-range.ts';
import type { RangeResult } from '../../../server/mvcc/range.ts';
import type { Store } from '../../../server/mvcc/store.ts';
import { SortOrder, SortTarget } from '../../../server/proto/gen/rpc.ts';
import { openStore, put } from './support.ts';

const everything = { start: '', end: undefined, single: false };
const nul = Uint8Array.of(0);

async function storeWith(keys: number): Promise<Store> {
  const { store } = await openStore();
  const txn = store.beginWrite();
  for (let number = 0; number < keys; number++) txn.put(keyOf(number), fromLatin1('v'), 0n);
  txn.end();
  return store;
}

const keyOf = (number: number) => `key ${String(number).padStart(6, '0')}`;
const keysOf = (result: RangeResult) => result.kvs.map((kv) => latin1(kv.key));

test('key and range_end mean what they mean to etcd', () => {
  const a = fromLatin1('a');
  assert.deepEqual(keyRange(a, emptyBytes), { start: 'a', end: 'a\0', single: true });
  assert.deepEqual(keyRange(a, nul), { start: 'a', end: undefined, single: false });
  assert.deepEqual(keyRange(nul, nul), { start: '\0', end: undefined, single: false });
  assert.deepEqual(keyRange(a, fromLatin1('b')), { start: 'a', end: 'b', single: false });
  assert.ok(isEmptyRange(keyRange(a, a)));
  assert.ok(!isEmptyRange(keyRange(a, nul)));
  assert.ok(isInRange(keyRange(nul, nul), '\0'));
  assert.ok(isInRange(keyRange(a, nul), '\xff'));
  assert.ok(!isInRange(keyRange(a, emptyBytes), 'a\0'));
});

test('a range of many keys is whole in both directions, with and without a limit', async () => {
  const store = await storeWith(3500);
  const expected = Array.from({ length: 3500 }, (_, number) => keyOf(number));
  assert.deepEqual(keysOf(store.range({ range: everything })), expected);
  const descending = { sortOrder: SortOrder.DESCEND, sortTarget: SortTarget.KEY };
  assert.deepEqual(
    keysOf(store.range({ range: everything, ...descending })),
    expected.toReversed(),
  );
  const page = store.range({ range: { ...everything, start: keyOf(100) }, limit: 1200 });
  assert.deepEqual(keysOf(page), expected.slice(100, 1300));
  assert.ok(page.more);
  assert.equal(page.count, 3400);
  const last = store.range({ range: everything, limit: 2000, ...descending });
  assert.deepEqual(keysOf(last), expected.slice(1500).toReversed());
  const whole = store.range({ range: everything, limit: 3500 });
  assert.ok(!whole.more);
});

test('a range in steps answers as of the moment it began', async () => {
  const store = await storeWith(3500);
  const before = keysOf(store.range({ range: everything }));
  // Compacting up to there takes nothing away from it.
  store.compact(2);
  const steps = store.rangeSteps({ range: everything });
  let step = steps.next();
  for (let number = 1; step.done !== true; number++, step = steps.next()) {
    put(store, `key 00${number}`, 'new');
    const txn = store.beginWrite();
    const start = keyOf(number * 1000 + 5);
    txn.deleteRange({ start, end: keyOf(number * 1000 + 9), single: false });
    txn.end();
    while (store.compactionStep());
  }
  assert.ok(store.revision >= 8);
  assert.deepEqual(keysOf(step.value), before);
  assert.equal(step.value.count, 3500);
});

test('a range that a compaction overtakes between two steps says so', async () => {
  const store = await storeWith(3500);
  const steps = store.rangeSteps({ range: everything });
  steps.next();
  put(store, 'other', '1');
  store.compact(store.revision);
  assert.throws(() => steps.next(), new EtcdError('Compacted'));
});

test('counts at an old revision are right, also when it is longer ago than the log of births', async () => {
  const { store } = await openStore();
  for (let number = 0; number < 2000; number++) put(store, keyOf(number), 'v');
  const old = store.revision - 500;
  const txn = store.beginWrite();
  for (let number = 10_000; number < 10_000 + lifeLogMax; number++) {
    txn.put(keyOf(number), emptyBytes, 0n);
  }
  txn.end();
  for (let round = 0; round < 2; round++) {
    const remove = store.beginWrite();
    remove.deleteRange({ start: keyOf(100), end: keyOf(150), single: false });
    remove.end();
    put(store, keyOf(120), 'again');
    const counted = store.range({ range: everything, revision: old, countOnly: true });
    assert.equal(counted.count, 1500);
    const part = { start: keyOf(90), end: keyOf(200), single: false };
    assert.equal(store.range({ range: part, revision: old, limit: 1 }).count, 110);
    assert.equal(store.range({ range: part, limit: 1 }).count, 61);
  }
});

test('a transaction sees its own changes at a revision that is not yet the current one', async () => {
  const store = await storeWith(3);
  const txn = store.beginWrite();
  assert.equal(txn.revision, 2);
  txn.put(keyOf(1), fromLatin1('new'), 0n);
  assert.deepEqual(txn.deleteRange(everything), [keyOf(0), keyOf(1), keyOf(2)]);
  txn.put('last', fromLatin1('1'), 0n);
  assert.equal(txn.revision, 3);
  assert.deepEqual(keysOf(txn.range({ range: everything })), ['last']);
  assert.equal(txn.range({ range: everything, limit: 1 }).count, 1);
  assert.equal(txn.range({ range: everything, revision: 2 }).count, 3);
  assert.throws(
    () => txn.range({ range: everything, revision: 4 }),
    new EtcdError('FutureRevision'),
  );
  const { revision, events } = txn.end();
  assert.equal(revision, 3);
  assert.deepEqual(
    events.map((event) => [event.kind, event.key]),
    [
      ['put', keyOf(1)],
      ['delete', keyOf(0)],
      ['delete', keyOf(1)],
      ['delete', keyOf(2)],
      ['put', 'last'],
    ],
  );
});

test('a transaction that changes nothing uses no revision up', async () => {
  const store = await storeWith(1);
  const txn = store.beginWrite();
  assert.deepEqual(txn.deleteRange({ start: 'x', end: undefined, single: false }), []);
  assert.deepEqual(txn.end(), { revision: 2, events: [] });
  assert.equal(store.revision, 2);
});

test('what is written is copied: the request may be used again', async () => {
  const { store } = await openStore();
  const value = fromLatin1('before');
  const txn = store.beginWrite();
  const kv = txn.put('a', value, 0n);
  txn.end();
  value.fill(0);
  assert.equal(latin1(kv.value), 'before');
  assert.equal(latin1(store.get('a')?.value ?? emptyBytes), 'before');
});

test('a long range is ordered, filtered and stripped as a short one', async () => {
  const { store } = await openStore();
  for (let number = 0; number < 3500; number++) {
    const txn = store.beginWrite();
    txn.put(keyOf(number), fromLatin1(`v${number % 10}`), 0n);
    txn.end();
  }
  const byValue = { sortTarget: SortTarget.VALUE, sortOrder: SortOrder.DESCEND };
  const all = store.range({ range: everything, ...byValue });
  const expected = Array.from({ length: 3500 }, (_, number) => number).toSorted(
    (a, b) => (b % 10) - (a % 10) || a - b,
  );
  assert.deepEqual(keysOf(all), expected.map(keyOf));
  const keysOnly = store.range({ range: everything, ...byValue, keysOnly: true });
  assert.deepEqual(keysOf(keysOnly), expected.map(keyOf));
  assert.ok(keysOnly.kvs.every(({ value }) => value.length === 0));
  const filtered = { minModRevision: 1002, maxModRevision: 3001, keysOnly: true };
  const middle = store.range({ range: everything, ...filtered, limit: 1500 });
  assert.deepEqual(
    keysOf(middle),
    Array.from({ length: 1500 }, (_, at) => keyOf(1000 + at)),
  );
  assert.equal(middle.count, 3500);
  assert.ok(middle.more);
});
