import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Progress } from '../../../server/raft/progress.ts';

function replicating(inflightMax = 3): Progress {
  const progress = new Progress(1, inflightMax);
  progress.becomeReplicate();
  return progress;
}

suite('Progress', () => {
  test('a probe waits for its answer, or for a heartbeat’s', () => {
    const progress = new Progress(5, 3);
    assert.equal(progress.isPaused, false);
    progress.sent(7, false);
    assert.equal(progress.isPaused, true);
    assert.equal(progress.next, 5, 'a probe is sent again until it is answered');
    progress.resume();
    assert.equal(progress.isPaused, false);
  });

  test('a pipeline goes on until it is full, and again when answers come', () => {
    const progress = replicating();
    for (const last of [2, 4, 6]) {
      assert.equal(progress.isPaused, false);
      progress.sent(last, false);
    }
    assert.equal(progress.isPaused, true);
    assert.equal(progress.next, 7);
    assert.equal(progress.maybeUpdate(4), true);
    assert.equal(progress.isPaused, false);
    progress.sent(9, false);
    progress.sent(12, false);
    assert.equal(progress.isPaused, true);
    progress.sent(12, true);
    assert.equal(progress.maybeUpdate(4), false, 'a repeated answer frees nothing');
    assert.equal(progress.isPaused, true);
    progress.resume();
    assert.equal(progress.isPaused, false, 'a heartbeat’s answer frees one');
  });

  test('a rejection below what is known to match is out of date', () => {
    const progress = replicating();
    progress.sent(8, false);
    progress.maybeUpdate(5);
    assert.equal(progress.maybeDecrease(4, 2), false);
    assert.equal(progress.maybeDecrease(8, 2), true);
    assert.equal(progress.next, 6);
    progress.becomeProbe();
    assert.equal(progress.maybeDecrease(7, 1), false, 'not what was asked');
    assert.equal(progress.maybeDecrease(5, 1), true);
    assert.equal(progress.next, 6, 'never below what matches');
  });

  test('after a snapshot the next entry is the one behind it', () => {
    const progress = replicating();
    progress.becomeSnapshot(40);
    assert.equal(progress.isPaused, true);
    progress.resume();
    assert.equal(progress.isPaused, true, 'a heartbeat’s answer changes nothing');
    progress.becomeProbe();
    assert.deepEqual([progress.next, progress.pendingSnapshot], [41, 0]);
  });

  test('a follower that lost its log is asked from there on', () => {
    const progress = replicating();
    progress.maybeUpdate(9);
    progress.lostLog(4);
    assert.deepEqual([progress.state, progress.match, progress.next], ['probe', 4, 5]);
  });

  test('a follower that rejects what it acknowledged is asked again, then believed', () => {
    const progress = replicating();
    progress.maybeUpdate(9);
    progress.sent(12, false);
    assert.equal(progress.lacksAcknowledged(9), false, 'the answer may be an old one');
    assert.equal(progress.maybeDecrease(9, 4), true);
    progress.becomeProbe();
    assert.equal(progress.lacksAcknowledged(8), false, 'not what was asked');
    assert.equal(progress.lacksAcknowledged(9), true);
  });

  test('whatever comes, match stays below next, and only a lost log lowers match', () => {
    const step = fc.record({
      kind: fc.constantFrom(
        'sent',
        'update',
        'decrease',
        'probe',
        'replicate',
        'snapshot',
        'lost',
        'resume',
      ),
      index: fc.nat(30),
      hint: fc.nat(30),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const progress = new Progress(10, 3);
        for (const { kind, index, hint } of steps) {
          const { match } = progress;
          if (kind === 'sent' && !progress.isPaused)
            progress.sent(progress.next + index, index === 0);
          if (kind === 'update') progress.maybeUpdate(index);
          if (kind === 'decrease') progress.maybeDecrease(index, hint);
          if (kind === 'probe') progress.becomeProbe();
          if (kind === 'replicate') progress.becomeReplicate();
          if (kind === 'snapshot') progress.becomeSnapshot(index);
          if (kind === 'lost') progress.lostLog(index);
          if (kind === 'resume') progress.resume();
          assert.ok(progress.match < progress.next);
          assert.ok(progress.match >= match || kind === 'lost');
        }
      }),
    );
  });
});
