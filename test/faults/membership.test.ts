import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { ClientError } from '../../server/client/errors.ts';
import { bytesOf } from '../../server/client/keys.ts';
import { Cluster, KV, Lease, Maintenance } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { freePort, type MemberProcess, withCluster } from '../support/server-process.ts';
import { ok } from './support/view.ts';

// Members that come, go and move while clients write, and what a new leader knows of leases.

const learnerText = 'can only promote a learner member which is in sync with leader';

/** Writes on, on whatever member answers, until stopped. */
class Load {
  readonly failures: string[] = [];
  count = 0;
  readonly #client: Client;
  #isStopped = false;
  readonly #done: Promise<void>;

  constructor(endpoints: readonly string[]) {
    this.#client = new Client({ endpoints });
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    for (; !this.#isStopped; this.count++) {
      try {
        await this.#client.put(`load/${this.count % 20}`, String(this.count));
      } catch (error) {
        this.failures.push(String(error));
      }
      await sleep(2);
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
    this.#client.close();
  }
}

/** Again while the learner is behind. Returns how often it was. */
async function promote(client: Client, id: bigint): Promise<number> {
  for (let refused = 0; ; refused++) {
    try {
      await client.memberPromote(id);
      return refused;
    } catch (error) {
      const isBehind = error instanceof ClientError && error.text.endsWith(learnerText);
      if (!isBehind || refused > 300) throw error;
      await sleep(50);
    }
  }
}

suite('membership under load', { timeout: 4 * 60_000 }, () => {
  test('from one member to three and back to another one, while clients go on', () =>
    withCluster(
      { program: 'mainstay', flags: ['--strict-reconfig-check=false', '--snapshot-count=500'] },
      async (cluster) => {
        const [second, third] = [await cluster.newMember(), await cluster.newMember()];
        const { endpoints } = cluster;
        const client = new Client({ endpoints });
        const load = new Load(endpoints);
        try {
          const ids: bigint[] = [];
          for (const joining of [second, third]) {
            const { member } = await client.memberAdd([joining.peerUrl], { isLearner: true });
            const id = member?.ID ?? 0n;
            const early = await client.memberPromote(id).catch((error: unknown) => error);
            assert(early instanceof ClientError && early.text.endsWith(learnerText), String(early));
            const others = cluster.members.slice(0, cluster.members.indexOf(joining) + 1);
            await joining.start(cluster.flagsFor('existing', others));
            await promote(client, id);
            ids.push(id);
          }
          const { members } = await client.memberList();
          assert.equal(members.filter(({ isLearner }) => !isLearner).length, 3);
          for (const leaving of members.filter(({ ID }) => ID !== ids[1])) {
            await leave(client, leaving.ID, ids[1] ?? 0n);
          }
          await sleep(300);
        } finally {
          await load.stop();
        }
        assert.deepEqual(load.failures, []);
        assert(load.count > 100);
        const last = new Client({ endpoints: [third.clientUrl] });
        assert.equal((await last.memberList()).members.length, 1);
        console.log(`${load.count} writes while the cluster went 1 -> 3 -> 1`);
        last.close();
        client.close();
      },
    ));

  test('a member that moves to another peer URL is found there', () =>
    withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
      const moving = cluster.member(2);
      const channel = new GrpcChannel(cluster.member(0).clientUrl);
      const before = ok(await channel.call(Cluster.methods.memberList, {}));
      const ID = before.members.find(({ name }) => name === moving.name)?.ID ?? 0n;
      await moving.stop('SIGTERM');
      const url = `http://127.0.0.1:${await freePort()}`;
      const update = { ID, peerURLs: [url] };
      const { members } = ok(await channel.call(Cluster.methods.memberUpdate, update));
      assert.deepEqual(members.find((member) => member.ID === ID)?.peerURLs, [url]);
      const taken = { ID, peerURLs: [cluster.member(1).peerUrl] };
      assert.deepEqual(await channel.call(Cluster.methods.memberUpdate, taken), {
        kind: 'error',
        code: 9,
        message: 'etcdserver: Peer URLs already exists',
      });
      const peers = [`--listen-peer-urls=${url}`, `--initial-advertise-peer-urls=${url}`];
      const initial = cluster.members.map(
        (member) => `${member.name}=${member === moving ? url : member.peerUrl}`,
      );
      await moving.start([...peers, `--initial-cluster=${initial.join(',')}`]);
      // It counts: the two others are no quorum without it.
      await cluster.member(1).stop('SIGKILL');
      const there = new GrpcChannel(moving.clientUrl);
      const key = bytesOf('moved');
      for (const deadline = performance.now() + 30_000; ; await sleep(100)) {
        const put = await there.call(KV.methods.put, { key, value: key });
        if (put.kind === 'ok') break;
        assert(performance.now() < deadline, put.message);
      }
      there.close();
      channel.close();
    }));
});

/** Leadership goes first, to who stays. */
async function leave(client: Client, id: bigint, staying: bigint): Promise<void> {
  await client.moveLeader(staying);
  await client.memberRemove(id);
}

async function leaderOf(members: readonly MemberProcess[]): Promise<MemberProcess> {
  for (;;) {
    for (const member of members) {
      const channel = new GrpcChannel(member.clientUrl);
      const status = await channel.call(Maintenance.methods.status, {});
      channel.close();
      if (status.kind === 'error') continue;
      if (status.response.leader === status.response.header?.memberId) return member;
    }
    await sleep(50);
  }
}

test(
  'what is left of a lease survives its leader, where checkpoints are asked for',
  { timeout: 60_000 },
  () =>
    withCluster(
      {
        program: 'mainstay',
        size: 3,
        flags: ['--experimental-enable-lease-checkpoint=true'],
        environment: { MAINSTAY_LEASE_CHECKPOINT_MS: '1500' },
      },
      async (cluster) => {
        const leader = await leaderOf(cluster.members);
        const others = cluster.members.filter((member) => member !== leader);
        const channel = new GrpcChannel(others[0]?.clientUrl ?? '');
        for (const ID of [1n, 2n])
          ok(await channel.call(Lease.methods.leaseGrant, { ID, TTL: 100 }));
        await sleep(5_000);
        const keeping = channel.stream(Lease.methods.leaseKeepAlive);
        keeping.send({ ID: 2n });
        await keeping.find(0, ({ TTL }) => TTL === 100);
        await leader.stop('SIGKILL');
        await leaderOf(others);
        const left = async (ID: bigint): Promise<number> => {
          for (;;) {
            const answer = await channel.call(Lease.methods.leaseTimeToLive, { ID });
            if (answer.kind === 'ok') return answer.response.TTL;
            await sleep(50);
          }
        };
        const [old, renewed] = [await left(1n), await left(2n)];
        assert(old > 50 && old <= 98, `${old} s are left of the lease that was not kept alive`);
        assert(renewed > old + 2, `${renewed} s are left of the one that was`);
        channel.close();
      },
    ),
);
