import type { Alarm, MemberStatus, RaftMember } from './observation.ts';

/** What the operator asks of a running store. Endpoints are client URLs, tried in their order. */
export interface StoreAdmin {
  /** Linearizable: fails without a quorum. */
  memberList(endpoints: readonly string[]): Promise<MemberListing>;
  memberAddLearner(endpoints: readonly string[], peerUrl: string): Promise<void>;
  /** Fails while the server does not find the learner in sync. */
  memberPromote(endpoints: readonly string[], memberId: string): Promise<void>;
  memberRemove(endpoints: readonly string[], memberId: string): Promise<void>;
  /** `leader` must be the leader's endpoint. */
  moveLeader(leader: string, targetMemberId: string): Promise<void>;
  status(endpoint: string): Promise<MemberStatus>;
  /** Hash of the member's keys at its present revision, in decimal. */
  hash(endpoint: string): Promise<string>;
  alarms(endpoints: readonly string[]): Promise<readonly Alarm[]>;
  disarm(endpoints: readonly string[], alarm: Alarm): Promise<void>;
  /** Forgets the history before the revision. */
  compact(endpoints: readonly string[], revision: number): Promise<void>;
  /** Frees the space on one member; it serves meanwhile, slower. */
  defragment(endpoint: string): Promise<void>;
}

export interface MemberListing {
  readonly clusterId: string;
  readonly members: readonly RaftMember[];
}
