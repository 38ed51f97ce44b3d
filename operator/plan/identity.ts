import { act, type Rule } from './decision.ts';

/** What the store says for the first time is written down: its id, and on each volume whose data it holds. */
export const identity: Rule = ({ observation, members }) => {
  const { cluster, store } = observation;
  if (store.kind === 'silent') return undefined;
  if (cluster.status?.clusterID === undefined) {
    return act('StoreStarted', `The store has the id ${store.clusterId}.`, {
      kind: 'recordStatus',
      fields: { clusterID: store.clusterId },
    });
  }
  for (const { name, volume, raft, recordedId } of members) {
    if (volume === undefined || raft === undefined || recordedId !== undefined) continue;
    return act('MemberRecorded', `The volume ${name} belongs to member ${raft.id}.`, {
      kind: 'recordMemberId',
      volume,
      id: raft.id,
    });
  }
  return undefined;
};
