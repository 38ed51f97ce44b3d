import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../support/server-process.ts';

// The commands of docs/SECURITY.md about encryption at rest, and what it says that a member logs.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/SECURITY.md'), 'utf8');
const section = /^## Encryption at rest\n(.*?)^## /ms.exec(text)?.[1] ?? '';
const [block = ''] = [...section.matchAll(/```sh\n(.*?)```/gs)].map(([, lines = '']) =>
  lines.trim(),
);
const run = promisify(execFile);
const waitMsMax = 60_000;

test('a member whose disk is encrypted, and a new key, as docs/SECURITY.md says', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-docs-'));
  symlinkSync(join(root, 'dist'), join(directory, 'dist'));
  const [makeKey = '', start = ''] = block.split('\n');
  const [client, peer] = [await freePort(), await freePort()];
  const elsewhere = [
    `--listen-client-urls=http://127.0.0.1:${client}`,
    `--advertise-client-urls=http://127.0.0.1:${client}`,
    `--listen-peer-urls=http://127.0.0.1:${peer}`,
  ];
  await run('sh', ['-e', '-c', makeKey], { cwd: directory });
  const script = `exec ${start} ${elsewhere.join(' ')}`;
  const member = spawn('sh', ['-c', script], { cwd: directory });
  let log = '';
  for (const stream of [member.stdout, member.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      log += chunk;
    });
  }
  const logged = async (words: string): Promise<void> => {
    const deadlineMs = performance.now() + waitMsMax;
    while (!log.includes(words)) {
      assert.ok(performance.now() < deadlineMs, `"${words}" is not in the log:\n${log}`);
      await sleep(50);
    }
  };
  try {
    await logged('ready to serve client requests');
    await run('sh', ['-e', '-c', makeKey], { cwd: directory });
    const words = /`(a new key [^`]+)`/.exec(section)?.[1] ?? assert.fail('no words of the log');
    await logged(words);
  } finally {
    member.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
});
