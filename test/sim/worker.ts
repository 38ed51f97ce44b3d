import { bootReplica } from './replica.ts';
import { type RunOptions, runSeed } from './run.ts';

/** What a fleet sends to a worker process, and what comes back. */
export interface WorkerTask {
  readonly options: Omit<RunOptions, 'print'>;
  /** Run it a second time: the traces must be equal. */
  readonly twice: boolean;
}

export interface WorkerAnswer {
  readonly seed: number;
  readonly error: string | undefined;
  readonly simulatedMs: number;
  readonly events: number;
  readonly counts: Readonly<Record<string, number>>;
}

async function perform({ options, twice }: WorkerTask): Promise<WorkerAnswer> {
  const result = await runSeed(bootReplica, options);
  const { seed, simulatedMs, events, counts } = result;
  let error = result.error?.stack;
  if (result.error?.cause instanceof Error) error += `\ncaused by: ${result.error.cause.stack}`;
  if (twice) {
    const again = await runSeed(bootReplica, options);
    if (again.traceHash !== result.traceHash) {
      error ??= `not deterministic: trace ${result.traceHash}, then ${again.traceHash}`;
    }
  }
  return { seed, error, simulatedMs, events, counts };
}

process.on('message', (task: WorkerTask) => {
  perform(task).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      throw error;
    },
  );
});
