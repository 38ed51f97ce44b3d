import type { CommandSpec } from '../../server/client/ctl/command.ts';
import type { Flag } from '../../server/client/ctl/flags.ts';
import { globalFlags } from '../../server/client/ctl/global-flags.ts';
import { chaptersOf, commandLineOf, flagText, synopsisOf } from '../../server/client/ctl/help.ts';
import { ctlCommands } from '../../server/ctl/commands.ts';

const introduction = `<!-- Generated from the source by \`npm run generate\`. -->

# mainstayctl

Every command, as the source has it; \`mainstayctl COMMAND --help\` says the same. It talks to a Mainstay cluster, or to any other that speaks the etcd v3 API.

What is written for etcdctl runs on it unchanged: the same commands, flags and variables (\`ETCDCTL_...\`; \`MAINSTAYCTL_...\` comes first), and the same output with
\`-w simple\`, \`json\` and \`fields\`. \`test/compat/mainstayctl.test.ts\` compares the two line by line; [COMPATIBILITY.md](COMPATIBILITY.md) says what differs.

| exit status | |
|---|---|
| 0 | done |
| 1 | failed: what went wrong, and where there is one, the next step, on standard error |
| 2 | wrong command line: one line that says what would be right |

\`lock\` with a program has the program's own exit status.`;

/** The text of docs/CTL.md. */
export function ctlText(): string {
  const chapters = chaptersOf(ctlCommands).map(
    ({ chapter, specs }) => `## ${chapter}\n\n${specs.map(commandText).join('\n\n')}`,
  );
  const common = `## Flags of every command\n\n${flagTable(globalFlags)}`;
  return `${[introduction, ...chapters, common].join('\n\n')}\n`;
}

function commandText(spec: CommandSpec): string {
  const { name, summary, examples, flags, formats, notes = [] } = spec;
  const lines = examples.map((example) => {
    const { note } = example;
    const shown = commandLineOf(example);
    return note === undefined ? shown : `# ${note}\n${shown}`;
  });
  const parts = [
    `### ${name}`,
    `\`${synopsisOf(spec)}\``,
    cell(summary),
    `\`\`\`sh\n${lines.join('\n')}\n\`\`\``,
    ...(flags.length === 0 ? [] : [flagTable(flags)]),
    ...(notes.length === 0 ? [] : [notes.join(' ')]),
    `\`-w\`: ${formats.map((format) => `\`${format}\``).join(', ')}.`,
  ];
  return parts.join('\n\n');
}

function flagTable(flags: readonly Flag[]): string {
  const rows = flags.map((flag) => {
    const { value, default: fallback, summary } = flag;
    const shown = value === undefined || fallback === undefined ? '' : ` [${fallback}]`;
    return `| \`${flagText(flag).replaceAll('|', '\\|')}\` | ${cell(summary)}${cell(shown)} |`;
  });
  return `| flag | |\n|---|---|\n${rows.join('\n')}`;
}

/** Placeholders and escapes are no markup. */
function cell(text: string): string {
  return text.replaceAll(/[\\|<>*]/g, '\\$&');
}
