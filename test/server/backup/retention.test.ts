import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  isTimeZone,
  type RetainedBackup,
  type Retention,
  retained,
} from '../../../server/backup/retention.ts';

const none: Retention = { last: 0, daily: 0, weekly: 0, monthly: 0, timeZone: 'UTC' };

function at(time: string, verified: RetainedBackup['verified'] = 'never'): RetainedBackup {
  return { name: time, takenMs: Date.parse(time), verified };
}

function kept(backups: readonly RetainedBackup[], retention: Partial<Retention>): string[] {
  return retained(backups, { ...none, ...retention })
    .filter(({ reasons }) => reasons.length > 0)
    .map(({ backup }) => backup.name);
}

suite('retention', () => {
  test('of each of the newest days, weeks and months the last one', () => {
    const backups = [
      at('2026-09-30T12:00:00Z'),
      at('2026-10-31T12:00:00Z'),
      at('2026-11-22T12:00:00Z'), // a Sunday
      at('2026-11-23T12:00:00Z'),
      at('2026-11-26T10:00:00Z'),
      at('2026-11-26T23:30:00Z'),
      at('2026-11-27T00:30:00Z'),
    ];
    const days = (daily: number, timeZone = 'UTC') =>
      kept(backups, { daily, timeZone }).map((name) => name.slice(5, 16));
    assert.deepEqual(days(2), ['11-26T23:30', '11-27T00:30']);
    // Both are of the 27th in Berlin.
    assert.deepEqual(days(2, 'Europe/Berlin'), ['11-26T10:00', '11-27T00:30']);
    assert.deepEqual(
      kept(backups, { weekly: 2 }).map((name) => name.slice(5, 10)),
      ['11-22', '11-27'],
    );
    assert.deepEqual(
      kept(backups, { monthly: 2 }).map((name) => name.slice(5, 10)),
      ['10-31', '11-27'],
    );
  });

  test('the last good and the last verified one stay, whatever is said', () => {
    const backups = [
      at('2026-01-01T00:00:00Z', 'yes'),
      at('2026-02-01T00:00:00Z'),
      at('2026-03-01T00:00:00Z', 'no'),
    ];
    assert.deepEqual(
      kept(backups, {}).map((name) => name.slice(0, 7)),
      ['2026-01', '2026-02'],
    );
  });

  test('damaged ones do not count, so as many good ones are kept as was asked for', () => {
    const backups = [
      at('2026-01-01T00:00:00Z'),
      at('2026-01-02T00:00:00Z', 'no'),
      at('2026-01-03T00:00:00Z'),
    ];
    assert.equal(kept(backups, { last: 2 }).length, 3);
    assert.deepEqual(
      kept(backups, { last: 1 }).map((name) => name.slice(8, 10)),
      ['03'],
    );
  });

  const backup = fc.record({
    name: fc.uuid(),
    takenMs: fc.integer({
      min: Date.parse('2026-01-01T00:00:00Z'),
      max: Date.parse('2026-12-31T00:00:00Z'),
    }),
    verified: fc.constantFrom('yes', 'no', 'never'),
  });
  const few = fc.integer({ min: 0, max: 5 });
  const retention = fc.record({
    last: few,
    daily: few,
    weekly: few,
    monthly: few,
    timeZone: fc.constantFrom('UTC', 'Asia/Kathmandu', 'America/New_York'),
  });

  test('what every retention keeps to', () => {
    fc.assert(
      fc.property(fc.array(backup, { maxLength: 40 }), retention, (unordered, wanted) => {
        const backups = unordered.toSorted((a, b) => a.takenMs - b.takenMs);
        const decisions = retained(backups, wanted);
        assert.deepEqual(
          decisions.map((each) => each.backup),
          backups,
        );
        const stays = (each: RetainedBackup | undefined) =>
          each === undefined || (decisions.find((d) => d.backup === each)?.reasons.length ?? 0) > 0;
        const good = backups.filter(({ verified }) => verified !== 'no');
        assert.ok(stays(good.at(-1)));
        assert.ok(stays(backups.findLast(({ verified }) => verified === 'yes')));
        for (const each of good.slice(good.length - Math.min(wanted.last, good.length))) {
          assert.ok(stays(each));
        }
        // No more than was asked for, and what is always kept.
        for (const reason of ['daily', 'weekly', 'monthly'] as const) {
          const count = decisions.filter(({ reasons }) => reasons.includes(reason)).length;
          assert.ok(count <= wanted[reason]);
        }
        const goodOnes = decisions.filter(
          (d) => d.backup.verified !== 'no' && d.reasons.length > 0,
        );
        const { last, daily, weekly, monthly } = wanted;
        assert.ok(goodOnes.length <= last + daily + weekly + monthly + 2);
        // Once more changes nothing.
        const left = decisions.filter((d) => d.reasons.length > 0).map((d) => d.backup);
        assert.deepEqual(kept(left, wanted), kept(backups, wanted));
      }),
    );
  });

  test('zones', () => {
    assert.ok(isTimeZone('Europe/Berlin'));
    assert.ok(!isTimeZone('Europe/Atlantis'));
  });
});
