import type { Observation } from '../observe/observation.ts';
import { namespaceOf } from '../resources/names.ts';
import { givenSecrets } from '../resources/secrets.ts';
import { type Decision, type Rule, stopUntil } from './decision.ts';

/** Before there is a store: it would start without what it needs, or without those who may keep others out. */
export const firstSecretsMissing: Rule = ({ observation, members }) => {
  const isNew = observation.cluster.status?.clusterID === undefined && members.length === 0;
  return isNew ? missing(observation) : undefined;
};

/** A store that runs goes on with what it has, and everything else is still done. */
export const secretsMissing: Rule = ({ observation }) => missing(observation);

function missing({ cluster, secrets }: Observation): Decision | undefined {
  for (const { name, keys, purpose } of givenSecrets(cluster)) {
    const found = secrets.get(name);
    const lacking = keys.filter((key) => found?.keys.includes(key) !== true);
    if (lacking.length === 0) continue;
    const what =
      found === undefined
        ? `The Secret ${name} ${purpose} is not there`
        : `The Secret ${name} ${purpose} lacks ${lacking.join(', ')}`;
    return stopUntil(
      'SecretMissing',
      `${what}: create it in the namespace ${namespaceOf(cluster)}, with ${keys.join(', ')}.`,
    );
  }
  return undefined;
}
