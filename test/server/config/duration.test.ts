import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationMs } from '../../../server/config/duration.ts';

test('a duration is what Go’s ParseDuration says', () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['0', 0],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['.5s', 500],
    ['-2s', -2_000],
    ['+2s', 2_000],
    ['100ms', 100],
    ['1m1s1ms', 61_001],
    ['1000us', 1],
    ['', undefined],
    ['-', undefined],
    ['5', undefined],
    ['s', undefined],
    ['1d', undefined],
    ['1s 2s', undefined],
    ['1 s', undefined],
  ];
  for (const [text, ms] of cases) assert.equal(durationMs(text), ms, text);
});
