import type { Observation } from '../observe/observation.ts';
import { type Plan, plan } from '../plan/plan.ts';
import { after, later } from './world-model.ts';

export interface Step {
  readonly reason: string;
  readonly message: string;
}

export interface Forecast {
  readonly steps: readonly Step[];
  /** `done`: nothing is left to do. `waits`: for something that this model cannot bring about. `unknown`: what follows. */
  readonly end: { readonly kind: 'done' | 'waits' | 'unknown'; readonly message: string };
  readonly counts: {
    readonly started: number;
    readonly moved: number;
    readonly joined: number;
    readonly left: number;
  };
}

/** More than the largest change needs: seven members, each replaced in ten steps. */
const stepsMax = 300;
const stepMs = 1_000;

/** What the planner would do from here on, one action after the other, in a world in which each succeeds at once. */
export function forecast(start: Observation): Forecast {
  const steps: Step[] = [];
  const actions: string[] = [];
  let observation = start;
  const ended = (kind: Forecast['end']['kind'], message: string): Forecast => {
    return { steps, end: { kind, message }, counts: countsOf(actions) };
  };
  for (let count = 0; count < stepsMax; count += 1) {
    const decided: Plan = plan(observation);
    if (decided.kind === 'idle') return ended('done', 'Then nothing is left to do.');
    const { reason, message } = decided;
    if (decided.kind === 'wait') {
      const next = later(observation);
      if (next === observation) return ended('waits', `${reason}: ${message}`);
      observation = next;
      continue;
    }
    const isRepeated = steps.at(-1)?.message === message && actions.at(-1) === decided.action.kind;
    const next = isRepeated ? undefined : after(observation, decided.action);
    if (!isRepeated) steps.push({ reason, message });
    if (next === undefined) {
      return ended(
        'unknown',
        `What follows on "${decided.action.kind}" is not part of the forecast.`,
      );
    }
    actions.push(decided.action.kind);
    const now = new Date(Date.parse(observation.now) + stepMs).toISOString();
    observation = { ...next, now, nonce: `${start.nonce}${count}` };
  }
  return ended('unknown', `There is more: the forecast ends after ${stepsMax} steps.`);
}

function countsOf(actions: readonly string[]): Forecast['counts'] {
  const count = (kind: string) => actions.filter((each) => each === kind).length;
  return {
    started: count('createPod'),
    moved: count('moveLeader'),
    joined: count('addLearner') + count('addObserver'),
    left: count('removeMember'),
  };
}
