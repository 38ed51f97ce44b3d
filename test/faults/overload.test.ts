import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdError } from '../../server/base/errors.ts';
import { bytesOf } from '../../server/client/keys.ts';
import { appliedLagEntriesMax, proposalsInFlightMax } from '../../server/config/limits.ts';
import type { Replica } from '../../server/member/replica.ts';
import { KV, Maintenance, PutRequest } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel, type Outcome } from '../support/grpc.ts';
import { memoryBytes } from '../support/process-memory.ts';
import { type MemberProcess, type TestCluster, withCluster } from '../support/server-process.ts';
import { LocalCluster } from './support/local-replica.ts';
import { ok } from './support/view.ts';

// More than the member can take: it says so, in etcd's words, and its memory does not grow.

const tooMany = 'etcdserver: too many requests';
const mebibyte = 1024 * 1024;
const floodMs = 5_000;
const pauseAfterRefusalMs = 50;
/** What a member may use beyond what it used before: the requests in flight, and their copies on the way to two followers. */
const growthBytesMax = 350 * mebibyte;

interface Flood {
  readonly channels: number;
  readonly loopsPerChannel: number;
  readonly valueBytes: number;
}

/** Answers by their text. */
type Outcomes = Map<string, number>;

async function leaderFirst({ members }: TestCluster): Promise<MemberProcess[]> {
  const channel = new GrpcChannel(members[0]?.clientUrl ?? '');
  for (;;) {
    for (const member of members) {
      const asked = new GrpcChannel(member.clientUrl);
      const { leader, header } = ok(await asked.call(Maintenance.methods.status, {}));
      asked.close();
      if (leader !== header?.memberId) continue;
      channel.close();
      return [member, ...members.filter((other) => other !== member)];
    }
    await sleep(50);
  }
}

/** Each loop puts again at once what was answered, after a pause what was refused. */
async function flood(member: MemberProcess, options: Flood, ended: () => void): Promise<Outcomes> {
  const { channels: count, loopsPerChannel, valueBytes } = options;
  const channels = Array.from({ length: count }, () => new GrpcChannel(member.clientUrl));
  const [outcomes, value] = [new Map<string, number>(), new Uint8Array(valueBytes)];
  const deadline = performance.now() + floodMs;
  const loop = async (channel: GrpcChannel, key: string): Promise<void> => {
    while (performance.now() < deadline) {
      const text = textOf(await channel.call(KV.methods.put, { key: bytesOf(key), value }));
      outcomes.set(text, (outcomes.get(text) ?? 0) + 1);
      if (text !== 'ok') await sleep(pauseAfterRefusalMs);
    }
  };
  const loops = channels.flatMap((channel, at) =>
    Array.from({ length: loopsPerChannel }, (_, n) => loop(channel, `${at}/${n}`)),
  );
  await sleep(floodMs);
  ended();
  await Promise.all(loops);
  for (const channel of channels) channel.close();
  return outcomes;
}

function textOf(outcome: Outcome<unknown>): string {
  return outcome.kind === 'ok' ? 'ok' : outcome.message;
}

async function floodStalled(cluster: TestCluster, options: Flood): Promise<void> {
  const [leader, ...followers] = await leaderFirst(cluster);
  assert(leader !== undefined);
  for (const follower of followers) follower.signal('SIGSTOP');
  const before = memoryBytes(leader, 'VmRSS');
  const outcomes = await flood(leader, options, () => {
    for (const follower of followers) follower.signal('SIGCONT');
  });
  const [growth, refused = 0] = [memoryBytes(leader, 'VmHWM') - before, outcomes.get(tooMany)];
  const sent = [...outcomes.values()].reduce((sum, count) => sum + count) * options.valueBytes;
  console.log(
    `${toMebibytes(sent)} sent, ${refused} puts refused;` +
      ` the member used ${toMebibytes(before)}, then at most ${toMebibytes(growth)} more`,
  );
  assert(refused > 0, `nothing was refused: ${[...outcomes].join(' ')}`);
  assert(growth <= growthBytesMax, `memory grew by ${toMebibytes(growth)}`);
}

function toMebibytes(bytes: number): string {
  return `${Math.round(bytes / mebibyte)} MiB`;
}

/** As if nothing had been. */
async function checkServes({ members }: TestCluster): Promise<void> {
  for (const member of members) {
    const channel = new GrpcChannel(member.clientUrl);
    const put = { key: bytesOf('after'), value: bytesOf(member.name) };
    for (let tries = 0; tries < 100; tries++) {
      const outcome = await channel.call(KV.methods.put, put);
      if (outcome.kind === 'ok') break;
      assert(tries < 99, outcome.message);
      await sleep(100);
    }
    channel.close();
  }
}

suite('overload', () => {
  test('nothing commits: puts beyond the limit in bytes are refused, and memory stays bounded', async () => {
    await withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
      await floodStalled(cluster, { channels: 8, loopsPerChannel: 25, valueBytes: 512 * 1024 });
      await checkServes(cluster);
    });
  });

  test('more than the limit in number, or to apply: refused until it has caught up', async () => {
    await withCluster({ program: 'mainstay' }, async (cluster) => {
      const member = cluster.member(0);
      const channel = new GrpcChannel(member.clientUrl);
      const put = { key: bytesOf('key'), value: bytesOf('value') };
      for (let sent = 0; sent <= appliedLagEntriesMax; sent += 500) {
        const puts = Array.from({ length: 500 }, () => channel.call(KV.methods.put, put));
        (await Promise.all(puts)).forEach(ok);
      }
      channel.close();
      await member.stop('SIGTERM');
      // Without its state it has to apply the whole log again.
      const directory = join(member.dataDirectory, 'member');
      for (const name of readdirSync(directory).filter((file) => file !== 'wal')) {
        rmSync(join(directory, name), { recursive: true });
      }
      await checkLag(member.dataDirectory);
    });
  });
});

async function checkLag(dataDirectory: string): Promise<void> {
  const local = new LocalCluster();
  const replica = await local.open(dataDirectory, (error) => assert.fail(error));
  try {
    await checkRefusals(replica);
  } finally {
    await local.close(replica);
  }
}

async function checkRefusals(replica: Replica): Promise<void> {
  const { commit, applied } = replica.raft.log;
  assert(commit - applied > appliedLagEntriesMax, `only ${commit - applied} entries to apply`);
  const refusal = await propose(replica);
  assert(refusal instanceof EtcdError);
  assert.equal(refusal.error, 'TooManyRequests');
  for (let tries = 0; replica.raft.log.applied < commit && tries < 500; tries++) await sleep(10);
  assert.equal(await propose(replica), undefined);
  console.log(`refused with ${commit - applied} entries to apply, then accepted`);
  await checkNumber(replica);
}

/** All at once: none is answered before the last one is asked for. */
async function checkNumber(replica: Replica): Promise<void> {
  const answers = await Promise.all(
    Array.from({ length: proposalsInFlightMax + 10 }, () => propose(replica)),
  );
  const refused = answers.filter((error) => error !== undefined);
  // The member may have a proposal of its own under way.
  assert(refused.length >= 10 && refused.length <= 12, `${refused.length} were refused`);
  for (const { error } of refused) assert.equal(error, 'TooManyRequests');
  assert.equal(await propose(replica), undefined);
}

function propose(replica: Replica): Promise<EtcdError | undefined> {
  const value = PutRequest.create({ key: bytesOf('key'), value: bytesOf('value') });
  return new Promise((resolve) => {
    replica.propose({ kind: 'put', value }, (error) => resolve(error));
  });
}
