import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf } from '../../server/client/keys.ts';
import {
  AlarmAction,
  type AlarmMember,
  AlarmType,
  KV,
  Maintenance,
} from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type MemberProcess, type TestCluster, withCluster } from '../support/server-process.ts';
import { corruptValue } from './support/corrupt-state.ts';
import { ok } from './support/view.ts';

// A member whose data is not what the others have, though every checksum is right: found by comparison, and told.

const key = bytesOf('k');
const corruptText = 'etcdserver: corrupt cluster';

async function put(channel: GrpcChannel, value: string): Promise<number> {
  const { header } = ok(await channel.call(KV.methods.put, { key, value: bytesOf(value) }));
  return header?.revision ?? 0;
}

/** Resolves when the list of alarms is not empty. */
async function alarmed(channel: GrpcChannel): Promise<AlarmMember[]> {
  const request = { action: AlarmAction.GET, memberID: 0n, alarm: AlarmType.NONE };
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; ) {
    const { alarms } = ok(await channel.call(Maintenance.methods.alarm, request));
    if (alarms.length > 0) return alarms;
    await sleep(100);
  }
  throw new Error('no alarm was raised');
}

async function statusOf({ clientUrl }: MemberProcess): Promise<{ id: bigint; leads: boolean }> {
  const channel = new GrpcChannel(clientUrl);
  const { header, leader } = ok(await channel.call(Maintenance.methods.status, {}));
  channel.close();
  const id = header?.memberId ?? 0n;
  return { id, leads: id === leader };
}

/** Stops a member, corrupts its newest value of the key, and returns its id. */
async function corrupt(cluster: TestCluster, leads: boolean): Promise<[MemberProcess, bigint]> {
  for (const member of cluster.members) {
    const status = await statusOf(member);
    if (status.leads !== leads) continue;
    await member.stop('SIGTERM');
    await corruptValue(member.dataDirectory, 'k');
    return [member, status.id];
  }
  throw new Error('no such member');
}

suite('a member with other data', { timeout: 4 * 60_000 }, () => {
  test('is found where the members compacted, and gets the alarm; nobody writes any more', () =>
    withCluster(
      { program: 'mainstay', size: 3, flags: ['--compact-hash-check-time=500ms'] },
      async (cluster) => {
        const channel = new GrpcChannel(cluster.member(0).clientUrl);
        for (let n = 0; n < 20; n++) await put(channel, `v${n}`);
        channel.close();
        const [member, id] = await corrupt(cluster, false);
        await member.start();
        const other = cluster.members.find((each) => each !== member);
        const healthy = new GrpcChannel(other?.clientUrl ?? '');
        const revision = await put(healthy, 'later');
        ok(await healthy.call(KV.methods.compact, { revision }));
        assert.deepEqual(await alarmed(healthy), [{ memberID: id, alarm: AlarmType.CORRUPT }]);
        const refused = await healthy.call(KV.methods.put, { key, value: key });
        assert.deepEqual(refused, { kind: 'error', code: 15, message: corruptText });
        const { kvs } = ok(await healthy.call(KV.methods.range, { key }));
        assert.equal(Buffer.from(kvs[0]?.value ?? []).toString(), 'later');
        healthy.close();
      },
    ));

  test('is found without a compaction too, where that is asked for', () =>
    withCluster(
      { program: 'mainstay', size: 3, flags: ['--experimental-corrupt-check-time=500ms'] },
      async (cluster) => {
        const channel = new GrpcChannel(cluster.member(0).clientUrl);
        for (let n = 0; n < 20; n++) await put(channel, `v${n}`);
        channel.close();
        const [member, id] = await corrupt(cluster, false);
        await member.start();
        const other = cluster.members.find((each) => each !== member);
        const healthy = new GrpcChannel(other?.clientUrl ?? '');
        assert.deepEqual(await alarmed(healthy), [{ memberID: id, alarm: AlarmType.CORRUPT }]);
        healthy.close();
      },
    ));

  test('does not start when it compares before it serves', () =>
    withCluster(
      { program: 'mainstay', size: 3, flags: ['--experimental-initial-corrupt-check'] },
      async (cluster) => {
        const channel = new GrpcChannel(cluster.member(0).clientUrl);
        for (let n = 0; n < 5; n++) await put(channel, `v${n}`);
        channel.close();
        const [member] = await corrupt(cluster, true);
        member.spawn();
        assert.deepEqual(await member.exited, { code: 78, signal: null });
        assert.match(member.log, /found data inconsistency with peer [0-9a-f]+ at revision 6/);
      },
    ));

  test('members that agree are told nothing, through compactions, restarts and defragmentation', () =>
    withCluster(
      {
        program: 'mainstay',
        size: 3,
        flags: [
          '--compact-hash-check-time=200ms',
          '--corrupt-check-time=200ms',
          '--feature-gates=InitialCorruptCheck=true',
        ],
      },
      async (cluster) => {
        const channels = cluster.members.map(({ clientUrl }) => new GrpcChannel(clientUrl));
        const [first, second, third] = channels;
        assert(first !== undefined && second !== undefined && third !== undefined);
        for (let round = 0; round < 6; round++) {
          for (let n = 0; n < 30; n++) await put(first, `v${round}-${n}`);
          ok(await second.call(KV.methods.deleteRange, { key }));
          const revision = await put(third, 'kept');
          if (round === 2) {
            await cluster.member(1).stop('SIGKILL');
            await cluster.member(1).start();
          }
          ok(await first.call(KV.methods.compact, { revision: revision - 5 }));
          ok(await third.call(Maintenance.methods.defragment, {}));
          await sleep(300);
        }
        // One that nothing overtakes is compared on all members; the leader says so.
        const revision = await put(first, 'the last');
        ok(await first.call(KV.methods.compact, { revision: revision - 5 }));
        const compared = 'successfully checked hash on whole cluster';
        await Promise.any(cluster.members.map((member) => member.logged(compared)));
        const request = { action: AlarmAction.GET, memberID: 0n, alarm: AlarmType.NONE };
        assert.deepEqual(ok(await first.call(Maintenance.methods.alarm, request)).alarms, []);
        const logs = cluster.members.map(({ log }) => log).join('');
        assert.match(logs, /finished peer corruption check/);
        assert.match(logs, /initial corruption checking passed/);
        for (const channel of channels) channel.close();
      },
    ));
});
