import { finalizer as name } from '../resources/labels.ts';
import { act, type Rule } from './decision.ts';

/** Before anything is made that garbage collection would not find: the volumes. */
export const finalizer: Rule = ({ observation }) => {
  if ((observation.cluster.metadata.finalizers ?? []).includes(name)) return undefined;
  return act('Accepted', 'The operator takes care of this StoreCluster.', { kind: 'addFinalizer' });
};
