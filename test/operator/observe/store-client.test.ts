import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AccessRefused } from '../../../operator/observe/store-admin.ts';
import { StoreClient } from '../../../operator/observe/store-client.ts';
import { type TestCluster, withCluster } from '../../support/server-process.ts';
import { needs } from '../../support/tools.ts';

// What the operator asks of a store, asked of real ones: its assumptions hold for both programs.

for (const program of ['mainstay', 'etcd'] as const) {
  const options = program === 'etcd' ? needs('etcd') : {};
  test(
    `${program}: a learner joins, catches up, is promoted, leads, and the first leaves`,
    options,
    () => withCluster({ program }, (cluster) => growAndShrink(cluster)),
  );
}

for (const program of ['mainstay', 'etcd'] as const) {
  const options = program === 'etcd' ? needs('etcd') : {};
  test(`${program}: users, roles and who is refused; a learner answers too`, options, () =>
    withCluster({ program }, (cluster) => withUsers(cluster)),
  );
}

async function withUsers(cluster: TestCluster): Promise<void> {
  const connections = new StoreClient(() => performance.now());
  try {
    const [first, second] = [cluster.member(0), await cluster.newMember()];
    const at = [first.clientUrl];
    const members = [second.clientUrl, first.clientUrl];
    await eventually(() => connections.memberAddLearner(at, second.peerUrl));
    await second.start(cluster.flagsFor('existing'));
    const permission = { access: 'Read', key: 'a/', rangeEnd: 'a0' } as const;
    await connections.changeAuth(at, { kind: 'addUser', user: 'root' }, 'secret');
    await connections.changeAuth(at, { kind: 'grantRole', user: 'root', role: 'root' });
    await connections.changeAuth(at, { kind: 'addRole', role: 'reader' });
    await connections.changeAuth(at, { kind: 'grantPermission', role: 'reader', permission });
    await connections.changeAuth(at, { kind: 'enable' });
    await assert.rejects(connections.memberList(at), AccessRefused);

    const login = (password: string) =>
      connections.as({ user: 'root', members, credentials: { username: 'root', password } });
    const root = login('secret');
    const question = { users: ['root', 'nobody'], roles: ['reader', 'none'] };
    assert.deepEqual(await root.auth(at, question), {
      enabled: true,
      users: new Map([['root', ['root']]]),
      roles: new Map([['reader', [permission]]]),
    });
    // It gives no tokens, and is asked with that of another member.
    await eventually(async () => {
      const { leaderId } = await root.status(second.clientUrl);
      assert.notEqual(leaderId, '0');
    });
    await assert.rejects(login('wrong').status(first.clientUrl), AccessRefused);
    await root.changeAuth(at, { kind: 'setPassword', user: 'root' }, 'wrong');
    assert.equal((await login('wrong').memberList(at)).members.length, 2);
    await login('wrong').changeAuth(at, { kind: 'revokePermission', role: 'reader', permission });
    await login('wrong').changeAuth(at, { kind: 'deleteRole', role: 'reader' });
    await login('wrong').changeAuth(at, { kind: 'disable' });
    assert.equal((await connections.auth(at, question)).enabled, false);
  } finally {
    connections.close();
  }
}

async function growAndShrink(cluster: TestCluster): Promise<void> {
  const store = new StoreClient(() => performance.now());
  try {
    const [first, second] = [cluster.member(0), await cluster.newMember()];
    const before = await store.memberList([first.clientUrl]);
    const [{ id: firstId, learner, name } = { id: '' }] = before.members;
    assert.deepEqual([name, learner, before.members.length], ['m1', false, 1]);
    const alone = await store.status(first.clientUrl);
    assert.deepEqual([alone.memberId, alone.leaderId], [firstId, firstId]);

    await store.memberAddLearner([first.clientUrl], second.peerUrl);
    const added = (await store.memberList([first.clientUrl])).members.find(
      ({ id }) => id !== firstId,
    );
    assert.deepEqual([added?.name, added?.learner, added?.peerUrls], ['', true, [second.peerUrl]]);
    await assert.rejects(store.memberPromote([first.clientUrl], added?.id ?? ''), /learner/);
    await second.start(cluster.flagsFor('existing'));
    await eventually(() => store.memberPromote([first.clientUrl], added?.id ?? ''));

    await eventually(() => store.moveLeader(first.clientUrl, added?.id ?? ''));
    await eventually(async () => {
      const status = await store.status(second.clientUrl);
      assert.equal(status.leaderId, added?.id);
      assert.ok(status.raftTerm > alone.raftTerm);
      assert.ok(status.raftAppliedIndex > 0 && status.raftIndex >= status.raftAppliedIndex);
    });
    // etcd refuses changes for its first five seconds with all members connected; and its answer can be lost with the
    // connection that the removal ends.
    await eventually(async () => {
      const { members } = await store.memberList([second.clientUrl]);
      if (members.some(({ id }) => id === firstId))
        await store.memberRemove([second.clientUrl, first.clientUrl], firstId);
    });
    const after = await store.memberList([second.clientUrl]);
    assert.deepEqual([after.clusterId, after.members.length], [before.clusterId, 1]);
    await second.stop();
    await assert.rejects(store.status(second.clientUrl));
  } finally {
    store.close();
  }
}

async function eventually(attempt: () => Promise<void>, withinMs = 20_000): Promise<void> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > untilMs) throw error;
      await sleep(50);
    }
  }
}
