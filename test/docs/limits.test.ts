import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { load } from 'js-yaml';
import { limits } from '../../operator/api/spec/limits.ts';
import { freePort } from '../support/server-process.ts';

// The commands of docs/LIMITS.md, on free ports, and that the example has every field.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/LIMITS.md'), 'utf8');
const [start = '', puts = ''] = [...text.matchAll(/```sh\n(.*?)```/gs)].map(([, lines = '']) =>
  lines.trim(),
);
const run = promisify(execFile);
const waitMsMax = 60_000;

test('a member with limits, and a quota that refuses, as docs/LIMITS.md says', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-docs-'));
  symlinkSync(join(root, 'dist'), join(directory, 'dist'));
  const [client, peer] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${client}`;
  const elsewhere = [
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=http://127.0.0.1:${peer}`,
  ];
  const member = spawn('sh', ['-c', `exec ${start} ${elsewhere.join(' ')}`], { cwd: directory });
  let log = '';
  for (const stream of [member.stdout, member.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      log += chunk;
    });
  }
  try {
    const deadlineMs = performance.now() + waitMsMax;
    while (!log.includes('ready to serve client requests')) {
      assert.ok(performance.now() < deadlineMs, log);
      await sleep(50);
    }
    const env = { ...process.env, ETCDCTL_ENDPOINTS: url };
    const { stdout, stderr } = await run('sh', ['-e', '-c', puts], { cwd: directory, env });
    assert.deepEqual(stdout.trim().split('\n'), ['OK', 'OK', 'refused', '1']);
    assert.match(stderr, /the keys with prefix .*\/tenants\/a\/.* have a quota of 1024 bytes/);
  } finally {
    member.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
});

test('examples/limits.yaml shows every kind of limit', () => {
  const example = load(readFileSync(join(root, 'examples/limits.yaml'), 'utf8')) as {
    spec: { limits: object };
  };
  assert.deepEqual(Object.keys(example.spec.limits), Object.keys(limits.properties));
});
