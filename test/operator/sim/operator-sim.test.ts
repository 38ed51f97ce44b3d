import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { suite, test } from 'node:test';
import { isWhole } from '../../support/whole.ts';
import { allTasks, describeFleet, runFleet } from './fleet.ts';
import { checkDrift, hunt } from './hunt.ts';
import { operatorMutants } from './mutants.ts';
import { scenarios } from './scenarios.ts';

// The operator as shipped (observe, plan, act, status) against a world in memory: every promise of its behaviour is
// checked at each of its writes and at the end. What fails prints the command that shows it again.

/** `MAINSTAY_FULL=1`: every placement, two thousand seeds, every planted bug; else a sample. */
const sample = ['adds-a-voter'];
const jobs = Math.min(2, availableParallelism());

suite('The simulated operator', () => {
  test('keeps its promises in every scenario, whatever fails at any action, and in random lives', async (context) => {
    const tasks = allTasks({ first: 1, last: isWhole ? 2_000 : 8, stride: isWhole ? 1 : 499 });
    const report = await runFleet({ tasks, jobs });
    context.diagnostic(describeFleet(report));
    assert.deepEqual(report.failures, []);
    assert.equal(report.scenarios, scenarios.length);
    if (!isWhole) return;
    assert.ok(report.placements >= 3_000, `${report.placements} placements`);
    assert.ok(report.states >= 5_000, `${report.states} states`);
  });

  test('has its planted bugs where the list says', () => {
    for (const mutant of operatorMutants) checkDrift(mutant);
  });

  for (const mutant of operatorMutants) {
    if (!isWhole && !sample.includes(mutant.name)) continue;
    test(`${mutant.name} is found (${mutant.origin})`, async (context) => {
      const found = await hunt(mutant, jobs);
      assert.ok(found !== undefined, 'no scenario, placement or seed shows it');
      context.diagnostic(found.split('\n').slice(0, 2).join(' ').slice(0, 300));
    });
  }
});
