import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forecast } from '../../../operator/cli/forecast.ts';
import { goldenTests } from '../support/golden.ts';
import { parseObservation } from '../support/notation.ts';

goldenTests('test/operator/cli/testdata', (input) => {
  const { steps, end, counts } = forecast(parseObservation(input));
  const { started, moved, joined, left } = counts;
  return [
    ...steps.map(({ reason, message }) => `${reason}: ${message}`),
    `${end.kind}: ${end.message}`,
    `started ${started}, moved ${moved}, joined ${joined}, left ${left}`,
  ];
});

test('looking ahead changes nothing of what was seen', () => {
  const observation = parseObservation([
    'cluster replicas=5',
    'demo-1 voter leader',
    'demo-2 voter',
    'demo-3 voter',
  ]);
  const before = structuredClone({ ...observation, memberStatuses: undefined });
  forecast(observation);
  assert.deepEqual({ ...observation, memberStatuses: undefined }, before);
});
