import { assert } from '../base/assert.ts';
import type { EntryId, LogIndex, MemberId, Term } from '../base/ids.ts';
import { compareIds, noMember } from '../base/ids.ts';
import type { Random } from '../base/random.ts';
import { campaign, countOwnVote, preCampaign, stepVoteResponse } from './candidate.ts';
import type { ConfState, Entry, HardState, SnapshotMark } from './entry.ts';
import { stepAppend, stepHeartbeat, stepSnapshot, stepVote } from './follower.ts';
import {
  flushLeader,
  hasCommittedInTerm,
  leadershipOf,
  maybeCommit,
  proposeAsLeader,
  reconfigureLeader,
  reportSnapshot,
  startRead,
  stepLeader,
  tickLeader,
  transferLeadership,
} from './leader.ts';
import { Log } from './log.ts';
import type { Message, Proposal } from './messages.ts';
import type { ReadState } from './read-index.ts';
import type { RaftOptions, Role } from './state.ts';
import { RaftState } from './state.ts';

/** What was found on disk. */
export interface Persisted {
  readonly hardState: HardState;
  /** The entry before `entries`: what the state has applied, or earlier. */
  readonly base: EntryId;
  readonly entries: readonly Entry[];
  /** Up to where the state has the effects; `confState` is as of this entry. */
  readonly applied: LogIndex;
  readonly confState: ConfState;
  /** The last entry that this member once acknowledged, when it no longer holds it. */
  readonly owed: EntryId | undefined;
}

/**
 * Everything the driver has to do, in this order: send `messages`; make `append` durable, and when it is, call
 * `appended(append)` and send `append.messages`; apply `committed`, then call `appliedTo`. Appends are made durable in
 * the order they were given; the driver need not wait for one before it takes the next ready.
 */
export interface Ready {
  readonly messages: readonly Message[];
  readonly append: Append | undefined;
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadState[];
  /** Batches of ours that the leader did not append. */
  readonly refusedBatches: readonly number[];
}

export interface Append {
  readonly hardState: HardState;
  /** False when term and vote are those of the append before: then only entries make a sync necessary. */
  readonly hasNewVote: boolean;
  readonly entries: readonly Entry[];
  /** The state that the driver received with this mark replaces its own, and the log. */
  readonly snapshot: SnapshotMark | undefined;
  readonly messages: readonly Message[];
  readonly last: EntryId;
}

export type ProposeOutcome =
  | { readonly kind: 'appended'; readonly term: Term }
  | { readonly kind: 'forwarded'; readonly term: Term; readonly batchId: number }
  /** Nothing was appended, nor will be. */
  | { readonly kind: 'refused'; readonly reason: 'noLeader' | 'busy' };

/**
 * One raft member as a pure state machine (Ongaro and Ousterhout 2014; Ongaro's thesis): `step`, `tick`, `ready`,
 * `appended`, `appliedTo`. No clock, no I/O; randomness is injected.
 */
export class Raft {
  readonly #state: RaftState;
  #handedOutVote: { term: Term; vote: MemberId };
  #lastBatchId: number;

  constructor(modules: { random: Random }, options: RaftOptions, persisted: Persisted) {
    const { base, entries, hardState, applied, confState, owed } = persisted;
    const log = new Log(base, entries, { commit: hardState.commit, applied });
    const initial = { hardState, conf: confState, owed };
    this.#state = new RaftState({ log, random: modules.random }, options, initial);
    this.#handedOutVote = { term: hardState.term, vote: hardState.vote };
    // Unlike any of a former life, of which the leader may remember some.
    this.#lastBatchId = modules.random.uint32() * 0x10_0000;
  }

  // --- what others may look at -----------------------------------------------------------------

