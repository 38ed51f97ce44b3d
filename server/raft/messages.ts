import type { LogIndex, MemberId, Term } from '../base/ids.ts';
import type { Entry, EntryKind, SnapshotMark } from './entry.ts';

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  /** The sender's term; for pre-votes the term that it would campaign in. */
  readonly term: Term;
}

/** AppendEntries (paper §5.3). */
export interface AppendMessage extends Envelope {
  readonly kind: 'append';
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
}

/**
 * `index`: when accepted, the last index known to match; when rejected, the `previousIndex` that did not.
 * A rejection carries a hint where to try next.
 */
export interface AppendResponseMessage extends Envelope {
  readonly kind: 'appendResponse';
  readonly index: LogIndex;
  readonly reject: boolean;
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
}

/**
 * `commit` with the term of the entry there: a follower whose log does not have exactly that entry commits nothing.
 * `readId`: the newest read round that waits for a quorum; 0 when none.
 */
export interface HeartbeatMessage extends Envelope {
  readonly kind: 'heartbeat';
  readonly commit: LogIndex;
  readonly commitTerm: Term;
  readonly readId: number;
}

/**
 * `lostLog`: the follower no longer holds what it once acknowledged (a damaged disk, under repair). The leader then looks,
 * idle or not.
 */
export interface HeartbeatResponseMessage extends Envelope {
  readonly kind: 'heartbeatResponse';
  readonly readId: number;
  readonly lostLog: boolean;
}

/** RequestVote (paper §5.2, §5.4.1) and its rehearsal (thesis §9.6). */
export interface VoteMessage extends Envelope {
  readonly kind: 'vote' | 'preVote';
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** A leader asked for this election (thesis §3.10): a follower that hears its leader votes all the same. */
  readonly transfer: boolean;
}

export interface VoteResponseMessage extends Envelope {
  readonly kind: 'voteResponse' | 'preVoteResponse';
  readonly reject: boolean;
}

/** InstallSnapshot (paper §7); the state itself travels beside it, in a stream of its own. */
export interface SnapshotMessage extends Envelope {
  readonly kind: 'snapshot';
  readonly snapshot: SnapshotMark;
}

/** TimeoutNow (thesis §3.10). */
export interface TimeoutNowMessage extends Envelope {
  readonly kind: 'timeoutNow';
}

export interface Proposal {
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** Proposals on their way to the leader of exactly this term: a leader of another term refuses them. */
export interface ProposeMessage extends Envelope {
  readonly kind: 'propose';
  /** The sender's number for this message, returned when it is refused. */
  readonly batchId: number;
  readonly proposals: readonly Proposal[];
}

/** Nothing of that batch was appended, nor will be. */
export interface ProposeRefusedMessage extends Envelope {
  readonly kind: 'proposeRefused';
  readonly batchId: number;
}

/** Asks the leader for a read index (thesis §6.4); a fresh `requestId` for each attempt (etcd #20418). */
export interface ReadIndexMessage extends Envelope {
  readonly kind: 'readIndex';
  readonly requestId: number;
}

export interface ReadIndexResponseMessage extends Envelope {
  readonly kind: 'readIndexResponse';
  readonly requestId: number;
  readonly index: LogIndex;
}

export type Message =
  | AppendMessage
  | AppendResponseMessage
  | HeartbeatMessage
  | HeartbeatResponseMessage
  | VoteMessage
  | VoteResponseMessage
  | SnapshotMessage
  | TimeoutNowMessage
  | ProposeMessage
  | ProposeRefusedMessage
  | ReadIndexMessage
  | ReadIndexResponseMessage;
