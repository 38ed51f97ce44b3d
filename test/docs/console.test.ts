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
import { needs, toolPath } from '../support/tools.ts';

// The commands of docs/CONSOLE.md, and the keys and views that it names.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/CONSOLE.md'), 'utf8');
const page = readFileSync(join(root, 'server/console/index.html'), 'utf8');
const blocks = [...text.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) => block.trim());
const run = promisify(execFile);
const startMsMax = 60_000;

test('the commands of docs/CONSOLE.md', { ...needs('etcdctl'), timeout: 120_000 }, async () => {
  const [start = '', user = '', ...others] = blocks;
  assert.deepEqual(others, []);
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-docs-'));
  symlinkSync(join(root, 'dist'), join(directory, 'dist'));
  const [client, peer] = await Promise.all([freePort(), freePort()]);
  const url = `http://127.0.0.1:${client}`;
  const elsewhere = [
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=http://127.0.0.1:${peer}`,
  ];
  const script = `exec ${start} ${elsewhere.join(' ')}`;
  const store = spawn('sh', ['-c', script], { cwd: directory, stdio: 'ignore' });
  try {
    const answer = await answerOf(`${url}/console/`);
    assert.match(answer, /<title>Mainstay console</);
    assert.match(await answerOf(`${url}/metrics`), /grpc_server_handling_seconds/);
    const env = { ...process.env, ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: url };
    const options = { env: { ...env, ETCDCTL: toolPath('etcdctl') }, timeout: 60_000 };
    await run('sh', ['-e', '-c', user.replaceAll(/^etcdctl/gm, '"$ETCDCTL"')], options);
    const shown = await run('sh', ['-c', '"$ETCDCTL" user get viewer --detail'], options);
    assert.match(shown.stdout, /\[\/app\/, \/app0\) \(prefix \/app\/\)/);
  } finally {
    store.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
});

async function answerOf(url: string): Promise<string> {
  const deadlineMs = performance.now() + startMsMax;
  for (;;) {
    try {
      const response = await fetch(url);
      if (response.ok) return await response.text();
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
    }
    if (performance.now() > deadlineMs) assert.fail(`${url} does not answer`);
    await sleep(50);
  }
}

test('the views and the keys of the page', () => {
  const rows = [...text.matchAll(/^\| (\w+) \| /gm)].map(([, name = '']) => name);
  const views = [...page.matchAll(/data-view="\w+">(\w+)</g)].map(([, name = '']) => name);
  assert.equal(views.length, 5);
  assert.deepEqual(
    rows.filter((name) => views.includes(name)),
    views,
  );
  for (const [, key = ''] of page.matchAll(/<dt><kbd>([\w/])<\/kbd>/g)) {
    assert.match(text, new RegExp(`^\\| .*\`${key}\``, 'm'));
  }
});
