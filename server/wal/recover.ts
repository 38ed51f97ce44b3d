import type { LogIndex } from '../base/ids.ts';
import type { Entry, EntryId } from '../raft/entry.ts';
import type { Replay, Run } from './replay.ts';

/** The log that raft starts with. */
export interface RecoveredLog {
  readonly base: EntryId;
  readonly entries: readonly Entry[];
  /** Up to where this member once held, and acknowledged, entries that it has no more; 0 when none are missing. */
  readonly catchUpTo: LogIndex;
  /** The files do not say what this says: they have to be written anew. */
  readonly isRewritten: boolean;
}

/**
 * Joins what the log says with what the state has applied. Entries that the state has are not needed, so damage before
 * them does no harm. A state without the entries that follow it (lost, or damage in the log) begins anew from what it
 * has and must catch up before it may vote (PAR, FAST'18).
 */
export function recoverLog(replay: Replay, applied: EntryId): RecoveredLog {
  const last = replay.runs.at(-1);
  const reaching = replay.runs.findLast(({ base }) => base.index <= applied.index);
  if (last === undefined || reaching === undefined) return restart(replay, applied);
  const isWhole = reaching === last;
  const owed = Math.max(replay.catchUpTo, isWhole ? 0 : replay.lastIndex);
  const end = reaching.base.index + reaching.entries.length;
  if (end < applied.index || termIn(reaching, applied.index) === 'other') {
    // A snapshot was installed, and the crash came before the log was told.
    return settled({ base: applied, entries: [], owed, isRewritten: true });
  }
  return settled({ ...startOf(reaching, applied), owed, isRewritten: replay.damage !== undefined });

  function termIn(run: Run, index: LogIndex): 'same' | 'other' {
    const entry = run.entries[index - run.base.index - 1];
    const term = entry?.term ?? run.base.term ?? applied.term;
    return term === applied.term ? 'same' : 'other';
  }
}

/** Nothing in the log follows what is applied. */
function restart(replay: Replay, applied: EntryId): RecoveredLog {
  const owed = Math.max(replay.catchUpTo, replay.lastIndex);
  const isRewritten = replay.runs.length > 0 || replay.damage !== undefined;
  return settled({ base: applied, entries: [], owed, isRewritten });
}

/** raft needs the term of the entry before the first: where the log has forgotten it, the first entry serves. */
function startOf(run: Run, applied: EntryId): { base: EntryId; entries: readonly Entry[] } {
  const { index, term } = run.base;
  if (term !== undefined) return { base: { index, term }, entries: run.entries };
  if (index === applied.index) return { base: applied, entries: run.entries };
  const [first, ...rest] = run.entries;
  if (first === undefined) return { base: applied, entries: [] };
  return { base: { index: first.index, term: first.term }, entries: rest };
}

function settled(log: {
  base: EntryId;
  entries: readonly Entry[];
  owed: LogIndex;
  isRewritten: boolean;
}): RecoveredLog {
  const { base, entries, owed } = log;
  const catchUpTo = base.index + entries.length >= owed ? 0 : owed;
  return { base, entries, catchUpTo, isRewritten: log.isRewritten || catchUpTo > 0 };
}
