import type { AppendMessage, HeartbeatMessage, SnapshotMessage, VoteMessage } from './messages.ts';
import type { RaftState } from './state.ts';

/** RequestVote receiver (paper §5.2, §5.4.1); the same in every role. */
export function stepVote(state: RaftState, message: VoteMessage): void {
  const isRehearsal = message.kind === 'preVote';
  const isFree = state.vote === message.from || (state.vote === 0n && state.leader === 0n);
  const mayGrant = isFree || (isRehearsal && message.term > state.term);
  const last = { index: message.lastIndex, term: message.lastTerm };
  const granted = mayGrant && state.isUpToDate(last);
  if (!granted) {
    const kind = isRehearsal ? 'preVoteResponse' : 'voteResponse';
    state.send({ ...state.to(message.from), kind, reject: true });
  } else if (isRehearsal) {
    const envelope = { ...state.to(message.from), term: message.term };
    state.send({ ...envelope, kind: 'preVoteResponse', reject: false });
  } else {
    state.electionElapsed = 0;
    state.vote = message.from;
    state.sendAfterAppend({ ...state.to(message.from), kind: 'voteResponse', reject: false });
  }
}

/** AppendEntries receiver (paper §5.3). */
export function stepAppend(state: RaftState, message: AppendMessage): void {
  const { log } = state;
  if (message.previousIndex < log.commit) {
    acknowledge(state, message.from, log.commit);
    return;
  }
  const previous = { index: message.previousIndex, term: message.previousTerm };
  const last = log.maybeAppend(previous, message.entries);
  if (last === undefined) {
    const hint = log.findConflict(message.previousIndex, message.previousTerm);
    state.send({
      ...state.to(message.from),
      kind: 'appendResponse',
      index: message.previousIndex,
      reject: true,
      hintIndex: hint.index,
      hintTerm: hint.term,
    });
    return;
  }
  log.commitTo(Math.min(message.commit, last));
  acknowledge(state, message.from, last);
}

function acknowledge(state: RaftState, leader: bigint, index: number): void {
  state.sendAfterAppend({
    ...state.to(leader),
    kind: 'appendResponse',
    index,
    reject: false,
    hintIndex: 0,
    hintTerm: 0,
  });
}

export function stepHeartbeat(state: RaftState, message: HeartbeatMessage): void {
  const { commit, commitTerm, readId } = message;
  if (state.log.matches({ index: commit, term: commitTerm })) state.log.commitTo(commit);
  const lostLog = state.owed !== undefined;
  state.send({ ...state.to(message.from), kind: 'heartbeatResponse', readId, lostLog });
}

/** InstallSnapshot receiver (paper §7). The driver holds the state already; `snapshot` tells it to install it. */
export function stepSnapshot(state: RaftState, message: SnapshotMessage): void {
  const { log } = state;
  const { snapshot } = message;
  if (snapshot.index <= log.commit) {
    acknowledge(state, message.from, log.commit);
    return;
  }
  if (log.matches(snapshot)) {
    log.commitTo(snapshot.index);
    acknowledge(state, message.from, log.commit);
    return;
  }
  log.restore(snapshot);
  state.conf = snapshot.confState;
  state.snapshot = snapshot;
  acknowledge(state, message.from, log.lastIndex);
}