  get id(): MemberId {
    return this.#state.id;
  }
  get term(): Term {
    return this.#state.term;
  }
  get vote(): MemberId {
    return this.#state.vote;
  }
  get role(): Role {
    return this.#state.role;
  }
  get leader(): MemberId {
    return this.#state.leader;
  }
  get conf(): ConfState {
    return this.#state.conf;
  }
  get log(): Omit<
    Log,
    | 'append'
    | 'maybeAppend'
    | 'restore'
    | 'commitTo'
    | 'stableTo'
    | 'appliedTo'
    | 'compactTo'
    | 'takeUnstable'
  > {
    return this.#state.log;
  }
  /** The lost entry that the log has to reach again; undefined when whole. */
  get owed(): EntryId | undefined {
    return this.#state.owed;
  }
  get hasCommittedInTerm(): boolean {
    return hasCommittedInTerm(this.#state);
  }
  /** The leader's view of a follower. */
  progressOf(
    member: MemberId,
  ):
    | { match: LogIndex; state: string; recentlyActive: boolean; pendingSnapshot: LogIndex }
    | undefined {
    return this.#state.leadership?.progress.get(member);
  }
  get isTransferring(): boolean {
    return (this.#state.leadership?.transferTarget ?? noMember) !== noMember;
  }

  // --- inputs ----------------------------------------------------------------------------------

  tick(): void {
    const state = this.#state;
    if (state.role === 'leader') {
      tickLeader(state);
      return;
    }
    state.electionElapsed += 1;
    if (state.electionElapsed < state.electionTimeout) return;
    state.electionElapsed = 0;
    preCampaign(state);
  }

  /** Campaigns now: at start of a one-member cluster, and in tests. */
  campaign(): void {
    if (this.#state.role !== 'leader') preCampaign(this.#state);
  }

  step(message: Message): void {
    const state = this.#state;
    if (message.to !== state.id) return;
    if (message.term > state.term && !this.#meetNewerTerm(message)) return;
    if (message.term < state.term) {
      this.#answerOlderTerm(message);
      return;
    }
    this.#dispatch(message);
  }

  /** False when the message is to be ignored. */
  #meetNewerTerm(message: Message): boolean {
    const state = this.#state;
    const isVote = message.kind === 'vote' || message.kind === 'preVote';
    if (isVote && !message.transfer && this.#hearsLeader()) return false;
    if (message.kind === 'preVote') return true;
    if (message.kind === 'preVoteResponse' && !message.reject) return true;
    const isFromLeader =
      message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot';
    state.becomeFollower(message.term, isFromLeader ? message.from : noMember);
    return true;
  }

  /** A member that hears its leader votes for nobody (thesis §4.2.3): a removed or cut-off member disturbs no one. */
  #hearsLeader(): boolean {
    const { leader, electionElapsed, options } = this.#state;
    return leader !== noMember && electionElapsed < options.electionTicks;
  }

  /** Tells a leader or a candidate of the past that its term is over; else it might wait for us for ever. */
  #answerOlderTerm(message: Message): void {
    const state = this.#state;
    if (message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot') {
      const envelope = state.to(message.from);
      state.sendAfterAppend({ ...envelope, kind: 'heartbeatResponse', readId: 0, lostLog: false });
    } else if (message.kind === 'preVote') {
      state.send({ ...state.to(message.from), kind: 'preVoteResponse', reject: true });
    } else if (message.kind === 'propose') {
      this.#refuse(message.from, message.batchId);
    }
  }

  #refuse(member: MemberId, batchId: number): void {
    this.#state.send({ ...this.#state.to(member), kind: 'proposeRefused', batchId });
  }

  #dispatch(message: Message): void {
    const state = this.#state;
    switch (message.kind) {
      case 'vote':
      case 'preVote':
        stepVote(state, message);
        return;
      case 'voteResponse':
      case 'preVoteResponse':
        stepVoteResponse(state, message);
        return;
      case 'append':
        this.#follow(message.from);
        stepAppend(state, message);
        return;
      case 'heartbeat':
        this.#follow(message.from);
        stepHeartbeat(state, message);
        return;
      case 'snapshot':
        this.#follow(message.from);
        stepSnapshot(state, message);
        return;
      case 'timeoutNow':
        if (state.role === 'follower') campaign(state, { transfer: true });
        return;
      case 'proposeRefused':
        state.refusedBatches.push(message.batchId);
        return;
      case 'readIndexResponse':
        state.reads.push({ requestId: message.requestId, index: message.index });
        return;
      case 'propose':
        if (state.role === 'leader') stepLeader(state, message);
        else this.#refuse(message.from, message.batchId);
        return;
      default:
        if (state.role === 'leader') stepLeader(state, message);
    }
  }

