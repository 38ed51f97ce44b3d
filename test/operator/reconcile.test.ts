import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../../operator/plan/plan.ts';
import { lookAgainAfterMs } from '../../operator/reconcile.ts';

const since = '2026-01-01T00:00:00.000Z';
const at = { since, deadline: undefined };
const acting: Plan = {
  ...at,
  kind: 'act',
  reason: 'Accepted',
  message: '',
  action: { kind: 'addFinalizer' },
};
const stopped: Plan = { ...at, kind: 'wait', reason: 'X', message: '', limitMs: undefined };
const waiting: Plan = {
  ...stopped,
  limitMs: 3_600_000,
  deadline: new Date(Date.parse(since) + 3_600_000).toISOString(),
};

function after(plan: Plan, seconds: number, isDone = true): number {
  const now = new Date(Date.parse(since) + seconds * 1000).toISOString();
  return lookAgainAfterMs(plan, { now, isDone });
}

test('an action is followed at once, one that repeats itself ever more slowly', () => {
  assert.deepEqual(
    [0, 1, 10, 600].map((s) => after(acting, s)),
    [0, 100, 1_000, 5_000],
  );
});

test('an action that was refused for now is tried again like a wait', () => {
  assert.deepEqual(
    [0, 10].map((s) => after(acting, s, false)),
    [500, 1_000],
  );
});

test('a wait is looked at soon, a long one more rarely', () => {
  assert.deepEqual(
    [0, 1, 10, 600].map((s) => after(waiting, s)),
    [500, 500, 1_000, 5_000],
  );
});

test('what only a person can end, or takes too long, is looked at as rarely as a store that is well', () => {
  assert.deepEqual(
    [0, 10, 600].map((s) => after(stopped, s)),
    [500, 1_000, 15_000],
  );
  assert.equal(after(waiting, 3_600), 15_000);
});

test('a store that is well costs at most 60 requests a minute', () => {
  const requestsPerPass = 6;
  const idle = after({ ...at, kind: 'idle' }, 0);
  assert.ok((60_000 / idle) * requestsPerPass <= 60);
});
