import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { EntryId } from '../../../server/base/ids.ts';
import type { Entry } from '../../../server/raft/entry.ts';
import { entrySize, Log } from '../../../server/raft/log.ts';
import { entryOf } from './cluster.ts';

/** The same log, without a thought for speed. */
class NaiveLog {
  base: EntryId = { index: 0, term: 0 };
  entries: Entry[] = [];
  commit = 0;
  applied = 0;
  stable = 0;
  handedOut = 0;

  get last(): EntryId {
    return this.entries.at(-1) ?? this.base;
  }

  at(index: number): EntryId | undefined {
    return index === this.base.index
      ? this.base
      : this.entries.find((entry) => entry.index === index);
  }

  put(entry: Entry): void {
    const old = this.at(entry.index);
    if (old?.term === entry.term) return;
    this.entries = [...this.entries.filter(({ index }) => index < entry.index), entry];
    this.stable = Math.min(this.stable, entry.index - 1);
    this.handedOut = Math.min(this.handedOut, entry.index - 1);
  }

  from(start: number, bytesMax: number, end: number): Entry[] {
    const wanted = this.entries.filter(({ index }) => index >= start && index <= end);
    const kept: Entry[] = [];
    let bytes = 0;
    for (const entry of wanted) {
      bytes += entrySize(entry);
      if (kept.length > 0 && bytes > bytesMax) break;
      kept.push(entry);
    }
    return kept;
  }

  conflict(from: number, term: number): EntryId {
    const candidates = [this.base, ...this.entries].filter((id) => id.index <= from);
    const found = candidates.findLast((id) => id.term <= term) ?? this.base;
    return { index: found.index, term: found.term };
  }
}

const kinds = ['own', 'leader', 'commit', 'take', 'stable', 'apply', 'compact', 'restore'] as const;
const stepArbitrary = fc.record({
  kind: fc.constantFrom(...kinds, 'own', 'leader'),
  at: fc.nat(99),
  count: fc.nat(3),
  term: fc.nat(2),
  size: fc.nat(40),
});
type Step = typeof stepArbitrary extends fc.Arbitrary<infer T> ? T : never;

/** Does to both what raft may do to its log; `at` chooses among what is allowed. */
function act(log: Log, naive: NaiveLog, step: Step): void {
  const { at, count, size } = step;
  const pick = (low: number, high: number): number => low + (at % (high - low + 1));
  switch (step.kind) {
    case 'own': {
      const entries = newEntries(naive.last.index, naive.last.term + step.term, step);
      log.append(entries);
      for (const entry of entries) naive.put(entry);
      return;
    }
    case 'leader': {
      const previous = pick(naive.commit, naive.last.index + 1);
      const known = naive.at(previous);
      const id = { index: previous, term: (known?.term ?? 0) + (count === 3 ? 1 : 0) };
      const term = Math.max(naive.last.term, id.term) + step.term;
      const entries = newEntries(previous, term, step);
      const isMatch = known?.term === id.term;
      assert.equal(log.maybeAppend(id, entries), isMatch ? previous + entries.length : undefined);
      if (isMatch) for (const entry of entries) naive.put(entry);
      return;
    }
    case 'commit': {
      const index = pick(naive.applied, naive.last.index);
      assert.equal(log.commitTo(index), index > naive.commit);
      naive.commit = Math.max(naive.commit, index);
      return;
    }
    case 'take': {
      const expected = naive.from(naive.handedOut + 1, Infinity, Infinity);
      assert.equal(log.hasUnstable, expected.length > 0);
      assert.deepEqual(log.takeUnstable(), expected);
      naive.handedOut = naive.last.index;
      return;
    }
    case 'stable': {
      const index = pick(naive.base.index, naive.handedOut);
      const term = (naive.at(index)?.term ?? 0) + (size % 4 === 0 ? 1 : 0);
      log.stableTo({ index, term });
      if (size % 4 !== 0) naive.stable = Math.max(naive.stable, index);
      return;
    }
    case 'apply': {
      naive.applied = pick(naive.applied, Math.min(naive.commit, naive.stable));
      log.appliedTo(naive.applied);
      return;
    }
    case 'compact': {
      const index = pick(0, naive.applied);
      log.compactTo(index);
      if (index <= naive.base.index) return;
      const { term } = naive.at(index) ?? assert.fail('no entry');
      naive.base = { index, term };
      naive.entries = naive.entries.filter((entry) => entry.index > index);
      return;
    }
    case 'restore': {
      const base = { index: naive.last.index + 1 + count, term: naive.last.term + 1 };
      log.restore(base);
      Object.assign(naive, { base, entries: [] });
      naive.commit = naive.applied = naive.stable = naive.handedOut = base.index;
    }
  }
}

