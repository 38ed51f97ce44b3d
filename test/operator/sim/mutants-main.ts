import { availableParallelism } from 'node:os';
import { hunt } from './hunt.ts';
import { operatorMutants } from './mutants.ts';

// node dist/test/operator/sim/mutants-main.js [name...]: plants each bug and hunts it.

const names = process.argv.slice(2);
const wanted = operatorMutants.filter(({ name }) => names.length === 0 || names.includes(name));
let survivors = 0;
for (const mutant of wanted) {
  const startedMs = Date.now();
  const found = await hunt(mutant, availableParallelism());
  if (found === undefined) survivors += 1;
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(0);
  const reason = found?.split('\n')[0]?.slice(0, 160) ?? 'SURVIVED';
  console.log(`${mutant.name.padEnd(40)} ${seconds} s  ${reason}`);
}
console.log(
  survivors === 0 ? `all ${wanted.length} planted bugs were found` : `${survivors} survived`,
);
process.exitCode = survivors === 0 ? 0 : 1;
