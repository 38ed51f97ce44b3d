import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ErrorName } from '../../../server/base/errors.ts';
import { Proposer } from '../../../server/propose/proposer.ts';
import type { Proposal } from '../../../server/raft/messages.ts';
import type { ProposeOutcome } from '../../../server/raft/raft.ts';

class Bench {
  nowMs = 0;
  readonly given: Proposal[][] = [];
  outcome: ProposeOutcome = { kind: 'appended', term: 1 };
  readonly answers: string[] = [];
  readonly proposer = new Proposer(
    {
      clock: { nowMs: () => this.nowMs },
      random: { uint32: () => 7 },
      raft: {
        propose: (proposals) => {
          this.given.push([...proposals]);
          return this.outcome;
        },
      },
      wake: () => {},
      timeoutError: (): ErrorName => 'Timeout',
    },
    {
      timeoutMs: 1000,
      requestBytesMax: 8,
      inFlightMax: 3,
      bytesInFlightMax: 100,
      batchBytesMax: 8,
    },
  );

  propose(name: string, sizeBytes = 4): bigint {
    let given = 0n;
    this.proposer.propose(
      'normal',
      (id) => {
        given = id;
        return new Uint8Array(sizeBytes);
      },
      (error, applied) =>
        this.answers.push(`${name}: ${error?.error ?? `revision ${applied?.revision}`}`),
    );
    return given;
  }
}

