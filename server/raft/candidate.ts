import { noMember } from '../base/ids.ts';
import { startLeadership } from './leader.ts';
import type { VoteResponseMessage } from './messages.ts';
import { hasQuorum } from './quorum.ts';
import type { RaftState } from './state.ts';

/** May this member lead? Not a learner, not one that must catch up, not before it applied the committed changes (etcd #7280). */
export function isPromotable(state: RaftState): boolean {
  return state.isVoter(state.id) && state.owed === undefined && !hasUnappliedConfChange(state);
}

function hasUnappliedConfChange({ log }: RaftState): boolean {
  for (let index = log.applied + 1; index <= log.commit; index += 1) {
    if (log.kind(index) === 'confChange') return true;
  }
  return false;
}

/** Starts with a rehearsal, so that a member that nobody would elect disturbs no term (thesis §9.6). */
export function preCampaign(state: RaftState): void {
  if (!isPromotable(state)) {
    // Nobody is heard, so others may have our vote, and proposals are not sent to who is gone.
    if (state.role === 'follower') state.leader = noMember;
    return;
  }
  state.becomePreCandidate();
  askForVotes(state, { kind: 'preVote', transfer: false });
  recordVote(state, { member: state.id, granted: true });
}

/** Our own vote counts once it is durable: see `countOwnVote`. */
export function campaign(state: RaftState, { transfer }: { transfer: boolean }): void {
  if (!isPromotable(state)) return;
  state.becomeCandidate();
  askForVotes(state, { kind: 'vote', transfer });
}

function askForVotes(
  state: RaftState,
  { kind, transfer }: { kind: 'vote' | 'preVote'; transfer: boolean },
): void {
  const term = kind === 'preVote' ? state.term + 1 : state.term;
  const { lastIndex, lastTerm } = state.log;
  for (const voter of state.conf.voters) {
    if (voter === state.id) continue;
    state.send({ ...state.to(voter), kind, term, lastIndex, lastTerm, transfer });
  }
}

/** Called when the hard state with our own vote is durable. */
export function countOwnVote(state: RaftState): void {
  if (state.role === 'candidate') recordVote(state, { member: state.id, granted: true });
}

export function stepVoteResponse(state: RaftState, message: VoteResponseMessage): void {
  const expected = state.role === 'preCandidate' ? 'preVoteResponse' : 'voteResponse';
  const isCandidate = state.role === 'preCandidate' || state.role === 'candidate';
  if (!isCandidate || message.kind !== expected) return;
  recordVote(state, { member: message.from, granted: !message.reject });
}

function recordVote(state: RaftState, vote: { member: bigint; granted: boolean }): void {
  if (!state.votes.has(vote.member)) state.votes.set(vote.member, vote.granted);
  if (hasQuorum(state.conf, (voter) => state.votes.get(voter) === true)) {
    if (state.role === 'preCandidate') campaign(state, { transfer: false });
    else startLeadership(state);
  } else if (isLost(state)) {
    state.becomeFollower(state.term, noMember);
  }
}

/** A majority refused, or so many that no majority can grant any more. */
function isLost({ conf, votes }: RaftState): boolean {
  const open = (voter: bigint): boolean => votes.get(voter) !== false;
  return !hasQuorum(conf, open);
}
