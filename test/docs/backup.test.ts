import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { backupCommands } from '../../server/ctl/backup-commands.ts';
import { FakeS3 } from '../support/fake-s3.ts';
import { programPath } from '../support/programs.ts';
import { TestCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';

// Every command of docs/BACKUP.md runs, in its order, in a shell.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/BACKUP.md'), 'utf8');
const blocks = [...text.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) => block);
const run = promisify(execFile);

suite('the commands of docs/BACKUP.md', { ...needs('openssl'), timeout: 540_000 }, () => {
  let cluster: TestCluster | undefined;
  let fake: FakeS3 | undefined;
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-docs-'));
  const target = join(directory, 'backups');
  const uid = { value: '' };
  /** Between the two archives of the document and what comes later. */
  const moment = { value: '' };

  before(async () => {
    cluster = await TestCluster.start({ program: 'mainstay' });
    fake = await FakeS3.start();
    mkdirSync(target);
    const ctl = join(directory, 'mainstayctl');
    const main = programPath('server/ctl/main');
    writeFileSync(ctl, `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
    chmodSync(ctl, 0o755);
  });
  after(async () => {
    await cluster?.stop();
    await fake?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function shell(script: string): Promise<string> {
    const PATH = `${directory}:${process.env['PATH']}`;
    const env = { ...process.env, PATH, MAINSTAYCTL_ENDPOINTS: cluster?.endpoints.join(',') };
    const { stdout } = await run('sh', ['-e', '-c', script], { cwd: directory, env });
    return stdout;
  }

  /** What stands for something of the reader's own. */
  function made(block: string): string {
    return block
      .replaceAll('/backups', target)
      .replaceAll('AWS_ACCESS_KEY_ID=key', 'AWS_ACCESS_KEY_ID=right')
      .replaceAll('s3://bucket/', 's3://backups/')
      .replaceAll('https://minio.example:9000', fake?.url ?? '')
      .replaceAll('--cluster-uid UID', `--cluster-uid ${uid.value}`)
      .replaceAll('2026-11-27T10:00:00Z', moment.value);
  }

  for (const [at, block] of blocks.entries()) {
    test(`block ${at + 1}: ${block.split('\n')[0]}`, async () => {
      const said = await shell(made(block));
      assert.notEqual(said, '');
      const [stored = ''] = readdirSync(target);
      uid.value = stored;
      if (!block.includes('archive')) return;
      await sleep(20);
      moment.value = new Date().toISOString();
      await shell(`mainstayctl backup archive --target ${target} --once`);
    });
  }

  test('each command has its block', () => {
    for (const { name: command } of backupCommands) {
      assert.ok(
        blocks.some((block) => block.includes(`mainstayctl ${command} `)),
        command,
      );
    }
  });
});
