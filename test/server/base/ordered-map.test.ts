import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OrderedMap } from '../../../server/base/ordered-map.ts';

interface Counted {
  weight: number;
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

const operation = fc.record({
  kind: fc.constantFrom('put', 'put', 'put', 'hide', 'delete'),
  key: fc.nat(400),
});

const keyOf = (number: number) => `k${String(number * 7919)}`;

test('a map with random changes equals a sorted array, in walks and counts', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 1500, size: 'max' }),
      fc.nat(400),
      fc.option(fc.nat(400), { nil: undefined }),
      (operations, startNumber, endNumber) => {
        const map = new OrderedMap<Counted>({ weightOf: (value) => value.weight });
        const model = new Model();
        for (const { kind, key } of operations) change(map, model, kind, keyOf(key));
        const start = keyOf(startNumber);
        const end = endNumber === undefined ? undefined : keyOf(endNumber);
        compare(map, model, start, end);
        compare(map, model, '', undefined);
      },
    ),
    { numRuns: 60 },
  );
});

function change(map: OrderedMap<Counted>, model: Model, kind: string, key: string): void {
  const before = model.entries.get(key);
  if (kind === 'delete') {
    assert.equal(map.delete(key), model.entries.delete(key));
  } else if (kind === 'hide' && before !== undefined) {
    map.addWeight(key, -before.weight);
    before.weight = 0;
  } else {
    const entry = { weight: 1 };
    map.set(key, entry);
    model.entries.set(key, entry);
  }
  assert.equal(map.get(key), model.entries.get(key));
}

function compare(
  map: OrderedMap<Counted>,
  model: Model,
  start: string,
  end: string | undefined,
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
