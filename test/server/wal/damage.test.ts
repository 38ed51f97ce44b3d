import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { latin1 } from '../../../server/base/bytes.ts';
import type { EntryId } from '../../../server/base/ids.ts';
import type { HardState } from '../../../server/raft/entry.ts';
import { encodeFrame, type Frame } from '../../../server/wal/frame.ts';
import { recordBytes, type WalRecord, writeRecord } from '../../../server/wal/record.ts';
import { recoverLog } from '../../../server/wal/recover.ts';
import { type Replay, replayWal } from '../../../server/wal/replay.ts';
import { segmentName } from '../../../server/wal/segment.ts';
import { SeededRandom } from '../../sim/random.ts';
import { isWhole } from '../../support/whole.ts';
import { directory, entries, recovered, WalHarness } from './harness.ts';
import { MemoryFileSystem } from './memory-file-system.ts';
import { assertSameLog, describe, isSameLog, lastOf, type ModelLog, nextAppend } from './model.ts';

const nothing: EntryId = { index: 0, term: 0 };
const term = (value: number, vote = 0n, commit = 0) => ({
  hardState: { term: value, vote, commit },
});

/** A small log of several segments with overwritten entries and votes. */
function busyLog(segmentBytes = 1_500): WalHarness {
  const log = WalHarness.create({ segmentBytes });
  log.write({ ...term(1, 2n), entries: entries(1, 1, 3) });
  log.write({ ...term(1, 2n, 2), entries: entries(1, 4, 6) });
  log.write({ ...term(2, 3n, 2) });
  log.write({ ...term(3, 0n, 3), entries: entries(3, 5, 7) });
  log.write({ ...term(3, 0n, 5), entries: entries(3, 8, 8) });
  log.write({ ...term(4, 1n, 6), entries: entries(4, 8, 10) });
  log.write({ ...term(4, 1n, 8), entries: entries(4, 11, 11) });
  return log;
}

/** In a sample, seven times round through the bits of a byte. */
const step = isWhole ? 1 : 7;

/** Calls `check` with the files as they are after each single bit was flipped. */
function forEachFlippedBit(
  files: MemoryFileSystem,
  check: (place: string) => void,
  from: (path: string) => number = () => 0,
): void {
  for (const [path, bytes] of files.files) {
    for (let bit = from(path) * 8; bit < bytes.length * 8; bit += step) {
      const at = bit >> 3;
      const mask = 1 << (bit & 7);
      bytes[at] = (bytes[at] ?? 0) ^ mask;
      check(`${path} byte ${at} bit ${bit & 7}`);
      bytes[at] = (bytes[at] ?? 0) ^ mask;
    }
  }
}

/** What a sealed log may look like after damage: whole, or owing its last entry and saying so; never wrong. */
function assertSafe(replay: Replay, model: ModelLog, applied: EntryId): 'whole' | 'owing' {
  assert.equal(replay.isEmpty, false);
  const log = recoverLog(replay, applied);
  assert.deepEqual(voteOf(replay.hardState), voteOf(model.hardState), 'the vote is kept');
  assert.ok(replay.hardState.commit <= model.hardState.commit);
  if (replay.damage === undefined) {
    assert.equal(latin1(replay.identity ?? new Uint8Array(0)), model.identity);
  }
  if (log.owed === undefined) {
    assertSameLog(log, model, applied);
    return 'whole';
  }
  assert.notEqual(replay.damage, undefined, 'damage is told');
  assert.equal(log.isRewritten, true);
  assert.deepEqual(log.owed, { index: lastOf(model).index, term: lastOf(model).term });
  assert.ok(log.base.index <= applied.index);
  const held = log.entries.filter(({ index }) => index > applied.index).map(describe);
  const expected = model.entries.filter(({ index }) => index > applied.index).map(describe);
  assert.deepEqual(held, expected.slice(0, held.length), 'what is kept is right');
  return 'owing';
}

function flippedBits(one: Uint8Array, other: Uint8Array): number {
  let count = 0;
  one.forEach((byte, at) => {
    for (let bits = byte ^ (other[at] ?? 0); bits > 0; bits >>= 1) count += bits & 1;
  });
  return count;
}

function voteOf({ term: value, vote }: HardState): Pick<HardState, 'term' | 'vote'> {
  return { term: value, vote };
}

