import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Auth, Watch, WatchCreateRequest } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { programPath } from '../support/programs.ts';
import { type Program, TestCluster, withCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { type Content, contentOf, must, readerSees, writeHistory, writeUsers } from './contents.ts';

// A snapshot goes from this store to etcd and from etcd to this store; what is then served must be the same: every key at
// every revision, every lease, every hash.

const options = { ...needs('etcd', 'etcdctl', 'etcdutl'), timeout: 5 * 60_000 };
const run = promisify(execFile);
const root = ['--user', 'root:root'];
const mainstayctlPath = programPath('server/ctl/main');

const directory = mkdtempSync(join(tmpdir(), 'mainstay-snapshots-'));
after(() => rmSync(directory, { recursive: true, force: true }));

async function mainstayctl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [mainstayctlPath, ...args]);
  return stdout;
}

async function etcdutl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(toolPath('etcdutl'), args);
  return stdout;
}

interface Saved {
  readonly content: Content;
  readonly reader: object;
  /** By etcdctl. */
  readonly file: string;
  /** The database of etcd's data directory, after it has stopped. */
  readonly copied: string | undefined;
}

/** Writes a history and users into a cluster of the program; the content that it then has, and a snapshot of it. */
async function savedBy(program: Program, seed: number, { isAuthOn = false } = {}): Promise<Saved> {
  const flags = ['--bcrypt-cost', '4'];
  return withCluster({ program, flags }, async (cluster) => {
    const { clientUrl, dataDirectory } = cluster.member(0);
    const channel = new GrpcChannel(clientUrl);
    await writeHistory(channel, seed);
    await writeUsers(channel);
    if (isAuthOn) must(await channel.call(Auth.methods.authEnable, {}));
    const content = await contentOf(channel);
    const reader = await readerSees(channel);
    channel.close();
    const file = join(directory, `${program}-${seed}.db`);
    const user = isAuthOn ? ['--user', 'root:root'] : [];
    await run(toolPath('etcdctl'), ['--endpoints', clientUrl, ...user, 'snapshot', 'save', file]);
    if (program === 'mainstay') await assertSameSaved(file, ['--endpoints', clientUrl, ...user]);
    if (program === 'mainstay') return { content, reader, file, copied: undefined };
    await cluster.member(0).stop('SIGTERM');
    const copied = join(directory, `${program}-${seed}-copied.db`);
    copyFileSync(join(dataDirectory, 'member/snap/db'), copied);
    return { content, reader, file, copied };
  });
}

async function assertSameSaved(file: string, flags: readonly string[]): Promise<void> {
  const own = `${file}.own`;
  const said = await mainstayctl(...flags, 'snapshot', 'save', own);
  assert.equal(said, `Snapshot saved at ${own}\nServer version 3.6.0\n`);
  // To name a user is an entry of the log, and its number is in the file.
  if (flags.includes('--user')) assert.equal(statSync(own).size, statSync(file).size);
  else assert.deepEqual(readFileSync(own), readFileSync(file));
}

let plain: Promise<Saved> | undefined;

/** The one that most tests share, with authentication off. */
function plainOfOurs(): Promise<Saved> {
  plain ??= savedBy('mainstay', 1);
  return plain;
}

interface RestoreOptions {
  readonly size?: number;
  readonly flags?: readonly string[];
}

/** Restores the file into the data directories of a cluster of the program, starts it, and gives it to `body`. */
async function withRestored<T>(
  program: Program,
  file: string,
  { size = 1, flags = [] }: RestoreOptions,
  body: (cluster: TestCluster) => Promise<T>,
): Promise<T> {
  const cluster = await TestCluster.prepare({ program, size });
  try {
    return await cluster.showLogsOnFailure(async () => {
      for (const member of cluster.members) {
        const { name, dataDirectory, peerUrl } = member;
        const initialCluster = cluster.members.map((each) => `${each.name}=${each.peerUrl}`).join();
        const args = ['snapshot', 'restore', file, '--name', name, '--data-dir', dataDirectory]
          .concat(['--initial-cluster', initialCluster, '--initial-advertise-peer-urls', peerUrl])
          .concat(['--initial-cluster-token', 'mainstay-test', ...flags]);
        await (program === 'etcd' ? etcdutl(...args) : mainstayctl(...args));
        member.spawn(cluster.flagsFor('new'));
      }
      await Promise.all(cluster.members.map((member) => member.ready()));
      return body(cluster);
    });
  } finally {
    await cluster.stop();
  }
}

async function assertServes(cluster: TestCluster, { content, reader }: Saved): Promise<void> {
  for (const { clientUrl } of cluster.members) {
    const channel = new GrpcChannel(clientUrl);
    assert.deepEqual(await contentOf(channel), content);
    assert.deepEqual(await readerSees(channel), reader);
    channel.close();
  }
}

test(
  'a snapshot of this store is one of etcd: status, restore, and etcd serves the same',
  options,
  async () => {
    const saved = await savedBy('mainstay', 2, { isAuthOn: true });
    const { content, file } = saved;
    const theirs = JSON.parse(await etcdutl('snapshot', 'status', file, '-w', 'json'));
    const ours = JSON.parse(await mainstayctl('snapshot', 'status', file, '-w', 'json'));
    // etcdutl 3.5 counts the records of all buckets; since 3.6 it counts the keys that exist.
    assert.deepEqual({ ...theirs, totalKey: content.current.length, version: '3.6.0' }, ours);
    await withRestored('etcd', file, {}, async (cluster) => {
      await assertServes(cluster, saved);
      const { clientUrl } = cluster.member(0);
      await run(toolPath('etcdctl'), [...root, '--endpoints', clientUrl, 'put', 'new', 'x']);
      await cluster.member(0).stop('SIGTERM');
      await cluster.member(0).start();
    });
  },
);

