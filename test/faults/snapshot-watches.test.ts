import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf } from '../../server/client/keys.ts';
import { inflightAppendsMax } from '../../server/config/limits.ts';
import { EventType } from '../../server/proto/gen/kv.ts';
import {
  KV,
  Lease,
  Maintenance,
  Watch,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../server/proto/gen/rpc.ts';
import { GrpcChannel, type GrpcStream } from '../support/grpc.ts';
import { type MemberProcess, type TestCluster, withCluster } from '../support/server-process.ts';
import { ok } from './support/view.ts';

// A member that gets a snapshot while its clients watch and keep leases alive: they notice nothing but the time.

const flags = ['--snapshot-count=50'];

/** The leader and a follower. */
async function roles({ members }: TestCluster): Promise<[MemberProcess, MemberProcess]> {
  for (;;) {
    const leads = [];
    for (const { clientUrl } of members) {
      const channel = new GrpcChannel(clientUrl);
      const { header, leader } = ok(await channel.call(Maintenance.methods.status, {}));
      leads.push(header?.memberId === leader);
      channel.close();
    }
    const leader = members[leads.indexOf(true)];
    const follower = members[leads.indexOf(false)];
    if (leader !== undefined && follower !== undefined) return [leader, follower];
    await sleep(50);
  }
}

type WatchCall = GrpcStream<WatchRequest, WatchResponse>;

async function watch(channel: GrpcChannel, request: Partial<WatchCreateRequest>) {
  const stream: WatchCall = channel.stream(Watch.methods.watch);
  const [key, rangeEnd] = [bytesOf('w/'), bytesOf('w0')];
  const value = WatchCreateRequest.create({ key, rangeEnd, prevKv: true, ...request });
  stream.send({ requestUnion: { kind: 'createRequest', value } });
  await stream.find(0, ({ created }) => created);
  return stream;
}

function seen({ responses }: WatchCall): string[] {
  return responses
    .flatMap(({ events }) => events)
    .map(({ type, kv, prevKv }) => {
      const key = Buffer.from(kv?.key ?? []).toString();
      const change = type === EventType.PUT ? Buffer.from(kv?.value ?? []).toString() : 'deleted';
      return `${kv?.modRevision}: ${key} ${change} after ${Buffer.from(prevKv?.value ?? []).toString()}`;
    });
}

async function put(channel: GrpcChannel, key: string, value: string, lease = 0n) {
  const request = { key: bytesOf(key), value: bytesOf(value), lease };
  return ok(await channel.call(KV.methods.put, request)).header?.revision ?? 0;
}

/** More appends than a leader sends to one that does not answer, and more entries than it then keeps. */
const missedPuts = inflightAppendsMax + 150;

/** What happens while the follower stands still; then it gets a snapshot. */
async function missing(
  { leader, follower }: { leader: MemberProcess; follower: MemberProcess },
  events: (channel: GrpcChannel) => Promise<void>,
): Promise<void> {
  const channel = new GrpcChannel(leader.clientUrl);
  const before = installs(follower);
  follower.signal('SIGSTOP');
  for (let n = 0; n < missedPuts; n++) {
    await put(channel, `w/${n % 7}`, `v${n}`);
    if (n % 100 === 99) ok(await channel.call(KV.methods.deleteRange, { key: bytesOf('w/3') }));
  }
  await events(channel);
  follower.signal('SIGCONT');
  while (installs(follower) === before) await sleep(50);
  channel.close();
}

function installs({ log }: MemberProcess): number {
  return log.split('installed a snapshot of the leader').length - 1;
}

const hasKey =
  (key: string) =>
  ({ events }: WatchResponse): boolean =>
    events.some(({ kv }) => Buffer.from(kv?.key ?? []).toString() === key);

test('a snapshot is installed while watches and leases go on', { timeout: 3 * 60_000 }, (context) =>
  withCluster({ program: 'mainstay', size: 3, flags }, async (cluster) => {
    const [leader, follower] = await roles(cluster);
    const [at, behind] = [new GrpcChannel(leader.clientUrl), new GrpcChannel(follower.clientUrl)];

    await context.test('no event is lost, repeated or out of order; leases live on', async () => {
      const first = await put(at, 'w/first', '1');
      for (const [ID, TTL] of [
        [5n, 4],
        [6n, 60],
      ] as const) {
        ok(await at.call(Lease.methods.leaseGrant, { ID, TTL }));
        await put(at, `w/of lease ${ID}`, 'x', ID);
      }
      const late = await watch(behind, {});
      const whole = await watch(behind, { startRevision: first });
      const reference = await watch(at, { startRevision: first });
      const keeping = behind.stream(Lease.methods.leaseKeepAlive);
      keeping.send({ ID: 6n });
      await keeping.find(0, ({ TTL }) => TTL === 60);
      await missing({ leader, follower }, async () => {
        const gone = hasKey('w/of lease 5');
        await reference.find(0, (response) => gone(response) && response.events[0]?.type === 1);
      });
      await put(at, 'w/last', 'z');
      for (const stream of [late, whole, reference]) await stream.find(0, hasKey('w/last'));
      assert.deepEqual(seen(whole), seen(reference));
      assert.deepEqual(seen(late), seen(reference).slice(3));
      keeping.send({ ID: 6n });
      await keeping.find(1, ({ TTL }) => TTL === 60);
      const { kvs } = ok(await behind.call(KV.methods.range, { key: bytesOf('w/of lease 6') }));
      assert.equal(kvs[0]?.lease, 6n);
      for (const stream of [late, whole, reference, keeping]) stream.cancel();
    });

    await context.test(
      'a watch whose history it lacks ends with the compacted revision',
      async () => {
        const stream = await watch(behind, {});
        let revision = 0;
        await missing({ leader, follower }, async (channel) => {
          revision = await put(channel, 'w/last', 'y');
          ok(await channel.call(KV.methods.compact, { revision, physical: true }));
        });
        const { response } = await stream.find(1, ({ canceled }) => canceled);
        assert.equal(response.compactRevision, revision);
        // What came as entries before the snapshot it has seen: all of that, in order.
        const revisions = stream.responses.flatMap(({ events }) =>
          events.map(({ kv }) => kv?.modRevision ?? 0),
        );
        const [from = 0] = revisions;
        assert.deepEqual(
          revisions,
          revisions.map((_, at) => from + at),
        );
        assert((revisions.at(-1) ?? 0) < revision, 'nothing was missed');
      },
    );
    at.close();
    behind.close();
  }),
);