  /** A message of this term's leader: whoever else campaigned in it has lost (paper §5.2). */
  #follow(leader: MemberId): void {
    const state = this.#state;
    assert(state.role !== 'leader', `raft: two leaders in term ${state.term}`);
    if (state.role !== 'follower') state.becomeFollower(state.term, leader);
    state.leader = leader;
    state.electionElapsed = 0;
  }

  propose(proposals: readonly Proposal[]): ProposeOutcome {
    const state = this.#state;
    const { term, leader } = state;
    if (state.role === 'leader') {
      if (proposeAsLeader(state, proposals)) return { kind: 'appended', term };
      return { kind: 'refused', reason: 'busy' };
    }
    if (leader === noMember) return { kind: 'refused', reason: 'noLeader' };
    this.#lastBatchId += 1;
    const batchId = this.#lastBatchId;
    state.send({ ...state.to(leader), kind: 'propose', batchId, proposals });
    return { kind: 'forwarded', term, batchId };
  }

  /** Asks for a read index; answered in `ready().reads`, or never: the caller asks again with a fresh id. */
  readIndex(requestId: number): void {
    const state = this.#state;
    if (state.role === 'leader') startRead(state, { from: state.id, requestId });
    else if (state.leader !== noMember) {
      state.send({ ...state.to(state.leader), kind: 'readIndex', requestId });
    }
  }

  /** False when we do not lead, or the target is no voter. */
  transferLeadership(target: MemberId): boolean {
    return this.#state.role === 'leader' && transferLeadership(this.#state, target);
  }

  /** How the sending of a snapshot to a follower ended. */
  reportSnapshot(member: MemberId, isInstalled: boolean): void {
    reportSnapshot(this.#state, member, isInstalled);
  }

  // --- the driver's part -----------------------------------------------------------------------

  /** `canApply`: false holds `committed` back. */
  ready({ canApply = true }: { readonly canApply?: boolean } = {}): Ready {
    const state = this.#state;
    if (state.role === 'leader') flushLeader(state);
    const append = this.#takeAppend();
    const ready: Ready = {
      messages: state.messages,
      append,
      committed: canApply
        ? state.log.applicable(state.log.applied + 1, state.options.applyBytesMax)
        : [],
      reads: state.reads,
      refusedBatches: state.refusedBatches,
    };
    state.messages = [];
    state.reads = [];
    state.refusedBatches = [];
    return ready;
  }

  #takeAppend(): Append | undefined {
    const state = this.#state;
    const { term, vote, log, snapshot } = state;
    const hasNewVote = term !== this.#handedOutVote.term || vote !== this.#handedOutVote.vote;
    const messages = state.messagesAfterAppend;
    const isNeeded = log.hasUnstable || hasNewVote || snapshot !== undefined || messages.length > 0;
    if (!isNeeded) return undefined;
    this.#handedOutVote = { term, vote };
    state.messagesAfterAppend = [];
    state.snapshot = undefined;
    return {
      hardState: { term, vote, commit: log.commit },
      hasNewVote,
      entries: log.takeUnstable(),
      snapshot,
      messages,
      last: { index: log.lastIndex, term: log.lastTerm },
    };
  }

  /** `append` is durable. One of an older term proves nothing: what it wrote may be overwritten by a later one. */
  appended(append: Append): void {
    const state = this.#state;
    if (append.hardState.term !== state.term) return;
    state.log.stableTo(append.last);
    this.#settleDebt();
    if (append.hardState.vote === state.id) countOwnVote(state);
    if (state.role === 'leader' && maybeCommit(state)) leadershipOf(state).appendDue = true;
  }

  #settleDebt(): void {
    const { owed, log } = this.#state;
    const stable = { index: log.stable, term: log.term(log.stable) ?? 0 };
    if (owed !== undefined && compareIds(stable, owed) >= 0) this.#state.owed = undefined;
  }

  appliedTo(index: LogIndex): void {
    this.#state.log.appliedTo(index);
  }

  /** The membership as of a change that was just applied. */
  setConf(conf: ConfState): void {
    const state = this.#state;
    state.conf = conf;
    if (state.role === 'leader') reconfigureLeader(state, conf);
  }

  /**
   * Forgets entries up to `index`, but none that a follower who is being sent a snapshot needs after it: but for those who
   * are to be left behind, and will need another one.
   */
  compactTo(index: LogIndex, leavesBehind: (follower: MemberId) => boolean = () => false): void {
    let limit = index;
    for (const [member, progress] of this.#state.leadership?.progress ?? []) {
      const isHeld = progress.state === 'snapshot' && !leavesBehind(member);
      if (isHeld) limit = Math.min(limit, progress.pendingSnapshot);
    }
    this.#state.log.compactTo(limit);
  }
}
