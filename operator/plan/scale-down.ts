import { type ClusterView, isLearner, isTerminating, type MemberView } from '../observe/view.ts';
import { act, type Decision, type Rule, waitFor } from './decision.ts';
import { hasLeft } from './finish-removal.ts';
import { minutes } from './limits.ts';
import { leave, mayLeave } from './quorum.ts';

/** More members than wanted: one leaves. What never became a member goes first. */
export const scaleDown: Rule = (view) => {
  const { replicas } = view.observation.spec;
  const joined = view.members.filter((member) => member.raft !== undefined);
  const surplusVolume = unjoined(view).find(
    (member) => joined.length >= replicas && !isTerminating(member.volume),
  );
  if (surplusVolume?.volume !== undefined) return dropVolume(surplusVolume.volume);
  const candidate = joined.length > replicas ? joined.sort(leavesFirst).at(0) : undefined;
  if (candidate === undefined) return undefined;
  if (mayLeave(view, candidate)) return leave(view, candidate, `replicas is ${replicas}`);
  return waitFor(
    'QuorumAtRisk',
    `${candidate.name} should leave, but too few healthy members would be left to go on without it.`,
    minutes(10),
  );
};

/** Volumes that were made for a member and never became one: no pod has written on them. */
export function unjoined({ members, observation }: ClusterView): readonly MemberView[] {
  return members.filter(
    (member) => member.raft === undefined && member.volume && !hasLeft(observation, member),
  );
}

function dropVolume(volume: NonNullable<MemberView['volume']>): Decision {
  const message = `Deleting the volume ${volume.metadata.name}: its member is not wanted any more.`;
  return act('VolumeDeleted', message, { kind: 'deleteVolume', volume });
}

/** Learners, then the sick, then followers, the leader last; the newest first among equals. */
function leavesFirst(a: MemberView, b: MemberView): number {
  return leaveRank(a) - leaveRank(b) || b.serial - a.serial;
}

function leaveRank(member: MemberView): number {
  if (isLearner(member)) return 0;
  if (member.isLeader) return 3;
  return member.isHealthy ? 2 : 1;
}
