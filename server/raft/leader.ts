import { assert } from '../base/assert.ts';
import type { LogIndex, MemberId } from '../base/ids.ts';
import { noMember } from '../base/ids.ts';
import type { ConfState, Entry } from './entry.ts';
import { entrySize } from './log.ts';
import type {
  AppendResponseMessage,
  HeartbeatResponseMessage,
  Message,
  Proposal,
  ProposeMessage,
} from './messages.ts';
import type { Progress } from './progress.ts';
import { hasQuorum, quorumIndex } from './quorum.ts';
import type { Leadership, RaftState } from './state.ts';

const emptyData = new Uint8Array(0);
const seenBatchesMax = 4096;

export function leadershipOf(state: RaftState): Leadership {
  assert(state.leadership !== undefined, 'raft: not the leader');
  return state.leadership;
}

/** Begins a term with an entry of its own, which commits all before it (paper §5.4.2, §8). */
export function startLeadership(state: RaftState): void {
  state.becomeLeader();
  appendOwn(state, [{ kind: 'normal', data: emptyData }]);
}

export function tickLeader(state: RaftState): void {
  const leadership = leadershipOf(state);
  state.electionElapsed += 1;
  if (state.electionElapsed >= state.options.electionTicks) {
    state.electionElapsed = 0;
    leadership.transferTarget = noMember;
    if (!checkQuorum(state)) return;
  }
  for (const [member, departure] of leadership.departing) {
    departure.ticksLeft -= 1;
    if (departure.ticksLeft <= 0) leadership.departing.delete(member);
  }
  leadership.heartbeatElapsed += 1;
  if (leadership.heartbeatElapsed >= state.options.heartbeatTicks) leadership.heartbeatDue = true;
}

/** A leader that a majority no longer answers stops being one (thesis §6.2). */
function checkQuorum(state: RaftState): boolean {
  const { progress } = leadershipOf(state);
  const isActive = (voter: MemberId): boolean =>
    voter === state.id || progress.get(voter)?.recentlyActive === true;
  if (!hasQuorum(state.conf, isActive)) {
    state.becomeFollower(state.term, noMember);
    return false;
  }
  for (const follower of progress.values()) follower.recentlyActive = false;
  return true;
}

export function stepLeader(state: RaftState, message: Message): void {
  switch (message.kind) {
    case 'propose':
      stepPropose(state, message);
      return;
    case 'readIndex':
      startRead(state, message);
      return;
    default:
  }
  const { progress: followers, departing } = leadershipOf(state);
  const progress = followers.get(message.from) ?? departing.get(message.from)?.progress;
  if (progress === undefined) return;
  if (message.kind === 'appendResponse') stepAppendResponse(state, progress, message);
  else if (message.kind === 'heartbeatResponse') stepHeartbeatResponse(state, progress, message);
}

// --- proposals -------------------------------------------------------------------------------------------------------

/** False when nothing was appended, nor will be: no longer a member, handing over, or too much waits for a quorum. */
export function proposeAsLeader(state: RaftState, proposals: readonly Proposal[]): boolean {
  const leadership = leadershipOf(state);
  if (!state.isVoter(state.id) || leadership.transferTarget !== noMember) return false;
  if (leadership.uncommittedBytes > state.options.uncommittedBytesMax) return false;
  appendOwn(
    state,
    proposals.map((proposal) => admitConfChange(state, proposal)),
  );
  return true;
}

function stepPropose(state: RaftState, message: ProposeMessage): void {
  const { batchId } = message;
  const seen = seenBatchesOf(state, message.from);
  if (seen.has(batchId)) return;
  // One that was removed would not learn what becomes of it.
  const isFollower = leadershipOf(state).progress.has(message.from);
  if (isFollower && proposeAsLeader(state, message.proposals)) {
    seen.add(batchId);
    return;
  }
  state.send({ ...state.to(message.from), kind: 'proposeRefused', batchId });
}

/** The newest batches of one sender; older duplicates than these no network delivers. */
function seenBatchesOf(state: RaftState, from: MemberId): Set<number> {
  const { seenBatches } = leadershipOf(state);
  const seen = seenBatches.get(from) ?? new Set();
  seenBatches.set(from, seen);
  for (const oldest of seen) {
    if (seen.size < seenBatchesMax) break;
    seen.delete(oldest);
  }
  return seen;
}

/** One change at a time, and none before an entry of this term is committed (Ongaro, raft-dev 2015). */
function admitConfChange(state: RaftState, proposal: Proposal): Proposal {
  if (proposal.kind !== 'confChange') return proposal;
  const leadership = leadershipOf(state);
  const isPending = leadership.pendingConfIndex > state.log.applied;
  if (isPending || !hasCommittedInTerm(state)) return { ...proposal, kind: 'refusedConfChange' };
  leadership.pendingConfIndex = state.log.lastIndex + 1;
  return proposal;
}

function appendOwn(state: RaftState, proposals: readonly Proposal[]): void {
  const leadership = leadershipOf(state);
  for (const { kind, data } of proposals) {
    const entry: Entry = { index: state.log.lastIndex + 1, term: state.term, kind, data };
    leadership.uncommittedBytes += entrySize(entry);
    if (kind === 'confChange') leadership.pendingConfIndex = entry.index;
    state.log.append([entry]);
  }
  leadership.appendDue = true;
}

