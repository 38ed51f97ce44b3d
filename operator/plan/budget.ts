import { buildBudget } from '../resources/budget.ts';
import { covers } from '../resources/covers.ts';
import { isOurs } from '../resources/labels.ts';
import { act, type Rule, stopUntil } from './decision.ts';

/** Before every change of membership: the floor under evictions for the voters that there are or will be. */
export const budget: Rule = ({ observation, voterCount, membersMax, strangers }) => {
  const { cluster, spec, budget: observed } = observation;
  const target = membersMax + strangers.filter(({ learner }) => !learner).length;
  const desired = buildBudget(cluster, { voters: voterCount, target });
  const { name } = desired.metadata;
  if (spec.disruptionBudget === 'Disabled') {
    if (observed === undefined || !isOurs(cluster, observed)) return undefined;
    const message = `PodDisruptionBudget ${name} is not wanted: drains may stop the store.`;
    return act('BudgetRemoved', message, { kind: 'remove', object: observed });
  }
  if (observed !== undefined && !isOurs(cluster, observed)) {
    return stopUntil(
      'NameTaken',
      `The PodDisruptionBudget ${name} exists and is not this StoreCluster's. Remove it, or give the StoreCluster another name.`,
    );
  }
  if (observed !== undefined && covers(observed, desired)) return undefined;
  const message = `PodDisruptionBudget ${name}: at least ${desired.spec.minAvailable} voters stay.`;
  return act('BudgetApplied', message, {
    kind: 'apply',
    object: desired,
    seen: observed?.metadata,
  });
};
