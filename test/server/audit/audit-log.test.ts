import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { AuditLog, type AuditSink } from '../../../server/audit/audit-log.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { ManualClock } from '../wal/memory-file-system.ts';

/** A disk that a test lets write. */
class FakeSink implements AuditSink {
  text = '';
  isStuck = false;
  failure: Error | undefined;
  /** Bytes taken of one write. */
  bytesMax = Infinity;
  writes = 0;
  isClosed = false;
  #goOn: (() => void)[] = [];

  async write(bytes: Buffer): Promise<number> {
    this.writes++;
    if (this.isStuck) {
      await new Promise<void>((resolve) => {
        this.#goOn.push(resolve);
      });
    }
    if (this.failure !== undefined) throw this.failure;
    const taken = bytes.subarray(0, this.bytesMax);
    this.text += taken.toString();
    return taken.length;
  }

  goOn(): void {
    this.isStuck = false;
    for (const goOn of this.#goOn.splice(0)) goOn();
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

function open(whenFull: 'drop' | 'block', queueBytesMax = 100) {
  const [sink, clock] = [new FakeSink(), new ManualClock()];
  const log = new AuditLog({ sink, clock, logger: silentLogger }, { whenFull, queueBytesMax });
  return { sink, clock, log };
}

async function turns(): Promise<void> {
  for (let count = 0; count < 20; count++) await turn();
}

/** The time for which lines are gathered passes. */
async function gathered(clock: ManualClock): Promise<void> {
  clock.fire();
  await turns();
}

const important = { important: true };
const usual = { important: false };
/** Ten bytes. */
const line = (number: number): string => `${String(number).padStart(9, '0')}\n`;

test('lines of one turn are one write, in order', async () => {
  const { sink, clock, log } = open('drop');
  for (let number = 0; number < 5; number++) void log.add(line(number), usual);
  await turns();
  assert.equal(sink.text, '');
  await gathered(clock);
  assert.equal(sink.text, [0, 1, 2, 3, 4].map(line).join(''));
  assert.equal(sink.writes, 1);
  assert.equal(log.counters.written, 5);
  assert.equal(log.queueBytes, 0);
});

test('what there is no room for is dropped and counted, the important last', async () => {
  const { sink, clock, log } = open('drop');
  sink.isStuck = true;
  for (let number = 0; number < 12; number++) assert.equal(log.add(line(number), usual), undefined);
  assert.equal(log.counters.dropped, 4);
  for (let number = 20; number < 25; number++) void log.add(line(number), important);
  assert.equal(log.counters.dropped, 7);
  assert.equal(log.isFull, true);
  await turns();
  sink.goOn();
  await turns();
  assert.equal(sink.text, [0, 1, 2, 3, 4, 5, 6, 7, 20, 21].map(line).join(''));
  void log.add(line(30), usual);
  await gathered(clock);
  assert.ok(sink.text.endsWith(line(30)));
});

test('where callers block, nothing is lost and they go on when there is room', async () => {
  const { sink, clock, log } = open('block');
  sink.isStuck = true;
  let waiting = 0;
  for (let number = 0; number < 15; number++) {
    const room = log.add(line(number), usual);
    if (room === undefined) continue;
    waiting++;
    void room.then(() => waiting--);
  }
  await turns();
  assert.equal(waiting, 5);
  sink.goOn();
  await turns();
  assert.equal(waiting, 0);
  await gathered(clock);
  assert.equal(sink.text, Array.from({ length: 15 }, (_, number) => line(number)).join(''));
  assert.equal(log.counters.dropped, 0);
});

test('a write that fails is tried again, without writing anything twice', async () => {
  const { sink, clock, log } = open('drop', 1_000);
  sink.bytesMax = 7;
  for (let number = 0; number < 3; number++) void log.add(line(number), usual);
  await gathered(clock);
  const expected = [0, 1, 2].map(line).join('');
  assert.equal(sink.text, expected);
  sink.failure = new Error('no space');
  void log.add(line(3), usual);
  await gathered(clock);
  assert.equal(log.counters.failures, 1);
  sink.failure = undefined;
  await gathered(clock);
  assert.equal(sink.text, expected + line(3));
  assert.equal(log.counters.written, 4);
});

test('what is given before the end is written, and nothing after it', async () => {
  const { sink, log } = open('drop');
  void log.add(line(1), usual);
  await log.close();
  assert.equal(sink.text, line(1));
  assert.equal(sink.isClosed, true);
  void log.add(line(2), important);
  await turns();
  assert.equal(sink.text, line(1));
  assert.equal(log.counters.dropped, 1);
});

test('a disk that is stuck holds the end up for a while only', async () => {
  const { sink, clock, log } = open('drop');
  sink.isStuck = true;
  void log.add(line(1), usual);
  await gathered(clock);
  const closed = log.close();
  await turns();
  clock.fire();
  await closed;
  assert.equal(log.counters.dropped, 1);
});
