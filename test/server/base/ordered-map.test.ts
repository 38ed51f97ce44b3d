import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OrderedMap } from '../../../server/base/ordered-map.ts';

interface Counted {
  weight: number;
  /** Weight by stamp, oldest first. */
  history: { stamp: number; weight: number }[];
}

/** The same as a sorted array. */
class Model {
  readonly entries = new Map<string, Counted>();

  within(start: string, end: string | undefined): [string, Counted][] {
    return [...this.entries]
      .filter(([key]) => key >= start && (end === undefined || key < end))
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

const weightAt = (stamp: number) => (value: Counted) =>
  value.history.findLast((change) => change.stamp <= stamp)?.weight ?? 0;

const operation = fc.record({
  kind: fc.constantFrom('put', 'put', 'put', 'hide', 'delete'),
  key: fc.nat(400),
});

const keyOf = (number: number) => `k${String(number * 7919)}`;

test('a map with random changes equals a sorted array, in walks and counts, now and then', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 1500, size: 'max' }),
      fc.nat(400),
      fc.option(fc.nat(400), { nil: undefined }),
      (operations, startNumber, endNumber) => {
        const map = new OrderedMap<Counted>({ weightOf: (value) => value.weight });
        const model = new Model();
        operations.forEach(({ kind, key }, index) => change(map, model, kind, keyOf(key), index));
        const start = keyOf(startNumber);
        const end = endNumber === undefined ? undefined : keyOf(endNumber);
        compare(map, model, start, end, operations.length);
        compare(map, model, '', undefined, operations.length);
      },
    ),
    { numRuns: 60 },
  );
});

function change(
  map: OrderedMap<Counted>,
  model: Model,
  kind: string,
  key: string,
  stamp: number,
): void {
  if (kind === 'delete') {
    const hidden = model.entries.get(key);
    if (hidden !== undefined && hidden.weight > 0) return;
    assert.equal(map.delete(key), model.entries.delete(key));
    return;
  }
  const entry = map.upsert(key, stamp, () => ({ weight: 0, history: [] }));
  const weight = kind === 'put' ? 1 : 0;
  map.addWeight(key, weight - entry.weight);
  entry.weight = weight;
  entry.history.push({ stamp, weight });
  model.entries.set(key, entry);
  assert.equal(map.get(key), entry);
}

function compare(
  map: OrderedMap<Counted>,
  model: Model,
  start: string,
  end: string | undefined,
  stamps: number,
): void {
  const expected = model.within(start, end).map(([key]) => key);
  const forward: string[] = [];
  map.forEach(start, end, (_, key) => {
    forward.push(key);
  });
  assert.deepEqual(forward, expected);
  const backward: string[] = [];
  map.forEachReverse(start, end, (_, key) => {
    backward.push(key);
  });
  assert.deepEqual(backward, expected.toReversed());
  assert.equal(map.size, model.entries.size);
  for (const stamp of [stamps, stamps - 1, stamps >> 1, 3]) {
    const sum = model
      .within(start, end)
      .reduce((total, [, value]) => total + weightAt(stamp)(value), 0);
    assert.equal(map.countAt(start, end, stamp, weightAt(stamp)), sum);
  }
  assert.equal(
    map.count(start, end),
    model.within(start, end).reduce((total, [, value]) => total + value.weight, 0),
  );
}

test('a walk ends where it is told to', () => {
  const map = new OrderedMap<number>();
  for (let number = 0; number < 1000; number++) map.set(String(number).padStart(4, '0'), number);
  const seen: number[] = [];
  map.forEach('0500', undefined, (value) => {
    seen.push(value);
    return seen.length < 3;
  });
  assert.deepEqual(seen, [500, 501, 502]);
  map.forEachReverse('', '0500', (value) => {
    seen.push(value);
    return seen.length < 5;
  });
  assert.deepEqual(seen, [500, 501, 502, 499, 498]);
  assert.equal(map.count('0100', '0200'), 100);
});
