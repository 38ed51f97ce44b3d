#!/usr/bin/env node
import { buffer } from 'node:stream/consumers';
import { runCtl } from '../client/ctl/ctl.ts';
import { ctlCommands } from './commands.ts';
import { inputLines, keyPresses, secretPrompt } from './standard-input.ts';

const enough = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    enough.abort();
  });
}
// A reader that has seen enough, such as head, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const clearLine = '\r\u001b[K';
const terminal = {
  write: (output: string | Uint8Array) => {
    process.stdout.write(output);
  },
  complain: (text: string) => {
    process.stderr.write(text);
  },
  readInput: () => buffer(process.stdin),
  inputLines: () => inputLines(process.stdin, enough.signal),
  askSecret: process.stdin.isTTY && process.stderr.isTTY ? secretPrompt(process) : undefined,
  screen: process.stdout.isTTY
    ? () => ({ rows: process.stdout.rows, columns: process.stdout.columns })
    : undefined,
  progress: process.stderr.isTTY
    ? (text: string) => {
        process.stderr.write(`${clearLine}${text}`);
      }
    : undefined,
  onKey: process.stdin.isTTY && process.stdout.isTTY ? keyPresses(process.stdin) : undefined,
  signal: enough.signal,
};

process.exitCode = await runCtl(process.argv.slice(2), process.env, {
  terminal,
  commands: ctlCommands,
});
// Nothing reads on: a pipe or a terminal that stays open is nothing to wait for.
process.stdin.destroy();
