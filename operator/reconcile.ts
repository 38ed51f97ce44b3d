// [io] One pass over one StoreCluster: the spine of the operator.
import { type ActModules, act, type Outcome } from './act/act.ts';
import type { Observation } from './observe/observation.ts';
import { type ClusterKey, type ObserveModules, observe } from './observe/observe.ts';
import { type Plan, plan } from './plan/plan.ts';
import { type StatusModules, writeStatus } from './status/write-status.ts';

export type ReconcileModules = ObserveModules & ActModules & StatusModules;

/** What a pass went by, and how long its action took. */
export interface Pass {
  readonly observation: Observation;
  readonly durationMs: number;
}

/** Milliseconds after which to look again; undefined when the StoreCluster is gone. Throws when the pass failed. */
export async function reconcile(
  modules: ReconcileModules,
  key: ClusterKey,
  report: (decided: Plan, outcome: Outcome, pass: Pass) => void = () => {},
): Promise<number | undefined> {
  const observation = await observe(modules, key);
  if (observation === undefined) return undefined;
  const decided = plan(observation);
  const beganMs = modules.wallMs();
  const outcome = await act(modules, observation, decided);
  const durationMs = Math.max(0, modules.wallMs() - beganMs);
  report(decided, outcome, { observation, durationMs });
  await writeStatus(modules, observation, decided, outcome);
  if (outcome.kind === 'failed') throw outcome.error;
  const isDone = outcome.kind === 'done';
  const restMs = isMirroring(observation) ? mirroringMs : idleMs;
  return Math.min(restMs, lookAgainAfterMs(decided, { now: observation.now, isDone }));
}

const waitMsMin = 500;
const busyMsMax = 5_000;
/** A store that is well is looked at so often: its leader and its health have no watch. */
const idleMs = 15_000;
/** How old what the status says of a mirror may be. */
const mirroringMs = 10_000;

function isMirroring({ mirror, cluster }: Observation): boolean {
  return mirror !== undefined && cluster.status?.mirror?.phase !== 'Done';
}

/** At once after an action, soon while waiting or refused, and slower the longer the same decision repeats itself. */
export function lookAgainAfterMs(
  decided: Plan,
  { now, isDone }: { readonly now: string; readonly isDone: boolean },
): number {
  const elapsedMs = Date.parse(now) - Date.parse(decided.since);
  if (decided.kind === 'idle') return idleMs;
  const soonestMs = decided.kind === 'act' && isDone ? 0 : waitMsMin;
  return Math.min(Math.max(elapsedMs / 10, soonestMs), isStuck(decided, now) ? idleMs : busyMsMax);
}

/** What only a person can end, or has taken too long: their edit, or what becomes of pods, is seen by the watches. */
function isStuck(decided: Plan, now: string): boolean {
  if (decided.kind !== 'wait') return false;
  return decided.deadline === undefined || Date.parse(now) >= Date.parse(decided.deadline);
}
