import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { keysFrom } from '../../server/client/keys.ts';
import { EventType } from '../../server/proto/gen/kv.ts';
import { KV, Maintenance } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type MemberProcess, type TestCluster, withCluster } from '../support/server-process.ts';
import { isWhole } from '../support/whole.ts';
import { checkRecord, type Read, Record, sharedKey, Traffic } from './support/traffic.ts';
import { eventText, ok, readHistory } from './support/view.ts';

// Three members, clients that write and read all the time, and one fault after the other.

const rounds = isWhole ? 6 : 1;
const writesBetweenFaults = isWhole ? 150 : 80;
const readsOfOldLeader = 40;

interface Field {
  readonly cluster: TestCluster;
  readonly traffic: Traffic;
}

async function leaderOf({ members }: TestCluster): Promise<MemberProcess> {
  for (let tries = 0; tries < 200; tries++) {
    for (const member of members) {
      if (member.isRunning && (await isLeader(member))) return member;
    }
    await sleep(50);
  }
  throw new Error('nobody leads');
}

async function isLeader(member: MemberProcess): Promise<boolean> {
  const channel = new GrpcChannel(member.clientUrl);
  const outcome = await channel.call(Maintenance.methods.status, {});
  channel.close();
  if (outcome.kind === 'error') return false;
  return outcome.response.leader === outcome.response.header?.memberId;
}

async function killAndRestart(members: readonly MemberProcess[], { traffic }: Field) {
  await Promise.all(members.map((member) => member.stop('SIGKILL')));
  const isMinority = members.length === 1;
  if (isMinority) await traffic.writesMore(writesBetweenFaults / 2);
  for (const member of members) member.spawn();
  await Promise.all(members.map((member) => member.ready()));
}

async function killFollower(field: Field): Promise<void> {
  const leader = await leaderOf(field.cluster);
  const follower = field.cluster.members.find((member) => member !== leader);
  assert(follower !== undefined);
  await killAndRestart([follower], field);
}

async function killLeader(field: Field): Promise<void> {
  await killAndRestart([await leaderOf(field.cluster)], field);
}

async function killAll(field: Field): Promise<void> {
  await killAndRestart(field.cluster.members, field);
}

/** The old leader wakes up with reads waiting for it, and does not know yet that it is the leader no more. */
async function pauseLeader({ cluster, traffic }: Field): Promise<void> {
  const leader = await leaderOf(cluster);
  const channels = Array.from({ length: 4 }, () => new GrpcChannel(leader.clientUrl));
  for (const channel of channels) ok(await channel.call(KV.methods.range, keysFrom('')));
  leader.signal('SIGSTOP');
  await traffic.writesMore(writesBetweenFaults);
  const answers: Array<Promise<boolean>> = [];
  const read = (channel: GrpcChannel): void => {
    answers.push(traffic.readOver(channel, leader.clientUrl));
  };
  for (const channel of channels) read(channel);
  // Into the socket, before it runs again.
  await sleep(50);
  leader.signal('SIGCONT');
  for (let n = 0; n < readsOfOldLeader; n++) {
    for (const channel of channels) read(channel);
    await sleep(n < readsOfOldLeader / 2 ? 1 : 25);
  }
  const answered = await Promise.all(answers);
  const fresh = answered.filter(Boolean).length;
  console.log(`  the old leader: ${fresh} of ${answers.length} reads answered, the others refused`);
  for (const channel of channels) channel.close();
}

const faults = { killFollower, killLeader, killAll, pauseLeader };

/** A watch from the first revision that goes on elsewhere whenever its member fails. */
async function follow(client: Client, events: string[], signal: AbortSignal): Promise<void> {
  for await (const batch of client.watch(keysFrom(''), { startRevision: 1, signal })) {
    for (const { type, kv } of batch.events) {
      if (kv !== undefined) events.push(eventText(type === EventType.PUT, kv));
    }
  }
}

async function historyAt(member: MemberProcess, revision: number): Promise<string[]> {
  const channel = new GrpcChannel(member.clientUrl);
  const { events } = await readHistory(channel, revision);
  channel.close();
  return events;
}

