import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { suite, test } from 'node:test';
import { isWhole } from '../support/whole.ts';
import { mutants } from './mutants.ts';
import { checkDrift, huntMutant } from './mutate.ts';

/** `MAINSTAY_FULL=1`: every mutant, as long as it takes; else a few that are found fast. */
const sample = ['vote-not-persisted', 'acknowledged-before-sync'];

suite('Mutants', () => {
  test('are still where the list says', () => {
    for (const mutant of mutants) checkDrift(mutant);
  });

  for (const mutant of mutants) {
    if (!isWhole && !sample.includes(mutant.name)) continue;
    test(`${mutant.name} is found (${mutant.origin})`, async (context) => {
      const { seedsNeeded, report } = await huntMutant(mutant, {
        seedsMax: 500,
        seconds: 60,
        jobs: Math.min(2, availableParallelism()),
      });
      const reason = report.failures[0]?.error.split('\n')[0];
      context.diagnostic(`${seedsNeeded} seeds: ${reason}`);
      assert.notEqual(seedsNeeded, undefined, `survived ${report.seeds} seeds`);
    });
  }
});