// --- replication -----------------------------------------------------------------------------------------------------

/** Sends what has come together since the last time: called once per ready. */
export function flushLeader(state: RaftState): void {
  const leadership = leadershipOf(state);
  if (leadership.heartbeatDue) broadcastHeartbeat(state);
  if (!leadership.appendDue) return;
  leadership.appendDue = false;
  for (const [member, progress] of leadership.progress) {
    sendAppend(state, { member, progress, evenIfEmpty: true });
    sendBacklog(state, { member, progress });
  }
  sendToDeparting(state);
}

function sendToDeparting(state: RaftState): void {
  const { departing } = leadershipOf(state);
  for (const [member, { progress, lastIndex }] of departing) {
    const isSent = sendAppend(state, { member, progress, evenIfEmpty: true });
    sendBacklog(state, { member, progress });
    const knowsAll = state.log.commit >= lastIndex && progress.next > lastIndex;
    if (isSent && knowsAll) departing.delete(member);
  }
}

function broadcastHeartbeat(state: RaftState): void {
  const leadership = leadershipOf(state);
  leadership.heartbeatDue = false;
  leadership.heartbeatElapsed = 0;
  const readId = leadership.reads.newest;
  for (const [member, progress] of leadership.progress) {
    const commit = Math.min(progress.match, state.log.commit);
    const commitTerm = state.log.term(commit) ?? 0;
    state.send({ ...state.to(member), kind: 'heartbeat', commit, commitTerm, readId });
  }
}

interface Follower {
  readonly member: MemberId;
  readonly progress: Progress;
}

function sendBacklog(state: RaftState, follower: Follower): void {
  while (sendAppend(state, { ...follower, evenIfEmpty: false }));
}

function sendAppend(state: RaftState, follower: Follower & { evenIfEmpty: boolean }): boolean {
  const { member, progress } = follower;
  if (progress.isPaused) return false;
  const { log } = state;
  const previousIndex = progress.next - 1;
  const previousTerm = log.term(previousIndex);
  if (previousTerm === undefined) return sendSnapshot(state, follower);
  const entries = log.slice(progress.next, state.options.appendBytesMax);
  if (entries.length === 0 && !follower.evenIfEmpty) return false;
  const { commit } = log;
  state.send({ ...state.to(member), kind: 'append', previousIndex, previousTerm, entries, commit });
  progress.sent(previousIndex + entries.length, entries.length === 0);
  return true;
}

/** The entries that the follower needs are gone: it gets the state as of what is applied here (paper §7). */
function sendSnapshot(state: RaftState, { member, progress }: Follower): boolean {
  const isDeparting = leadershipOf(state).departing.has(member);
  if (!progress.recentlyActive || isDeparting) return false;
  const { log } = state;
  const term = log.term(log.applied);
  assert(term !== undefined, 'raft: the applied entry has no term');
  progress.becomeSnapshot(log.applied);
  const snapshot = { index: log.applied, term, confState: state.conf };
  state.send({ ...state.to(member), kind: 'snapshot', snapshot });
  return true;
}

function stepAppendResponse(
  state: RaftState,
  progress: Progress,
  message: AppendResponseMessage,
): void {
  const follower = { member: message.from, progress };
  progress.recentlyActive = true;
  if (message.reject) {
    stepRejection(state, follower, message);
    return;
  }
  const wasPaused = progress.isPaused;
  const isNews = progress.maybeUpdate(message.index);
  if (!isNews && !(progress.state === 'probe' && progress.match === message.index)) return;
  leaveProbe(state, progress);
  if (maybeCommit(state)) leadershipOf(state).appendDue = true;
  else if (wasPaused) sendAppend(state, { ...follower, evenIfEmpty: true });
  sendBacklog(state, follower);
  maybeHandOver(state, follower);
}

function stepRejection(state: RaftState, follower: Follower, message: AppendResponseMessage): void {
  const { progress } = follower;
  const { hintIndex, hintTerm } = message;
  const next = hintTerm > 0 ? state.log.findConflict(hintIndex, hintTerm).index : hintIndex;
  if (progress.lacksAcknowledged(message.index)) {
    progress.lostLog(Math.min(next, state.log.lastIndex));
  } else {
    if (!progress.maybeDecrease(message.index, next)) return;
    if (progress.state === 'replicate') progress.becomeProbe();
  }
  sendAppend(state, { ...follower, evenIfEmpty: true });
}

/** The follower's log agrees with ours again: from now on a pipeline. */
function leaveProbe(state: RaftState, progress: Progress): void {
  if (progress.state === 'probe') progress.becomeReplicate();
  else if (progress.state === 'snapshot' && progress.match + 1 >= state.log.firstIndex) {
    progress.becomeReplicate();
  }
}

