import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { ClientError } from '../../server/client/errors.ts';
import { bytesOf } from '../../server/client/keys.ts';
import { catchUpEntriesMax } from '../../server/config/limits.ts';
import { KV } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type MemberProcess, withCluster } from '../support/server-process.ts';
import { ok, readView, type View } from './support/view.ts';

// A member that missed more than the others remember, and one that has lost its disk.

const missedEntries = catchUpEntriesMax + 1_200;
const putsAtOnce = 400;
const keyCount = 100;

async function put(member: MemberProcess, count: number): Promise<void> {
  const channel = new GrpcChannel(member.clientUrl);
  for (let sent = 0; sent < count; sent += putsAtOnce) {
    const puts = Array.from({ length: Math.min(putsAtOnce, count - sent) }, (_, at) => {
      const n = sent + at;
      const key = bytesOf(`key-${n % keyCount}`);
      return channel.call(KV.methods.put, { key, value: bytesOf(`value-${n}`) });
    });
    (await Promise.all(puts)).forEach(ok);
  }
  channel.close();
}

async function viewAt(member: MemberProcess): Promise<View> {
  const channel = new GrpcChannel(member.clientUrl);
  const view = await readView(channel);
  channel.close();
  return view;
}

/** As etcd, a cluster refuses to be changed until its members have seen each other for 5 s. */
async function whenHealthy(change: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await change();
      return;
    } catch (error) {
      const isPassing = error instanceof ClientError && error.text.endsWith('unhealthy cluster');
      if (!isPassing || tries > 40) throw error;
      await sleep(250);
    }
  }
}

suite('a member left behind', () => {
  test(`${missedEntries} entries: it gets a snapshot, and all the history in it`, async () => {
    await withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
      const [first, , last] = cluster.members;
      assert(first !== undefined && last !== undefined);
      await put(first, 10);
      await last.stop('SIGTERM');
      await put(first, missedEntries);
      const from = performance.now();
      await last.start();
      await last.logged('installed a snapshot of the leader');
      const seconds = ((performance.now() - from) / 1000).toFixed(1);
      const [there, here] = [await viewAt(first), await viewAt(last)];
      assert.deepEqual(here, there);
      assert.equal(here.events.length, missedEntries + 10);
      console.log(
        `${missedEntries} entries behind: caught up by a snapshot, ready after ${seconds} s`,
      );
      // And it counts again.
      await cluster.member(1).stop('SIGKILL');
      await put(last, 10);
      assert.deepEqual(await viewAt(last), await viewAt(first));
    });
  });

  test('an emptied voter is refused, and told to be removed and added; then it serves', async () => {
    await withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
      const lost = cluster.member(2);
      await put(lost, 10);
      await lost.stop('SIGKILL');
      for (const state of ['new', 'existing'] as const) {
        rmSync(lost.dataDirectory, { recursive: true, force: true });
        lost.spawn(cluster.flagsFor(state));
        assert.deepEqual(await lost.exited, { code: 78, signal: null }, state);
        assert.match(lost.log, /remove the member \(member remove [0-9a-f]+\), add it again/);
      }
      const client = new Client({ endpoints: cluster.endpoints.slice(0, 2) });
      const { members } = await client.memberList();
      const id = members.find(({ name }) => name === lost.name)?.ID;
      assert(id !== undefined);
      await whenHealthy(() => client.memberRemove(id));
      await whenHealthy(() => client.memberAdd([lost.peerUrl]));
      client.close();
      rmSync(lost.dataDirectory, { recursive: true, force: true });
      await lost.start(cluster.flagsFor('existing'));
      assert.deepEqual(await viewAt(lost), await viewAt(cluster.member(0)));
    });
  });
});
