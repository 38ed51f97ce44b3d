import type { DeleteOptions, ObjectApi } from './api.ts';
import { ApiError, badRequest } from './errors.ts';
import {
  at,
  isObject,
  type JsonObject,
  type KubeObject,
  numberAt,
  objectAt,
  objectsAt,
  setAt,
} from './objects.ts';
import { labelSelectorMatches } from './selectors.ts';

/** POST pods/NAME/eviction: a deletion that PodDisruptionBudgets may forbid. */
export function evict(api: ObjectApi, namespace: string, name: string, body: unknown): JsonObject {
  if (!isObject(body) || body['kind'] !== 'Eviction') throw badRequest('an Eviction is expected');
  const resource = api.resources.builtin('pods');
  const pod = api.get({ resource, namespace, name });
  const budgets = api.resources.builtin('poddisruptionbudgets', 'policy');
  const phase = at(pod, 'status', 'phase');
  const budget = api
    .list(budgets, namespace)
    .find((one) => labelSelectorMatches(at(one, 'spec', 'selector'), pod.metadata.labels));
  if (budget !== undefined && phase === 'Running' && isReady(pod)) {
    const { disruptionsAllowed, desiredHealthy, currentHealthy } = budgetStatus(api, budget);
    if (disruptionsAllowed <= 0)
      throw wouldViolate(budget.metadata.name, desiredHealthy, currentHealthy);
    api.amend(budgets, namespace, budget.metadata.name, (next) => {
      setAt(next, ['status', 'disruptionsAllowed'], disruptionsAllowed - 1);
    });
  }
  api.delete({ resource, namespace, name }, objectAt(body, 'deleteOptions') as DeleteOptions);
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}

function wouldViolate(name: string, desired: number, current: number): ApiError {
  const message = `The disruption budget ${name} needs ${desired} healthy pods and has ${current} currently`;
  return new ApiError(
    429,
    'TooManyRequests',
    "Cannot evict pod as it would violate the pod's disruption budget.",
    { causes: [{ reason: 'DisruptionBudget', message }] },
  );
}

interface BudgetStatus {
  readonly disruptionsAllowed: number;
  readonly currentHealthy: number;
  readonly desiredHealthy: number;
  readonly expectedPods: number;
}

/** What the disruption controller writes: how many more pods of a budget may go. */
function budgetStatus(api: ObjectApi, budget: KubeObject): BudgetStatus {
  const pods = api
    .list(api.resources.builtin('pods'), budget.metadata.namespace)
    .filter(({ metadata }) =>
      labelSelectorMatches(at(budget, 'spec', 'selector'), metadata.labels),
    );
  const currentHealthy = pods.filter(
    (pod) => pod.metadata.deletionTimestamp === undefined && isReady(pod),
  ).length;
  const expectedPods = pods.length;
  const maxUnavailable = at(budget, 'spec', 'maxUnavailable');
  const desiredHealthy =
    maxUnavailable === undefined
      ? resolve(at(budget, 'spec', 'minAvailable'), expectedPods)
      : Math.max(0, expectedPods - resolve(maxUnavailable, expectedPods));
  const disruptionsAllowed = expectedPods === 0 ? 0 : Math.max(0, currentHealthy - desiredHealthy);
  return { disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods };
}

/** A count, or a percentage of the total, rounded up. */
function resolve(value: unknown, total: number): number {
  if (typeof value === 'number') return value;
  const percent = /^(\d+)%$/.exec(String(value))?.[1];
  return percent === undefined ? 0 : Math.ceil((Number(percent) * total) / 100);
}

export function isReady(pod: KubeObject): boolean {
  return objectsAt(pod, 'status', 'conditions').some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
}

/** Keeps the status of every budget of a namespace up to date. */
export function refreshBudgets(api: ObjectApi): void {
  const budgets = api.resources.builtin('poddisruptionbudgets', 'policy');
  for (const budget of api.list(budgets)) {
    const { namespace, name, generation } = budget.metadata;
    const status = budgetStatus(api, budget);
    const isCurrent =
      numberAt(budget, 'status', 'observedGeneration') === generation &&
      numberAt(budget, 'status', 'disruptionsAllowed') === status.disruptionsAllowed &&
      numberAt(budget, 'status', 'currentHealthy') === status.currentHealthy &&
      numberAt(budget, 'status', 'desiredHealthy') === status.desiredHealthy &&
      numberAt(budget, 'status', 'expectedPods') === status.expectedPods;
    if (isCurrent) continue;
    api.amend(budgets, namespace, name, (next) => {
      next['status'] = { ...objectAt(next, 'status'), ...status, observedGeneration: generation };
    });
  }
}
