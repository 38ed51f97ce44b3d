import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ExpensiveRequests } from '../../../server/api/expensive-requests.ts';
import { FairQueue } from '../../../server/api/fair-queue.ts';
import { expensiveWaitingBytesMax } from '../../../server/config/limits.ts';
import { contextOf } from './fake-member.ts';

const of = (owner: string, heldBytes = 10) => ({ owner, context: contextOf(), heldBytes });

class Entrants {
  readonly queue = new FairQueue({ atOnceMax: 2, waitingMax: 6, waitingOfOneMax: 4 });
  readonly log: string[] = [];
  readonly over = new Set<string>();

  enter(owner: string, name: string): boolean {
    return this.queue.enter(owner, {
      isOver: () => this.over.has(name),
      start: () => this.log.push(name),
      drop: () => this.log.push(`${name} dropped`),
    });
  }
}

suite('a fair queue', () => {
  test('owners take turns, whoever came first', () => {
    const all = new Entrants();
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) assert(all.enter('a', name));
    assert(all.enter('b', 'b1'));
    assert(all.enter('c', 'c1'));
    assert(all.enter('b', 'b2'));
    assert.deepEqual(all.log.splice(0), ['a1', 'a2']);
    for (let at = 0; at < 6; at++) all.queue.leave();
    assert.deepEqual(all.log, ['a3', 'b1', 'c1', 'a4', 'b2', 'a5']);
    assert.equal(all.queue.waiting, 0);
    assert.equal(all.queue.running, 2);
  });

  test('one owner cannot fill it, and there is an end for all', () => {
    const all = new Entrants();
    for (let at = 0; at < 6; at++) assert(all.enter('a', `a${at}`));
    assert(!all.enter('a', 'a6'));
    assert(all.enter('b', 'b0'));
    assert(all.enter('b', 'b1'));
    assert(!all.enter('c', 'c0'));
    assert.equal(all.queue.waiting, 6);
  });

  test('who is gone makes room, and is not begun', () => {
    const all = new Entrants();
    for (let at = 0; at < 6; at++) assert(all.enter('a', `a${at}`));
    all.over.add('a3').add('a2');
    assert(all.enter('a', 'a6'));
    assert.deepEqual(all.log.splice(0), ['a0', 'a1', 'a2 dropped', 'a3 dropped']);
    all.over.add('a4');
    all.queue.leave();
    assert.deepEqual(all.log, ['a4 dropped', 'a5']);
    assert.equal(all.queue.waiting, 1);
    assert.equal(all.queue.running, 2);
  });
});

test('expensive requests: a failure leaves its place, and too many are refused with a hint', async () => {
  const expensive = new ExpensiveRequests({ atOnceMax: 1 });
  let end = (_error: Error): void => {};
  const first = expensive.run(of('a'), () => new Promise((_, reject) => (end = reject)));
  const waiting = Array.from({ length: 1_000 }, (_, at) => expensive.run(of('a'), async () => at));
  await assert.rejects(
    expensive.run(of('a'), async () => -1),
    /retry in 1000 ms/,
  );
  const other = expensive.run(of('b'), async () => 'b');
  end(new Error('failed'));
  await assert.rejects(first, /failed/);
  assert.equal(await other, 'b');
  assert.deepEqual(
    await Promise.all(waiting),
    Array.from({ length: 1_000 }, (_, at) => at),
  );
  assert.equal(expensive.waiting + expensive.running, 0);
  assert.equal(expensive.counters.queued, 1_001);
});

test('expensive requests: what waits may not be too many bytes', async () => {
  const expensive = new ExpensiveRequests({ atOnceMax: 1 });
  let end = (): void => {};
  const half = expensiveWaitingBytesMax / 2;
  const first = expensive.run(of('a', half), () => new Promise<void>((resolve) => (end = resolve)));
  const second = expensive.run(of('a', half), async () => 2);
  const third = expensive.run(of('a', half), async () => 3);
  await assert.rejects(
    expensive.run(of('b', 1), async () => 4),
    /wait already/,
  );
  end();
  await first;
  assert.deepEqual(await Promise.all([second, third]), [2, 3]);
  assert.equal(await expensive.run(of('b', half), async () => 5), 5);
});
