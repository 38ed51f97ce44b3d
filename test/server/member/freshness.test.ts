import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Freshness } from '../../../server/member/freshness.ts';

const stalenessMaxMs = 5_000;

/** A clock that a test turns, and barriers that it answers. */
class Bench {
  nowMs = 0;
  isObserver = true;
  isStopped = false;
  readonly barriers: Array<{ pass: () => void; fail: () => void }> = [];
  stale = 0;
  readonly freshness: Freshness;
  #timers: Array<{ atMs: number; run: () => void }> = [];

  constructor() {
    this.freshness = new Freshness(
      {
        clock: {
          nowMs: () => this.nowMs,
          after: (ms, run) => {
            this.#timers.push({ atMs: this.nowMs + ms, run });
            return { cancel() {} };
          },
        },
        isObserver: () => this.isObserver,
        isStopped: () => this.isStopped,
        barrier: () =>
          new Promise((resolve, reject) => {
            this.barriers.push({ pass: resolve, fail: () => reject(new Error('no leader')) });
          }),
      },
      { stalenessMaxMs },
    );
    this.freshness.onStale(() => {
      this.stale++;
    });
  }

  async pass(ms: number): Promise<void> {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += 100;
      const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs);
      this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs);
      for (const { run } of due) run();
      await settled();
    }
  }

  get timers(): number {
    return this.#timers.length;
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

suite('how old an observer is', () => {
  test('a barrier proves what was there when it was asked for, not when it passed', async () => {
    const bench = new Bench();
    bench.freshness.keep();
    assert.equal(bench.freshness.isStale, true, 'nothing is proven yet');
    await bench.pass(4_000);
    bench.barriers[0]?.pass();
    await settled();
    assert.equal(bench.freshness.stalenessMs, 4_000);
    assert.equal(bench.freshness.isStale, false);
    await bench.pass(1_100);
    assert.equal(bench.freshness.isStale, true);
    await bench.pass(1_000);
    assert.equal(bench.stale, 1);
  });

  test('barriers that fail prove nothing; a later answer to an older one takes nothing back', async () => {
    const bench = new Bench();
    bench.freshness.keep();
    await bench.pass(2_000);
    const [first, second, third] = bench.barriers;
    second?.fail();
    third?.pass();
    await settled();
    assert.equal(bench.freshness.stalenessMs, 0);
    first?.pass();
    await settled();
    assert.equal(bench.freshness.stalenessMs, 0);
  });

  test('callers are told each time that it became too old, not while it stays so', async () => {
    const bench = new Bench();
    bench.freshness.keep();
    for (let times = 1; times <= 2; times++) {
      bench.barriers.at(-1)?.pass();
      await bench.pass(7_000);
      assert.equal(bench.stale, times);
      await bench.pass(3_000);
      assert.equal(bench.stale, times);
    }
  });

  test('others are never too old and prove nothing; one that becomes an observer begins', async () => {
    const bench = new Bench();
    bench.isObserver = false;
    bench.freshness.keep();
    await bench.pass(20_000);
    assert.equal(bench.freshness.isStale, false);
    assert.deepEqual([bench.barriers.length, bench.timers], [0, 0]);
    bench.isObserver = true;
    bench.freshness.keep();
    bench.freshness.keep();
    assert.deepEqual([bench.barriers.length, bench.timers], [1, 1]);
    bench.isObserver = false;
    await bench.pass(2_000);
    assert.equal(bench.timers, 0);
  });

  // Seeds 426, 614 and 945: one that was never heard of served its old state while it stopped.
  test('one that has stopped is as old as it was, and asks for nothing more', async () => {
    const bench = new Bench();
    bench.freshness.keep();
    bench.isStopped = true;
    await bench.pass(stalenessMaxMs);
    assert.equal(bench.freshness.isStale, true);
    assert.equal(bench.barriers.length, 1);
    assert.equal(bench.timers, 0);
  });
});
