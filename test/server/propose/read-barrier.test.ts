import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ErrorName } from '../../../server/base/errors.ts';
import { ReadBarrier } from '../../../server/propose/read-barrier.ts';

class Bench {
  nowMs = 0;
  readonly asked: number[] = [];
  readonly answers: string[] = [];
  readonly barrier = new ReadBarrier(
    {
      clock: { nowMs: () => this.nowMs },
      random: { uint32: () => 3 },
      raft: { readIndex: (requestId) => this.asked.push(requestId) },
      wake: () => {},
      timeoutError: (): ErrorName => 'Timeout',
    },
    { timeoutMs: 1000, retryMs: 100, waitingMax: 3 },
  );

  read(name: string): void {
    this.barrier.read((error) => this.answers.push(`${name}: ${error?.error ?? 'ok'}`));
  }

  get last(): number {
    return this.asked.at(-1) ?? 0;
  }
}

suite('read barrier', () => {
  test('reads that come together share one attempt; later ones wait for the next', () => {
    const bench = new Bench();
    bench.read('a');
    bench.read('b');
    bench.barrier.flush();
    bench.read('c');
    bench.barrier.flush();
    assert.equal(bench.asked.length, 1);
    bench.barrier.confirmed({ requestId: bench.last, index: 5 });
    bench.barrier.appliedTo(4);
    assert.deepEqual(bench.answers, [], 'the index is not applied yet');
    bench.barrier.appliedTo(5);
    assert.deepEqual(bench.answers, ['a: ok', 'b: ok']);
    bench.barrier.flush();
    assert.equal(bench.asked.length, 2);
  });

  test('each attempt has a fresh id, and the answer to an older one is not taken (etcd #20418)', () => {
    const bench = new Bench();
    bench.read('a');
    bench.barrier.flush();
    const first = bench.last;
    bench.nowMs = 100;
    bench.barrier.expire();
    assert.notEqual(bench.last, first);
    bench.barrier.confirmed({ requestId: first, index: 1 });
    bench.barrier.appliedTo(10);
    assert.deepEqual(bench.answers, []);
    bench.barrier.confirmed({ requestId: bench.last, index: 2 });
    bench.barrier.appliedTo(10);
    assert.deepEqual(bench.answers, ['a: ok']);
  });

  test('when a leader becomes known, what was asked of nobody is asked again at once', () => {
    const bench = new Bench();
    bench.barrier.leaderFound();
    assert.deepEqual(bench.asked, [], 'nothing waits');
    bench.read('a');
    bench.barrier.flush();
    const first = bench.last;
    bench.nowMs = 1;
    bench.barrier.leaderFound();
    assert.notEqual(bench.last, first);
    bench.barrier.confirmed({ requestId: bench.last, index: 2 });
    bench.barrier.appliedTo(2);
    assert.deepEqual(bench.answers, ['a: ok']);
  });

  test('a read ends after its timeout wherever it waits', () => {
    const bench = new Bench();
    bench.read('waiting for apply');
    bench.barrier.flush();
    bench.barrier.confirmed({ requestId: bench.last, index: 9 });
    bench.read('asked');
    bench.barrier.flush();
    bench.read('not asked');
    bench.nowMs = 1000;
    bench.barrier.expire();
    assert.deepEqual(bench.answers.sort(), [
      'asked: Timeout',
      'not asked: Timeout',
      'waiting for apply: Timeout',
    ]);
  });

  test('leaving, it takes no reads, and answers those that the leader was asked for', () => {
    const bench = new Bench();
    bench.read('asked');
    bench.barrier.flush();
    bench.read('not asked');
    bench.barrier.leave();
    bench.read('after');
    assert.deepEqual(bench.answers, ['not asked: NoLeader', 'after: NoLeader']);
    bench.barrier.confirmed({ requestId: bench.last, index: 3 });
    bench.barrier.appliedTo(3);
    assert.deepEqual(bench.answers.at(-1), 'asked: ok');
  });

  test('too many reads are refused; closing ends the others', () => {
    const bench = new Bench();
    for (const name of ['a', 'b', 'c', 'd']) bench.read(name);
    assert.deepEqual(bench.answers, ['d: TooManyRequests']);
    bench.barrier.close();
    bench.read('e');
    assert.deepEqual(bench.answers.slice(1), [
      'a: Stopped',
      'b: Stopped',
      'c: Stopped',
      'e: Stopped',
    ]);
  });
});
