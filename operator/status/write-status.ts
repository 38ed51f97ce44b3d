// [io] 4. The status, after every pass, also one whose action failed; written only when it changed.
import { isDeepStrictEqual } from 'node:util';
import type { Outcome } from '../act/act.ts';
import type { KubeClient } from '../kube/client.ts';
import { isNotFound } from '../kube/errors.ts';
import type { Fence } from '../kube/leader-lease.ts';
import { pathOf } from '../kube/paths.ts';
import type { Observation } from '../observe/observation.ts';
import type { Plan } from '../plan/plan.ts';
import { statusOf } from './status.ts';

export interface StatusModules {
  readonly kube: KubeClient;
  readonly fence: Fence;
}

/** Throws on a conflict: the object has changed since it was observed, so the pass is repeated. */
export async function writeStatus(
  modules: StatusModules,
  observation: Observation,
  plan: Plan,
  outcome: Outcome,
): Promise<void> {
  const status = statusOf(observation, plan, outcome);
  const { cluster } = outcome;
  if (isDeepStrictEqual(status, cluster.status)) return;
  modules.fence();
  try {
    await modules.kube.replace(pathOf(cluster, 'status'), { ...cluster, status });
  } catch (error) {
    // Deleted meanwhile, by the removal of the finalizer for example.
    if (!isNotFound(error)) throw error;
  }
}
