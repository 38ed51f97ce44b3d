import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Deadlines } from '../../../server/transport/deadlines.ts';

suite('deadlines', () => {
  // They alone do not keep a process alive.
  let alive: NodeJS.Timeout;
  before(() => {
    alive = setInterval(() => {}, 1000);
  });
  after(() => {
    clearInterval(alive);
  });

  test('are never early, and fire once, whatever their order', async () => {
    const deadlines = new Deadlines();
    const late: number[] = [];
    const delays = Array.from({ length: 300 }, () => Math.random() * 250);
    for (const delayMs of delays) {
      const dueMs = performance.now() + delayMs;
      deadlines.after(delayMs, () => late.push(performance.now() - dueMs));
    }
    for (let tries = 0; late.length < delays.length && tries < 500; tries++) await sleep(20);
    assert.equal(late.length, delays.length);
    assert(Math.min(...late) >= 0, String(Math.min(...late)));
    await sleep(30);
    assert.equal(late.length, delays.length);
  });

  test('a cancelled one does not fire, others beside it do', async () => {
    const deadlines = new Deadlines();
    const fired: string[] = [];
    const cancelled = deadlines.after(20, () => fired.push('cancelled'));
    await new Promise<void>((resolve) => {
      deadlines.after(20, () => {
        fired.push('kept');
        deadlines.cancel(cancelled);
      });
      deadlines.cancel(cancelled);
      deadlines.cancel(cancelled);
      deadlines.after(60, resolve);
    });
    assert.deepEqual(fired, ['kept']);
  });

  test('one set by another, and one after a long silence', async () => {
    const deadlines = new Deadlines();
    const begunMs = performance.now();
    await new Promise<void>((resolve) => {
      deadlines.after(5, () => deadlines.after(5, () => deadlines.after(0, resolve)));
    });
    await sleep(50);
    await new Promise<void>((resolve) => deadlines.after(10, resolve));
    assert(performance.now() - begunMs >= 70);
  });

  test('one beyond a turn of the wheel waits its turns', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    let nowMs = 1000;
    context.mock.method(performance, 'now', () => nowMs);
    const deadlines = new Deadlines();
    const fired: number[] = [];
    for (const delayMs of [100, 5_119, 5_120, 5_121, 60_000, 3_600_000]) {
      deadlines.after(delayMs, () => fired.push(delayMs));
    }
    const advance = (ms: number): void => {
      for (let left = ms; left > 0; left -= 5) {
        nowMs += 5;
        context.mock.timers.tick(5);
      }
    };
    advance(120);
    assert.deepEqual(fired, [100]);
    advance(4_980);
    assert.deepEqual(fired, [100]);
    advance(50);
    assert.deepEqual(fired, [100, 5_119, 5_120, 5_121]);
    advance(54_800);
    assert.equal(fired.length, 4);
    advance(100);
    assert.deepEqual(fired.slice(4), [60_000]);
    advance(3_540_100);
    assert.deepEqual(fired.slice(4), [60_000, 3_600_000]);
  });
});
