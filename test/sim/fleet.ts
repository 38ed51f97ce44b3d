import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Counters } from './counters.ts';
import type { WorkerAnswer, WorkerTask } from './worker.ts';

export interface FleetOptions {
  readonly seeds: Iterable<number>;
  readonly seconds: number;
  readonly members?: number;
  /** Worker processes. */
  readonly jobs: number;
  /** Every so manieth seed runs twice and must give the same trace. 0: none. */
  readonly twiceEvery: number;
  /** The compiled worker; the mutants have their own. */
  readonly workerPath?: string;
  readonly stopAtFailure: boolean;
  readonly stopAfterMs?: number;
  readonly onAnswer?: (answer: WorkerAnswer) => void;
}

export interface FleetReport {
  readonly seeds: number;
  readonly simulatedHours: number;
  readonly events: number;
  readonly wallSeconds: number;
  readonly counts: Counters;
  /** In order of the seeds. */
  readonly failures: ReadonlyArray<{ readonly seed: number; readonly error: string }>;
}

export const defaultWorkerPath: string = fileURLToPath(new URL('worker.js', import.meta.url));

/** Runs seeds in worker processes, each taking the next one when it is free. */
export async function runFleet(options: FleetOptions): Promise<FleetReport> {
  const startedMs = Date.now();
  const deadlineMs = startedMs + (options.stopAfterMs ?? Number.POSITIVE_INFINITY);
  const seeds = options.seeds[Symbol.iterator]();
  const counts = new Counters();
  const failures: Array<{ seed: number; error: string }> = [];
  const totals = { seeds: 0, simulatedMs: 0, events: 0 };

  const next = (): number | undefined => {
    const isEnough = options.stopAtFailure && failures.length > 0;
    if (isEnough || Date.now() >= deadlineMs) return undefined;
    const { value, done } = seeds.next();
    return done === true ? undefined : value;
  };
  const take = (answer: WorkerAnswer): void => {
    totals.seeds++;
    totals.simulatedMs += answer.simulatedMs;
    totals.events += answer.events;
    counts.merge(answer.counts);
    if (answer.error !== undefined) failures.push({ seed: answer.seed, error: answer.error });
    options.onAnswer?.(answer);
  };

  await Promise.all(Array.from({ length: options.jobs }, () => runWorker(options, next, take)));
  return {
    seeds: totals.seeds,
    simulatedHours: totals.simulatedMs / 3_600_000,
    events: totals.events,
    wallSeconds: (Date.now() - startedMs) / 1000,
    counts,
    failures: failures.sort((a, b) => a.seed - b.seed),
  };
}

/** One worker process, until there are no more seeds. A worker that dies fails its seed, and is replaced. */
function runWorker(
  options: FleetOptions,
  next: () => number | undefined,
  take: (answer: WorkerAnswer) => void,
): Promise<void> {
  return new Promise((resolve) => {
    let worker: ChildProcess | undefined;
    let seed: number | undefined;
    const sendNext = (): void => {
      seed = next();
      if (seed === undefined) {
        worker?.kill();
        resolve();
        return;
      }
      worker ??= hire();
      worker.send(taskOf(seed, options));
    };
    const hire = (): ChildProcess => {
      const hired = fork(options.workerPath ?? defaultWorkerPath, {
        execArgv: ['--enable-source-maps', '--max-semi-space-size=32'],
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      });
      let stderr = '';
      hired.stderr?.on('data', (chunk: Buffer) => {
        stderr = (stderr + chunk.toString()).slice(-4000);
      });
      hired.on('message', (answer: WorkerAnswer) => {
        take(answer);
        sendNext();
      });
      hired.on('exit', (code, signal) => {
        if (worker !== hired || seed === undefined) return;
        worker = undefined;
        const error = `the worker ended with ${signal ?? code}: ${stderr}`;
        take({ seed, error, simulatedMs: 0, events: 0, counts: {} });
        sendNext();
      });
      return hired;
    };
    sendNext();
  });
}

function taskOf(seed: number, options: FleetOptions): WorkerTask {
  const { seconds, members, twiceEvery } = options;
  return {
    options: { seed, seconds, ...(members === undefined ? {} : { members }) },
    twice: twiceEvery > 0 && seed % twiceEvery === 0,
  };
}

export function* seedRange(first: number, last: number): Generator<number> {
  for (let seed = first; seed <= last; seed++) yield seed;
}

/** What a person wants to know of a run, as lines. */
export function describeReport(report: FleetReport): string[] {
  const { seeds, simulatedHours, wallSeconds, events, counts, failures } = report;
  const speed = Math.round((simulatedHours * 3600) / wallSeconds);
  const record = counts.toRecord();
  const group = (title: string, prefixes: readonly string[]): string => {
    const entries = Object.entries(record).filter(([name]) =>
      prefixes.some((prefix) => name.startsWith(prefix)),
    );
    const total = entries.reduce((sum, [, count]) => sum + count, 0);
    return `${title} (${total}): ${entries.map(([name, count]) => `${name} ${count}`).join(', ')}`;
  };
  return [
    `${seeds} seeds, ${failures.length} failed, ${simulatedHours.toFixed(1)} simulated hours in ${wallSeconds.toFixed(0)} s (${speed}x), ${events} events`,
    group('faults', ['nemesis.', 'network.', 'disk.', 'process.']),
    group('members', ['member.', 'membership.', 'snapshot.', 'transfer.']),
    group('operations', ['op.']),
    group('errors told to clients', ['error.']),
    group('checked', ['checked.']),
  ];
}

export function replayCommand(
  seed: number,
  options: Pick<FleetOptions, 'seconds' | 'members'>,
): string {
  const members = options.members === undefined ? '' : ` --members ${options.members}`;
  return `node --enable-source-maps dist/test/sim/main.js --seeds ${seed} --seconds ${options.seconds}${members} --trace`;
}
