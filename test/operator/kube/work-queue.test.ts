import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Work, WorkQueue, workQueueDefaults } from '../../../operator/kube/work-queue.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

const random = { uint32: () => 0xffff_ffff };

function queueOf(work: Work, concurrency = 2) {
  const clock = new VirtualClock();
  return {
    clock,
    queue: new WorkQueue({ clock, random, work }, { ...workQueueDefaults, concurrency }),
  };
}

test('a key that is added many times is worked on once', async () => {
  const worked: string[] = [];
  const { queue } = queueOf(async (key) => void worked.push(key));
  for (const key of ['a', 'a', 'b', 'a']) queue.add(key);
  await settle();
  assert.deepEqual(worked, ['a', 'b']);
});

test('one key is never worked on twice at once; what came meanwhile is worked on afterwards, once', async () => {
  const ends: (() => void)[] = [];
  const { queue } = queueOf(() => new Promise((resolve) => ends.push(() => resolve(undefined))));
  queue.add('a');
  await settle();
  queue.add('a');
  queue.add('a');
  await settle();
  assert.equal(ends.length, 1);
  ends[0]?.();
  await settle();
  assert.equal(ends.length, 2);
  ends[1]?.();
  await settle();
  assert.equal(ends.length, 2);
});

test('no more keys at once than workers', async () => {
  let active = 0;
  let most = 0;
  const { queue, clock } = queueOf(async () => {
    active += 1;
    most = Math.max(most, active);
    await new Promise((resolve) => clock.after(10, () => resolve(undefined)));
    active -= 1;
    return undefined;
  });
  for (const key of ['a', 'b', 'c', 'd', 'e']) queue.add(key);
  await clock.advance(100);
  assert.deepEqual([most, active], [2, 0]);
});

test('a key is worked on again after the time it asked for, earlier when something happens', async () => {
  const times: number[] = [];
  const { queue, clock } = queueOf(async () => {
    times.push(clock.nowMs());
    return 1_000;
  });
  queue.add('a');
  await clock.advance(1_500);
  queue.add('a');
  await clock.advance(1_200);
  assert.deepEqual(times, [0, 1_000, 1_500, 2_500]);
});

test('failures are tried again ever more slowly, and a success forgets them', async () => {
  const times: number[] = [];
  let failing = true;
  const { queue, clock } = queueOf(async () => {
    times.push(clock.nowMs());
    if (failing) throw new Error('no');
    return undefined;
  });
  queue.add('a');
  await clock.advance(1_400);
  assert.deepEqual(times, [0, 200, 600, 1_400]);
  await clock.advance(600_000);
  const last = times.slice(-2);
  assert.equal((last[1] ?? 0) - (last[0] ?? 0), workQueueDefaults.backoffMsMax);
  failing = false;
  queue.add('a');
  await settle();
  failing = true;
  times.length = 0;
  queue.add('a');
  await clock.advance(200);
  assert.equal(times.length, 2);
});

test('closing waits for what runs and begins nothing more', async () => {
  const worked: string[] = [];
  const { queue, clock } = queueOf(async (key) => {
    await new Promise((resolve) => clock.after(10, () => resolve(undefined)));
    worked.push(key);
    return 5;
  }, 1);
  queue.add('a');
  queue.add('b');
  await settle();
  const closed = queue.close();
  await clock.advance(100);
  await closed;
  queue.add('c');
  await clock.advance(100);
  assert.deepEqual(worked, ['a']);
});

test('it tells how many wait and work, and since when', async () => {
  const ends: (() => void)[] = [];
  const { queue, clock } = queueOf(
    () => new Promise((resolve) => ends.push(() => resolve(undefined))),
    1,
  );
  assert.deepEqual([queue.depth, queue.activeCount, queue.oldestMs()], [0, 0, 0]);
  queue.add('a');
  await clock.advance(1_000);
  queue.add('b');
  await clock.advance(2_000);
  assert.deepEqual([queue.depth, queue.activeCount, queue.oldestMs()], [1, 1, 3_000]);
  ends[0]?.();
  await settle();
  assert.deepEqual([queue.depth, queue.activeCount, queue.oldestMs()], [0, 1, 0]);
  ends[1]?.();
  await settle();
  await clock.advance(9_000);
  assert.deepEqual([queue.depth, queue.activeCount, queue.oldestMs()], [0, 0, 0]);
});