suite('a damaged log', () => {
  test('any one bit of a sealed log flips, with nothing, some and most of it applied', () => {
    const log = busyLog();
    log.seal();
    assert.ok(log.segments.length >= 3);
    const outcomes = { whole: 0, owing: 0 };
    forEachFlippedBit(log.fileSystem, (place) => {
      const replay = replayWal(log.fileSystem, directory);
      for (const applied of [nothing, { index: 4, term: 1 }, { index: 8, term: 4 }]) {
        try {
          outcomes[assertSafe(replay, log.model, applied)] += 1;
        } catch (error) {
          throw new Error(`${place}: ${String(error)}`, { cause: error });
        }
      }
    });
    assert.ok(outcomes.owing > 0 && outcomes.whole > 0, JSON.stringify(outcomes));
  });

  test('any one bit of a log of one batch flips: it is not taken for a new member', () => {
    const log = WalHarness.create();
    forEachFlippedBit(log.fileSystem, () => {
      const replay = replayWal(log.fileSystem, directory);
      assert.equal(replay.isEmpty, false);
      assert.notEqual(replay.damage, undefined);
      assert.equal(replay.identity, undefined);
    });
  });

  test('any one bit of an unsealed last batch flips: told, unless a torn write leaves the same; the vote never lost', () => {
    const log = busyLog(3_000);
    const before = log.model;
    const path = `${directory}/${log.segments.at(-1)}`;
    const start = log.fileSystem.read(path).length;
    log.write({ ...term(5, 2n, 9), entries: entries(5, 10, 12) });
    assert.equal(`${directory}/${log.segments.at(-1)}`, path, 'the same segment');
    const isTail = (other: string): number => (other === path ? start : Number.MAX_SAFE_INTEGER);
    const asTorn: string[] = [];
    forEachFlippedBit(
      log.fileSystem,
      (place) => {
        const { replay, log: found } = recovered(log.fileSystem);
        assert.deepEqual(voteOf(replay.hardState), voteOf(log.model.hardState), place);
        if (replay.damage !== undefined) {
          assert.equal(replay.damage.offset, start, place);
          assertSafe(replay, log.model, nothing);
          return;
        }
        asTorn.push(place);
        assertSameLog(found, before, nothing);
        assert.equal(found.owed, undefined, 'a torn tail owes nothing');
      },
      isTail,
    );
    assert.ok(asTorn.length <= 8, asTorn.join('\n'));
  });

  test('a flipped bit of the last batch is told from every other damage to it', () => {
    const log = busyLog(3_000);
    const path = `${directory}/${log.segments.at(-1)}`;
    const start = log.fileSystem.read(path).length;
    log.write({ ...term(5, 2n, 9), entries: entries(5, 10, 12) });
    const whole = log.fileSystem.read(path);
    const random = new SeededRandom(4);
    for (let round = 0; round < 3_000; round += 1) {
      const damaged = whole.slice();
      for (const at of [random.below(512), random.below(512)]) {
        damaged[start + at] = (damaged[start + at] ?? 0) ^ (1 + random.below(255));
      }
      if (round % 3 === 0) damaged.fill(random.below(256), start + random.below(512));
      const bits = flippedBits(damaged, whole);
      log.fileSystem.files.set(path, damaged);
      const { replay } = recovered(log.fileSystem);
      if (bits > 1) assert.equal(replay.damage, undefined, `${bits} bits`);
    }
  });

  test('the last batch is cut at any byte, or ends in zeroes from any byte', () => {
    const log = busyLog(3_000);
    const before = log.model;
    const path = `${directory}/${log.segments.at(-1)}`;
    const start = log.fileSystem.read(path).length;
    log.write({ ...term(5, 2n, 9), entries: entries(5, 10, 12) });
    const whole = log.fileSystem.read(path);
    for (let size = start; size < whole.length; size += 1) {
      for (const isZeroed of [false, true]) {
        const torn = isZeroed ? whole.slice() : whole.slice(0, size);
        if (isZeroed) torn.fill(0, size);
        log.fileSystem.files.set(path, torn);
        const { replay, log: found } = recovered(log.fileSystem);
        assert.equal(replay.damage, undefined);
        const isWhole = isZeroed && isSameLog(found, log.model, nothing);
        if (!isWhole) assertSameLog(found, before, nothing);
        const next = WalHarness.resume(log.fileSystem.copy());
        next.write({ ...term(6), entries: entries(6, lastOf(next.model).index + 1, 20) });
        assertSameLog(recovered(next.fileSystem).log, next.model, nothing);
      }
    }
  });

  test('a whole segment is gone: whole if its entries are applied, owing otherwise', () => {
    const log = busyLog();
    log.seal();
    for (const name of log.segments.slice(0, -1)) {
      for (const applied of [nothing, { index: 8, term: 4 }]) {
        const files = log.fileSystem.copy();
        files.files.delete(`${directory}/${name}`);
        const { replay, log: found } = recovered(files, applied);
        assert.deepEqual(voteOf(replay.hardState), voteOf(log.model.hardState));
        if (found.owed === undefined) assertSameLog(found, log.model, applied);
        else assert.deepEqual(found.owed.index, 11);
      }
    }
  });

  test('random logs, random damage: sealed entries are there, or owed', () => {
    const random = new SeededRandom(11);
    for (let round = 0; round < 100; round += 1) {
      const log = WalHarness.create({ segmentBytes: 1_000 + random.below(3_000) });
      let applied = nothing;
      for (let step = 0; step < 20; step += 1) {
        const append = nextAppend(log.model, random);
        if (append.reset !== undefined) applied = append.reset;
        log.write(append);
      }
      log.seal();
      for (let flip = 0; flip < 10; flip += 1) {
        const files = log.fileSystem.copy();
        const [, bytes] = random.pick([...files.files]);
        const at = random.below(bytes.length);
        const size = random.pick([1, 1, 8, 200]);
        for (let byte = at; byte < Math.min(at + size, bytes.length); byte += 1) {
          bytes[byte] = size === 200 ? 0 : random.below(256);
        }
        assertRepairable(files, log.model, applied);
      }
    }
  });
});

