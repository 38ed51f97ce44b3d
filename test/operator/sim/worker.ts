import { explore } from './placements.ts';
import { scenarioOf } from './scenarios.ts';
import { liveSeed } from './seeds.ts';

/** What a fleet sends to a worker process, and what comes back. */
export type Task =
  | {
      readonly kind: 'scenario';
      readonly name: string;
      /** Every so manieth placement; undefined: none. */
      readonly stride: number | undefined;
      readonly stopAtFailure: boolean;
    }
  | { readonly kind: 'seeds'; readonly first: number; readonly last: number };

export interface TaskAnswer {
  readonly scenarios: number;
  readonly placements: number;
  readonly seeds: number;
  readonly passes: number;
  readonly states: readonly string[];
  /** Each with the command that shows it again. */
  readonly failures: readonly string[];
}

const program = 'node --enable-source-maps dist/test/operator/sim/main.js';

export async function perform(task: Task): Promise<TaskAnswer> {
  const states = new Set<string>();
  const answer = await (task.kind === 'scenario'
    ? performScenario(task, states)
    : performSeeds(task, states));
  return { ...answer, states: [...states] };
}

async function performScenario(task: Task & { kind: 'scenario' }, states: Set<string>) {
  const { name, stride, stopAtFailure } = task;
  const scenario = scenarioOf(name);
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
  const { placements, passes, failures } = await explore(scenario, {
    ...(stride === undefined ? { only: 'none' } : { stride }),
    states,
    stopAtFailure,
  });
  const lines = failures.map(({ placement = 'none', error }) => {
    const again = `${program} --scenario ${name} --placement ${placement}`;
    return `${name}, ${placement}: ${error}\n  again: ${again}`;
  });
  return { scenarios: 1, placements, seeds: 0, passes, failures: lines };
}

async function performSeeds({ first, last }: Task & { kind: 'seeds' }, states: Set<string>) {
  const failures: string[] = [];
  let passes = 0;
  for (let seed = first; seed <= last; seed += 1) {
    try {
      const run = await liveSeed(seed, { states });
      passes += run.passes;
    } catch (error) {
      failures.push(`seed ${seed}: ${String(error)}\n  again: ${program} --seed ${seed}`);
    }
  }
  return { scenarios: 0, placements: 0, seeds: last - first + 1, passes, failures };
}

process.on('message', (task: Task) => {
  perform(task).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      throw error;
    },
  );
});
