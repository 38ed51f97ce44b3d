import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import type { AutoCompaction } from '../../../server/config/maintenance.ts';
import { AutoCompactor } from '../../../server/member/auto-compaction.ts';
import { VirtualClock } from '../../operator/support/virtual-clock.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

class Bench {
  readonly clock = new VirtualClock();
  readonly compacted: string[] = [];
  isLeader = true;
  /** One more each minute. */
  get revision(): number {
    return Math.floor(this.clock.nowMs() / minuteMs) + 1;
  }
  answer: () => Promise<EtcdError | undefined> = async () => undefined;
  readonly compactor: AutoCompactor;

  constructor(options: AutoCompaction) {
    const store = {
      isLeader: () => this.isLeader,
      revision: () => this.revision,
      compact: (revision: number) => {
        this.compacted.push(`${this.clock.nowMs() / minuteMs}: ${revision}`);
        return this.answer();
      },
    };
    this.compactor = new AutoCompactor({ clock: this.clock, logger: silentLogger, store }, options);
    this.compactor.start();
  }
}

suite('auto compaction', () => {
  test('periodic: after the first period, and then as often as the period', async () => {
    const bench = new Bench({ mode: 'periodic', retentionMs: 10 * minuteMs });
    await bench.clock.advance(9 * minuteMs);
    assert.deepEqual(bench.compacted, []);
    await bench.clock.advance(22 * minuteMs);
    assert.deepEqual(bench.compacted, ['10: 1', '20: 10', '30: 20']);
  });

  test('periodic: of more than an hour, every hour, to the revision of a period ago', async () => {
    const bench = new Bench({ mode: 'periodic', retentionMs: 2 * hourMs });
    await bench.clock.advance(119 * minuteMs);
    assert.deepEqual(bench.compacted, []);
    await bench.clock.advance(122 * minuteMs);
    assert.deepEqual(bench.compacted, ['120: 1', '180: 55', '240: 115']);
  });

  test('periodic: a failure is tried again a tenth later, what is compacted already is none', async () => {
    const bench = new Bench({ mode: 'periodic', retentionMs: 10 * minuteMs });
    bench.answer = () => Promise.reject(new EtcdError('Timeout'));
    await bench.clock.advance(11 * minuteMs);
    assert.deepEqual(bench.compacted, ['10: 1', '11: 1']);
    bench.answer = async () => new EtcdError('Compacted');
    await bench.clock.advance(12 * minuteMs);
    assert.deepEqual(bench.compacted.slice(2), ['12: 2', '22: 12']);
  });

  test('only the leader compacts; a new one knows the past at once', async () => {
    const bench = new Bench({ mode: 'periodic', retentionMs: 10 * minuteMs });
    bench.isLeader = false;
    await bench.clock.advance(25 * minuteMs);
    assert.deepEqual(bench.compacted, []);
    bench.isLeader = true;
    await bench.clock.advance(minuteMs);
    assert.deepEqual(bench.compacted, ['26: 16']);
  });

  test('revision: every five minutes, to so many revisions back', async () => {
    const bench = new Bench({ mode: 'revision', retentionRevisions: 7 });
    await bench.clock.advance(16 * minuteMs);
    assert.deepEqual(bench.compacted, ['10: 4', '15: 9']);
    bench.compactor.stop();
    await bench.clock.advance(hourMs);
    assert.equal(bench.compacted.length, 2);
  });
});