async function checkHistories({ cluster, traffic }: Field, followed: string[]): Promise<void> {
  const channel = new GrpcChannel(cluster.member(0).clientUrl);
  const { header } = ok(await channel.call(KV.methods.range, keysFrom('')));
  channel.close();
  const revision = header?.revision ?? 0;
  const histories = await Promise.all(cluster.members.map((member) => historyAt(member, revision)));
  const [first = [], ...others] = histories;
  for (const other of others)
    assert.deepEqual(other, first, 'two members tell different histories');
  checkRecord(traffic.record, first);
  for (let tries = 0; followed.length < first.length && tries < 100; tries++) await sleep(50);
  assert.deepEqual(
    followed,
    first,
    'the watch that moved between the members tells another history',
  );
  const { writes, reads, uncertain, refused } = traffic.record;
  console.log(
    `${revision} revisions: ${writes.length} writes acknowledged, ${uncertain.size} uncertain,` +
      ` ${refused.size} refused; ${reads.length} reads; 3 members and a moving watch agree`,
  );
}

suite('three members under fire', () => {
  test('no acknowledged write is lost, no read is stale, all tell one history', async () => {
    await withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
      const traffic = new Traffic(cluster.endpoints);
      const field = { cluster, traffic };
      const watcher = new Client({ endpoints: cluster.endpoints });
      const [followed, abort] = [[] as string[], new AbortController()];
      const following = follow(watcher, followed, abort.signal);
      for (let round = 0; round < rounds; round++) {
        for (const [name, fault] of Object.entries(faults)) {
          await traffic.writesMore(writesBetweenFaults);
          const from = performance.now();
          await fault(field);
          await traffic.writesMore(writesBetweenFaults);
          console.log(
            `${name}: longest time without a write ${traffic.record.gapMs(from).toFixed(0)} ms`,
          );
        }
      }
      await traffic.stop();
      await checkHistories(field, followed);
      abort.abort();
      await following;
      watcher.close();
    });
  });
});

suite('the checker', () => {
  const event = (revision: number, value: string) =>
    `${revision} put ${sharedKey}=${value} create 2 mod ${revision} version 1 lease 0`;
  const history = [event(2, 'a'), event(3, 'b'), event(4, 'c')];

  function recordOf(acknowledged: ReadonlyArray<[value: string, revision: number]>): Record {
    const record = new Record();
    for (const [value, revision] of acknowledged) record.acknowledged(sharedKey, value, revision);
    return record;
  }
  function reading(read: Omit<Read, 'endpoint'>): Record {
    const record = recordOf([['a', 2]]);
    record.reads.push({ ...read, endpoint: 'here' });
    return record;
  }

  test('accepts what may be', () => {
    const record = reading({ acknowledgedBefore: 2, revision: 3, value: 'b' });
    record.uncertain.add('b').add('not there');
    checkRecord(record, history);
  });

  test('refuses what must not be', () => {
    const cases: ReadonlyArray<[RegExp, Record, string[]?]> = [
      [/acknowledged write is not in/, recordOf([['lost', 4]])],
      [/acknowledged write is not in/, recordOf([['b', 4]])],
      [/stale read at here/, reading({ acknowledgedBefore: 3, revision: 2, value: 'a' })],
      [/wrong read at here/, reading({ acknowledgedBefore: 2, revision: 3, value: 'a' })],
      [/leaves out or repeats/, recordOf([]), [event(2, 'a'), event(4, 'c')]],
      [/leaves out or repeats/, recordOf([]), [event(2, 'a'), event(2, 'b')]],
      [/written twice/, recordOf([]), [event(2, 'a'), event(3, 'a')]],
    ];
    for (const [reason, record, events = history] of cases) {
      assert.throws(() => checkRecord(record, events), reason);
    }
    const record = recordOf([]);
    record.refused.add('b');
    assert.throws(() => checkRecord(record, history), /was refused, and is there/);
  });
});
