import { parseArgs } from 'node:util';
import { commandHelp, help } from './help.ts';

export const commandNames = [
  'status',
  'members',
  'plan',
  'move-leader',
  'restart',
  'pause',
  'resume',
  'report',
] as const;
export type CommandName = (typeof commandNames)[number];

export interface CliFlags {
  readonly command: CommandName;
  /** Of the StoreCluster. */
  readonly name: string;
  /** What stands behind it: the target of move-leader. */
  readonly rest: readonly string[];
  readonly namespace: string | undefined;
  readonly context: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly file: string | undefined;
  readonly replicas: number | undefined;
  /** `path=value`, each. */
  readonly set: readonly string[];
  readonly output: string | undefined;
  readonly tail: number;
}

/** A command line that makes no sense; one clear line. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** The text to show when that is what was asked for. */
export function parseFlags(args: readonly string[]): CliFlags | { readonly help: string } {
  const { values, positionals } = read(args);
  const [command, name, ...rest] = positionals;
  if (command === undefined || command === 'help') {
    return { help: isCommand(name) ? commandHelp[name] : help };
  }
  if (!isCommand(command)) {
    throw new UsageError(`unknown command "${command}": use one of ${commandNames.join(', ')}`);
  }
  if (values.help === true) return { help: commandHelp[command] };
  if (name === undefined) {
    throw new UsageError(`${command} needs the name of a StoreCluster: ${command} NAME`);
  }
  const flags = flagsOf({ command, name, rest }, values);
  refuseStrayFlags(flags);
  return flags;
}

function flagsOf(
  { command, name, rest }: Pick<CliFlags, 'command' | 'name' | 'rest'>,
  values: ReturnType<typeof read>['values'],
): CliFlags {
  return {
    command,
    name: name.replace(/^(storeclusters?(\.mainstay\.dev)?|msc)\//, ''),
    rest,
    namespace: values.namespace,
    context: values.context,
    kubeconfig: values.kubeconfig,
    file: values.filename,
    replicas: values.replicas === undefined ? undefined : integer('replicas', values.replicas),
    set: values.set ?? [],
    output: values.output,
    tail: values.tail === undefined ? 2_000 : integer('tail', values.tail),
  };
}

function read(args: readonly string[]) {
  const string = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: {
        namespace: { type: 'string', short: 'n' },
        context: string,
        kubeconfig: string,
        filename: { type: 'string', short: 'f' },
        replicas: string,
        set: { type: 'string', multiple: true },
        output: { type: 'string', short: 'o' },
        tail: string,
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A flag of another command is a mistake, not something to ignore. */
function refuseStrayFlags({ command, rest, file, replicas, set, output }: CliFlags): void {
  const edits = file !== undefined || replicas !== undefined || set.length > 0;
  if (command === 'plan' && !edits) {
    throw new UsageError(
      'plan needs an edit to look at: --replicas N, --set path=value, or -f FILE',
    );
  }
  if (command !== 'plan' && edits) {
    throw new UsageError(`-f, --replicas and --set belong to plan, not to ${command}`);
  }
  if (command !== 'report' && output !== undefined) {
    throw new UsageError(`-o belongs to report, not to ${command}`);
  }
  const restMax = command === 'move-leader' ? 1 : 0;
  if (rest.length > restMax) {
    throw new UsageError(`${command} does not know what to do with "${rest[restMax]}"`);
  }
}

function isCommand(text: string | undefined): text is CommandName {
  return (commandNames as readonly (string | undefined)[]).includes(text);
}

function integer(flag: string, text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`--${flag} must be a whole number, not "${text}"`);
}
