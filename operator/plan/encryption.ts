import { type ClusterView, isNew, isPodReady, joinedMembers } from '../observe/view.ts';
import { canEncrypt, encryptionSecret } from '../resources/encryption.ts';
import { type Decision, type Rule, stopUntil } from './decision.ts';
import { firstRefused } from './given-secrets.ts';

/** Before there is a store: it would begin in clear, or not at all. */
export const firstEncryptionRefused: Rule = (view) => (isNew(view) ? refusal(view) : undefined);

/** Who starts without the key does not come up: the Secret is what a person has to see to. */
export const startsRefused: Rule = (view) => {
  const isStarting = joinedMembers(view).some(({ pod }) => pod !== undefined && !isPodReady(pod));
  return isStarting ? refusal(view) : undefined;
};

/** Members that run go on with what they have; none is made anew that could not start. */
export const encryptionRefused: Rule = (view) => refusal(view);

function refusal(view: ClusterView): Decision | undefined {
  const { spec } = view.observation;
  const secret = encryptionSecret(spec);
  if (secret === undefined) return undefined;
  if (!canEncrypt(spec)) {
    return stopUntil(
      'EncryptionRefused',
      `Members of ${spec.image} cannot encrypt their volumes, nor read what is encrypted: choose version 0.2.0 or later.`,
    );
  }
  return firstRefused(view, [secret]);
}
