import assert from 'node:assert/strict';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import type { EntryId } from '../../../server/base/ids.ts';
import type { Entry, HardState } from '../../../server/raft/entry.ts';
import type { RecoveredLog } from '../../../server/wal/recover.ts';
import type { WalAppend } from '../../../server/wal/wal.ts';
import type { SeededRandom } from '../../sim/random.ts';

/** What the log on disk says after some appends. */
export interface ModelLog {
  readonly hardState: HardState;
  readonly base: EntryId;
  readonly entries: readonly Entry[];
  readonly identity: string;
}

export const emptyLog: ModelLog = {
  hardState: { term: 0, vote: 0n, commit: 0 },
  base: { index: 0, term: 0 },
  entries: [],
  identity: 'identity 0',
};

export function lastOf({ base, entries }: Pick<ModelLog, 'base' | 'entries'>): EntryId {
  return entries.at(-1) ?? base;
}

export function appended(log: ModelLog, append: WalAppend): ModelLog {
  const base = append.reset ?? log.base;
  const entries = append.reset === undefined ? [...log.entries] : [];
  for (const entry of append.entries) {
    entries.length = entry.index - base.index - 1;
    entries.push(entry);
  }
  const identity = append.identity === undefined ? log.identity : latin1(append.identity);
  return { hardState: append.hardState, base, entries, identity };
}

/** What raft may ask for next: entries, a new term that overwrites uncommitted ones, a vote, a snapshot. */
export function nextAppend(log: ModelLog, random: SeededRandom): WalAppend {
  const { hardState } = log;
  const kind = random.weighted({ entries: 10, term: 3, vote: 2, commit: 1, reset: 1, identity: 1 });
  switch (kind) {
    case 'entries':
      return {
        hardState: committing(log, random),
        entries: entriesAfter(lastOf(log).index, log, random),
      };
    case 'term':
      return overwrite(log, random);
    case 'vote':
      return {
        hardState: { ...hardState, term: hardState.term + 1, vote: BigInt(1 + random.below(5)) },
        entries: [],
      };
    case 'commit':
      return { hardState: committing(log, random), entries: [] };
    case 'reset': {
      const index = lastOf(log).index + random.below(5) + 1;
      const reset = { index, term: Math.max(1, hardState.term) };
      return { hardState: { ...hardState, term: reset.term, commit: index }, entries: [], reset };
    }
    case 'identity':
      return { hardState, entries: [], identity: fromLatin1(`identity ${random.below(1000)}`) };
  }
}

function overwrite(log: ModelLog, random: SeededRandom): WalAppend {
  const term = log.hardState.term + 1;
  const hardState = { ...log.hardState, term, vote: 0n };
  const kept = Math.max(hardState.commit, log.base.index);
  const from = kept + random.below(lastOf(log).index - kept + 1);
  return { hardState, entries: entriesAfter(from, { ...log, hardState }, random) };
}

function entriesAfter(index: number, log: ModelLog, random: SeededRandom): Entry[] {
  const term = Math.max(1, log.hardState.term);
  return Array.from({ length: 1 + random.below(4) }, (_, at) => ({
    index: index + 1 + at,
    term,
    kind: random.chance(0.1) ? 'confChange' : 'normal',
    data: fromLatin1(`${term}:${index + 1 + at}:${'x'.repeat(random.below(120))}`),
  }));
}

function committing(log: ModelLog, random: SeededRandom): HardState {
  const { hardState, base } = log;
  const first = Math.max(hardState.commit, base.index);
  const commit = first + random.below(lastOf(log).index - first + 1);
  return { ...hardState, term: Math.max(1, hardState.term), commit };
}

/** Whether the recovered log says what the model says, as far as the state has not got it already. */
export function isSameLog(found: RecoveredLog, model: ModelLog, applied: EntryId): boolean {
  const expected = expectedAfter(model, applied);
  const actual = found.entries.filter(({ index }) => index > applied.index).map(describe);
  const before = found.entries.filter(({ index }) => index <= applied.index);
  return (
    actual.join() === expected.join() &&
    found.base.index <= applied.index &&
    before.every((entry) => isOf(model, entry))
  );
}

function expectedAfter({ base, entries }: ModelLog, applied: EntryId): string[] {
  const own = applied.index === base.index ? base : entries[applied.index - base.index - 1];
  if (own?.term !== applied.term) return [];
  return entries.filter(({ index }) => index > applied.index).map(describe);
}

/** An entry of the model; or one from before a snapshot that the model begins with. */
function isOf({ base, entries }: ModelLog, entry: Entry): boolean {
  const own = entries[entry.index - base.index - 1];
  return own === undefined ? entry.index <= base.index : describe(own) === describe(entry);
}

export function describe({ index, term, kind, data }: Entry): string {
  return `${index}/${term} ${kind} ${latin1(data)}`;
}

export function assertSameLog(found: RecoveredLog, model: ModelLog, applied: EntryId): void {
  const actual = found.entries.filter(({ index }) => index > applied.index).map(describe);
  assert.deepEqual(actual, expectedAfter(model, applied));
  assert.ok(isSameLog(found, model, applied), 'entries before the applied one');
}
