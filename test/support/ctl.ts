import { Buffer } from 'node:buffer';
import { type Environment, type Terminal } from '../../server/client/ctl/command.ts';
import { runCtl } from '../../server/client/ctl/ctl.ts';
import { ctlCommands } from '../../server/ctl/commands.ts';

/** What one command of mainstayctl left. */
export interface CtlRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CtlOptions {
  readonly env?: Environment;
  /** What stands in standard input. */
  readonly input?: string;
  /** Ctrl-C. */
  readonly signal?: AbortSignal;
  readonly progress?: Terminal['progress'];
  readonly askSecret?: Terminal['askSecret'];
  readonly onOutput?: (out: string) => void;
  readonly screen?: Terminal['screen'];
  readonly onKey?: Terminal['onKey'];
}

/** Runs a command in this process, with output that nobody looks at. */
export async function runCommand(
  words: readonly string[],
  { env = {}, input = '', signal, progress, askSecret, onOutput, screen, onKey }: CtlOptions = {},
): Promise<CtlRun> {
  const seen = { out: '', err: '' };
  const terminal: Terminal = {
    write: (output) => {
      seen.out += Buffer.from(output as string).toString();
      onOutput?.(seen.out);
    },
    complain: (text) => {
      seen.err += text;
    },
    readInput: async () => Buffer.from(input),
    async *inputLines() {
      yield* input.split('\n').slice(0, -1);
    },
    askSecret,
    progress,
    screen,
    onKey,
    signal: signal ?? new AbortController().signal,
  };
  const code = await runCtl(words, env, { terminal, commands: ctlCommands });
  return { code, ...seen };
}
