import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { EntryId } from '../../../server/base/ids.ts';
import { type RecoveredLog, recoverLog } from '../../../server/wal/recover.ts';
import type { Replay, Run } from '../../../server/wal/replay.ts';
import { entries } from './harness.ts';

const damage = { file: 'x.wal', offset: 8 };

function run(base: Run['base'], term: number, last: number): Run {
  return { base, entries: entries(term, base.index + 1, last) };
}

function recover(
  applied: EntryId,
  runs: readonly Run[],
  found: Partial<Replay> = {},
): { base: EntryId; indexes: number[] } & Pick<RecoveredLog, 'owed' | 'isRewritten'> {
  const end = runs.at(-1);
  const { index, term = 0 } = end?.entries.at(-1) ?? end?.base ?? { index: 0, term: 0 };
  const replay: Replay = {
    isEmpty: false,
    hardState: { term: 9, vote: 0n, commit: 0 },
    runs,
    last: { index, term },
    identity: undefined,
    damage: undefined,
    segments: [],
    lastFrame: { batchNumber: 1, crc: 0 },
    hasPlainEntries: true,
    ...found,
  };
  const { base, entries: kept, owed, isRewritten } = recoverLog(replay, applied);
  return { base, indexes: kept.map((entry) => entry.index), owed, isRewritten };
}

const start = { index: 0, term: 0 };

suite('recoverLog', () => {
  test('a whole log is taken as it is, whatever the state has of it', () => {
    for (const applied of [start, { index: 2, term: 1 }, { index: 3, term: 1 }]) {
      const log = recover(applied, [run(start, 1, 3)]);
      assert.deepEqual(log, {
        base: start,
        indexes: [1, 2, 3],
        owed: undefined,
        isRewritten: false,
      });
    }
  });

  test('a log whose beginning was released begins with its first entry as the base, or with what is applied', () => {
    const released = run({ index: 4, term: undefined }, 2, 8);
    assert.deepEqual(recover({ index: 6, term: 2 }, [released]).base, { index: 5, term: 2 });
    assert.deepEqual(recover({ index: 4, term: 1 }, [released]).base, { index: 4, term: 1 });
    assert.deepEqual(recover({ index: 4, term: 1 }, [released]).indexes, [5, 6, 7, 8]);
  });

  test('a state that came as a snapshot, and of which the log was not yet told, is where the log begins anew', () => {
    const beyond = recover({ index: 7, term: 2 }, [run(start, 1, 3)]);
    assert.deepEqual(beyond, {
      base: { index: 7, term: 2 },
      indexes: [],
      owed: undefined,
      isRewritten: true,
    });
  });

  test('entries that contradict the state were never committed, and are owed to nobody', () => {
    const log = recover({ index: 3, term: 2 }, [run(start, 1, 5)]);
    assert.deepEqual(log, {
      base: { index: 3, term: 2 },
      indexes: [],
      owed: undefined,
      isRewritten: true,
    });
    const atBase = recover({ index: 3, term: 2 }, [run({ index: 3, term: 1 }, 1, 5)]);
    assert.deepEqual(atBase.indexes, []);
  });

  test('a state that is older than the log’s beginning has lost what is between: the log’s last entry is owed', () => {
    const log = recover({ index: 2, term: 1 }, [run({ index: 4, term: 1 }, 1, 8)]);
    assert.deepEqual(log, {
      base: { index: 2, term: 1 },
      indexes: [],
      owed: { index: 8, term: 1 },
      isRewritten: true,
    });
  });

  test('of a log with a gap, the stretch that the state reaches is kept, the last entry owed', () => {
    const runs = [run(start, 1, 3), run({ index: 6, term: undefined }, 1, 9)];
    const before = recover({ index: 2, term: 1 }, runs, { damage });
    assert.deepEqual(before.indexes, [1, 2, 3]);
    assert.deepEqual(before.owed, { index: 9, term: 1 });
    assert.equal(before.isRewritten, true);
    const behind = recover({ index: 8, term: 1 }, runs, { damage });
    assert.deepEqual(behind.indexes, [8, 9]);
    assert.equal(behind.owed, undefined, 'the state has what the gap had');
    assert.equal(behind.isRewritten, true);
  });

  test('a debt is there until the log is as good as what was lost', () => {
    const owing = (term: number, last: number): EntryId | undefined =>
      recover(start, [run(start, term, last)], { last: { index: 5, term: 3 } }).owed;
    assert.deepEqual(owing(3, 4), { index: 5, term: 3 });
    assert.deepEqual(owing(2, 9), { index: 5, term: 3 });
    assert.equal(owing(3, 5), undefined);
    assert.equal(owing(4, 1), undefined);
  });

  test('a log without entries', () => {
    const fresh = recover(start, []);
    assert.deepEqual([fresh.indexes, fresh.owed, fresh.isRewritten], [[], undefined, false]);
    const lost = recover(start, [], { last: { index: 5, term: 1 } });
    assert.deepEqual(lost.owed, { index: 5, term: 1 });
  });
});
