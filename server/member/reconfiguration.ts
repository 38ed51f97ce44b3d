import type { ErrorName } from '../base/errors.ts';
import type { MemberId } from '../base/ids.ts';
import type { Member } from '../proto/gen/internal.ts';

/** etcd's health interval: a peer connected for less is not relied upon. */
export const healthyAfterMs = 5_000;

/** What a change of membership is judged by, on the member that was asked for it. */
export interface ClusterHealth {
  readonly self: MemberId;
  readonly members: readonly Member[];
  /** For how long the peer has been connected; undefined when it is not. */
  readonly connectedMs: (peer: MemberId) => number | undefined;
}

/** etcd's strict reconfiguration check: a change must not cost a quorum of those who are there now. */
export function refuseAdd(health: ClusterHealth, isLearner: boolean): ErrorName | undefined {
  const voters = votersOf(health);
  const started = voters.filter((voter) => voter.started).length;
  const mayGrow = started === 1 && voters.length === 1;
  if (!isLearner && !mayGrow && started < majority(voters.length + 1))
    return 'MemberNotEnoughStarted';
  const needed = mayGrow ? 1 : majority(voters.length + 1);
  return connectedCount(health) < needed ? 'Unhealthy' : undefined;
}

export function refuseRemove(health: ClusterHealth, id: MemberId): ErrorName | undefined {
  const voters = votersOf(health);
  if (!voters.some((voter) => voter.id === id)) return undefined;
  const others = voters.filter((voter) => voter.id !== id);
  const started = others.filter((voter) => voter.started).length;
  if (others.length === 0 || started < majority(others.length)) return 'MemberNotEnoughStarted';
  const isDown = id !== health.self && health.connectedMs(id) === undefined;
  if (isDown) return undefined;
  return connectedCount(health) - 1 < majority(voters.length - 1) ? 'Unhealthy' : undefined;
}

/** The learner that is promoted counts as started. */
export function refusePromote(health: ClusterHealth): ErrorName | undefined {
  const voters = votersOf(health);
  const started = voters.filter((voter) => voter.started).length + 1;
  return started < majority(voters.length + 1) ? 'MemberNotEnoughStarted' : undefined;
}

/** How many learners there may be, observers included, when one more comes: learners and observers have limits of their own. */
export function learnersAllowed(
  members: readonly Member[],
  { isObserver, max }: { readonly isObserver: boolean; readonly max: number },
): number {
  const others = members.filter((each) => each.isLearner && each.isObserver !== isObserver);
  return others.length + max;
}

function votersOf({ members }: ClusterHealth): Member[] {
  return members.filter((member) => !member.isLearner);
}

/** Voters connected for a while, this member included. */
function connectedCount(health: ClusterHealth): number {
  const { self, connectedMs } = health;
  return votersOf(health).filter(
    ({ id }) => id === self || (connectedMs(id) ?? -1) >= healthyAfterMs,
  ).length;
}

function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}
