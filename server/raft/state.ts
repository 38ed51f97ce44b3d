import type { EntryId, LogIndex, MemberId, Term } from '../base/ids.ts';
import { compareIds, noMember } from '../base/ids.ts';
import type { Random } from '../base/random.ts';
import { randomBelow } from '../base/random.ts';
import type { ConfState, HardState, SnapshotMark } from './entry.ts';
import type { Log } from './log.ts';
import type { Message } from './messages.ts';
import { Progress } from './progress.ts';
import type { ReadState } from './read-index.ts';
import { ReadRounds } from './read-index.ts';

export interface RaftOptions {
  readonly id: MemberId;
  /** A follower campaigns after [electionTicks, 2 x electionTicks) without a leader. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly appendBytesMax: number;
  readonly inflightAppendsMax: number;
  /** A leader takes no proposals while more than this waits for a quorum. */
  readonly uncommittedBytesMax: number;
  /** Entries handed out for apply at once. */
  readonly applyBytesMax: number;
}

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** Everything a leader knows and a follower does not; made anew for each leadership. */
export class Leadership {
  readonly progress = new Map<MemberId, Progress>();
  /** Members that were removed and are still sent what they may wait for. */
  readonly departing = new Map<MemberId, Departure>();
  readonly reads = new ReadRounds();
  /** Reads asked for before the first commit of this term (paper §8). */
  readonly earlyReads: Array<{ from: MemberId; requestId: number }> = [];
  transferTarget: MemberId = noMember;
  /** No membership change is started before this index is applied: one at a time (thesis §4.1). */
  pendingConfIndex: LogIndex;
  uncommittedBytes = 0;
  heartbeatElapsed = 0;
  /** Something new to tell all followers: sent once per ready, however many proposals came. */
  appendDue = false;
  heartbeatDue = false;
  /** Batches of proposals that were appended, by sender: one that comes twice is appended once. */
  readonly seenBatches = new Map<MemberId, Set<number>>();

  constructor(pendingConfIndex: LogIndex) {
    this.pendingConfIndex = pendingConfIndex;
  }
}

/**
 * A member that was removed waits for its own proposals, which the log may hold by then: it is sent the log up to there,
 * and that it is committed. It counts for nothing.
 */
export interface Departure {
  readonly progress: Progress;
  /** The end of the log when the removal was applied here. */
  readonly lastIndex: LogIndex;
  /** After so many it gets nothing more. */
  ticksLeft: number;
}

/** The state of one raft member and its transitions between roles; the rules of each role are in files of their own. */
export class RaftState {
  readonly id: MemberId;
  readonly options: RaftOptions;
  readonly random: Random;
  readonly log: Log;
  conf: ConfState;

  term: Term;
  vote: MemberId;
  role: Role = 'follower';
  leader: MemberId = noMember;
  /** Present exactly while role is `leader`. */
  leadership: Leadership | undefined;
  /** Answers to our campaign; present exactly while a candidate. */
  readonly votes = new Map<MemberId, boolean>();

  /** Ticks since the leader was heard, or since a candidate or leader began its term or its quorum check. */
  electionElapsed = 0;
  electionTimeout = 0;
  /**
   * The last entry that this member once held and acknowledged, while its log is behind it: after damage (PAR, FAST'18).
   * Until then it does not campaign, and votes as if it held that entry; undefined when whole.
   */
  owed: EntryId | undefined;

  messages: Message[] = [];
  /** These promise that something is durable: sent only after the append that they go with (thesis §3.8). */
  messagesAfterAppend: Message[] = [];
  reads: ReadState[] = [];
  refusedBatches: number[] = [];
  snapshot: SnapshotMark | undefined;

  constructor(
    modules: { log: Log; random: Random },
    options: RaftOptions,
    persisted: { hardState: HardState; conf: ConfState; owed: EntryId | undefined },
  ) {
    this.id = options.id;
    this.options = options;
    this.random = modules.random;
    this.log = modules.log;
    this.term = persisted.hardState.term;
    this.vote = persisted.hardState.vote;
    this.conf = persisted.conf;
    this.owed = persisted.owed;
    this.#resetElectionTimer();
  }

  /** Whether a candidate whose log ends so may have our vote (paper §5.4.1). */
  isUpToDate(last: EntryId): boolean {
    return (
      this.log.isUpToDate(last) && (this.owed === undefined || compareIds(last, this.owed) >= 0)
    );
  }

  isVoter(member: MemberId): boolean {
    return this.conf.voters.includes(member);
  }

  get isSoleVoter(): boolean {
    return this.conf.voters.length === 1 && this.isVoter(this.id);
  }

  /** Everyone else in the configuration, in its order. */
  get others(): MemberId[] {
    return [...this.conf.voters, ...this.conf.learners].filter((member) => member !== this.id);
  }

  becomeFollower(term: Term, leader: MemberId): void {
    this.#reset(term, 'follower');
    this.leader = leader;
  }

  /** A rehearsal: neither term nor vote changes (thesis §9.6). */
  becomePreCandidate(): void {
    this.role = 'preCandidate';
    this.leader = noMember;
    this.votes.clear();
  }

  becomeCandidate(): void {
    this.#reset(this.term + 1, 'candidate');
    this.vote = this.id;
  }

  becomeLeader(): Leadership {
    this.#reset(this.term, 'leader');
    this.leader = this.id;
    const leadership = new Leadership(this.log.lastIndex);
    for (const member of this.others) leadership.progress.set(member, this.newProgress());
    this.leadership = leadership;
    return leadership;
  }

  newProgress(): Progress {
    return new Progress(this.log.lastIndex + 1, this.options.inflightAppendsMax);
  }

  #reset(term: Term, role: Role): void {
    if (term !== this.term) {
      this.term = term;
      this.vote = noMember;
    }
    this.role = role;
    this.leader = noMember;
    this.leadership = undefined;
    this.votes.clear();
    this.#resetElectionTimer();
  }

  #resetElectionTimer(): void {
    this.electionElapsed = 0;
    const { electionTicks } = this.options;
    this.electionTimeout = electionTicks + randomBelow(this.random, electionTicks);
  }

  send(message: Message): void {
    this.messages.push(message);
  }

  sendAfterAppend(message: Message): void {
    this.messagesAfterAppend.push(message);
  }

  /** The envelope of a message of this term. */
  to(member: MemberId): { from: MemberId; to: MemberId; term: Term } {
    return { from: this.id, to: member, term: this.term };
  }
}
