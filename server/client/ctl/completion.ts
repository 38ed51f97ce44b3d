import { type Command, type CommandSpec, commandOf } from './command.ts';
import type { Flag } from './flags.ts';
import { globalFlags } from './global-flags.ts';

// Scripts that complete commands, flags and the values that flags have a list of. They are made from the table of
// commands and ask no store.

const shells = { bash, zsh, fish } as const;

const notes: Readonly<Record<keyof typeof shells, string>> = {
  bash: 'completion bash > ~/.local/share/bash-completion/completions/mainstayctl',
  zsh: 'completion zsh > ~/.zfunc/_mainstayctl',
  fish: 'completion fish > ~/.config/fish/completions/mainstayctl.fish',
};

export const completionCommands: readonly CommandSpec[] = (
  Object.keys(shells) as (keyof typeof shells)[]
).map((shell) =>
  commandOf({
    name: `completion ${shell}`,
    chapter: 'This program',
    summary: `A script for ${shell} that completes commands, flags and their values.`,
    formats: ['simple'],
    examples: [{ words: notes[shell], note: 'from the next shell on' }],
    run: async ({ commands, terminal }: Command) => {
      terminal.write(shells[shell](commands));
      return true;
    },
  }),
);

interface Choice {
  readonly word: string;
  readonly summary: string;
}

/** What may follow the words of a command, by those words. */
function choicesOf(commands: readonly CommandSpec[]): Map<string, Choice[]> {
  const choices = new Map<string, Choice[]>([['', []]]);
  const add = (words: string, choice: Choice) => {
    const list = choices.get(words) ?? [];
    choices.set(words, list);
    if (!list.some(({ word }) => word === choice.word)) list.push(choice);
  };
  for (const { name, summary } of commands) {
    const [first = '', second] = name.split(' ');
    if (second === undefined) add('', { word: first, summary });
    else {
      const group = commands.filter((each) => each.name.startsWith(`${first} `));
      const words = group.map((each) => each.name.split(' ')[1]);
      add('', { word: first, summary: words.join(', ') });
      add(first, { word: second, summary });
    }
  }
  return choices;
}

function flagsOf({ flags }: CommandSpec): readonly Flag[] {
  return [...flags, ...globalFlags];
}

/** In single quotes, for a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function bash(commands: readonly CommandSpec[]): string {
  const words = [...choicesOf(commands)].map(
    ([before, choices]) =>
      `    ${quoted(before)}) next=${quoted(choices.map(({ word }) => word).join(' '))} ;;`,
  );
  const flags = commands.map(
    (spec) =>
      `    ${quoted(spec.name)}) flags=${quoted(
        flagsOf(spec)
          .map(({ name }) => `--${name}`)
          .join(' '),
      )} ;;`,
  );
  const valued = [...valuedFlags(commands)].map(
    ([name, choices]) =>
      `    --${name}) COMPREPLY=($(compgen ${bashAction(choices)} -- "$word")); return ;;`,
  );
  return `# bash completion for mainstayctl
_mainstayctl() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words='' at next='' flags=${quoted(
    globalFlags.map(({ name }) => `--${name}`).join(' '),
  )}
  for ((at = 1; at < COMP_CWORD && at < 3; at++)); do
    case "\${COMP_WORDS[at]}" in -*) break ;; esac
    words="\${words:+$words }\${COMP_WORDS[at]}"
    [ "$at" = 1 ] && case " ${groups(commands).join(' ')} " in *" $words "*) ;; *) break ;; esac
  done
  case "$words" in
${words.join('\n')}
  esac
  case "$words" in
${flags.join('\n')}
  esac
  case "$before" in
${valued.join('\n')}
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$next" -- "$word")); [ -n "$next" ] || COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _mainstayctl mainstayctl
`;
}

/** First words that another one has to follow. */
function groups(commands: readonly CommandSpec[]): string[] {
  const firsts = commands
    .filter(({ name }) => name.includes(' '))
    .map(({ name }) => name.split(' ')[0] ?? '');
  return [...new Set(firsts)];
}

/** Flags with values, and the values where there is a list of them. */
function valuedFlags(commands: readonly CommandSpec[]): Map<string, readonly string[]> {
  const valued = new Map<string, readonly string[]>();
  for (const { name, value, choices } of commands.flatMap(flagsOf)) {
    if (value !== undefined) valued.set(name, choices ?? []);
  }
  return valued;
}

function bashAction(choices: readonly string[]): string {
  return choices.length === 0 ? '-f' : `-W ${quoted(choices.join(' '))}`;
}

function zsh(commands: readonly CommandSpec[]): string {
  const described = (choices: readonly Choice[]) =>
    choices.map(({ word, summary }) => quoted(`${word}:${summary}`)).join(' ');
  const words = [...choicesOf(commands)].map(
    ([before, choices]) => `    ${quoted(before)}) next=(${described(choices)}) ;;`,
  );
  const flags = commands.map((spec) => {
    const list = flagsOf(spec).map(zshFlag).join(' ');
    return `    ${quoted(spec.name)}) _arguments -s ${list} '*:file:_files'; return ;;`;
  });
  return `#compdef mainstayctl
_mainstayctl() {
  local before='' at
  local -a next
  for ((at = 2; at < CURRENT && at < 4; at++)); do
    [[ "\${words[at]}" == -* ]] && break
    before="\${before:+$before }\${words[at]}"
    [[ $at == 2 && " ${groups(commands).join(' ')} " != *" $before "* ]] && break
  done
  case "$before" in
${flags.join('\n')}
  esac
  case "$before" in
${words.join('\n')}
  esac
  _describe command next
}
compdef _mainstayctl mainstayctl
[ "\${funcstack[1]}" = _mainstayctl ] && _mainstayctl
`;
}

function zshFlag({ name, summary, value, choices }: Flag): string {
  const text = summary.replaceAll(/[[\]:\\]/g, '\\$&');
  if (value === undefined) return quoted(`--${name}[${text}]`);
  const action = choices === undefined ? '_files' : `(${choices.join(' ')})`;
  return quoted(`--${name}=[${text}]:${value.replaceAll(':', '\\:')}:${action}`);
}

function fish(commands: readonly CommandSpec[]): string {
  const lines = ['# fish completion for mainstayctl', 'complete -c mainstayctl -f'];
  for (const [before, choices] of choicesOf(commands)) {
    const condition =
      before === ''
        ? '__fish_use_subcommand'
        : `__fish_seen_subcommand_from ${before}; and not __fish_seen_subcommand_from ${choices.map(({ word }) => word).join(' ')}`;
    for (const { word, summary } of choices) {
      lines.push(
        `complete -c mainstayctl -n ${quoted(condition)} -a ${word} -d ${quoted(summary)}`,
      );
    }
  }
  for (const spec of commands) {
    const words = spec.name.split(' ');
    const condition = words.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    for (const flag of spec.flags) lines.push(fishFlag(flag, ` -n ${quoted(condition)}`));
  }
  for (const flag of globalFlags) lines.push(fishFlag(flag, ''));
  return `${lines.join('\n')}\n`;
}

function fishFlag({ name, short, summary, value, choices }: Flag, condition: string): string {
  const letter = short === undefined ? '' : ` -s ${short}`;
  const values = choices === undefined ? ' -r -F' : ` -x -a ${quoted(choices.join(' '))}`;
  const taken = value === undefined ? '' : values;
  return `complete -c mainstayctl${condition} -l ${name}${letter}${taken} -d ${quoted(summary)}`;
}
