import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { bytesOf } from '../../server/client/keys.ts';
import { KV } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type MemberProcess, type Program, TestCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';

// The same config file for both programs: a log directory of its own, and whatever the flags say is ignored.

function configFor(member: MemberProcess): { file: string; walDir: string } {
  const place = dirname(member.dataDirectory);
  const walDir = join(place, 'log of its own');
  const file = join(place, 'member.yaml');
  writeFileSync(
    file,
    `name: ${member.name}
data-dir: ${member.dataDirectory}
wal-dir: ${walDir}
listen-client-urls: ${member.clientUrl}
advertise-client-urls: ${member.clientUrl}
listen-peer-urls: ${member.peerUrl}
initial-advertise-peer-urls: ${member.peerUrl}
initial-cluster: ${member.name}=${member.peerUrl}
max-txn-ops: 2
grpc-keepalive-min-time: 5000000000
unknown-key: 1
client-transport-security:
  client-cert-auth: false
`,
  );
  return { file, walDir };
}

async function txn(member: MemberProcess, puts: number): Promise<string> {
  const channel = new GrpcChannel(member.clientUrl);
  const value = KV.methods.put.request.create({ key: bytesOf('k'), value: bytesOf('v') });
  const success = Array.from({ length: puts }, (_, at) => ({
    request: { kind: 'requestPut' as const, value: { ...value, key: bytesOf(`k${at}`) } },
  }));
  const outcome = await channel.call(KV.methods.txn, { success });
  channel.close();
  return outcome.kind === 'ok' ? String(outcome.response.header?.revision) : outcome.message;
}

async function withPrepared(program: Program, body: (member: MemberProcess) => Promise<void>) {
  const cluster = await TestCluster.prepare({ program });
  try {
    await cluster.showLogsOnFailure(() => body(cluster.member(0)));
  } finally {
    await cluster.stop();
  }
}

suite('a config file', () => {
  for (const program of ['mainstay', 'etcd'] as const) {
    test(`for ${program}`, program === 'etcd' ? needs('etcd') : {}, async () => {
      await withPrepared(program, async (member) => {
        const { file, walDir } = configFor(member);
        const flags = ['--config-file', file, '--max-txn-ops', '1'];
        await member.start(flags);
        assert.equal(await txn(member, 2), '2');
        assert.match(await txn(member, 3), /too many operations in txn request/);
        assert(readdirSync(walDir).some((name) => name.endsWith('.wal')));
        await member.stop('SIGKILL');
        await member.start(flags);
        assert.equal(await txn(member, 2), '3');
      });
    });
  }

  test('a member whose log is elsewhere than it is told does not begin anew', async () => {
    await withPrepared('mainstay', async (member) => {
      const { file, walDir } = configFor(member);
      const [place, own] = ['--config-file', file];
      await member.start([place, own]);
      assert.equal(await txn(member, 1), '2');
      await member.stop('SIGTERM');
      mkdirSync(join(walDir, 'other'));
      const flags = ['--wal-dir', join(walDir, 'other')];
      member.spawn(flags);
      assert.deepEqual(await member.exited, { code: 78, signal: null });
      assert.match(member.log, /holds a state up to entry \d+, but there is no log in .*other/);
    });
  });
});
