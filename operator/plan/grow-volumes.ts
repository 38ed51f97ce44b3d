import { bytesOf } from '../api/quantity.ts';
import { isTerminating } from '../observe/view.ts';
import { observerSpec } from '../resources/observers.ts';
import { act, type Rule } from './decision.ts';
import { minutes } from './limits.ts';

/** How long a refusal by Kubernetes is taken for an answer: someone may allow it meanwhile. */
const askAgainAfterMs = minutes(10);

/**
 * Volumes grow while they serve, and before anything is asked of the members: one whose volume is full may not run at
 * all. Where the storage class does not allow it, the refusal is recorded and holds nothing up.
 */
export const growVolumes: Rule = ({ observation, members }) => {
  const { spec } = observation;
  const { size: sizeOfVoters } = spec.storage;
  const sizeOfObservers = observerSpec(spec).storage.size;
  const refused = observation.cluster.status?.growthRefused;
  const elapsedMs = Date.parse(observation.now) - Date.parse(refused?.at ?? '');
  for (const { name, volume, isObserver } of members) {
    const size = isObserver ? sizeOfObservers : sizeOfVoters;
    if (refused?.size === size && elapsedMs < askAgainAfterMs) continue;
    if (volume === undefined || isTerminating(volume)) continue;
    const present = volume.spec.resources.requests['storage'] ?? '0';
    if (bytesOf(present) >= bytesOf(size)) continue;
    const message = `The volume ${name} grows from ${present} to ${size}.`;
    return act('VolumeGrown', message, { kind: 'growVolume', volume, size });
  }
  return undefined;
};