test('a snapshot of etcd restores into this store, which serves the same', options, async () => {
  const saved = await savedBy('etcd', 3, { isAuthOn: true });
  const { file, copied } = saved;
  const theirs = JSON.parse(await etcdutl('snapshot', 'status', file, '-w', 'json'));
  const ours = JSON.parse(await mainstayctl('snapshot', 'status', file, '-w', 'json'));
  assert.deepEqual({ ...theirs, totalKey: saved.content.current.length, version: '' }, ours);
  await withRestored('mainstay', file, { size: 3 }, async (cluster) => {
    await assertServes(cluster, saved);
  });
  // A database of a data directory has no checksum behind it.
  assert.ok(copied !== undefined);
  await assert.rejects(mainstayctl('snapshot', 'restore', copied, '--data-dir', `${directory}/no`));
  await withRestored('mainstay', copied, { flags: ['--skip-hash-check'] }, async (cluster) => {
    await assertServes(cluster, saved);
  });
});

test('a member that joins a restored cluster gets what was restored', options, async () => {
  const saved = await plainOfOurs();
  await withRestored('mainstay', saved.file, {}, async (cluster) => {
    const joining = await cluster.newMember();
    const args = ['--endpoints', cluster.member(0).clientUrl, 'member', 'add', joining.name];
    await run(toolPath('etcdctl'), [...args, `--peer-urls=${joining.peerUrl}`]);
    await joining.start(cluster.flagsFor('existing'));
    await assertServes(cluster, saved);
  });
});

for (const program of ['mainstay', 'etcd'] as const) {
  test(`TestRestoreCompactionRevBump: ${program}`, options, async () => {
    const { content, file } = await plainOfOurs();
    const { revision } = content;
    const flags = ['--bump-revision', '10000', '--mark-compacted'];
    const bumped = revision + 10_000;
    await withRestored(
      program,
      file,
      { flags, size: program === 'etcd' ? 1 : 3 },
      async (cluster) => {
        for (const { clientUrl } of cluster.members) {
          const channel = new GrpcChannel(clientUrl);
          const restored = await contentOf(channel);
          assert.equal(restored.revision, bumped);
          assert.deepEqual(restored.current, content.current);
          assert.deepEqual(restored.leases, content.leases);
          for (const startRevision of [1, revision + 1, bumped - 1]) {
            assert.deepEqual(await watchFrom(channel, startRevision), {
              canceled: true,
              compactRevision: bumped,
            });
          }
          channel.close();
        }
        const { clientUrl } = cluster.member(0);
        await run(toolPath('etcdctl'), ['--endpoints', clientUrl, 'put', 'foo4', 'val4']);
        const channel = new GrpcChannel(clientUrl);
        const { event } = await watchFrom(channel, bumped + 1);
        assert.deepEqual(event, { key: 'foo4', modRevision: bumped + 1 });
        channel.close();
      },
    );
  });
}

/** What the watch of all keys answers first: that it was cancelled, or its first event. */
async function watchFrom(channel: GrpcChannel, startRevision: number) {
  const stream = channel.stream(Watch.methods.watch);
  const value = WatchCreateRequest.create({
    key: Buffer.alloc(1),
    rangeEnd: Buffer.alloc(1),
    startRevision,
  });
  stream.send({ requestUnion: { kind: 'createRequest', value } });
  const { response } = await stream.find(
    0,
    ({ canceled, events }) => canceled || events.length > 0,
  );
  stream.cancel();
  const { canceled, compactRevision, events } = response;
  if (canceled) return { canceled, compactRevision };
  const kv = events[0]?.kv;
  return { event: { key: Buffer.from(kv?.key ?? []).toString(), modRevision: kv?.modRevision } };
}

test(
  'a damaged snapshot is refused, and a restore into a directory that is not empty',
  options,
  async () => {
    const { file } = await plainOfOurs();
    const bytes = readFileSync(file);
    const refusal = async (changed: Uint8Array, ...flags: readonly string[]) => {
      const path = join(directory, 'changed.db');
      writeFileSync(path, changed);
      const target = join(directory, 'never');
      const failed = await mainstayctl(
        'snapshot',
        'restore',
        path,
        '--data-dir',
        target,
        ...flags,
      ).then(
        () => assert.fail('it was restored'),
        (error: { code: number; stderr: string }) => error,
      );
      assert.equal(failed.code, 1);
      rmSync(target, { recursive: true, force: true });
      return failed.stderr.split('\n')[0];
    };
    const flipped = Buffer.from(bytes);
    flipped[bytes.length >> 1] = (flipped[bytes.length >> 1] as number) ^ 1;
    assert.match((await refusal(flipped)) ?? '', /expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}/);
    assert.match((await refusal(bytes.subarray(0, -32))) ?? '', /snapshot missing hash/);
    assert.match((await refusal(bytes.subarray(0, 8192), '--skip-hash-check')) ?? '', /cut off/);
    assert.match((await refusal(Buffer.from('nothing'), '--skip-hash-check')) ?? '', /at byte 0/);
    const taken = join(directory, 'taken');
    await mainstayctl('snapshot', 'restore', file, '--data-dir', taken);
    await assert.rejects(
      mainstayctl('snapshot', 'restore', file, '--data-dir', taken),
      /is not empty: it has member/,
    );
  },
);
