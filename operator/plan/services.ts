import type { Service } from '../api/objects.ts';
import type { Observation } from '../observe/observation.ts';
import { covers } from '../resources/covers.ts';
import { isOurs } from '../resources/labels.ts';
import {
  buildClientService,
  buildObserversService,
  buildPeersService,
} from '../resources/services.ts';
import { act, type Decision, type Rule, stopUntil } from './decision.ts';

/** The DNS names of the members and the address of the store, before anything needs them. */
export const services: Rule = ({ observation }) => {
  const { cluster, peersService, clientService } = observation;
  return (
    keep(observation, peersService, buildPeersService(cluster)) ??
    keep(observation, clientService, buildClientService(cluster)) ??
    keepObservers(observation)
  );
};

function keepObservers(observation: Observation): Decision | undefined {
  const { cluster, spec, observersService: observed } = observation;
  if (spec.observers !== undefined) {
    return keep(observation, observed, buildObserversService(cluster));
  }
  if (observed === undefined || !isOurs(cluster, observed)) return undefined;
  const message = `Service ${observed.metadata.name} is not wanted any more.`;
  return act('ServiceRemoved', message, { kind: 'remove', object: observed });
}

function keep(
  { cluster }: Observation,
  observed: Service | undefined,
  desired: Service,
): Decision | undefined {
  const { name } = desired.metadata;
  if (observed !== undefined && !isOurs(cluster, observed)) {
    return stopUntil(
      'NameTaken',
      `The Service ${name} exists and is not this StoreCluster's. Remove it, or give the StoreCluster another name.`,
    );
  }
  if (observed !== undefined && covers(observed, desired)) return undefined;
  return act('ServiceApplied', `Service ${name}.`, {
    kind: 'apply',
    object: desired,
    seen: observed?.metadata,
  });
}
