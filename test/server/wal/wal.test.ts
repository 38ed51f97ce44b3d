import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { walReserveBytes } from '../../../server/config/limits.ts';
import { entries, recovered, WalHarness } from './harness.ts';
import { assertSameLog, describe } from './model.ts';

const term = (value: number, vote = 0n, commit = 0) => ({
  hardState: { term: value, vote, commit },
});

suite('Wal', () => {
  test('what waits while a batch is written goes into one next batch, and answers come in order', () => {
    const log = WalHarness.create();
    log.fileSystem.operations.length = 0;
    log.append({ entries: entries(1, 1, 1) }, 'a');
    log.append({ entries: entries(1, 2, 2) }, 'b');
    log.append({ entries: entries(1, 3, 4) }, 'c');
    assert.deepEqual(log.fileSystem.operations, [`write ${log.segments[0]}`]);
    log.fileSystem.complete();
    assert.deepEqual(log.done, [], 'written is not durable');
    log.fileSystem.complete();
    assert.deepEqual(log.done, ['a']);
    log.append({ entries: entries(1, 5, 5) }, 'd');
    log.fileSystem.completeAll();
    assert.deepEqual(log.done, ['a', 'b', 'c', 'd']);
    const kinds = log.fileSystem.operations.map((operation) => operation.split(' ')[0]);
    assert.deepEqual(kinds, ['write', 'datasync', 'write', 'datasync', 'write', 'datasync']);
    const { replay } = recovered(log.fileSystem);
    assert.equal(replay.lastFrame.batchNumber, 1 + 3);
  });

  test('zeros lie ahead of small batches, none behind a large one or the end of a segment', () => {
    const segmentBytes = 2 * walReserveBytes;
    const log = WalHarness.create({ segmentBytes });
    const sizeOf = (at: number) => log.fileSystem.read(`/wal/${log.segments[at]}`).length;
    const used = sizeOf(0);
    log.write({ entries: entries(1, 1, 1) });
    const first = sizeOf(0);
    assert(first > used + walReserveBytes && first < used + 2 * walReserveBytes);
    log.write({ entries: entries(1, 2, 2) });
    assert.equal(sizeOf(0), first, 'the second batch lies in what the first has reserved');
    const data = new Uint8Array(2 * walReserveBytes);
    log.write({ entries: [{ index: 3, term: 1, kind: 'normal', data }] });
    const large = sizeOf(0);
    assert(large > segmentBytes && large < segmentBytes + 5_000, `${large}`);
    log.write({ entries: entries(1, 4, 4) });
    assert.equal(sizeOf(0), large);
    assert.equal(log.segments.length, 2);
    assert.equal(recovered(log.fileSystem).replay.damage, undefined);
    assertSameLog(recovered(log.fileSystem).log, log.model, { index: 0, term: 0 });
  });

  test('small batches fill a segment to its end', () => {
    const log = WalHarness.create({ segmentBytes: 20_000 });
    for (let index = 1; log.segments.length < 3; index++) {
      log.write({ entries: entries(1, index, index) });
    }
    const full = log.fileSystem.read(`/wal/${log.segments[0]}`);
    assert(full.length >= 20_000 && full.length < 21_000, `${full.length}`);
    assert(
      full.subarray(-512).some((byte) => byte !== 0),
      'a full segment ends with zeros',
    );
  });

  test('an append in the callback of another one is written next', () => {
    const log = WalHarness.create();
    log.wal.append({ ...term(1), entries: entries(1, 1, 1) }, () => {
      log.append({ ...term(1), entries: entries(1, 2, 2) }, 'inner');
    });
    log.fileSystem.completeAll();
    assert.deepEqual(log.done, ['inner']);
    const [run] = recovered(log.fileSystem).replay.runs;
    assert.deepEqual(run?.entries.map(describe), entries(1, 1, 2).map(describe));
  });

  test('an idle log is sealed once: an empty batch proves the last one durable', () => {
    const log = WalHarness.create();
    log.write({ ...term(1), entries: entries(1, 1, 2) });
    const before = recovered(log.fileSystem).replay.lastFrame.batchNumber;
    log.seal();
    assert.equal(recovered(log.fileSystem).replay.lastFrame.batchNumber, before + 1);
    log.seal();
    log.seal();
    assert.equal(recovered(log.fileSystem).replay.lastFrame.batchNumber, before + 1);
    log.write({ entries: entries(1, 3, 3) });
    log.seal();
    assert.equal(recovered(log.fileSystem).replay.lastFrame.batchNumber, before + 3);
    assertSameLog(recovered(log.fileSystem).log, log.model, { index: 0, term: 0 });
  });

  test('close writes what waits, seals, and closes the file', () => {
    const log = WalHarness.create();
    log.append({ ...term(2, 5n), entries: entries(1, 1, 1) }, 'a');
    log.append({ entries: entries(2, 2, 2) }, 'b');
    let isClosed = false;
    log.wal.close(() => {
      isClosed = true;
    });
    assert.equal(isClosed, false);
    log.fileSystem.completeAll();
    assert.equal(isClosed, true);
    assert.deepEqual(log.done, ['a', 'b']);
    assert.equal(log.fileSystem.operations.at(-1), `close ${log.segments[0]}`);
    const { replay, log: found } = recovered(log.fileSystem);
    assert.equal(replay.lastFrame.batchNumber, 1 + 3);
    assert.deepEqual(replay.hardState, { term: 2, vote: 5n, commit: 0 });
    assertSameLog(found, log.model, { index: 0, term: 0 });
  });

  test('a closed idle log has one seal, not two', () => {
    const log = WalHarness.create();
    log.write({ entries: entries(1, 1, 1) });
    log.seal();
    const { batchNumber } = recovered(log.fileSystem).replay.lastFrame;
    log.wal.close(() => log.done.push('closed'));
    log.fileSystem.completeAll();
    assert.deepEqual(log.done, ['', 'closed']);
    assert.equal(recovered(log.fileSystem).replay.lastFrame.batchNumber, batchNumber);
  });

  test('a segment that has grown is cut; the new one says who we are and whom we voted for', () => {
    const log = WalHarness.create({ segmentBytes: 1_200 });
    log.write({ ...term(3, 9n), identity: fromLatin1('me') });
    for (let index = 1; index <= 20; index += 1) log.write({ entries: entries(3, index, index) });
    const all = log.segments;
    assert.ok(all.length > 3, `${all.length} segments`);
    const applied = { index: 20, term: 3 };
    // The newest segment alone tells it all.
    for (const name of all.slice(0, -1)) log.fileSystem.remove(`/wal/${name}`);
    const { replay } = recovered(log.fileSystem, applied);
    assert.equal(replay.damage, undefined);
    assert.deepEqual(replay.hardState, { term: 3, vote: 9n, commit: 0 });
    assert.equal(latin1(replay.identity ?? fromLatin1('')), 'me');
    assert.deepEqual(replay.last, applied);
  });

  test('release removes the segments that hold nothing newer, never the last one', () => {
    const log = WalHarness.create({ segmentBytes: 1_200 });
    for (let index = 1; index <= 20; index += 1)
      log.write({ ...term(1, 0n, index), entries: entries(1, index, index) });
    const count = log.segments.length;
    log.wal.release(0);
    log.fileSystem.completeAll();
    assert.equal(log.segments.length, count);
    for (const applied of [5, 11, 20]) {
      log.wal.release(applied);
      log.fileSystem.completeAll();
      const { replay, log: found } = recovered(log.fileSystem, { index: applied, term: 1 });
      assert.equal(replay.damage, undefined);
      assert.equal(found.owed, undefined);
      assertSameLog(found, log.model, { index: applied, term: 1 });
    }
    assert.equal(log.segments.length, 1);
    assert.ok(count > 3);
  });

  test('entries that replace others across segments, and a release between', () => {
    const log = WalHarness.create({ segmentBytes: 1_200 });
    for (let index = 1; index <= 12; index += 1)
      log.write({ ...term(1, 0n, 4), entries: entries(1, index, index) });
    log.write({ ...term(2, 0n, 4), entries: entries(2, 6, 7) });
    log.write({ ...term(3, 0n, 6), entries: entries(3, 7, 9) });
    assertSameLog(recovered(log.fileSystem).log, log.model, { index: 0, term: 0 });
    log.wal.release(6);
    log.fileSystem.completeAll();
    const applied = { index: 6, term: 2 };
    assertSameLog(recovered(log.fileSystem, applied).log, log.model, applied);
  });

  test('an installed snapshot begins the log anew', () => {
    const log = WalHarness.create();
    log.write({ ...term(1, 0n, 2), entries: entries(1, 1, 5) });
    const reset = { index: 40, term: 3 };
    log.write({ ...term(4, 0n, 40), reset });
    log.write({ entries: entries(4, 41, 42) });
    const { replay, log: found } = recovered(log.fileSystem, reset);
    assert.deepEqual(replay.runs.length, 1);
    assert.equal(found.isRewritten, false);
    assert.deepEqual(found.base, reset);
    assertSameLog(found, log.model, reset);
  });

  test('a failed write or sync ends everything: fatal is told once, nobody is called back any more', () => {
    for (const operation of ['write', 'datasync']) {
      const log = WalHarness.create();
      log.write({ entries: entries(1, 1, 1) });
      log.done.length = 0;
      log.fileSystem.failure = { operation, error: new Error('EIO') };
      log.append({ entries: entries(1, 2, 2) }, 'a');
      log.append({ entries: entries(1, 3, 3) }, 'b');
      log.fileSystem.completeAll();
      log.append({ entries: entries(1, 4, 4) }, 'c');
      log.wal.close(() => log.done.push('closed'));
      log.clock.fire();
      log.fileSystem.completeAll();
      assert.deepEqual(log.done, [], operation);
      assert.deepEqual(
        log.failures.map(({ message }) => message),
        ['EIO'],
      );
    }
  });

  test('no room for a new segment: fatal, not an exception out of a callback', () => {
    const log = WalHarness.create({ segmentBytes: 300 });
    log.write({ entries: entries(1, 1, 1) });
    log.fileSystem.failure = { operation: 'create', error: new Error('ENOSPC') };
    log.append({ entries: entries(1, 2, 2) }, 'a');
    log.fileSystem.completeAll();
    assert.deepEqual(log.done, ['']);
    assert.equal(log.failures[0]?.message, 'ENOSPC');
  });

  test('the seal fails: fatal', () => {
    const log = WalHarness.create();
    log.write({ entries: entries(1, 1, 1) });
    log.fileSystem.failure = { operation: 'datasync', error: new Error('EIO') };
    log.seal();
    assert.equal(log.failures.length, 1);
  });
});

