import { isTerminating } from '../observe/view.ts';
import { type Rule, stopUntil, waitFor } from './decision.ts';
import { diagnose } from './diagnose.ts';
import { minutes } from './limits.ts';

/** "Cannot ask" is never "is gone": without the MemberList nothing is decided about members. */
export const askTheStore: Rule = ({ observation, members }) => {
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
  if (memberStatuses.size > 0) {
    const message = `Members answer, but there is no leader or no quorum (${store.reason})${details}.`;
    return waitFor('QuorumLost', message, minutes(1));
  }
  return waitFor('StoreSilent', `No member can be asked (${store.reason})${details}.`, minutes(1));
};
