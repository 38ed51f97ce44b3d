import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sortSteps } from '../../../server/mvcc/sort-steps.ts';

test('sorting in steps gives what sorting gives, equal ones in their order', () => {
  for (const count of [0, 1, 2_000, 2_001, 4_000, 9_999, 30_000]) {
    // Few different ones: most are equal to many.
    const values = Array.from({ length: count }, (_, at) => ({ at, of: (at * 7_919) % 113 }));
    const compare = (a: { of: number }, b: { of: number }): number => a.of - b.of;
    const steps = sortSteps(values, compare);
    let stepCount = 1;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) stepCount++;
    assert.deepEqual(step.value, values.toSorted(compare));
    assert(stepCount >= count / 2_000, `${count} values in ${stepCount} steps`);
  }
});
