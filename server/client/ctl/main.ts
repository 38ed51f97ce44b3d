#!/usr/bin/env node
import { buffer } from 'node:stream/consumers';
import { runCtl } from './ctl.ts';

const enough = new AbortController();
process.once('SIGINT', () => {
  enough.abort();
});
// A reader that has seen enough, such as head, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCtl(process.argv.slice(2), process.env, {
  write: (output) => {
    process.stdout.write(output);
  },
  complain: (text) => {
    process.stderr.write(text);
  },
  readInput: () => buffer(process.stdin),
  signal: enough.signal,
});
