import type { LogIndex, MemberId, Term } from '../base/ids.ts';

/**
 * One entry of the replicated log.
 * `refusedConfChange` is a membership change that the leader would not start (another one was pending, or it had not yet
 * committed in its own term): it changes nothing, but tells its proposer so at apply.
 */
export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

export type EntryKind = 'normal' | 'confChange' | 'refusedConfChange';

/** What must survive a crash beside the entries (Raft paper, figure 2: persistent state). `commit` is a hint only. */
export interface HardState {
  readonly term: Term;
  readonly vote: MemberId;
  readonly commit: LogIndex;
}

/** Who votes and who only listens, as of some applied index. */
export interface ConfState {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/** A point in the log whose effects a member snapshot holds. */
export interface SnapshotMark {
  readonly index: LogIndex;
  readonly term: Term;
  readonly confState: ConfState;
}
