import { parseArgs } from 'node:util';
import { describeReport, replayCommand, runFleet, seedRange } from './fleet.ts';
import { bootReplica } from './replica.ts';
import { runSeed } from './run.ts';

const usage = `usage: node dist/test/sim/main.js [options]
  --seeds A..B   the seeds to run, or one (default 1..100)
  --seconds N    simulated seconds per seed (default 60)
  --members N    1, 3 or 5 members instead of what the seed draws
  --jobs N       worker processes (default 2)
  --trace        run one seed here and print everything that happens`;

interface Options {
  readonly first: number;
  readonly last: number;
  readonly seconds: number;
  readonly members: number | undefined;
  readonly jobs: number;
  readonly trace: boolean;
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '1..100' },
      seconds: { type: 'string', default: '60' },
      members: { type: 'string' },
      jobs: { type: 'string', default: '2' },
      trace: { type: 'boolean', default: false },
    },
  });
  const [first, last = first] = values.seeds.split('..').map(Number);
  const members = values.members === undefined ? undefined : Number(values.members);
  const numbers = [first, last, Number(values.seconds), Number(values.jobs), members ?? 1];
  if (first === undefined || last === undefined || !numbers.every(Number.isSafeInteger)) {
    throw new TypeError('a number was expected');
  }
  const { trace } = values;
  return {
    first,
    last,
    members,
    trace,
    seconds: Number(values.seconds),
    jobs: Number(values.jobs),
  };
}

async function traceOne({ first, seconds, members }: Options): Promise<boolean> {
  const { error, counts, traceHash } = await runSeed(bootReplica, {
    seed: first,
    seconds,
    ...(members === undefined ? {} : { members }),
    print: (line) => console.log(line),
  });
  console.log(JSON.stringify(counts));
  console.log(`trace hash ${traceHash}`);
  if (error !== undefined) console.log(error);
  return error === undefined;
}

async function runMany({ first, last, seconds, members, jobs }: Options): Promise<boolean> {
  const fleet = {
    seeds: seedRange(first, last),
    seconds,
    ...(members === undefined ? {} : { members }),
    jobs,
    twiceEvery: 50,
    stopAtFailure: false,
  };
  const report = await runFleet({
    ...fleet,
    onAnswer: ({ seed, error }) => {
      if (error === undefined) return;
      console.log(`seed ${seed} failed: ${error}`);
      console.log(`  replay: ${replayCommand(seed, fleet)}`);
    },
  });
  for (const line of describeReport(report)) console.log(line);
  return report.failures.length === 0;
}

try {
  const options = parse(process.argv.slice(2));
  const isGood = options.trace ? await traceOne(options) : await runMany(options);
  process.exitCode = isGood ? 0 : 1;
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(`${error.message}\n${usage}`);
  process.exitCode = 2;
}
