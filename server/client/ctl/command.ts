import type { Client } from '../client.ts';
import type { CommandLine } from './command-line.ts';
import type { Flag } from './flags.ts';

/** A command failed for a reason that the person can do something about. */
export class CommandError extends Error {
  override name = 'CommandError';
}

/** The outcome was not `ok`, and that is all: what is wrong was said before. */
export class ExitStatus extends Error {
  override name = 'ExitStatus';
  readonly status: number;

  constructor(status: number) {
    super(`exit status ${status}`);
    this.status = status;
  }
}

/** What a command needs of the world around it. */
export interface Terminal {
  write(output: string | Uint8Array): void;
  complain(text: string): void;
  /** All of standard input. */
  readInput(): Promise<Uint8Array>;
  /** Standard input line by line, without their ends. A line that is not ended by the end of the input is none. */
  inputLines(): AsyncIterable<string>;
  /** What a person types, unseen; undefined when nobody is there. */
  readonly askSecret: ((prompt: string) => Promise<string>) | undefined;
  /** Shows how far long work is, in place of what was shown before; undefined when nobody looks. */
  readonly progress: ((text: string) => void) | undefined;
  /** How many lines and columns a person sees; undefined where output goes elsewhere. */
  readonly screen: (() => { readonly rows: number; readonly columns: number }) | undefined;
  /**
   * Tells of every key that a person presses, at once and unseen, until the result is called; undefined when nobody is
   * there. Ctrl-C is such a key then, and no signal.
   */
  readonly onKey: ((listener: (key: string) => void) => () => void) | undefined;
  /** Aborted when the person has had enough. */
  readonly signal: AbortSignal;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Command {
  readonly line: CommandLine;
  readonly client: Client;
  readonly terminal: Terminal;
  /** Every command there is, for those that tell of the others. */
  readonly commands: readonly CommandSpec[];
}

/** Resolves with whether all went well. */
export type Run = (command: Command) => Promise<boolean>;

export type Format = 'simple' | 'table' | 'json' | 'fields';

export type Chapter =
  | 'Keys'
  | 'Leases, locks and elections'
  | 'Members'
  | 'Users and roles'
  | 'Files and other clusters'
  | 'Backups'
  | 'This program';

/** A command line, and what it shows. */
export interface Example {
  /** Behind `mainstayctl`, as one types it in a shell. */
  readonly words: string;
  readonly note?: string;
  /** What stands before `mainstayctl`, such as `echo x |`. */
  readonly before?: string;
  /** It goes on until Ctrl-C. */
  readonly goesOn?: boolean;
}

/** A row of the table of commands, from which parsing, help, completion and docs/CTL.md come. */
export interface CommandSpec {
  /** One word or two. */
  readonly name: string;
  /** As help shows them: `KEY [RANGE_END]`. */
  readonly operands: string;
  readonly operandsMin: number;
  readonly operandsMax: number;
  readonly chapter: Chapter;
  /** One sentence. */
  readonly summary: string;
  readonly flags: readonly Flag[];
  readonly examples: readonly Example[];
  /** What `--write-out` takes; the first holds without it. */
  readonly formats: readonly Format[];
  /** More to know, in lines. */
  readonly notes?: readonly string[];
  /** Whether doing it twice is not the same as once: then what is not known is said when it fails. */
  readonly isWrite?: boolean;
  /** Whether it ends by itself at Ctrl-C, and puts things in order; any other is left where it is. */
  readonly endsItself?: boolean;
  readonly run: Run;
}

/** A spec, with what most commands have. */
export function commandOf(
  spec: Pick<CommandSpec, 'name' | 'chapter' | 'summary' | 'examples' | 'run'> &
    Partial<CommandSpec>,
): CommandSpec {
  const operands = spec.operands ?? '';
  const named = operands.match(/[A-Z_]{2,}(\.\.\.)?/g)?.length ?? 0;
  const required = operands.replaceAll(/\[[^\]]*\]/g, '').match(/[A-Z_]{2,}/g)?.length ?? 0;
  return {
    operands,
    operandsMin: required,
    operandsMax: operands.includes('...') ? Number.POSITIVE_INFINITY : named,
    flags: [],
    formats: ['simple', 'json'],
    ...spec,
  };
}
