import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const startMsMax = 120_000;
const stopMsMax = 30_000;

test('npm start brings a cluster up, goes on with its data, and leaves no process behind', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-start-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const first = await start(context, directory);
  // What it tells a person to type.
  for (const command of first.commands.filter((line) => line.includes('mainstayctl'))) {
    runInShell(command, first.exports);
  }
  await stop(first.child, directory);

  const second = await start(context, directory);
  const answer = runInShell('npx mainstayctl get greeting', second.exports);
  assert.match(answer, /hello/);
  await stop(second.child, directory);
});

interface Started {
  readonly child: ChildProcess;
  /** The lines that begin with `export`. */
  readonly exports: readonly string[];
  readonly commands: readonly string[];
}

async function start(context: TestContext, directory: string): Promise<Started> {
  const startedMs = performance.now();
  const script = join(root, 'dist/e2e/start/main.js');
  const child = spawn(process.execPath, [script, '--data-dir', directory], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  context.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk);
    });
  }
  while (!output.includes('Ctrl-C stops everything')) {
    const isLate = performance.now() - startedMs > startMsMax;
    if (isLate || child.exitCode !== null) throw new Error(`npm start did not come up:\n${output}`);
    await sleep(100);
  }
  context.diagnostic(`up after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  const lines = output.split('\n').map((line) => line.trim());
  return {
    child,
    exports: lines.filter((line) => line.startsWith('export MAINSTAYCTL_ENDPOINTS=')),
    commands: lines.filter((line) => line.startsWith('npx ')),
  };
}

function runInShell(command: string, exports: readonly string[]): string {
  const script = [...exports, command].join('\n');
  return execFileSync('sh', ['-ec', script], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function stop(child: ChildProcess, directory: string): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGINT');
  assert.equal(await Promise.race([ended, sleep(stopMsMax, 'it did not stop')]), 0);
  assert.deepEqual(processesOf(directory), []);
}

/** The command lines of processes that name the directory. */
function processesOf(directory: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(commandLineOf)
    .filter((commandLine) => commandLine.includes(directory));
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    return ''; // It has ended meanwhile.
  }
}
