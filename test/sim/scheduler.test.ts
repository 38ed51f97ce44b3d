import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { MemberClock } from './clock.ts';
import { Counters } from './counters.ts';
import { quietNetwork, SimNetwork } from './network.ts';
import { SimProcess } from './process.ts';
import { SeededRandom } from './random.ts';
import { Scheduler } from './scheduler.ts';

function world(seed = 1): { scheduler: Scheduler; process: SimProcess; random: SeededRandom } {
  const random = new SeededRandom(seed);
  const scheduler = new Scheduler(random.fork());
  return { scheduler, process: new SimProcess(scheduler), random };
}

suite('Scheduler', () => {
  test('runs events in order of time, and draws the order of ties from the seed', async () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 30; seed++) {
      const { scheduler } = world(seed);
      const order: string[] = [];
      for (const [name, at] of Object.entries({ c: 3, a: 1, x: 2, y: 2, z: 2 })) {
        scheduler.at(at, () => order.push(name));
      }
      await scheduler.runUntil(10, () => {});
      assert.match(order.join(''), /^a[xyz]{3}c$/);
      orders.add(order.join(''));
      assert.equal(scheduler.nowMs, 10);
    }
    assert.equal(orders.size, 6);
  });

  test('pops thousands of random events sorted', async () => {
    const { scheduler, random } = world(5);
    const times: number[] = [];
    for (let count = 0; count < 5000; count++) {
      scheduler.after(random.between(0, 1000), () => times.push(scheduler.nowMs));
    }
    await scheduler.runUntil(1000, () => {});
    assert.equal(times.length, 5000);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  });

  test('does not wait for ever on what sets itself off at one instant', async () => {
    const { scheduler } = world();
    const again = (): void => void scheduler.after(0, again);
    scheduler.at(5, again);
    await assert.rejects(
      scheduler.runUntil(10, () => {}),
      /time stands still at 5 ms/,
    );
  });

  test('lets every promise settle before the next event, and before it is checked', async () => {
    const { scheduler } = world();
    const log: string[] = [];
    const deep = async (depth: number): Promise<void> => {
      if (depth > 0) await deep(depth - 1);
    };
    scheduler.at(1, () => {
      void deep(50).then(() => log.push('settled'));
    });
    scheduler.at(2, () => log.push('next'));
    await scheduler.runUntil(3, () => log.push('check'));
    assert.deepEqual(log, ['check', 'settled', 'check', 'next', 'check']);
  });

  test('rejects with what an event throws; a cancelled event does not run', async () => {
    const { scheduler } = world();
    scheduler.at(1, () => assert.fail('cancelled')).cancel();
    scheduler.at(2, () => {
      throw new Error('boom');
    });
    await assert.rejects(
      scheduler.runUntil(3, () => {}),
      /boom/,
    );
  });
});

suite('SimProcess', () => {
  test('what comes first overtakes what a pause held back, and nothing else', async () => {
    const { scheduler, process } = world();
    const order: string[] = [];
    process.deliverFirst(() => order.push('awake'));
    process.pause();
    process.deliver(() => order.push('held'));
    process.deliverFirst(() => order.push('first'));
    assert.deepEqual(order, ['awake']);
    process.resume();
    await scheduler.runUntil(1, () => {});
    assert.deepEqual(order, ['awake', 'first', 'held']);
  });

  test('holds back what reaches it in a pause, then gets it in order; nothing after a kill', async () => {
    const { scheduler, process } = world();
    const log: number[] = [];
    for (const at of [1, 2, 3, 6, 9]) scheduler.at(at, () => process.deliver(() => log.push(at)));
    scheduler.at(1.5, () => process.pause());
    scheduler.at(5, () => process.resume());
    scheduler.at(7, () => process.kill());
    await scheduler.runUntil(5.5, () => {});
    assert.deepEqual(log, [1, 2, 3]);
    await scheduler.runUntil(10, () => {});
    assert.deepEqual(log, [1, 2, 3, 6]);
  });
});

suite('MemberClock', () => {
  test('runs at its own rate, and a jump of the wall clock moves no timer', async () => {
    const { scheduler, process, random } = world();
    const clock = new MemberClock(
      { scheduler, process, random },
      { rate: 1.05, wallOffsetMs: 5000 },
    );
    const started = { monotonic: clock.nowMs(), wall: clock.wallMs() };
    let fired = 0;
    clock.after(1050, () => {
      fired = scheduler.nowMs;
    });
    clock.after(10, () => assert.fail('cancelled')).cancel();
    clock.jumpWall(3_600_000);
    await scheduler.runUntil(2000, () => {});
    assert.ok(fired >= 1000 && fired < 1021, `fired at ${fired}`);
    assert.ok(Math.abs(clock.nowMs() - started.monotonic - 2100) < 1e-6);
    assert.ok(Math.abs(clock.wallMs() - started.wall - 3_602_000) < 1e-6);
  });
});

suite('SimNetwork', () => {
  test('loses, repeats and reorders at its rates; a cut works in one direction', async () => {
    const { scheduler, random } = world(3);
    const counters = new Counters();
    const options = { ...quietNetwork, lossRate: 0.2, duplicateRate: 0.1, jitterMs: 5 };
    const network = new SimNetwork<string>({ scheduler, random, counters }, options);
    const arrived: number[] = [];
    for (let n = 0; n < 1000; n++) network.send('a', 'b', () => arrived.push(n));
    await scheduler.runUntil(500, () => {});
    assert.ok(arrived.length > 800 && arrived.length < 980, `${arrived.length}`);
    assert.ok(arrived.some((n, at) => n < (arrived[at - 1] ?? 0)));
    assert.equal(
      arrived.length,
      1000 - counters.get('network.lost') + counters.get('network.duplicated'),
    );

    network.heal(quietNetwork);
    network.cut('a', 'b');
    let back = false;
    network.send('a', 'b', () => assert.fail('cut'));
    network.send('b', 'a', () => {
      back = true;
    });
    await scheduler.runUntil(600, () => {});
    assert.ok(back);
  });

  test('a clogged link delivers late; a slow one later, in the order of sending', async () => {
    const { scheduler, random } = world(3);
    const network = new SimNetwork<string>(
      { scheduler, random, counters: new Counters() },
      { ...quietNetwork, jitterMs: 0.01 },
    );
    network.clog('a', 'b', 1000);
    network.slow('a', 'c', { extraMs: 500, durationMs: 1000 });
    const arrivals: Array<[string, number]> = [];
    const send = (to: string): void => {
      network.send('a', to, () => arrivals.push([to, Math.floor(scheduler.nowMs / 100)]));
    };
    send('b');
    send('c');
    scheduler.at(200, () => send('c'));
    scheduler.at(1500, () => send('c'));
    await scheduler.runUntil(3000, () => {});
    assert.deepEqual(arrivals, [
      ['c', 5],
      ['c', 7],
      ['b', 10],
      ['c', 15],
    ]);
  });
});
