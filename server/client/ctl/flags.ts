import { nearest } from './nearest.ts';

/** A wrong command line; exit status 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** What a command can be told beside its operands. */
export interface Flag {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What its value is, as help shows it, with its unit: `SECONDS`. A switch has none. */
  readonly value?: string;
  /** What holds without it, as help shows it. A switch is off, unless this is `true`. */
  readonly default?: string;
  /** What the value can be, for the completion of shells. */
  readonly choices?: readonly string[];
  readonly summary: string;
}

/** A command line, taken apart by the flags that are known. */
export interface Words {
  /** By name; of a switch `true` or `false`. */
  readonly values: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
  /** How many operands stand before `--`; undefined without it. */
  readonly dashesAt: number | undefined;
}

/**
 * As etcdctl reads it: flags stand anywhere before `--`, a value behind `=` or in the next word, and a switch takes one only
 * behind `=`. Throws {@link UsageError}; `command` is for its message.
 */
export function parseWords(
  argv: readonly string[],
  flags: readonly Flag[],
  command: string,
): Words {
  const values = new Map<string, string>();
  const operands: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (word === '--') {
      const dashesAt = operands.length;
      return { values, operands: [...operands, ...argv.slice(at + 1)], dashesAt };
    }
    if (!isFlag(word)) {
      operands.push(word);
      continue;
    }
    const { flag, value } = flagOf(word, flags, command);
    if (value !== undefined) values.set(flag.name, checked(flag, value));
    else if (flag.value === undefined) values.set(flag.name, 'true');
    else {
      const next = argv[++at];
      if (next === undefined) throw new UsageError(`${shown(flag)} needs a value: ${flag.value}`);
      values.set(flag.name, next);
    }
  }
  return { values, operands, dashesAt: undefined };
}

export function isFlag(word: string): boolean {
  return word.startsWith('-') && word !== '-';
}

/** How many words a flag takes with its value; 1 also for one that is not known. */
export function wordsTaken(word: string, flags: readonly Flag[]): number {
  const [, dashes = '', name = '', equals] = /^(--?)([^=]*)(=)?/.exec(word) ?? [];
  const flag = flags.find((each) => (dashes === '--' ? each.name === name : each.short === name));
  return flag?.value !== undefined && equals === undefined ? 2 : 1;
}

function flagOf(
  word: string,
  flags: readonly Flag[],
  command: string,
): { flag: Flag; value: string | undefined } {
  const [, name = '', value] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  const known = (found: Flag | undefined) => {
    if (found !== undefined) return found;
    const [given = word] = word.split('=');
    const like = nearest(given, flags.map(shown));
    const hint = like === undefined ? '' : `; did you mean ${like}?`;
    throw new UsageError(`unknown flag ${given} of "${command}"${hint}`);
  };
  if (word.startsWith('--'))
    return { flag: known(flags.find((each) => each.name === name)), value };
  const flag = known(flags.find(({ short }) => short === word[1]));
  const rest = word.slice(2);
  if (rest !== '' && flag.value === undefined && !rest.startsWith('=')) known(undefined);
  return { flag, value: rest === '' ? undefined : rest.replace(/^=/, '') };
}

function shown({ name }: Flag): string {
  return `--${name}`;
}

function checked(flag: Flag, value: string): string {
  if (flag.value === undefined && value !== 'true' && value !== 'false') {
    throw new UsageError(`${shown(flag)}: "${value}" is not true or false`);
  }
  return value;
}
