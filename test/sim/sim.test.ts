import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { suite, test } from 'node:test';
import { isWhole } from '../support/whole.ts';
import { describeReport, replayCommand, runFleet, seedRange } from './fleet.ts';

/** `MAINSTAY_FULL=1`: the figure of the issue; else a sample. */
const seeds = isWhole ? 1000 : 12;
const seconds = 60;

suite('Simulation', () => {
  test(`${seeds} seeds of ${seconds} simulated seconds break no promise`, async (context) => {
    const report = await runFleet({
      seeds: seedRange(1, seeds),
      seconds,
      jobs: Math.min(2, availableParallelism()),
      twiceEvery: isWhole ? 50 : 10,
      stopAtFailure: false,
    });
    for (const line of describeReport(report)) context.diagnostic(line);
    const failures = report.failures.map(({ seed, error }) => {
      return `${error}\n  replay: ${replayCommand(seed, { seconds })}`;
    });
    assert.equal(failures.length, 0, failures.join('\n'));
  });
});
