import { parseArgs } from 'node:util';
import { mutants } from './mutants.ts';
import { huntMutant } from './mutate.ts';

// node dist/test/sim/mutants-main.js [--seeds N] [--seconds N] [--jobs N] [name...]: plants each bug and hunts it.

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '60' },
    jobs: { type: 'string', default: '2' },
  },
});

let survivors = 0;
const named = mutants.filter(({ name }) => positionals.includes(name));
for (const mutant of positionals.length > 0 ? named : mutants) {
  const { seedsNeeded, report } = await huntMutant(mutant, {
    seedsMax: Number(values.seeds),
    seconds: Number(values.seconds),
    jobs: Number(values.jobs),
  });
  const [failure] = report.failures;
  if (seedsNeeded === undefined) survivors++;
  const found = seedsNeeded === undefined ? 'SURVIVED' : `seed ${seedsNeeded}`.padEnd(8);
  const reason = failure?.error.split('\n')[0] ?? '';
  console.log(
    `${found} ${mutant.name.padEnd(48)} ${report.wallSeconds.toFixed(0)} s  ${reason.slice(0, 160)}`,
  );
}
console.log(survivors === 0 ? 'every mutant was found' : `${survivors} survived`);
process.exitCode = survivors === 0 ? 0 : 1;
