import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from '../../../server/client/client.ts';
import { keysUnder } from '../../../server/client/keys.ts';
import { type MemberProcess, withCluster } from '../../support/server-process.ts';

async function with1<T>(member: MemberProcess, body: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ endpoints: [member.clientUrl], timeoutMs: 20_000 });
  try {
    return await body(client);
  } finally {
    client.close();
  }
}

const force = '--force-new-cluster';

test('one of three goes on alone with all that was there; a flag that stays does it once', async () =>
  withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
    const [first, second, third] = [0, 1, 2].map((at) => cluster.member(at)) as [
      MemberProcess,
      MemberProcess,
      MemberProcess,
    ];
    const before = await with1(first, async (client) => {
      const { ID: lease } = await client.leaseGrant(1000);
      for (let i = 0; i < 30; i++)
        await client.put(`k/${i}`, `v${i}`, i % 2 === 0 ? { lease } : {});
      return client.range(keysUnder('k/'));
    });
    const clusterId = before.header?.clusterId;
    await Promise.all([second.stop(), third.stop()]);
    await first.stop();
    const flags = cluster.flagsFor('new');
    await first.start([...flags, force]);
    await first.logged('this member is the only one of its cluster now');
    const joining = await cluster.newMember();
    await with1(first, async (client) => {
      const { kvs, header } = await client.range(keysUnder('k/'));
      assert.deepEqual(kvs, before.kvs);
      assert.equal(header?.revision, before.header?.revision);
      assert.equal(header?.clusterId, clusterId);
      assert.equal((await client.memberList()).members.length, 1);
      await client.put('k/alone', 'x');
      await client.memberAdd([joining.peerUrl]);
    });
    await joining.start(cluster.flagsFor('existing', [first, joining]));
    // Those that were given up do not come back.
    second.spawn(flags);
    assert.equal((await second.exited).code, 78);
    await first.stop('SIGTERM');
    await first.start([...flags, force]);
    await first.logged('is not done again');
    await with1(first, async (client) => {
      assert.equal((await client.memberList()).members.length, 2);
      await client.put('k/both', 'x');
    });
    await with1(joining, async (client) => {
      assert.equal((await client.range(keysUnder('k/'))).kvs.length, 32);
    });
    // A start without the flag is what allows it again.
    await first.stop('SIGTERM');
    await first.start(flags);
    await joining.stop();
    await first.stop();
    await first.start([...flags, force]);
    await with1(first, async (client) => {
      assert.equal((await client.memberList()).members.length, 1);
      assert.equal((await client.range(keysUnder('k/'))).kvs.length, 32);
    });
  }));

test('a learner and a restart in the middle: the only member is a voter', async () =>
  withCluster({ program: 'mainstay', size: 1 }, async (cluster) => {
    const first = cluster.member(0);
    const learner = await cluster.newMember();
    await with1(first, async (client) => {
      await client.put('key', 'value');
      await client.memberAdd([learner.peerUrl], { isLearner: true });
    });
    await learner.start(cluster.flagsFor('existing'));
    await first.stop();
    await learner.stop();
    await learner.start([...cluster.flagsFor('existing'), force]);
    await learner.stop();
    await learner.start([...cluster.flagsFor('existing'), force]);
    await with1(learner, async (client) => {
      await client.put('key', 'again');
      const { members } = await client.memberList();
      assert.deepEqual(
        members.map(({ isLearner, name }) => ({ isLearner, name })),
        [{ isLearner: false, name: learner.name }],
      );
    });
  }));
