import { type ClusterView, hasNoVote, isTerminating, type MemberView } from '../observe/view.ts';
import { quorumOf } from '../resources/budget.ts';
import { type Rule, stopUntil, waitFor } from './decision.ts';
import { diagnose } from './diagnose.ts';
import { minutes } from './limits.ts';

/** "Cannot ask" is never "is gone": without the MemberList nothing is decided about members. */
export const askTheStore: Rule = (view) => {
  const { observation, members } = view;
  const { store, memberStatuses } = observation;
  if (store.kind === 'answered') return undefined;
  if (members.every((member) => member.volume === undefined)) {
    return stopUntil(
      'DataLost',
      'Every volume of this store is gone, and its data with them. ' +
        'Delete this StoreCluster and create it again to start an empty store.',
    );
  }
  const running = members.filter(({ pod }) => pod !== undefined && !isTerminating(pod));
  const sick = members
    .filter((member) => !running.includes(member) || member.status === undefined)
    .map(diagnose);
  const details = sick.length > 0 ? `: ${sick.join('; ')}` : '';
  const lost = lostForGood(view);
  if (lost !== undefined) return stopUntil('QuorumLost', lost);
  if (memberStatuses.size > 0) {
    const message = `Members answer, but there is no leader or no quorum (${store.reason})${details}.`;
    return waitFor('QuorumLost', message, minutes(1));
  }
  return waitFor('StoreSilent', `No member can be asked (${store.reason})${details}.`, minutes(1));
};

/** So many volumes are gone that the others can never agree again; what a person can do about it. */
function lostForGood({ observation, members }: ClusterView): string | undefined {
  const voters = (observation.cluster.status?.members ?? []).filter(
    (member) => member.id !== undefined && !hasNoVote(member),
  );
  const survivors = members.filter(({ recordedId }) => recordedId !== undefined);
  // A learner, or one that left, may be gone on with; it has no vote with which the others could agree.
  const electors = survivors.filter((member) => voters.some(({ name }) => name === member.name));
  if (voters.length === 0 || electors.length >= quorumOf(voters.length)) return undefined;
  const lines = survivors.map(describeSurvivor).join(', ');
  return (
    `${electors.length} of ${voters.length} members are left with a volume, which is no quorum: ${lines}. ` +
    'To go on with the data of one of them and lose what only the others had, set spec.recovery with its name and the uid of this object.'
  );
}

function describeSurvivor({ name, status }: MemberView): string {
  if (status === undefined) return `${name} (does not answer)`;
  const { revision, hash } = status;
  return `${name} (revision ${revision}${hash === undefined ? '' : `, hash ${hash}`})`;
}
