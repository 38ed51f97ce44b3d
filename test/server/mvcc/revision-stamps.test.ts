import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { revisionStampsMax, stampSpanMs } from '../../../server/config/limits.ts';
import { RevisionStamps } from '../../../server/mvcc/revision-stamps.ts';

function told(stamps: RevisionStamps, after: number, wallMs: number) {
  const list = stamps.after(after, wallMs, revisionStampsMax);
  const spans = list.stamps.map(({ revision, stampMs }) => [revision, stampMs]);
  return { nowMs: list.nowMs, unknownTo: list.unknownTo, spans };
}

suite('stamps of revisions', () => {
  test('what follows within a tenth of a second shares the last moment', () => {
    const stamps = new RevisionStamps(4);
    for (const [revision, ms] of [
      [5, 1_000],
      [6, 1_040],
      [7, 1_000 + stampSpanMs - 1],
      [8, 1_000 + stampSpanMs],
      [9, 5_000],
    ] as const) {
      stamps.add(revision, ms, true);
    }
    assert.deepEqual(told(stamps, 0, 6_000), {
      nowMs: 6_000,
      unknownTo: 4,
      spans: [
        [7, 1_099],
        [8, 1_100],
        [9, 5_000],
      ],
    });
    assert.deepEqual(told(stamps, 7, 6_000).spans, [
      [8, 1_100],
      [9, 5_000],
    ]);
    assert.deepEqual(told(stamps, 9, 6_000).spans, []);
    assert.equal(stamps.revision, 9);
  });

  test('what was told does not change: the next revision joins no stamp that was seen', () => {
    const stamps = new RevisionStamps(0);
    stamps.add(1, 1_000, true);
    assert.deepEqual(told(stamps, 0, 1_010).spans, [[1, 1_000]]);
    stamps.add(2, 1_020, true);
    assert.deepEqual(told(stamps, 0, 1_030).spans, [
      [1, 1_000],
      [2, 1_020],
    ]);
  });

  test('a clock that is set back makes no stamp earlier, and none that precedes what was told of now', () => {
    const stamps = new RevisionStamps(0);
    stamps.add(1, 9_000, true);
    stamps.add(2, 1_000, true);
    assert.deepEqual(told(stamps, 0, 2_000), { nowMs: 9_000, unknownTo: 0, spans: [[2, 9_000]] });
    assert.equal(told(stamps, 0, 20_000).nowMs, 20_000);
    stamps.add(3, 15_000, true);
    assert.deepEqual(told(stamps, 2, 15_000), {
      nowMs: 20_000,
      unknownTo: 0,
      spans: [[3, 20_000]],
    });
  });

  test('one that was far ahead and is set right is followed: what comes then is not of the future', () => {
    const stamps = new RevisionStamps(0);
    const farMs = 9_000_000_000;
    stamps.add(1, 1_000, true);
    stamps.add(2, farMs, true);
    stamps.add(3, 2_000, true);
    stamps.add(4, 3_000, true);
    assert.deepEqual(told(stamps, 0, 4_000), {
      nowMs: 4_000,
      unknownTo: 0,
      spans: [
        [1, 1_000],
        [2, farMs],
        [3, 2_000],
        [4, 3_000],
      ],
    });
  });

  test('what a leader took shares no moment with what it was told of before', () => {
    const stamps = new RevisionStamps(0);
    stamps.add(1, 1_000, false);
    stamps.add(2, 1_001, true);
    stamps.add(3, 1_002, false);
    const { stamps: list } = stamps.after(0, 2_000, 10);
    assert.deepEqual(list, [
      { revision: 1, stampMs: 1_000, isLeaders: false },
      { revision: 2, stampMs: 1_001, isLeaders: true },
      { revision: 3, stampMs: 1_002, isLeaders: false },
    ]);
    assert.equal(stamps.after(0, 2_000, 2).stamps.length, 2);
  });

  test('the oldest go when there are too many, and it says so', () => {
    const stamps = new RevisionStamps(0);
    const last = revisionStampsMax + 10;
    for (let revision = 1; revision <= last; revision++) {
      stamps.add(revision, revision * stampSpanMs, true);
    }
    const { unknownTo, spans } = told(stamps, 0, last * stampSpanMs);
    assert.equal(unknownTo, 10);
    assert.equal(spans.length, revisionStampsMax);
    assert.deepEqual(spans[0], [11, 11 * stampSpanMs]);
    assert.deepEqual(told(stamps, last - 1, last * stampSpanMs).spans, [
      [last, last * stampSpanMs],
    ]);
  });

  test('another state begins anew', () => {
    const stamps = new RevisionStamps(0);
    stamps.add(1, 1_000, true);
    stamps.restart(500);
    assert.deepEqual(told(stamps, 0, 1_010), { nowMs: 1_010, unknownTo: 500, spans: [] });
    assert.equal(stamps.revision, 500);
    stamps.add(501, 1_020, true);
    assert.deepEqual(told(stamps, 0, 1_030).spans, [[501, 1_020]]);
  });

  test('each stamp is at or after the moment of all its revisions, and before that of the next', () => {
    const steps = fc.array(
      fc.record({ ms: fc.integer({ min: -500, max: 400 }), isAsked: fc.boolean() }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const stamps = new RevisionStamps(0);
        const appliedMs: number[] = [];
        let [wallMs, neverBeforeMs] = [1_000_000, 0];
        for (const [at, { ms, isAsked }] of all.entries()) {
          wallMs += ms;
          neverBeforeMs = Math.max(neverBeforeMs, wallMs);
          appliedMs.push(neverBeforeMs);
          stamps.add(at + 1, wallMs, true);
          if (isAsked) stamps.after(0, wallMs, 1);
        }
        let [from, formerMs] = [1, 0];
        for (const [to = 0, stampMs = 0] of told(stamps, 0, wallMs).spans) {
          assert.ok(stampMs >= formerMs);
          for (let each = from; each <= to; each++) {
            const ownMs = appliedMs[each - 1] ?? 0;
            assert.ok(ownMs <= stampMs && stampMs - ownMs < stampSpanMs);
          }
          assert.ok((appliedMs[to] ?? stampMs) >= stampMs);
          [from, formerMs] = [to + 1, stampMs];
        }
        assert.equal(from, all.length + 1);
      }),
    );
  });
});
