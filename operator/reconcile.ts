// [io] One pass over one StoreCluster: the spine of the operator.
import { type ActModules, act, type Outcome } from './act/act.ts';
import { type ClusterKey, type ObserveModules, observe } from './observe/observe.ts';
import { type Plan, plan } from './plan/plan.ts';
import { type StatusModules, writeStatus } from './status/write-status.ts';

export type ReconcileModules = ObserveModules & ActModules & StatusModules;

/** Milliseconds after which to look again; undefined when the StoreCluster is gone. Throws when the pass failed. */
export async function reconcile(
  modules: ReconcileModules,
  key: ClusterKey,
  report: (decided: Plan, outcome: Outcome, durationMs: number) => void = () => {},
): Promise<number | undefined> {
  const observation = await observe(modules, key);
  if (observation === undefined) return undefined;
  const decided = plan(observation);
  const beganMs = modules.wallMs();
  const outcome = await act(modules, observation, decided);
  report(decided, outcome, Math.max(0, modules.wallMs() - beganMs));
  await writeStatus(modules, observation, decided, outcome);
  if (outcome.kind === 'failed') throw outcome.error;
  const isDone = outcome.kind === 'done';
  return lookAgainAfterMs(decided, { now: observation.now, isDone });
}

const waitMsMin = 500;
const busyMsMax = 5_000;
/** A store that is well is looked at so often: its leader and its health have no watch. */
const idleMs = 15_000;

/** At once after an action, soon while waiting or refused, and slower the longer the same decision repeats itself. */
export function lookAgainAfterMs(
  decided: Plan,
  { now, isDone }: { readonly now: string; readonly isDone: boolean },
): number {
  const elapsedMs = Date.parse(now) - Date.parse(decided.since);
  if (decided.kind === 'idle') return idleMs;
  const soonestMs = decided.kind === 'act' && isDone ? 0 : waitMsMin;
  return Math.min(Math.max(elapsedMs / 10, soonestMs), busyMsMax);
}