function newEntries(after: number, term: number, { count, size }: Step): Entry[] {
  return Array.from({ length: count }, (_, at) =>
    entryOf(after + 1 + at, Math.max(1, term), 'x'.repeat(size)),
  );
}

function assertSame(log: Log, naive: NaiveLog): void {
  const { base, commit, applied, stable, last } = naive;
  assert.deepEqual(
    [log.firstIndex, log.lastIndex, log.lastTerm, log.commit, log.applied, log.stable],
    [base.index + 1, last.index, last.term, commit, applied, stable],
  );
  assert.equal(
    log.sizeBytes,
    naive.entries.reduce((sum, entry) => sum + entrySize(entry), 0),
  );
  for (let index = base.index - 1; index <= last.index + 1; index += 1) {
    assert.equal(log.term(index), naive.at(index)?.term);
    for (let term = 0; term <= last.term + 1; term += 1) {
      const id = { index, term };
      assert.equal(log.matches(id), naive.at(index)?.term === term);
      const isNewer = term > last.term || (term === last.term && index >= last.index);
      assert.equal(log.isUpToDate(id), isNewer);
      if (index >= base.index) {
        assert.deepEqual(log.findConflict(index, term), naive.conflict(index, term));
      }
    }
  }
  for (const bytesMax of [1, 60, 150, Infinity]) {
    for (const end of [commit, last.index]) {
      const start = applied + 1;
      if (start > end + 1) continue;
      assert.deepEqual(log.slice(start, bytesMax, end), naive.from(start, bytesMax, end));
    }
    assert.deepEqual(
      log.applicable(applied + 1, bytesMax),
      naive.from(applied + 1, bytesMax, Math.min(commit, stable)),
    );
  }
}

suite('Log', () => {
  test('behaves as a naive log does', () => {
    const steps = fc.array(stepArbitrary, { maxLength: 40, size: 'max' });
    fc.assert(
      fc.property(steps, (all) => {
        const log = new Log({ index: 0, term: 0 }, [], { commit: 0, applied: 0 });
        const naive = new NaiveLog();
        for (const step of all) {
          act(log, naive, step);
          assertSame(log, naive);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('starts with what was found on disk; a commit index beyond it counts as far as it goes', () => {
    const entries = [entryOf(5, 2), entryOf(6, 3)];
    const log = new Log({ index: 4, term: 2 }, entries, { commit: 9, applied: 4 });
    assert.deepEqual([log.firstIndex, log.lastIndex, log.stable, log.commit], [5, 6, 6, 6]);
    assert.equal(log.hasUnstable, false);
  });

  test('holds on to its invariants', () => {
    const base = { index: 4, term: 2 };
    const start = { commit: 4, applied: 4 };
    assert.throws(() => new Log(base, [entryOf(6, 2)], start), /gap/);
    assert.throws(() => new Log(base, [], { commit: 9, applied: 9 }), /applied/);
    const log = new Log(base, [entryOf(5, 2), entryOf(6, 2)], { commit: 5, applied: 4 });
    assert.throws(() => log.append([entryOf(9, 2)]), /gap/);
    assert.throws(() => log.maybeAppend(base, [entryOf(5, 3)]), /committed/);
    assert.throws(() => log.commitTo(7), /beyond/);
    assert.throws(() => log.appliedTo(6), /applied/);
    assert.throws(() => log.compactTo(5), /applied/);
  });
});
