import {
  type ClusterView,
  isPodReady,
  isReplacedBySurge,
  isVoter,
  joinedMembers,
  type MemberView,
} from '../observe/view.ts';
import { act, type Decision, type Rule, waitFor } from './decision.ts';
import { hasLeft } from './finish-removal.ts';
import { minutes } from './limits.ts';
import { rollObservers } from './observers.ts';
import { leave, moveLeader, newestIndex } from './quorum.ts';

// A change of anything that pods are made of, member by member: the sick first (`rollBroken`), then followers, the
// leader last. `restart` gives the member its new pod, `settle` waits until it is healthy. So a change stops at the
// first member that does not come back.

/** Entries that a member may be behind the leader and still count as caught up: what is on its way under load. */
const lagEntriesMax = 5_000;

/**
 * An outdated member that takes no part gets its new pod whatever else is wrong: nothing is lost by it, and the edit may
 * be what brings it back. So reverting a bad edit always works.
 */
export const rollBroken: Rule = ({ observation, members }) => {
  const broken = members.find((member) => member.isOutdated && takesNoPart(member));
  if (broken?.pod === undefined || hasLeft(observation, broken)) return undefined;
  const message = `${broken.name} does not run, and the spec wants another pod: it is started anew.`;
  return act('PodDeleted', message, { kind: 'deletePod', pod: broken.pod });
};

function takesNoPart({ pod, status }: MemberView): boolean {
  return pod !== undefined && status === undefined && !isPodReady(pod);
}

/** One outdated member is changed; all are healthy. Observers come first. */
export const roll: Rule = (view) => {
  const isChanging = view.members.some(({ raft, isOutdated }) => raft !== undefined && isOutdated);
  if (!isChanging) return undefined;
  return rollObservers(view) ?? rollVoters(view);
};

function rollVoters(view: ClusterView): Decision | undefined {
  const outdated = joinedMembers(view).filter(isReplacedBySurge).sort(followersFirst);
  const [next] = outdated;
  if (next?.pod === undefined) return undefined;
  const behind = joinedMembers(view).find((member) => lagOf(view, member) > lagEntriesMax);
  if (behind !== undefined) {
    const message = `${behind.name} catches up before ${next.name} is changed.`;
    return waitFor('MemberCatchingUp', message, minutes(10));
  }
  const progress = `${outdated.length} of ${joinedMembers(view).length} still to change`;
  if (view.observation.spec.update?.surge === true) return replace(view, next, progress);
  const handover = next.isLeader ? moveLeader(view, next, 'it is changed next') : undefined;
  if (handover !== undefined) return handover;
  const message = `${next.name} is started anew as the spec wants it now (${progress}).`;
  return act('MemberRolled', message, { kind: 'deletePod', pod: next.pod });
}

/** With `update.surge` a new member has joined before (`scaleUp`); an old one goes in its place. */
function replace(view: ClusterView, next: MemberView, progress: string): Decision | undefined {
  if (joinedMembers(view).length <= view.observation.spec.replicas) return undefined;
  return leave(view, next, `a member as the spec wants it now has taken its place (${progress})`);
}

function followersFirst(a: MemberView, b: MemberView): number {
  return Number(a.isLeader) - Number(b.isLeader) || a.serial - b.serial;
}

function lagOf(view: ClusterView, member: MemberView): number {
  if (!isVoter(member) || member.status === undefined) return 0;
  return newestIndex(view) - member.status.raftAppliedIndex;
}
