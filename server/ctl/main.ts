#!/usr/bin/env node
import { buffer } from 'node:stream/consumers';
import { runCtl } from '../client/ctl/ctl.ts';
import { backupCommands } from './backup-commands.ts';
import { snapshotCommands } from './snapshot-commands.ts';

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
  progress: process.stderr.isTTY
    ? (text: string) => {
        process.stderr.write(`${clearLine}${text}`);
      }
    : undefined,
  signal: enough.signal,
};

process.exitCode = await runCtl(process.argv.slice(2), process.env, {
  terminal,
  fileCommands: { ...snapshotCommands, ...backupCommands },
});
