import { type ClusterView, isNew } from '../observe/view.ts';
import { type Decision, type Rule, stopUntil } from './decision.ts';

/** A version that this store cannot have: it goes on with the present one, and everything else is still done. */
export const versionRefused: Rule = (view) => refusal(view);

/** Before there is a store, there is nothing to go on with. */
export const firstVersionRefused: Rule = (view) => (isNew(view) ? refusal(view) : undefined);

function refusal({ observation: { spec } }: ClusterView): Decision | undefined {
  if (spec.versionRefused === undefined) return undefined;
  return stopUntil('VersionRefused', `Not version ${spec.version}: ${spec.versionRefused}.`);
}
