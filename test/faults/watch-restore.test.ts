import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { bytesOf, oneKey } from '../../server/client/keys.ts';
import { Maintenance, Watch, WatchCreateRequest } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { freePort, type MemberProcess, TestCluster } from '../support/server-process.ts';
import { ok } from './support/view.ts';

// A member that is left behind takes a snapshot over while watches and leases of its clients go on.

const putCount = 60;

/** What stands before a member's peer port, so that it can be cut off from the others. */
class Cut {
  readonly #port: number;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(port: number, target: number) {
    this.#port = port;
    this.#target = target;
  }

  /** Lets through what comes. */
  async heal(): Promise<void> {
    const server = createServer((incoming) => {
      const outgoing = connect(this.#target, '127.0.0.1');
      for (const [socket, other] of [
        [incoming, outgoing],
        [outgoing, incoming],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
  }

  cut(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** A cluster of three whose members can be cut off. */
async function withCuts(
  body: (cluster: TestCluster, cuts: ReadonlyMap<MemberProcess, Cut>) => Promise<void>,
): Promise<void> {
  const cluster = await TestCluster.prepare({ program: 'mainstay', size: 3 });
  const cuts = new Map<MemberProcess, Cut>();
  try {
    for (const member of cluster.members) {
      const port = await freePort();
      const cut = new Cut(Number(new URL(member.peerUrl).port), port);
      await cut.heal();
      cuts.set(member, cut);
      const own = ['--listen-peer-urls', `http://127.0.0.1:${port}`, '--snapshot-count', '10'];
      member.spawn([...cluster.flagsFor('new'), ...own]);
    }
    await Promise.all(cluster.members.map((member) => member.ready()));
    await cluster.showLogsOnFailure(() => body(cluster, cuts));
  } finally {
    for (const cut of cuts.values()) cut.cut();
    await cluster.stop();
  }
}

async function followerOf(cluster: TestCluster): Promise<MemberProcess> {
  for (const member of cluster.members) {
    const channel = new GrpcChannel(member.clientUrl);
    const { header, leader } = ok(await channel.call(Maintenance.methods.status, {}));
    channel.close();
    if (leader !== header?.memberId) return member;
  }
  assert.fail('every member says that it leads');
}

function watchFrom(channel: GrpcChannel, startRevision: number) {
  const stream = channel.stream(Watch.methods.watch);
  const request = WatchCreateRequest.create({ key: bytesOf('foo'), startRevision });
  stream.send({ requestUnion: { kind: 'createRequest', value: request } });
  return stream;
}

test('TestV3WatchRestoreSnapshotUnsync', () =>
  withCuts(async (cluster, cuts) => {
    const behind = await followerOf(cluster);
    const [other] = cluster.members.filter((member) => member !== behind) as [MemberProcess];
    const channel = new GrpcChannel(behind.clientUrl);
    const near = new Client({ endpoints: [behind.clientUrl], timeoutMs: 20_000 });
    const far = new Client({ endpoints: [other.clientUrl], timeoutMs: 20_000 });
    const { ID: kept } = await near.leaseGrant(600);
    const { ID: ended } = await near.leaseGrant(600);
    await near.put('kept', 'x', { lease: kept });
    await near.put('ended', 'x', { lease: ended });
    // Revision 3: one watch from the past, one from now, one from a revision that is to come.
    const starts = [2, 0, 9];
    const streams = starts.map((start) => watchFrom(channel, start));
    for (const stream of streams) await stream.find(0, ({ created }) => created);
    cuts.get(behind)?.cut();
    for (let put = 0; put < putCount; put++) await far.put('foo', `${put}`);
    await far.leaseRevoke(ended);
    // Until what was put is down on disk, the others remember it.
    await sleep(500);
    await far.put('last', 'x');
    await cuts.get(behind)?.heal();
    await behind.logged('installed a snapshot of the leader');
    for (const [at, stream] of streams.entries()) {
      const first = Math.max(4, starts[at] ?? 0);
      await stream.find(0, ({ events }) =>
        events.some(({ kv }) => kv?.modRevision === 3 + putCount),
      );
      const revisions = stream.responses.flatMap(({ events }) =>
        events.map(({ kv }) => kv?.modRevision),
      );
      const expected = Array.from({ length: putCount + 4 - first }, (_, later) => first + later);
      assert.deepEqual(revisions, expected, `from ${starts[at]}`);
      assert.ok(stream.responses.every(({ canceled }) => !canceled));
    }
    await near.put('foo', 'after');
    for (const stream of streams) {
      await stream.find(0, ({ events }) => events.some(({ kv }) => kv?.value.length === 5));
    }
    assert.equal(await near.leaseKeepAlive(kept), 600);
    assert.equal(await near.leaseKeepAlive(ended), 0);
    const { kvs } = await near.range(oneKey('ended'), { serializable: true });
    assert.deepEqual(kvs, []);
    const { keys } = await near.leaseTimeToLive(kept, true);
    assert.deepEqual(keys.map(String), ['107,101,112,116']);
    for (const open of [channel, near, far]) open.close();
  }));
