import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { bytesOf } from '../../server/client/keys.ts';
import { exitStatus } from '../../server/member/failures.ts';
import { Cluster, KV, Maintenance } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type MemberProcess, type TestCluster, withCluster } from '../support/server-process.ts';
import { ok } from './support/view.ts';

// What an operator does on purpose must not cost a client a write: leadership that is moved, a leader that is stopped.

/** Writes through one member, one after the other, and tries nothing twice. */
class Writer {
  readonly member: MemberProcess;
  readonly failures: string[] = [];
  count = 0;
  readonly #channel: GrpcChannel;
  #isStopped = false;
  readonly #done: Promise<void>;

  constructor(member: MemberProcess) {
    this.member = member;
    this.#channel = new GrpcChannel(member.clientUrl);
    this.#done = this.#write();
  }

  async #write(): Promise<void> {
    for (; !this.#isStopped; this.count++) {
      const key = bytesOf(`${this.member.name}/${this.count % 10}`);
      const outcome = await this.#channel.call(KV.methods.put, { key, value: key });
      if (outcome.kind === 'error') this.failures.push(`${outcome.code} ${outcome.message}`);
      await sleep(2);
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
    this.#channel.close();
  }
}

/** A client that tries again what it may, on whatever member answers. */
class RetryingWriter {
  readonly failures: string[] = [];
  count = 0;
  readonly #client: Client;
  #isStopped = false;
  readonly #done: Promise<void>;

  constructor({ endpoints }: TestCluster) {
    this.#client = new Client({ endpoints });
    this.#done = this.#write();
  }

  async #write(): Promise<void> {
    for (; !this.#isStopped; this.count++) {
      try {
        await this.#client.put(`retrying/${this.count % 10}`, String(this.count));
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

async function leaderOf(cluster: TestCluster): Promise<[MemberProcess, bigint[]]> {
  for (;;) {
    const statuses = [];
    for (const member of cluster.members) {
      const channel = new GrpcChannel(member.clientUrl);
      statuses.push(ok(await channel.call(Maintenance.methods.status, {})));
      channel.close();
    }
    const at = statuses.findIndex(({ header, leader }) => header?.memberId === leader);
    const ids = statuses.map(({ header }) => header?.memberId ?? 0n);
    if (at >= 0) return [cluster.member(at), ids];
    await sleep(50);
  }
}

/** What a client is told that surely was not begun: nobody was there, or the member says that no leader takes it. */
const notBegun = /^14 (?!etcdserver: (?!no leader))/;

interface Removal {
  readonly victim: 'leader' | 'follower';
  /** Whether the member itself is asked. */
  readonly asksItself: boolean;
}

const removals: readonly Removal[] = [
  { victim: 'follower', asksItself: false },
  { victim: 'leader', asksItself: false },
  { victim: 'follower', asksItself: true },
  { victim: 'leader', asksItself: true },
];

/** Removes one under load, and looks at what those were told who wrote through it. */
async function remove(cluster: TestCluster, { victim, asksItself }: Removal): Promise<void> {
  const [leader, ids] = await leaderOf(cluster);
  const own = cluster.members.indexOf(leader);
  const at = victim === 'leader' ? own : (own + 1) % ids.length;
  const leaving = cluster.member(at);
  const writers = Array.from({ length: 8 }, () => new Writer(leaving));
  await sleep(300);
  const asked = asksItself ? leaving : cluster.member((at + 1) % ids.length);
  const channel = new GrpcChannel(asked.clientUrl);
  ok(await channel.call(Cluster.methods.memberRemove, { ID: ids[at] ?? 0n }));
  channel.close();
  cluster.members.splice(at, 1);
  assert.deepEqual(await leaving.exited, { code: exitStatus.data, signal: null });
  await Promise.all(writers.map((writer) => writer.stop()));
  for (const { failures, count } of writers) {
    const begun = failures.filter((text) => !notBegun.test(text));
    assert.deepEqual(begun, [], `${count} writes through the ${victim}, ${leaving.name}`);
  }
}

suite('planned moves', { timeout: 3 * 60_000 }, () => {
  test('a member that is removed answers what it was asked, and no write of a client fails', () =>
    withCluster(
      { program: 'mainstay', size: 5, flags: ['--strict-reconfig-check=false'] },
      async (cluster) => {
        const retrying = Array.from({ length: 8 }, () => new RetryingWriter(cluster));
        for (const removal of removals) await remove(cluster, removal);
        await sleep(250);
        await Promise.all(retrying.map((writer) => writer.stop()));
        assert.deepEqual(
          retrying.flatMap(({ failures }) => failures),
          [],
        );
        assert(retrying.every(({ count }) => count > 20));
      },
    ));

  test('leadership that is moved fails no write, whoever was asked', () =>
    withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
      const writers = [...cluster.members, ...cluster.members].map((member) => new Writer(member));
      const retrying = new RetryingWriter(cluster);
      for (let move = 0; move < 6; move++) {
        await sleep(250);
        const [leader, ids] = await leaderOf(cluster);
        const own = cluster.members.indexOf(leader);
        const channel = new GrpcChannel(leader.clientUrl);
        const targetID = ids[(own + 1) % 3] ?? 0n;
        ok(await channel.call(Maintenance.methods.moveLeader, { targetID }));
        channel.close();
      }
      await sleep(250);
      await Promise.all([...writers, retrying].map((writer) => writer.stop()));
      const all = [...writers, retrying];
      assert.deepEqual(
        all.flatMap(({ failures }) => failures),
        [],
      );
      console.log(`${all.reduce((sum, { count }) => sum + count, 0)} writes through 6 moves`);
      assert(all.every(({ count }) => count > 20));
    }));

  test('a leader that is stopped fails no write through the others, and none of a client that retries', () =>
    withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
      const [leader] = await leaderOf(cluster);
      const writers = cluster.members.map((member) => new Writer(member));
      const retrying = new RetryingWriter(cluster);
      await sleep(500);
      assert.deepEqual(await leader.stop('SIGTERM'), { code: 0, signal: null });
      await sleep(500);
      await Promise.all([...writers, retrying].map((writer) => writer.stop()));
      for (const { member, failures, count } of writers) {
        if (member === leader) {
          // What it took it answered; then nobody was there.
          assert(failures.length > 0 && failures.every((text) => /^14 (?!etcdserver)/.test(text)));
        } else assert.deepEqual(failures, [], `${count} writes through ${member.name}`);
      }
      assert.deepEqual(retrying.failures, []);
      await leader.start();
    }));
});