function stepHeartbeatResponse(
  state: RaftState,
  progress: Progress,
  message: HeartbeatResponseMessage,
): void {
  progress.recentlyActive = true;
  progress.resume();
  if (progress.match < state.log.lastIndex || progress.state === 'probe' || message.lostLog) {
    sendAppend(state, { member: message.from, progress, evenIfEmpty: true });
  }
  leadershipOf(state).reads.acknowledge(message.from, message.readId);
  confirmReads(state);
}

export function reportSnapshot(state: RaftState, member: MemberId, isInstalled: boolean): void {
  const progress = state.leadership?.progress.get(member);
  if (progress?.state !== 'snapshot') return;
  if (!isInstalled) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  progress.paused = true;
}

// --- commitment ------------------------------------------------------------------------------------------------------

/** Only entries of the own term are committed by counting (paper §5.4.2); all before them go with them. */
export function maybeCommit(state: RaftState): boolean {
  const { log } = state;
  const { progress } = leadershipOf(state);
  const matchOf = (voter: MemberId): LogIndex =>
    voter === state.id ? log.stable : (progress.get(voter)?.match ?? 0);
  const index = quorumIndex(state.conf, matchOf);
  if (index <= log.commit || log.term(index) !== state.term) return false;
  releaseUncommitted(state, index);
  log.commitTo(index);
  startEarlyReads(state);
  return true;
}

function releaseUncommitted(state: RaftState, index: LogIndex): void {
  const leadership = leadershipOf(state);
  for (const entry of state.log.slice(state.log.commit + 1, Infinity, index)) {
    if (entry.term === state.term) leadership.uncommittedBytes -= entrySize(entry);
  }
}

export function hasCommittedInTerm({ log, term }: RaftState): boolean {
  return log.term(log.commit) === term;
}

// --- reads -----------------------------------------------------------------------------------------------------------

/** A read waits until an entry of this term is committed (paper §8), then for a round of heartbeats (thesis §6.4). */
export function startRead(state: RaftState, read: { from: MemberId; requestId: number }): void {
  const leadership = leadershipOf(state);
  if (!hasCommittedInTerm(state)) {
    leadership.earlyReads.push({ from: read.from, requestId: read.requestId });
  } else if (state.isSoleVoter) {
    answerRead(state, { ...read, index: state.log.commit });
  } else {
    const { from, requestId } = read;
    leadership.reads.add({ from, requestId, index: state.log.commit });
    leadership.heartbeatDue = true;
  }
}

function startEarlyReads(state: RaftState): void {
  for (const read of leadershipOf(state).earlyReads.splice(0)) startRead(state, read);
}

function confirmReads(state: RaftState): void {
  const confirmed = leadershipOf(state).reads.takeConfirmed((acknowledged) =>
    hasQuorum(state.conf, (voter) => voter === state.id || acknowledged(voter)),
  );
  for (const read of confirmed) answerRead(state, read);
}

function answerRead(
  state: RaftState,
  read: { from: MemberId; requestId: number; index: LogIndex },
): void {
  const { requestId, index } = read;
  if (read.from === state.id) state.reads.push({ requestId, index });
  else state.send({ ...state.to(read.from), kind: 'readIndexResponse', requestId, index });
}

// --- leadership transfer and membership ------------------------------------------------------------------------------

/** False when the target cannot lead: not a voter. Done when the target has become leader; given up after an election timeout. */
export function transferLeadership(state: RaftState, target: MemberId): boolean {
  const leadership = leadershipOf(state);
  const progress = leadership.progress.get(target);
  if (progress === undefined || !state.isVoter(target)) return false;
  state.electionElapsed = 0;
  leadership.transferTarget = target;
  if (progress.match === state.log.lastIndex) sendTimeoutNow(state, target);
  else sendAppend(state, { member: target, progress, evenIfEmpty: false });
  return true;
}

function maybeHandOver(state: RaftState, { member, progress }: Follower): void {
  const isTarget = leadershipOf(state).transferTarget === member;
  if (isTarget && progress.match === state.log.lastIndex) sendTimeoutNow(state, member);
}

function sendTimeoutNow(state: RaftState, member: MemberId): void {
  state.send({ ...state.to(member), kind: 'timeoutNow' });
}

/** The leader's part of a membership change that has been applied. */
export function reconfigureLeader(state: RaftState, conf: ConfState): void {
  const { progress, transferTarget } = leadershipOf(state);
  for (const [member, departing] of progress) {
    if (!state.others.includes(member)) depart(state, { member, progress: departing });
  }
  for (const member of state.others) {
    if (progress.has(member)) continue;
    const added = state.newProgress();
    added.recentlyActive = true;
    progress.set(member, added);
  }
  const leadership = leadershipOf(state);
  if (!conf.voters.includes(transferTarget)) leadership.transferTarget = noMember;
  leadership.appendDue = true;
  if (!conf.voters.includes(state.id)) {
    flushLeader(state);
    state.becomeFollower(state.term, noMember);
    return;
  }
  maybeCommit(state);
  confirmReads(state);
}

function depart(state: RaftState, { member, progress }: Follower): void {
  const leadership = leadershipOf(state);
  leadership.progress.delete(member);
  const { lastIndex } = state.log;
  const ticksLeft = state.options.electionTicks;
  leadership.departing.set(member, { progress, lastIndex, ticksLeft });
}