/** A log of one file, put together by hand. */
class Frames {
  readonly #file = segmentName({ walId: 5, sequence: 1 });
  #bytes: Buffer[] = [];
  #previousCrc = 0;
  #batchNumber = 0;

  add(records: readonly WalRecord[], frame: Partial<Frame> = {}): this {
    const sizes = records.map(recordBytes);
    const encoded = Buffer.alloc(sizes.reduce((sum, size) => sum + size, 0));
    let at = 0;
    for (const record of records) at = writeRecord(encoded, record, at);
    this.#batchNumber += 1;
    const bytes = encodeFrame(
      {
        batchNumber: this.#batchNumber,
        last: nothing,
        hardState: { term: 1, vote: 0n, commit: 0 },
        records: encoded,
        previousCrc: this.#previousCrc,
        ...frame,
      },
      this.#file,
    );
    this.#previousCrc = bytes.readUInt32LE(4);
    this.#bytes.push(bytes);
    return this;
  }

  /** A batch that is not readable any more. */
  lose(): this {
    this.add([]);
    this.#bytes.at(-1)?.fill(0xff);
    return this;
  }

  /** An earlier batch once more: a write that went to the wrong place. */
  repeat(number: number): this {
    const bytes = this.#bytes[number - 1] ?? assert.fail('no such batch');
    this.#batchNumber += 1;
    this.#bytes.push(bytes);
    return this;
  }

  replay(): Replay {
    const fileSystem = new MemoryFileSystem();
    fileSystem.files.set(`${directory}/${this.#file.file}`, Buffer.concat(this.#bytes));
    return replayWal(fileSystem, directory);
  }
}

function records(term: number, first: number, last: number): WalRecord[] {
  return entries(term, first, last).map((entry) => ({ kind: 'entry', entry }));
}

suite('a damaged log, batch by batch', () => {
  const committed = (commit: number) => ({ hardState: { term: 1, vote: 0n, commit } });

  test('an old batch in the place of a later one is damage, not news', () => {
    const replay = new Frames()
      .add(records(1, 1, 1), committed(1))
      .add(records(1, 2, 2), committed(2))
      .repeat(1)
      .add([], { last: { index: 3, term: 1 } })
      .replay();
    assert.notEqual(replay.damage, undefined);
    assert.deepEqual(
      replay.runs[0]?.entries.map(({ index }) => index),
      [1, 2],
    );
    assert.deepEqual(recoverLog(replay, nothing).owed, { index: 3, term: 1 });
  });

  test('a batch that names another one before it is what stands behind a loss', () => {
    const replay = new Frames()
      .add(records(1, 1, 3), committed(2))
      .add(records(1, 5, 5), { previousCrc: 1, last: { index: 5, term: 1 } })
      .replay();
    assert.notEqual(replay.damage, undefined);
    const { entries: kept, owed } = recoverLog(replay, nothing);
    assert.deepEqual(
      kept.map(({ index }) => index),
      [1, 2],
      'the third may have been replaced',
    );
    assert.deepEqual(owed, { index: 5, term: 1 });
  });

  test('entries that go on where the first stretch ends replace what stood behind the gap', () => {
    const replay = new Frames()
      .add(records(1, 1, 5), committed(5))
      .lose()
      .add(records(1, 9, 12), committed(5))
      .add(records(2, 6, 11), { ...committed(11), last: { index: 11, term: 2 } })
      .replay();
    assert.equal(replay.runs.length, 1);
    const log = recoverLog(replay, { index: 10, term: 2 });
    assert.equal(log.owed, undefined);
    assert.deepEqual(
      log.entries.slice(5).map(({ term: value }) => value),
      [2, 2, 2, 2, 2, 2],
    );
  });

  test('entries that begin within the gap replace what stood behind it', () => {
    const replay = new Frames()
      .add(records(1, 1, 5), committed(5))
      .lose()
      .add(records(1, 9, 12), committed(5))
      .add(records(2, 8, 11), { ...committed(11), last: { index: 11, term: 2 } })
      .replay();
    const log = recoverLog(replay, { index: 10, term: 2 });
    assert.equal(log.owed, undefined);
    assert.deepEqual(log.entries.map(describe), entries(2, 9, 11).map(describe));
  });
});

/** Damage of any size, also in the seal and before it, which then is a torn tail. */
function assertRepairable(files: MemoryFileSystem, model: ModelLog, applied: EntryId): void {
  const { replay, log } = recovered(files, applied);
  if (replay.damage === undefined) return;
  if (log.owed === undefined) assertSameLog(log, model, applied);
  const next = WalHarness.resume(files, applied);
  next.fileSystem.completeAll();
  const again = recovered(next.fileSystem, applied);
  assert.equal(again.replay.damage, undefined, 'repaired');
  assert.deepEqual(again.log.owed, log.owed);
  assert.deepEqual(again.log.entries.map(describe), log.entries.map(describe));
}
