import type { Chapter, CommandSpec, Example } from './command.ts';
import { unknownCommand } from './command-line.ts';
import type { Flag } from './flags.ts';
import { globalFlags } from './global-flags.ts';

const chapters: readonly Chapter[] = [
  'Keys',
  'Leases, locks and elections',
  'Members',
  'Users and roles',
  'Files and other clusters',
  'Backups',
  'This program',
];

/** Where the explanations begin, unless what stands before is longer. */
const noteColumn = 44;
const widthMax = 120;

/** Of one command, of all that begin with a word, or of everything. Throws {@link UsageError} when there is none. */
export function helpFor(words: readonly string[], commands: readonly CommandSpec[]): string {
  if (words.length === 0) return overview(commands);
  const given = words.join(' ');
  const spec = commands.find(({ name }) => given === name || given.startsWith(`${name} `));
  if (spec !== undefined) return helpOf(spec);
  const group = commands.filter(({ name }) => name.startsWith(`${given} `));
  if (group.length > 0) return groupHelp(given, group);
  throw unknownCommand([], given, commands);
}

function overview(commands: readonly CommandSpec[]): string {
  const lists = chaptersOf(commands).map(
    ({ chapter, specs }) => `${chapter}:\n${specs.map(commandRow).join('')}`,
  );
  return `mainstayctl talks to a Mainstay cluster, or to any other that speaks the etcd v3 API.

  mainstayctl put greeting hello
  mainstayctl get greeting
  mainstayctl watch --prefix config/
  mainstayctl status

${lists.join('\n')}
"mainstayctl COMMAND --help" says how one is used, with examples.

Every command takes:
${globalFlags.map(flagRow).join('')}
Each of them can stand in the environment, as MAINSTAYCTL_ENDPOINTS or ETCDCTL_ENDPOINTS and so on.

Exit status: 0 done, 1 failed, 2 wrong command line.
`;
}

export function chaptersOf(
  commands: readonly CommandSpec[],
): { chapter: Chapter; specs: CommandSpec[] }[] {
  return chapters.map((chapter) => {
    const specs = commands.filter((each) => each.chapter === chapter);
    return { chapter, specs };
  });
}

function groupHelp(group: string, specs: readonly CommandSpec[]): string {
  const rows = specs.map(commandRow).join('');
  return `mainstayctl ${group} has these commands:\n\n${rows}\n"mainstayctl ${group} COMMAND --help" says how one is used, with examples.\n`;
}

export function helpOf(spec: CommandSpec): string {
  const { summary, examples, flags, notes = [], formats } = spec;
  const parts = [
    `${synopsisOf(spec)}\n\n${summary}\n`,
    examples.map(exampleRow).join(''),
    ...(flags.length === 0 ? [] : [`Flags:\n${flags.map(flagRow).join('')}`]),
    ...(notes.length === 0 ? [] : [notes.map((note) => `${note}\n`).join('')]),
    `-w, --write-out takes ${formats.join(', ')}. "mainstayctl --help" has the flags that every command takes.\n`,
  ];
  return parts.join('\n');
}

export function synopsisOf({ name, operands, flags }: CommandSpec): string {
  const words = ['mainstayctl', name, operands, flags.length === 0 ? '' : '[flags]'];
  return words.filter(Boolean).join(' ');
}

function commandRow({ name, operands, summary }: CommandSpec): string {
  return row([name, operands].filter(Boolean).join(' '), summary);
}

export function commandLineOf({ words, before }: Example): string {
  return [before, 'mainstayctl', words].filter(Boolean).join(' ');
}

function exampleRow(example: Example): string {
  return row(commandLineOf(example), example.note ?? '');
}

export function flagText({ name, short, value, default: fallback }: Flag): string {
  const names = [...(short === undefined ? [] : [`-${short}`]), `--${name}`].join(', ');
  if (value !== undefined) return `${names} ${value}`;
  return fallback === 'true' ? `${names}=false` : names;
}

function flagRow(flag: Flag): string {
  const { summary, value, default: fallback } = flag;
  const shown = value === undefined || fallback === undefined ? '' : ` [${fallback}]`;
  return row(flagText(flag), `${summary}${shown}`);
}

/** Two columns, the second one folded. */
function row(left: string, right: string): string {
  if (right === '') return `  ${left}\n`;
  const indent = ' '.repeat(noteColumn);
  const lines = folded(right, widthMax - noteColumn);
  const head = `  ${left}`;
  const first = head.length < noteColumn - 1 ? head.padEnd(noteColumn) : `${head}\n${indent}`;
  return `${first}${lines.join(`\n${indent}`)}\n`;
}

function folded(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
