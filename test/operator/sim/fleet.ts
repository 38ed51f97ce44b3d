import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { scenarios } from './scenarios.ts';
import type { Task, TaskAnswer } from './worker.ts';

const seedsPerTask = 25;

export interface FleetOptions {
  readonly tasks: readonly Task[];
  /** Worker processes. */
  readonly jobs: number;
  readonly workerPath?: string;
  readonly stopAtFailure?: boolean;
  readonly onFailure?: (line: string) => void;
}

export interface FleetReport {
  readonly scenarios: number;
  readonly placements: number;
  readonly seeds: number;
  readonly passes: number;
  readonly states: number;
  readonly wallSeconds: number;
  readonly failures: readonly string[];
}

export interface Volume {
  readonly first: number;
  readonly last: number;
  /** Every so manieth placement of each scenario; undefined: none. */
  readonly stride: number | undefined;
  readonly isSeedsOnly?: boolean;
  /** One failure of a scenario is enough. */
  readonly stopAtFailure?: boolean;
}

/** Scenarios with their placements, and seeds in portions. */
export function allTasks(volume: Volume): Task[] {
  const { first, last, stride, isSeedsOnly = false, stopAtFailure = false } = volume;
  const tasks: Task[] = isSeedsOnly
    ? []
    : scenarios.map(({ name }) => ({ kind: 'scenario', name, stride, stopAtFailure }));
  for (let seed = first; seed <= last; seed += seedsPerTask) {
    tasks.push({ kind: 'seeds', first: seed, last: Math.min(last, seed + seedsPerTask - 1) });
  }
  return tasks;
}

/** Does the tasks in worker processes, each taking the next one when it is free. */
export async function runFleet(options: FleetOptions): Promise<FleetReport> {
  const startedMs = Date.now();
  const waiting = [...options.tasks];
  const states = new Set<string>();
  const failures: string[] = [];
  const sums = { scenarios: 0, placements: 0, seeds: 0, passes: 0 };
  const next = () =>
    options.stopAtFailure === true && failures.length > 0 ? undefined : waiting.shift();
  const take = (answer: TaskAnswer) => {
    sums.scenarios += answer.scenarios;
    sums.placements += answer.placements;
    sums.seeds += answer.seeds;
    sums.passes += answer.passes;
    for (const state of answer.states) states.add(state);
    for (const failure of answer.failures) {
      failures.push(failure);
      options.onFailure?.(failure);
    }
  };
  const path = options.workerPath ?? fileURLToPath(new URL('worker.js', import.meta.url));
  await Promise.all(Array.from({ length: options.jobs }, () => employ(path, next, take)));
  const wallSeconds = (Date.now() - startedMs) / 1000;
  return { ...sums, states: states.size, wallSeconds, failures };
}

/** One worker process, until there are no more tasks. */
function employ(
  path: string,
  next: () => Task | undefined,
  take: (answer: TaskAnswer) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = fork(path, { execArgv: ['--enable-source-maps'] });
    const give = () => {
      const task = next();
      if (task === undefined) worker.disconnect();
      else worker.send(task);
    };
    worker.on('message', (answer: TaskAnswer) => {
      take(answer);
      give();
    });
    worker.on('error', reject);
    worker.on('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`a worker ended with ${signal ?? code}`));
    });
    give();
  });
}

export function describeFleet(report: FleetReport): string {
  const { scenarios: count, placements, seeds, passes, states, wallSeconds, failures } = report;
  return (
    `${count} scenarios, ${placements} placements, ${seeds} seeds, ${passes} passes, ${states} distinct planner states, ` +
    `${failures.length} violations, ${wallSeconds.toFixed(0)} s`
  );
}
