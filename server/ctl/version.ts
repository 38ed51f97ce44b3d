import { type CommandSpec, commandOf } from '../client/ctl/command.ts';
import { compatibilityVersion, mainstayVersion } from '../config/version.ts';

const apiVersion = compatibilityVersion.split('.').slice(0, 2).join('.');

export const versionCommand: CommandSpec = commandOf({
  name: 'version',
  chapter: 'This program',
  summary: 'The version of this program, and of the API that it speaks.',
  examples: [{ words: 'version' }],
  run: async ({ line, terminal }) => {
    const isJson = line.format('simple') === 'json';
    const json = `${JSON.stringify({ version: mainstayVersion, apiVersion })}\n`;
    const text = `mainstayctl version: ${mainstayVersion}\nAPI version: ${apiVersion}\n`;
    terminal.write(isJson ? json : text);
    return true;
  },
});
