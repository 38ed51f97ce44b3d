import type { EntryId } from '../base/ids.ts';
import { compareIds } from '../base/ids.ts';
import type { Entry } from '../raft/entry.ts';
import type { Replay, Run } from './replay.ts';

/** The log that raft starts with. */
export interface RecoveredLog {
  readonly base: EntryId;
  readonly entries: readonly Entry[];
  /** The last entry that this member once held and acknowledged, when it has it no more. */
  readonly owed: EntryId | undefined;
  /** The files do not say what this says: they have to be written anew. */
  readonly isRewritten: boolean;
}

/**
 * Joins what the log says with what the state has applied. Entries that the state has are not needed, so damage before
 * them does no harm. A state without the entries that follow it (lost, or damage in the log) begins anew from what it
 * has, and owes the rest (PAR, FAST'18).
 */
export function recoverLog(replay: Replay, applied: EntryId): RecoveredLog {
  const run = replay.runs.findLast(({ base }) => base.index <= applied.index);
  const isDamaged = replay.damage !== undefined;
  if (run === undefined || isSuperseded(run, applied)) {
    // Nothing follows what is applied: the state was lost, or a snapshot was installed and the log not yet told.
    const isRewritten = replay.runs.length > 0 || isDamaged;
    return settle(replay, { base: applied, entries: [], isRewritten });
  }
  return settle(replay, { ...startOf(run, applied), isRewritten: isDamaged });
}

/** The state is further than the run, or of another history: it came as a snapshot. */
function isSuperseded(run: Run, applied: EntryId): boolean {
  const { base, entries } = run;
  if (base.index + entries.length < applied.index) return true;
  const term = entries[applied.index - base.index - 1]?.term ?? base.term ?? applied.term;
  return term !== applied.term;
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

function settle(
  replay: Replay,
  log: { base: EntryId; entries: readonly Entry[]; isRewritten: boolean },
): RecoveredLog {
  const last = log.entries.at(-1) ?? log.base;
  const owed = compareIds(replay.last, last) > 0 ? replay.last : undefined;
  return { ...log, owed };
}
