import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { allTasks, describeFleet, runFleet } from './fleet.ts';
import { explore, type Placement } from './placements.ts';
import { scenarioOf, scenarios } from './scenarios.ts';
import { liveSeed } from './seeds.ts';

const usage = `usage: node dist/test/operator/sim/main.js [options]
  --scenario NAME       one scenario, with every placement; --list names them
    --crash-before N, --crash-after N, --timeout-before N, --timeout-after N, --stale N:KIND:LAG, --late N:PASSES
                        only this placement, with all that happens; "none" as NAME's own run: --placement none
  --seed N              one random life, with all that happens
  --seeds A..B          these random lives, without placements
  --stride N            every N-th placement of each scenario (default 1)
  --jobs N              worker processes (default: as many as there are processors)
without --scenario and --seed: all placements of all scenarios, and seeds 1..2000`;

const faults = ['crash-before', 'crash-after', 'timeout-before', 'timeout-after'].concat([
  'stale',
  'late',
]);

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      scenario: text,
      placement: text,
      ...Object.fromEntries(faults.map((name) => [name, text])),
      seed: text,
      seeds: text,
      stride: text,
      jobs: text,
      list: { type: 'boolean' },
    },
  });
  return values as Readonly<Record<string, string | undefined>>;
}

type Values = ReturnType<typeof parse>;

function placementOf(values: Values): Placement | undefined {
  const name = faults.find((fault) => values[fault] !== undefined);
  return name === undefined ? values['placement'] : `${name}:${values[name]}`;
}

async function runScenario(name: string, values: Values): Promise<boolean> {
  const scenario = scenarioOf(name);
  if (scenario === undefined) throw new TypeError(`there is no scenario ${name}`);
  const only = placementOf(values);
  const print = only === undefined ? {} : { print: (line: string) => console.log(line) };
  const stride = Number(values['stride'] ?? 1);
  const found = await explore(scenario, { ...print, only, stride });
  for (const { placement = 'as it is', error } of found.failures) {
    console.log(`${name}, ${placement}: ${error}`);
  }
  console.log(`${found.placements} placements, ${found.passes} passes`);
  return found.failures.length === 0;
}

async function runSeed(seed: number): Promise<boolean> {
  try {
    await liveSeed(seed, { print: (line) => console.log(line) });
    return true;
  } catch (error) {
    console.log(error instanceof Error && error.name === 'Violation' ? error.message : error);
    return false;
  }
}

async function runAll(values: Values): Promise<boolean> {
  const [first = 1, last = first] = (values['seeds'] ?? '1..2000').split('..').map(Number);
  const isSeedsOnly = values['seeds'] !== undefined;
  const report = await runFleet({
    tasks: allTasks({ first, last, isSeedsOnly, stride: Number(values['stride'] ?? 1) }),
    jobs: Number(values['jobs'] ?? availableParallelism()),
    onFailure: (line) => console.log(line),
  });
  console.log(describeFleet(report));
  return report.failures.length === 0;
}

async function main(): Promise<void> {
  const values = parse(process.argv.slice(2));
  const { scenario, seed } = values;
  if (values['list'] !== undefined) {
    for (const { name } of scenarios) console.log(name);
    return;
  }
  const run =
    scenario !== undefined
      ? runScenario(scenario, values)
      : seed !== undefined
        ? runSeed(Number(seed))
        : runAll(values);
  if (!(await run)) process.exitCode = 1;
}

main().catch((error: unknown) => {
  if (!(error instanceof TypeError)) throw error;
  console.error(`${error.message}\n${usage}`);
  process.exitCode = 2;
});
