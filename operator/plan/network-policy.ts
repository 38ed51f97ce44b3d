import { covers } from '../resources/covers.ts';
import { isOurs } from '../resources/labels.ts';
import { buildNetworkPolicy } from '../resources/network-policy.ts';
import { act, type Rule, stopUntil } from './decision.ts';

/** Who may connect to the members, where the spec says it. */
export const networkPolicy: Rule = ({ observation }) => {
  const { cluster, spec, networkPolicy: observed } = observation;
  if (spec.networkPolicy === undefined) {
    if (observed === undefined || !isOurs(cluster, observed)) return undefined;
    const message = `NetworkPolicy ${observed.metadata.name} is not wanted any more.`;
    return act('NetworkPolicyRemoved', message, { kind: 'remove', object: observed });
  }
  const desired = buildNetworkPolicy(cluster, spec.networkPolicy);
  const { name } = desired.metadata;
  if (observed !== undefined && !isOurs(cluster, observed)) {
    return stopUntil(
      'NameTaken',
      `The NetworkPolicy ${name} exists and is not this StoreCluster's. Remove it, or give the StoreCluster another name.`,
    );
  }
  if (observed !== undefined && covers(observed, desired)) return undefined;
  return act('NetworkPolicyApplied', `NetworkPolicy ${name}.`, {
    kind: 'apply',
    object: desired,
    seen: observed?.metadata,
  });
};
