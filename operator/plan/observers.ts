import {
  type ClusterView,
  isTerminating,
  joinedObservers,
  type MemberView,
} from '../observe/view.ts';
import { observersWanted } from '../resources/observers.ts';
import { act, type Decision, type Rule, waitFor } from './decision.ts';
import { diagnose } from './diagnose.ts';
import { join, wantsObserver, wantsVoter } from './joining.ts';
import { minutes } from './limits.ts';
import { leave } from './quorum.ts';

// Observers have no vote and nothing to lose. They come after the voters, go before them, change before them, and none
// of them holds up what keeps the voters well.

/** More observers than wanted: one leaves, the sick first, then the outdated, then the newest. */
export const observersDown: Rule = (view) => {
  const { spec } = view.observation;
  const joined = joinedObservers(view);
  const wanted = observersWanted(spec);
  const [candidate] = joined.length > wanted ? joined.toSorted(leavesFirst) : [];
  if (candidate === undefined) return undefined;
  return leave(view, candidate, `observers.replicas is ${wanted}`);
};

function leavesFirst(a: MemberView, b: MemberView): number {
  return (
    Number(a.isHealthy) - Number(b.isHealthy) ||
    Number(b.isOutdated) - Number(a.isOutdated) ||
    b.serial - a.serial
  );
}

/** A change reaches them first: what does not start, stops there, where it costs no vote. */
export function rollObservers(view: ClusterView): Decision | undefined {
  const joined = joinedObservers(view);
  const outdated = joined.filter((member) => member.isOutdated);
  const waiting = joined.find((member) => !member.isOutdated && !member.isHealthy);
  if (waiting !== undefined) return starting(waiting, 'the next member is changed after it');
  const [next] = outdated;
  if (next?.pod === undefined) return undefined;
  const progress = `${outdated.length} of ${joined.length} observers still to change`;
  const message = `${next.name} is started anew as the spec wants it now (${progress}).`;
  return act('ObserverRolled', message, { kind: 'deletePod', pod: next.pod });
}

/** Fewer observers than wanted: one joins, once the one before has started. */
export const observersUp: Rule = (view) => {
  if (wantsVoter(view) || !wantsObserver(view)) return undefined;
  const unstarted = joinedObservers(view).find(({ raft }) => raft?.name === '');
  if (unstarted !== undefined) return starting(unstarted, 'the next one joins after it');
  return join(view, 'observer');
};

/** Last of all: an observer that is not well holds nothing up, but the work is not done. */
export const observersSettle: Rule = (view) => {
  const sick = joinedObservers(view).find((member) => !member.isHealthy);
  return sick && starting(sick, 'the other members are not touched by it');
};

function starting(member: MemberView, what: string): Decision {
  const state = isTerminating(member.pod) ? 'its pod is going' : diagnose(member);
  return waitFor('ObserverNotHealthy', `An observer: ${state}; ${what}.`, minutes(10));
}
