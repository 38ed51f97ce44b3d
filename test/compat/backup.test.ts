import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Auth } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { programPath } from '../support/programs.ts';
import { TestCluster, withCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { type Content, contentOf, must, readerSees, writeHistory, writeUsers } from './contents.ts';

// A backup that is not encrypted is a snapshot as etcd's tools know it, and theirs is restored from a bucket as ours is.

const options = { ...needs('etcd', 'etcdctl', 'etcdutl'), timeout: 5 * 60_000 };
const run = promisify(execFile);
const mainstayctlPath = programPath('server/ctl/main');
const directory = mkdtempSync(join(tmpdir(), 'mainstay-backup-'));
after(() => rmSync(directory, { recursive: true, force: true }));

async function backup(...words: readonly string[]): Promise<Record<string, unknown>> {
  const line = [mainstayctlPath, 'backup', ...words, '--target', directory, '-w', 'json'];
  const { stdout } = await run(process.execPath, line);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Starts the one member of a cluster in a directory that was restored by then, and looks at what it serves. */
async function served(cluster: TestCluster): Promise<{ content: Content; reader: object }> {
  await cluster.member(0).start(cluster.flagsFor('new'));
  const channel = new GrpcChannel(cluster.member(0).clientUrl);
  try {
    return { content: await contentOf(channel), reader: await readerSees(channel) };
  } finally {
    channel.close();
  }
}

function flagsOf(cluster: TestCluster): string[] {
  const { name, dataDirectory, peerUrl } = cluster.member(0);
  return [
    '--name',
    name,
    '--data-dir',
    dataDirectory,
    '--initial-cluster',
    `${name}=${peerUrl}`,
  ].concat(['--initial-advertise-peer-urls', peerUrl, '--initial-cluster-token', 'mainstay-test']);
}

test('etcdutl restores a backup of ours, and etcd serves what was there', options, async () => {
  const { saved, content, reader } = await withCluster(
    { program: 'mainstay', flags: ['--bcrypt-cost', '4'] },
    async (cluster) => {
      const { clientUrl } = cluster.member(0);
      const channel = new GrpcChannel(clientUrl);
      await writeHistory(channel, 1);
      await writeUsers(channel);
      must(await channel.call(Auth.methods.authEnable, {}));
      const user = ['--user', 'root:root'];
      const made = await backup('save', '--endpoints', clientUrl, ...user, '--cluster-uid', 'ours');
      const was = { content: await contentOf(channel), reader: await readerSees(channel) };
      channel.close();
      return { saved: made, ...was };
    },
  );
  assert.equal(saved['memberHash'], 'equal');
  const etcd = await TestCluster.prepare({ program: 'etcd' });
  try {
    const file = join(directory, saved['data'] as string);
    await run(toolPath('etcdutl'), ['snapshot', 'restore', file, ...flagsOf(etcd)]);
    assert.deepEqual(await etcd.showLogsOnFailure(() => served(etcd)), { content, reader });
  } finally {
    await etcd.stop();
  }
});

test('a snapshot of etcd is restored by its path, and served as it was', options, async () => {
  const was = await withCluster(
    { program: 'etcd', flags: ['--bcrypt-cost', '4'] },
    async (etcd) => {
      const { clientUrl } = etcd.member(0);
      const channel = new GrpcChannel(clientUrl);
      await writeHistory(channel, 2);
      await writeUsers(channel);
      const seen = { content: await contentOf(channel), reader: await readerSees(channel) };
      channel.close();
      const file = join(directory, 'etcd.db');
      await run(toolPath('etcdctl'), ['--endpoints', clientUrl, 'snapshot', 'save', file]);
      return seen;
    },
  );
  const cluster = await TestCluster.prepare({ program: 'mainstay', flags: ['--bcrypt-cost', '4'] });
  try {
    await backup('restore', '--object', 'etcd.db', ...flagsOf(cluster));
    assert.deepEqual(await cluster.showLogsOnFailure(() => served(cluster)), was);
  } finally {
    await cluster.stop();
  }
});
