import { writeFileSync } from 'node:fs';
import { BackupError, type BackupFailure } from '../backup/failure.ts';
import { type Command, CommandError, type Run } from '../client/ctl/command.ts';
import { UsageError } from '../client/ctl/flags.ts';
import { jsonOf, sizeText } from '../client/ctl/text.ts';
import { ClientError } from '../client/errors.ts';
import { duration } from './backup-target.ts';

/** What a command tells whoever started it; its text is for people. */
export interface Outcome {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** What fits where Kubernetes looks for it: /dev/termination-log. */
const resultBytesMax = 4096;
const messageLengthMax = 2_000;
const listedMax = 5;
const shownIntervalMs = 200;

/**
 * Runs a command and says what came of it: as a line of JSON with `-w json`, else as text, and in the file that
 * `--result-file` names, also when it fails.
 */
export function reported(kind: string, run: (command: Command) => Promise<Outcome>): Run {
  return async (command) => {
    const { line, terminal } = command;
    const isJson = line.format('simple') === 'json';
    try {
      const { fields, text } = await run(command);
      const result = { ok: true, kind, ...fields };
      writeResult(command, result);
      terminal.progress?.('');
      terminal.write(isJson ? jsonOf(result) : text);
      return true;
    } catch (error) {
      const failure = failureOf(error);
      if (failure === undefined) throw error;
      terminal.progress?.('');
      const message = (error as Error).message;
      const result = { ok: false, kind, failure, message };
      writeResult(command, result);
      if (isJson) terminal.write(jsonOf(result));
      throw error instanceof BackupError ? new CommandError(message, { cause: error }) : error;
    }
  };
}

/** Undefined for a fault of ours. */
function failureOf(error: unknown): BackupFailure | undefined {
  if (error instanceof BackupError) return error.failure;
  if (error instanceof UsageError) return 'Invalid';
  return error instanceof ClientError ? 'ClusterUnreachable' : undefined;
}

export function writeResult({ line }: Command, result: Readonly<Record<string, unknown>>): void {
  const file = line.text('result-file');
  if (file === undefined) return;
  const text = jsonOf(Object.fromEntries(Object.entries(result).flatMap(shortened)));
  try {
    writeFileSync(file, text.slice(0, resultBytesMax));
  } catch (error) {
    throw new CommandError(`--result-file: ${(error as Error).message}`, { cause: error });
  }
}

function shortened([name, value]: [string, unknown]): [string, unknown][] {
  if (typeof value === 'string') return [[name, value.slice(0, messageLengthMax)]];
  if (!Array.isArray(value) || value.length <= listedMax) return [[name, value]];
  return [
    [name, value.slice(0, listedMax)],
    [`${name}Count`, value.length],
  ];
}

/** Told how far a step is. */
export type OnProgress = (step: string, doneBytes: number, totalBytes: number) => void;

/** Shows people how far it is, and tells programs in the interval that `--progress` names. */
export function progressOf({ line, terminal }: Command): OnProgress {
  const toldEveryMs = line.text('progress') === undefined ? 0 : duration(line, 'progress', '10s');
  let shownMs = 0;
  let toldMs = performance.now();
  return (step, doneBytes, totalBytes) => {
    if (terminal.signal.aborted) throw new BackupError('Interrupted', 'interrupted');
    const nowMs = performance.now();
    if (terminal.progress !== undefined && nowMs - shownMs > shownIntervalMs) {
      shownMs = nowMs;
      const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
      terminal.progress(`${step}: ${sizeText(doneBytes)}, ${Math.floor(100 * share)} %`);
    }
    if (toldEveryMs > 0 && nowMs - toldMs > toldEveryMs) {
      toldMs = nowMs;
      terminal.write(jsonOf({ kind: 'progress', step, doneBytes, totalBytes }));
    }
  };
}
