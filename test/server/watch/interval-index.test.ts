import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isInRange, type KeyRange, singleKey } from '../../../server/mvcc/key-range.ts';
import { IntervalIndex } from '../../../server/watch/interval-index.ts';

const letter = fc.constantFrom('\0', 'a', 'b', 'c', '\xff');
const key = fc.array(letter, { minLength: 1, maxLength: 3 }).map((letters) => letters.join(''));
const interval: fc.Arbitrary<KeyRange> = fc.oneof(
  key.map(singleKey),
  fc.record({ start: key, end: fc.option(key, { nil: undefined }), single: fc.constant(false) }),
);

function same(a: KeyRange, b: KeyRange): boolean {
  return a.start === b.start && a.end === b.end && a.single === b.single;
}

test('a key finds exactly the intervals that contain it, as brute force does', () => {
  const step = fc.tuple(fc.constantFrom('set', 'set', 'delete'), interval, key);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const index = new IntervalIndex<number>();
      let model: { interval: KeyRange; value: number }[] = [];
      steps.forEach(([kind, interval, key], value) => {
        model = model.filter((entry) => !same(entry.interval, interval));
        if (kind === 'set') {
          index.set(interval, value);
          model.push({ interval, value });
        } else {
          index.delete(interval);
        }
        const found: number[] = [];
        index.stab(key, (value) => found.push(value));
        const expected = model.filter((entry) => isInRange(entry.interval, key));
        assert.deepEqual(
          found.toSorted((a, b) => a - b),
          expected.map((entry) => entry.value).toSorted((a, b) => a - b),
        );
        assert.equal(index.size, model.length);
        assert.equal(index.get(interval), kind === 'set' ? value : undefined);
      });
    }),
    { numRuns: 300 },
  );
});

test('a look-up among 10,000 disjoint prefixes costs no more than a few comparisons', () => {
  const index = new IntervalIndex<number>();
  for (let i = 0; i < 10_000; i += 1) {
    const start = `/prefix/${i.toString().padStart(5, '0')}/`;
    index.set({ start, end: `${start.slice(0, -1)}0`, single: false }, i);
  }
  const startNs = process.hrtime.bigint();
  let found = 0;
  for (let i = 0; i < 10_000; i += 1) {
    index.stab(`/prefix/${i.toString().padStart(5, '0')}/key`, () => {
      found += 1;
    });
  }
  assert.equal(found, 10_000);
  const elapsedMs = Number(process.hrtime.bigint() - startNs) / 1e6;
  assert.ok(elapsedMs < 1000, `10,000 look-ups took ${elapsedMs} ms`);
});
