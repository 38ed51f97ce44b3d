import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { type ChangeObject, chainFrom } from '../../../server/backup/change-chain.ts';
import { changesHead, decodeChanges, encodeChanges } from '../../../server/backup/changes.ts';
import { BackupError } from '../../../server/backup/failure.ts';
import {
  changesName,
  checkedId,
  dataName,
  manifestName,
  parseBackupObject,
  parseChangesName,
  parseTimeName,
  timeName,
  verificationName,
} from '../../../server/backup/names.ts';

function object(from: number, to: number, stampMs = to * 1_000): ChangeObject {
  const stamps = { minStampMs: stampMs, maxStampMs: stampMs };
  return {
    clusterId: 'a',
    from,
    to,
    ...stamps,
    word: '',
    isEncrypted: false,
    name: `${from}-${to}`,
  };
}

const start = (revision: number) => ({ revision, pinnedMs: 0 });
const spans = (objects: readonly ChangeObject[]) => objects.map(({ name }) => name).join(' ');

suite('the chain of changes', () => {
  test('follows without a gap, whatever two archives have written', () => {
    const objects = [object(5, 9), object(10, 12), object(3, 11), object(20, 30), object(13, 13)];
    const chain = chainFrom(objects, start(4));
    assert.deepEqual(
      [spans(chain.objects), chain.to, chain.untilMs],
      ['3-11 10-12 13-13', 13, 13_000],
    );
    assert.deepEqual(spans(chainFrom(objects, start(13)).objects), '');
    assert.equal(chainFrom(objects, start(19)).to, 30);
  });

  test('silence says until when nothing had happened, for its end alone', () => {
    const silence = object(10, 9, 50_000);
    assert.equal(chainFrom([object(5, 9), silence], start(4)).untilMs, 50_000);
    assert.equal(chainFrom([silence], start(9)).untilMs, 50_000);
    assert.equal(chainFrom([silence], start(8)).untilMs, 0);
    assert.equal(chainFrom([silence], start(10)).untilMs, 0);
  });

  test('its end is of what came last: a clock that was far ahead says nothing of what came since', () => {
    const far = object(5, 9, 9_000_000);
    assert.equal(chainFrom([far, object(10, 12)], start(4)).untilMs, 12_000);
    const silence = object(10, 9, 9_000_000);
    assert.equal(chainFrom([object(5, 9), silence, object(10, 12)], start(4)).untilMs, 12_000);
  });

  test('reaches as far as any way does', () => {
    const span = fc.record({
      from: fc.integer({ min: 1, max: 40 }),
      length: fc.integer({ min: 0, max: 9 }),
    });
    const property = fc.property(fc.array(span, { maxLength: 20 }), fc.nat(40), (all, revision) => {
      const objects = all.map(({ from, length }) => object(from, from + length));
      const chain = chainFrom(objects, start(revision));
      const covered = new Set(
        all.flatMap(({ from, length }) => Array.from({ length: length + 1 }, (_, n) => from + n)),
      );
      let end = revision;
      while (covered.has(end + 1)) end++;
      assert.equal(chain.to, end);
      let at = revision;
      for (const { from, to } of chain.objects) {
        assert.ok(from <= at + 1 && to > at);
        at = to;
      }
      assert.equal(at, end);
    });
    fc.assert(property, { numRuns: 500 });
  });
});

suite('names', () => {
  const stem = { time: timeName(1_795_777_445_123), id: 'a-b.c', attempt: '0123456789abcdef' };

  test('say what they are made of', () => {
    const of = { uid: 'uid-1', stem };
    assert.deepEqual(parseBackupObject(dataName('uid-1', stem, true)), {
      ...of,
      kind: 'data',
      isEncrypted: true,
    });
    assert.deepEqual(parseBackupObject(manifestName('uid-1', stem, 42)), {
      ...of,
      kind: 'manifest',
      revision: 42,
    });
    const verified = { time: timeName(5), isOk: false };
    const name = verificationName('uid-1', stem, verified);
    assert.deepEqual(parseBackupObject(name), { ...of, kind: 'verification', ...verified });
    const changes = { clusterId: 'abc', from: 3, to: 7, minStampMs: 1_000, maxStampMs: 2_000 };
    const named = { ...changes, word: '0123456789abcdef', isEncrypted: false };
    assert.deepEqual(parseChangesName(changesName('uid-1', named)), named);
    assert.equal(parseTimeName(stem.time), 1_795_777_445_123);
  });

  test('of others are nobody of ours', () => {
    const own = dataName('uid', stem, false);
    for (const name of [
      'x',
      own.replace('.db', '.tmp'),
      `x/${own}`,
      own.replace('uid', 'UID'),
      'a/changes/b/c',
    ]) {
      assert.equal(parseBackupObject(name) ?? parseChangesName(name), undefined);
    }
    for (const id of ['', '-a', 'A', 'a/b', '..', 'a'.repeat(64)]) {
      assert.throws(() => checkedId(id, 'id'), BackupError);
    }
  });
});

test('an object of changes comes back, and none that is damaged or newer', () => {
  const head = changesHead({
    cluster: 'c',
    clusterUid: 'uid',
    clusterId: 'a',
    from: 7,
    to: 8,
    lateTo: 7,
  });
  const revisions = [
    { revision: 7, stampMs: 1_795_777_445_123, records: [Buffer.from('one'), Buffer.of()] },
    { revision: 8, stampMs: 5, records: [Buffer.alloc(100_000, 1)] },
  ];
  const encoded = encodeChanges(head, revisions);
  assert.deepEqual(decodeChanges(encoded, 'name'), { head, revisions });
  for (const at of [0, 3, 200, encoded.length - 1]) {
    const damaged = Buffer.from(encoded);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    assert.throws(() => decodeChanges(damaged, 'name'), /name is damaged/);
  }
  assert.throws(() => decodeChanges(encoded.subarray(0, 10), 'name'), BackupError);
  const newer = encodeChanges({ ...head, format: 2 }, revisions);
  assert.throws(() => decodeChanges(newer, 'name'), /has format 2/);
});
