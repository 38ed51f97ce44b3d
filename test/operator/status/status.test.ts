import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dump } from 'js-yaml';
import type { Outcome } from '../../../operator/act/act.ts';
import { mergeConditions } from '../../../operator/api/conditions.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import { plan } from '../../../operator/plan/plan.ts';
import { statusOf } from '../../../operator/status/status.ts';
import { goldenTests } from '../support/golden.ts';
import { parseObservation } from '../support/notation.ts';

// `failed why` or `refused why` as an input line: what came of the action of this pass.
goldenTests('test/operator/status/testdata', (input) => {
  const observation = parseObservation(input);
  const outcome = parseOutcome(observation.cluster, input);
  const {
    conditions = [],
    members = [],
    ...rest
  } = statusOf(observation, plan(observation), outcome);
  const lines = dump(rest, { lineWidth: -1, flowLevel: 1 }).trimEnd().split('\n');
  return [
    ...lines,
    ...members.map((member) => `member ${JSON.stringify(member)}`),
    ...conditions.map(
      ({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`,
    ),
  ];
});

function parseOutcome(cluster: StoreCluster, input: readonly string[]): Outcome {
  const line = input.find((text) => /^(failed|refused) /.test(text));
  if (line === undefined) return { kind: 'done', cluster };
  const kind = line.startsWith('failed') ? 'failed' : 'refused';
  return { kind, cluster, error: new Error(line.slice(kind.length + 1)) };
}

test('a condition’s time moves only with its status; conditions of others stay', () => {
  const old = [
    {
      type: 'Ready',
      status: 'True',
      reason: 'Converged',
      message: '',
      lastTransitionTime: 'before',
    },
    { type: 'Mine', status: 'True', reason: 'X', message: '', lastTransitionTime: 'before' },
  ] as const;
  const at = { now: 'now', generation: 7 };
  const same = mergeConditions(
    old,
    [{ type: 'Ready', status: 'True', reason: 'Other', message: 'm' }],
    at,
  );
  assert.deepEqual(
    same.map(({ type, lastTransitionTime, observedGeneration }) => [
      type,
      lastTransitionTime,
      observedGeneration,
    ]),
    [
      ['Ready', 'before', 7],
      ['Mine', 'before', undefined],
    ],
  );
  const [changed] = mergeConditions(
    old,
    [{ type: 'Ready', status: 'False', reason: 'Other', message: 'm' }],
    at,
  );
  assert.equal(changed?.lastTransitionTime, 'now');
});
