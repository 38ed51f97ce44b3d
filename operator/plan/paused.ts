import { type Rule, stopUntil } from './decision.ts';

/** Nothing is touched, only looked at. A StoreCluster that is being deleted goes all the same. */
export const paused: Rule = ({ observation }) => {
  if (observation.spec.paused !== true) return undefined;
  return stopUntil('Paused', 'Nothing is changed while spec.paused is true.');
};