suite('proposer', () => {
  test('what came together goes to raft together, and each is answered at its own apply', () => {
    const bench = new Bench();
    const a = bench.propose('a');
    const b = bench.propose('b');
    bench.proposer.flush();
    assert.deepEqual(
      bench.given.map((batch) => batch.length),
      [2],
    );
    bench.proposer.applied(b, { revision: 2 });
    bench.proposer.applied(a, { revision: 3 });
    bench.proposer.applied(a, { revision: 4 });
    assert.deepEqual(bench.answers, ['b: revision 2', 'a: revision 3']);
  });

  test('of what was forwarded nothing is kept once all of it is answered, while others wait', () => {
    const bench = new Bench();
    bench.outcome = { kind: 'forwarded', term: 1, batchId: 1 };
    const [a, b] = [bench.propose('a'), bench.propose('b')];
    bench.proposer.flush();
    bench.outcome = { kind: 'forwarded', term: 1, batchId: 2 };
    bench.propose('c');
    bench.proposer.flush();
    bench.proposer.applied(a, { revision: 2 });
    assert.equal(bench.proposer.forwardedCount, 2);
    bench.proposer.applied(b, { revision: 3 });
    assert.equal(bench.proposer.forwardedCount, 1);
    bench.proposer.refused(2);
    bench.outcome = { kind: 'forwarded', term: 1, batchId: 3 };
    bench.proposer.flush();
    assert.equal(bench.proposer.forwardedCount, 1);
    bench.proposer.applied(bench.propose('d'), { revision: 4 });
    bench.nowMs = 1_001;
    bench.proposer.expire();
    assert.equal(bench.proposer.forwardedCount, 0);
  });

  test('too large, too many: refused before raft sees it', () => {
    const bench = new Bench();
    bench.propose('large', 9);
    for (const name of ['a', 'b', 'c', 'd']) bench.propose(name);
    assert.deepEqual(bench.answers, ['large: RequestTooLarge', 'd: TooManyRequests']);
  });

  test('more than fits one message goes in several, in order; what is refused waits', () => {
    const bench = new Bench();
    for (const size of [4, 4, 1]) bench.propose(`${size}`, size);
    bench.outcome = { kind: 'refused', reason: 'busy' };
    bench.proposer.flush();
    bench.outcome = { kind: 'forwarded', term: 1, batchId: 1 };
    bench.proposer.flush();
    const sizes = bench.given.map((batch) => batch.map(({ data }) => data.length));
    assert.deepEqual(sizes, [[4, 4], [4, 4], [1]]);
    bench.proposer.flush();
    assert.equal(bench.given.length, 3);
  });

  test('without a leader it waits, then times out', () => {
    const bench = new Bench();
    bench.outcome = { kind: 'refused', reason: 'noLeader' };
    bench.propose('a');
    bench.proposer.flush();
    bench.nowMs = 999;
    bench.proposer.expire();
    assert.deepEqual(bench.answers, []);
    bench.nowMs = 1000;
    bench.proposer.expire();
    assert.deepEqual(bench.answers, ['a: DeadlineExceeded']);
    bench.outcome = { kind: 'appended', term: 1 };
    bench.proposer.flush();
    assert.equal(bench.given.length, 1, 'what timed out is not proposed any more');
  });

  test('what the leader refused is proposed again', () => {
    const bench = new Bench();
    bench.outcome = { kind: 'forwarded', term: 1, batchId: 5 };
    bench.propose('a');
    bench.proposer.flush();
    bench.proposer.refused(4);
    bench.proposer.flush();
    assert.equal(bench.given.length, 1);
    bench.proposer.refused(5);
    bench.proposer.flush();
    assert.equal(bench.given.length, 2);
  });

  test('what was proposed in a term that is over is proposed again, what was applied is not', () => {
    const bench = new Bench();
    const a = bench.propose('a');
    bench.propose('b');
    bench.proposer.flush();
    bench.proposer.applied(a, { revision: 2 });
    bench.proposer.appliedTermIs(1);
    bench.proposer.flush();
    assert.equal(bench.given.length, 1, 'its own term proves nothing');
    bench.proposer.appliedTermIs(2);
    bench.proposer.flush();
    assert.deepEqual(
      bench.given.map((batch) => batch.length),
      [2, 1],
    );
  });

  test('a snapshot leaves open what was in raft, not what was not yet', () => {
    const bench = new Bench();
    bench.propose('sent');
    bench.proposer.flush();
    bench.propose('waiting');
    bench.proposer.appliedSnapshot();
    assert.deepEqual(bench.answers, ['sent: TimeoutDueToConnectionLost']);
  });

  test('leaving, it takes nothing more, and says of what was surely not appended that it was not', () => {
    const bench = new Bench();
    const sent = bench.propose('sent');
    bench.outcome = { kind: 'forwarded', term: 1, batchId: 3 };
    bench.proposer.flush();
    bench.propose('unsent');
    bench.proposer.leave();
    assert.deepEqual(bench.answers.splice(0), ['unsent: NoLeader']);
    bench.propose('after');
    assert.deepEqual(bench.answers.splice(0), ['after: NoLeader']);
    bench.proposer.applied(sent, { revision: 9 });
    assert.deepEqual(bench.answers, ['sent: revision 9']);
  });

  test('leaving, it sends nothing again', () => {
    const bench = new Bench();
    bench.outcome = { kind: 'forwarded', term: 1, batchId: 3 };
    bench.propose('a');
    bench.proposer.flush();
    bench.outcome = { kind: 'forwarded', term: 1, batchId: 4 };
    bench.propose('b');
    bench.proposer.flush();
    bench.proposer.leave();
    bench.proposer.refused(3);
    assert.deepEqual(bench.answers, ['a: NoLeader']);
    // Nor is what was on its way in a term that is over.
    bench.proposer.appliedTermIs(2);
    assert.deepEqual(bench.answers, ['a: NoLeader', 'b: NoLeader']);
    bench.given.length = 0;
    bench.proposer.flush();
    assert.deepEqual(bench.given, []);
  });

  test('closing ends everything, and what comes after', () => {
    const bench = new Bench();
    bench.propose('a');
    bench.proposer.close();
    bench.propose('b');
    assert.deepEqual(bench.answers, ['a: Stopped', 'b: Stopped']);
    assert.equal(bench.proposer.inFlight, 0);
  });
});
