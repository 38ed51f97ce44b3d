import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  type LeaderTimes,
  leaderTimes,
  type StampSpan,
  stamped,
} from '../../../server/backup/leader-clock.ts';
import { ClientError } from '../../../server/client/errors.ts';
import { StampListResponse } from '../../../server/proto/gen/stamps.ts';

function came(...stampsMs: readonly number[]) {
  return stampsMs.map((stampMs, at) => ({ revision: 11 + at, stampMs, records: [] }));
}

function times(aheadMs: number, ...spans: readonly [number, number | undefined, boolean?][]) {
  const all = spans.map(([to, stampMs, isLeaders = stampMs !== undefined]): StampSpan => {
    return { to, stampMs, isLeaders };
  });
  const revision = all.at(-1)?.to ?? 0;
  const result: LeaderTimes = { askedMs: 0, nowMs: 0, revision, aheadMs, spans: all };
  return result;
}

/** What is stamped with what, and up to where late. */
function outcome(...args: Parameters<typeof stamped>) {
  const { revisions, lateTo, minStampMs, maxStampMs } = stamped(...args);
  assert.deepEqual(
    revisions.map(({ revision }) => revision),
    args[0].map(({ revision }) => revision),
  );
  const stamps = revisions.map(({ stampMs }) => stampMs);
  assert.deepEqual([minStampMs, maxStampMs], [Math.min(...stamps), Math.max(...stamps)]);
  return { stamps, lateTo };
}

/** Answers with one page after the other, each after a second, and writes down behind which revision it was asked. */
function telling(...pages: readonly (Partial<StampListResponse> | Error)[]) {
  const asked: number[] = [];
  let nowMs = 0;
  const stamps = async (after: number): Promise<StampListResponse> => {
    const page = pages[asked.length];
    asked.push(after);
    nowMs += 1_000;
    if (page instanceof Error) throw page;
    return StampListResponse.create(page);
  };
  const modules = { client: { stamps }, wallMs: () => nowMs };
  return { asked, ask: (after: number, to: number) => leaderTimes(modules, { after, to }) };
}

const stamp = (revision: number, stampMs: number) => ({ revision, stampMs, byLeader: true });

suite('what the leader tells', () => {
  test('page by page, up to the revision that is wanted; another leader knows from its own beginning on', async () => {
    const { asked, ask } = telling(
      { revision: 90, unknownTo: 12, stamps: [stamp(15, 100), stamp(20, 200)] },
      { revision: 91, unknownTo: 30, stamps: [stamp(40, 300)], askedMs: 4_999, nowMs: 5_000 },
    );
    assert.deepEqual(await ask(10, 35), {
      revision: 91,
      askedMs: 4_999,
      nowMs: 5_000,
      aheadMs: 4_000,
      spans: [
        { to: 12, stampMs: undefined, isLeaders: false },
        { to: 15, stampMs: 100, isLeaders: true },
        { to: 20, stampMs: 200, isLeaders: true },
        { to: 30, stampMs: undefined, isLeaders: false },
        { to: 40, stampMs: 300, isLeaders: true },
      ],
    });
    assert.deepEqual(asked, [10, 20]);
  });

  test('what came is by its clock never earlier than it was, however slow the answer', async () => {
    const { ask } = telling({ revision: 50, unknownTo: 50, nowMs: 0 });
    assert.equal((await ask(10, 50))?.aheadMs, 0);
  });

  test('a leader that knows nothing is asked once', async () => {
    const { asked, ask } = telling({ revision: 50, unknownTo: 50 });
    assert.deepEqual((await ask(10, 50))?.spans, [
      { to: 50, stampMs: undefined, isLeaders: false },
    ]);
    assert.deepEqual(asked, [10]);
  });

  test('who does not know the call tells nothing; another failure is one', async () => {
    const failure = (code: number) =>
      new ClientError({ code, text: '', endpoint: '', isUncertain: false });
    assert.equal(await telling(failure(12)).ask(1, 2), undefined);
    await assert.rejects(telling(failure(14)).ask(1, 2), { code: 14 });
  });
});

suite('stamps of archived changes', () => {
  test('the leader knows: its moments, whatever the own clock says, and nothing is late', () => {
    const known = times(0, [12, 100], [13, 200], [20, 300]);
    const found = outcome(came(9_000, 9_000, 1, 9_000), { times: known, present: 14 });
    assert.deepEqual(found, { stamps: [100, 100, 200, 300], lateTo: 0 });
  });

  test('the leader knows only the newest: the others have the moment they came, by its clock, and were there before the newest', () => {
    const known = times(-1_000, [12, undefined], [13, 400], [14, 500]);
    const found = outcome(came(1_300, 1_900, 1_900, 1_900), { times: known, present: 14 });
    assert.deepEqual(found, { stamps: [300, 400, 400, 500], lateTo: 12 });
  });

  test('it followed then: the earlier of its moment and of when they came; what came at once is not late', () => {
    const known = times(1_000, [12, 250, false], [13, 400]);
    const found = outcome(came(-800, -700, 0), { times: known, present: 11 });
    assert.deepEqual(found, { stamps: [200, 250, 400], lateTo: 11 });
    assert.equal(outcome(came(-800, -700, 0), { times: known, present: 5 }).lateTo, 0);
  });

  test('a leader whose clock is behind that of the one before keeps its own moments', () => {
    const known = times(0, [11, 500], [12, 450]);
    const found = outcome(came(0, 0), { times: known, present: 0 });
    assert.deepEqual(found, { stamps: [500, 450], lateTo: 0 });
  });

  test('nobody tells: the own clock, and what is of before is late', () => {
    const found = outcome(came(100, 200, 300), { times: undefined, present: 12 });
    assert.deepEqual(found, { stamps: [100, 200, 300], lateTo: 12 });
    assert.equal(outcome(came(100, 200, 300), { times: undefined, present: 99 }).lateTo, 13);
  });
});