suite('Wal.resume', () => {
  test('goes on where the log ended, after copying the tail', () => {
    const log = WalHarness.create({ segmentBytes: 1_000 });
    for (let index = 1; index <= 7; index += 1)
      log.write({ ...term(1, 0n, 3), entries: entries(1, index, index) });
    const next = WalHarness.resume(log.fileSystem.copy(), undefined, { segmentBytes: 1_000 });
    const tail = next.segments.at(-1);
    assert.deepEqual(next.fileSystem.operations.slice(0, 5), [
      `create ${tail}.tmp`,
      `datasyncSync ${tail}.tmp`,
      `close ${tail}.tmp`,
      `rename ${tail}`,
      'syncDirectory wal',
    ]);
    for (let index = 8; index <= 12; index += 1) next.write({ entries: entries(1, index, index) });
    const { replay, log: found } = recovered(next.fileSystem);
    assert.equal(replay.damage, undefined);
    assertSameLog(found, next.model, { index: 0, term: 0 });
  });

  for (const before of [1, 2]) {
    test(`writes a vote of term 2 down again that only a torn tail knew, after term ${before}`, () => {
      const log = WalHarness.create();
      log.write({ ...term(before), entries: entries(1, 1, 1) });
      log.write({ ...term(2, 3n) });
      const path = `/wal/${log.segments[0]}`;
      const bytes = log.fileSystem.read(path);
      bytes.fill(0, bytes.length - 104, bytes.length - 32);
      log.fileSystem.files.set(path, bytes);
      const expected = { term: 2, vote: 3n, commit: 0 };
      assert.deepEqual(recovered(log.fileSystem).replay.hardState, expected);
      const next = WalHarness.resume(log.fileSystem);
      // At once: raft may answer a request for this vote without another write.
      const { replay } = recovered(next.fileSystem);
      assert.deepEqual(replay.hardState, expected);
      assert.equal(replay.damage, undefined);
    });
  }

  test('a state that lost its end of the log: what is owed stays owed until it is there', () => {
    const log = WalHarness.create({ segmentBytes: 1_000 });
    for (let index = 1; index <= 9; index += 1)
      log.write({ ...term(1, 0n, index), entries: entries(1, index, index) });
    log.wal.release(6);
    log.fileSystem.completeAll();
    // The state begins from nothing, but the log does not.
    const owing = WalHarness.resume(log.fileSystem, { index: 0, term: 0 }, { segmentBytes: 1_000 });
    assert.equal(owing.segments.length, 1);
    for (const end of [3, 8]) {
      owing.write({ ...term(1), entries: entries(1, owing.model.entries.length + 1, end) });
      assert.deepEqual(recovered(owing.fileSystem).log.owed, { index: 9, term: 1 });
    }
    const again = WalHarness.resume(owing.fileSystem, undefined, { segmentBytes: 1_000 });
    again.fileSystem.completeAll();
    again.wal.release(8);
    again.fileSystem.completeAll();
    assert.deepEqual(recovered(again.fileSystem).log.owed, { index: 9, term: 1 });
    again.write({ entries: entries(1, 9, 9) });
    assert.equal(recovered(again.fileSystem).log.owed, undefined);
  });
});
