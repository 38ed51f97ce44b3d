import { help } from '../../operator/flags.ts';
import { documentedFlags } from '../../server/config/flags.ts';
import { cell, table } from './table.ts';

/** Every flag of both programs. */
export function flagChapters(): string {
  return [
    '## Flags of the operator',
    '`mainstay-operator`, or `node dist/operator/main.js`.',
    table(['flag', 'what it does'], operatorRows()),
    '## Flags of the store',
    "`mainstay`, or `node dist/server/main.js`. Each can be given by the environment instead, `--data-dir` as `ETCD_DATA_DIR`. A StoreCluster's members get theirs from the operator. Flags of etcd that are not here are in [COMPATIBILITY.md](COMPATIBILITY.md#flags).",
    table(
      ['flag', 'default', 'what it does'],
      documentedFlags().map(({ name, value, defaultText, help: text }) => [
        `\`--${name} ${cell(value)}\``,
        defaultText === '' ? '' : `\`${cell(defaultText)}\``,
        cell(text),
      ]),
    ),
  ].join('\n\n');
}

/** Of the help text: a flag, and what follows it until the next one. */
function operatorRows(): string[][] {
  const rows: string[][] = [];
  for (const line of help.split('\n')) {
    const [, flag, text] = /^ {2}(--[a-z-]+(?: [A-Z]+)?) {2,}(\S.*)$/.exec(line) ?? [];
    const [, more] = /^ {20,}(\S.*)$/.exec(line) ?? [];
    if (flag !== undefined && text !== undefined) rows.push([`\`${flag}\``, cell(text)]);
    else if (more !== undefined) rows.push([...(rows.pop() ?? []), cell(more)]);
  }
  return rows.map(([flag = '', ...texts]) => [flag, texts.join(' ')]);
}
