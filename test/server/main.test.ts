import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { programPath } from '../support/programs.ts';
import { withCluster } from '../support/server-process.ts';

const main = programPath('server/main');
const directory = mkdtempSync(join(tmpdir(), 'mainstay-main-'));
const dataDir = join(directory, 'data');
after(() => {
  rmSync(directory, { recursive: true });
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...flags: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env['PATH'] }, timeout: 20_000 };
    execFile(process.execPath, [main, ...flags], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

suite('a member as a process', () => {
  test('a wrong flag: one line, status 2, nothing on disk', async () => {
    const { code, stdout, stderr } = await run('--data-dir', dataDir, '--election-timeout', '10');
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /^mainstay: --election-timeout\[10ms\] should be [^\n]*\n$/);
    assert.equal(existsSync(dataDir), false);
  });

  test('--version begins as etcd’s does', async () => {
    const { code, stdout } = await run('--version');
    assert.equal(code, 0);
    assert.match(stdout, /^etcd Version: 3\.6\.\d+\nMainstay Version: \d+\.\d+\.\d+\n/);
  });

  test('an address in use: status 74, and the line says which', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert(typeof address === 'object' && address !== null);
    const url = `http://127.0.0.1:${address.port}`;
    const { code, stderr } = await run(
      `--data-dir=${dataDir}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      '--listen-peer-urls=http://127.0.0.1:0',
    );
    server.close();
    assert.equal(code, 74);
    assert.match(stderr, new RegExp(`cannot listen for clients on ${url}`));
  });

  test('SIGTERM: status 0', async () => {
    await withCluster({ program: 'mainstay' }, async (cluster) => {
      assert.deepEqual(await cluster.member(0).stop('SIGTERM'), { code: 0, signal: null });
    });
  });
});
