import {
  type ClusterView,
  joinedMembers,
  joinedObservers,
  type MemberView,
} from '../observe/view.ts';
import { act, type Decision, type Rule } from './decision.ts';
import { minutes } from './limits.ts';

/** Share of the quota below which writes are let in again; closer to it, the alarm would be back at once. */
const disarmShare = 0.9;
/** Someone who deletes keys is given time to delete more of them before the next round. */
const roundMsMin = minutes(2);

/**
 * The database is full: the history goes, then each member frees its space, one at a time, the leader last, then writes
 * are let in again. Where that is not enough nothing is held up: a larger quota or volume comes by `roll`.
 */
export const freeSpace: Rule = (view) => {
  const { store, cluster } = view.observation;
  if (store.kind === 'silent') return undefined;
  const gone = store.alarms.find(
    ({ memberId }) => !store.members.some((member) => member.id === memberId),
  );
  if (gone !== undefined) {
    const message = `The alarm ${gone.kind} was of ${gone.memberId}, which has left.`;
    return act('AlarmDisarmed', message, { kind: 'disarm', alarm: gone });
  }
  const alarm = store.alarms.find(({ kind }) => kind === 'NOSPACE');
  if (alarm !== undefined) return (isRoomy(view) ? disarm(alarm) : undefined) ?? freeMore(view);
  if (cluster.status?.space === undefined) return undefined;
  return act('SpaceFreed', 'The database has room again.', {
    kind: 'recordStatus',
    fields: { space: undefined },
  });
};

function disarm(alarm: { readonly memberId: string; readonly kind: 'NOSPACE' | 'CORRUPT' }) {
  return act('AlarmDisarmed', 'The database has room again: writes are let in.', {
    kind: 'disarm',
    alarm,
  });
}

/** By what every member says of itself; one that is outdated may run with another quota. */
function isRoomy(view: ClusterView): boolean {
  return joinedMembers(view).every((member) => isRoomyOn(view, member));
}

function isRoomyOn({ observation: { spec } }: ClusterView, member: MemberView): boolean {
  const { status, isOutdated } = member;
  return (
    !isOutdated && status !== undefined && status.databaseBytes < spec.quotaBytes * disarmShare
  );
}

function freeMore(view: ClusterView): Decision | undefined {
  const { cluster, now } = view.observation;
  const joined = joinedMembers(view);
  const revision = Math.max(0, ...joined.map(({ status }) => status?.revision ?? 0));
  const done = cluster.status?.space;
  const isOld = done !== undefined && Date.parse(now) - Date.parse(done.at) >= roundMsMin;
  if (done === undefined || (isOld && revision > done.compacted)) {
    const message = `The database is full: the history before revision ${revision} is forgotten.`;
    return act('HistoryCompacted', message, { kind: 'compact', revision });
  }
  // Observers raise no alarm, and fill their volumes all the same.
  const next = [...joined, ...joinedObservers(view)]
    .filter((member) => !done.defragmented.includes(member.name) && !isRoomyOn(view, member))
    .filter(({ isAnswering }) => isAnswering)
    .sort(leaderLast)
    .at(0);
  if (next?.pod === undefined) return undefined;
  return act('MemberDefragmented', `The database is full: ${next.name} frees its space.`, {
    kind: 'defragment',
    member: next.name,
    pod: next.pod,
  });
}

function leaderLast(a: MemberView, b: MemberView): number {
  return Number(a.isLeader) - Number(b.isLeader) || a.serial - b.serial;
}
