import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import { keysFrom } from '../../server/client/keys.ts';
import { Cluster, KV, Maintenance, type Member } from '../../server/proto/gen/rpc.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import type { MemberProcess } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
import { onlyWhole } from '../support/whole.ts';
import { type DividedStore, withDividedStore } from './divided-store.ts';
import {
  type Api,
  eventually,
  isOracle,
  putRequest,
  type Store,
  settlesIn,
  sharedStore,
  succeedsIn,
  times,
  withStore,
} from './support.ts';

// Acceptance cases 61 to 71: members that come, go and change places, and the network between them. etcd waits five seconds
// before it trusts a connection between members, so these tests run side by side.

const three = sharedStore({ size: 3 });
const unhealthy = '14 etcdserver: unhealthy cluster';
const [somewhere, elsewhere] = ['http://127.0.0.1:11', 'http://127.0.0.1:12'];
/** How long a client waits before it asks another member. */
const patienceMs = 2_000;

const add = (api: Api, peerUrl: string, isLearner = false): Promise<Member | undefined> =>
  api
    .call(Cluster.methods.memberAdd, { peerURLs: [peerUrl], isLearner })
    .then(({ member }) => member);

/** As soon as the members trust each other. */
const addEventually = (api: Api, peerUrl: string, isLearner = false): Promise<Member> =>
  eventually(async () => {
    const member = await add(api, peerUrl, isLearner);
    assert(member !== undefined);
    return member;
  }, 30_000);

const remove = (api: Api, ID: bigint): Promise<unknown> =>
  api.call(Cluster.methods.memberRemove, { ID });

async function idOf(store: Store, member: MemberProcess): Promise<bigint> {
  const { header } = await store.of(member).status();
  return header?.memberId ?? 0n;
}

/** A member that joins the running cluster and serves. */
async function join(store: Store, api: Api, isLearner = false): Promise<MemberProcess> {
  const joining = await store.cluster.newMember();
  await addEventually(api, joining.peerUrl, isLearner);
  // Those that are members: some of the cluster's processes may be removed ones.
  const urls = new Set((await api.members()).flatMap(({ peerURLs }) => peerURLs));
  const known = store.cluster.members.filter(({ peerUrl }) => urls.has(peerUrl));
  await joining.start(store.cluster.flagsFor('existing', known));
  return joining;
}

const promote = (api: Api, ID: bigint): Promise<unknown> =>
  eventually(() => api.call(Cluster.methods.memberPromote, { ID }));

suite('members', { concurrency: 3 }, () => {
  test('61 TestMemberList', async () => {
    for (const api of three().apis) {
      await eventually(async () => {
        const members = await api.members();
        assert.equal(members.length, 3);
        assert(members.every(({ clientURLs, name }) => clientURLs.length === 1 && name !== ''));
        const ids = members.map(({ ID }) => ID);
        assert.deepEqual(
          ids,
          ids.toSorted((a, b) => (a < b ? -1 : 1)),
        );
      });
    }
  });

  test('61 TestMemberAdd', () =>
    withStore({ size: 3 }, async (store) => {
      const [restarted, other] = await store.followers();
      assert(restarted !== undefined && other !== undefined);
      // A member that was connected for less than five seconds does not count.
      await restarted.stop();
      await restarted.start();
      const leader = store.of(await store.leader());
      for (const isLearner of [false, true]) {
        const request = { peerURLs: [somewhere], isLearner };
        assert.equal(await leader.refusal(Cluster.methods.memberAdd, request), unhealthy);
      }
      for (const [isLearner, url] of [
        [true, somewhere],
        [false, elsewhere],
      ] as const) {
        const added = await addEventually(leader, url, isLearner);
        assert(added.ID !== 0n);
        assert.deepEqual([added.peerURLs, added.isLearner], [[url], isLearner]);
      }
      await eventually(async () => assert.equal((await store.of(other).members(false)).length, 5));
    }));

  test('61 TestMemberRemove, 67 TestRestartRemoved', () =>
    withStore({ size: 3 }, async (store) => {
      const [removed, asked] = await store.followers();
      assert(removed !== undefined && asked !== undefined);
      const ID = await idOf(store, removed);
      // Not yet trusted: refused.
      const early = await store.of(asked).channel.call(Cluster.methods.memberRemove, { ID });
      if (early.kind === 'error') assert.equal(`${early.code} ${early.message}`, unhealthy);
      else assert.fail('a member was removed at once');
      await eventually(() => remove(store.of(asked), ID), 30_000);
      const members = await store.of(asked).members();
      assert.deepEqual([members.length, members.some((one) => one.ID === ID)], [2, false]);
      assert.equal(
        await store.of(asked).refusal(Cluster.methods.memberRemove, { ID }),
        '5 etcdserver: member not found',
      );
      const { code } = await removed.exited;
      removed.spawn();
      const again = await removed.exited;
      assert(again.signal === null, 'killed');
      // It does not serve, and says why.
      assert.match(removed.log, /removed/);
      assert(isOracle || (code === again.code && code !== null), `${code}, then ${again.code}`);
    }));

  test('61 TestMemberRemove, the only member; TestMemberListSerializable', () =>
    withStore({}, async (store) => {
      const api = store.at();
      const [only] = await api.members();
      assert.equal(
        await api.refusal(Cluster.methods.memberRemove, { ID: only?.ID ?? 0n }),
        '2 etcdserver: re-configuration failed due to not enough started members',
      );
      await add(api, somewhere);
      // One of two: there is no quorum any more, but this member still knows what it knows.
      const linearizable = api.members();
      assert.equal((await api.members(false)).length, 2);
      assert.equal(await settlesIn(linearizable, 1_000), false);
    }));

  test('62 TestMemberAddForLearner, TestMaxLearnerInCluster', () =>
    withStore({}, async (store) => {
      const api = store.at();
      const learner = await addEventually(api, somewhere, true);
      assert.equal(learner.isLearner, true);
      assert.equal((await api.members()).filter(({ isLearner }) => isLearner).length, 1);
      const second = { peerURLs: [elsewhere], isLearner: true };
      assert.equal(
        await api.refusal(Cluster.methods.memberAdd, second),
        '9 etcdserver: too many learner members in cluster',
      );
      // Never started, so it is not in sync.
      assert.equal(
        await api.refusal(Cluster.methods.memberPromote, { ID: learner.ID }),
        '9 etcdserver: can only promote a learner member which is in sync with leader',
      );
      await remove(api, learner.ID);
      assert.equal((await api.members()).length, 1);
    }));

  test('62 TestMemberPromote, TestMemberPromoteMemberNotLearner, TestMemberPromoteMemberNotExist', () =>
    withStore({}, async (store) => {
      const api = store.at();
      const joined = await join(store, api, true);
      const ID = await idOf(store, joined);
      const { methods } = Cluster;
      assert.equal(
        await api.refusal(methods.memberPromote, {
          ID: await idOf(store, store.cluster.member(0)),
        }),
        '9 etcdserver: can only promote a learner member',
      );
      assert.equal(
        await api.refusal(methods.memberPromote, { ID: 1234n }),
        '5 etcdserver: member not found',
      );
      await promote(api, ID);
      assert((await api.members()).every(({ isLearner }) => !isLearner));
      await eventually(() => store.of(joined).put('foo', 'bar'));
      assert.equal(
        await api.refusal(methods.memberPromote, { ID }),
        '9 etcdserver: can only promote a learner member',
      );
    }));

  for (const [name, isLearner] of [
    ['63 TestMemberReplace', false],
    ['63 TestMemberReplaceWithLearner', true],
  ] as const) {
    test(name, isLearner ? {} : onlyWhole, () =>
      withStore({ size: 3 }, async (store) => {
        const leader = await store.leader();
        const [lost] = await store.followers();
        assert(lost !== undefined);
        const api = store.of(leader);
        await api.put('foo', 'bar');
        const ID = await idOf(store, lost);
        await lost.stop();
        // One that is down may go, for then two of two are up.
        await eventually(() => remove(api, ID), 30_000);
        const joined = await join(store, api, isLearner);
        if (isLearner) await promote(api, await idOf(store, joined));
        await eventually(async () =>
          assert.deepEqual(await store.of(joined).values('foo'), ['bar']),
        );
        const members = await api.members();
        assert.deepEqual([members.length, members.some((one) => one.ID === ID)], [3, false]);
        await store.of(joined).put('foo', 'baz');
        assert.deepEqual(await api.values('foo'), ['baz']);
      }),
    );
  }

  test('64 TestCtlV3MoveLeaderScenarios', needs('etcdctl'), async () => {
    const leader = await three().leader();
    const [target, other] = await three().followers();
    assert(target !== undefined && other !== undefined);
    const ctl = new Etcdctl(three().cluster);
    const hex = (await idOf(three(), target)).toString(16);
    const from = (await idOf(three(), leader)).toString(16);
    const refused = await ctl.run(['move-leader', hex], { endpoints: [other.clientUrl] });
    assert.match(refused.stderr, /no leader endpoint given at /);
    assert.notEqual(refused.code, 0);
    const moved = await ctl.run(['move-leader', hex], { endpoints: [leader.clientUrl] });
    assert.equal(moved.stdout, `Leadership transferred from ${from} to ${hex}\n`);
    assert.equal(await three().leader(), target);
    const again = await ctl.run(['move-leader', from]);
    assert.match(again.stdout, /^Leadership transferred from /);
  });

  test('64 TestMoveLeaderError', async () => {
    const [asked, target] = await three().followers();
    assert(asked !== undefined && target !== undefined);
    const targetID = await idOf(three(), target);
    assert.equal(
      await three().of(asked).refusal(Maintenance.methods.moveLeader, { targetID }),
      '9 etcdserver: not leader',
    );
  });

  test('64 TestMoveLeaderToLearnerError', () =>
    withStore({}, async (store) => {
      const learner = await join(store, store.at(), true);
      const refusal = '9 etcdserver: bad leader transferee';
      for (const targetID of [await idOf(store, learner), 1234n]) {
        assert.equal(
          await store.at().refusal(Maintenance.methods.moveLeader, { targetID }),
          refusal,
        );
      }
    }));

  test('65 TestRejectUnhealthyAdd, 63 TestCtlV3MemberAddAsLearnerWithOneMemberDown', () =>
    withStore({ size: 3 }, async (store) => {
      const [down, asked] = await store.followers();
      assert(down !== undefined && asked !== undefined);
      const api = store.of(asked);
      // All members trust each other by now.
      const learner = await addEventually(api, elsewhere, true);
      await remove(api, learner.ID);
      await down.stop();
      await sleep(1_000);
      for (const member of [asked, await store.leader()]) {
        for (const isLearner of [false, true]) {
          const request = { peerURLs: [somewhere], isLearner };
          assert.equal(
            await store.of(member).refusal(Cluster.methods.memberAdd, request),
            unhealthy,
          );
        }
      }
      await down.start();
      await addEventually(api, somewhere);
    }));

  test('65 TestRejectUnhealthyRemove', onlyWhole, () =>
    withStore({ size: 5 }, async (store) => {
      const [one, two, active] = await store.followers();
      assert(one !== undefined && two !== undefined && active !== undefined);
      const [oneId, activeId] = [await idOf(store, one), await idOf(store, active)];
      await Promise.all([one.stop(), two.stop()]);
      const api = store.of(await store.leader());
      // Three of five are up: without one of them it would be two of four.
      assert.equal(await api.refusal(Cluster.methods.memberRemove, { ID: activeId }), unhealthy);
      await eventually(() => remove(api, oneId), 30_000);
      assert.equal((await api.members()).length, 4);
      await api.put('foo', 'bar');
    }),
  );

  test('65 TestConcurrentRemoveMember', () =>
    withStore({}, async (store) => {
      const { ID } = await addEventually(store.at(), somewhere, true);
      const outcomes = await Promise.all(
        times(2, () => store.at().channel.call(Cluster.methods.memberRemove, { ID })),
      );
      const texts = outcomes.map((one) =>
        one.kind === 'ok' ? 'ok' : `${one.code} ${one.message}`,
      );
      // Who comes second is told that it is gone, or that it is done.
      assert(texts.includes('ok'), texts.join());
      assert(texts.every((text) => text === 'ok' || text === '5 etcdserver: member not found'));
      assert.equal((await store.at().members()).length, 1);
    }));

  test(
    '66 TestRuntimeReconfigGrowClusterSize, TestRuntimeReconfigDecreaseClusterSize, TestRuntimeReconfigRollingUpgrade',
    onlyWhole,
    () =>
      withStore({}, async (store) => {
        const size = 5;
        const [first] = store.cluster.members;
        assert(first !== undefined);
        let [isOver, written, asked] = [false, 0, first];
        const load = (async () => {
          for (; !isOver; await sleep(5)) {
            await eventually(() => store.of(asked).put(`${written}`));
            written++;
          }
        })();
        while ((await store.of(first).members()).length < size) {
          const joined = await join(store, store.of(first), true);
          await promote(store.of(first), await idOf(store, joined));
          await eventually(() => store.of(joined).put('voter'));
          asked = joined;
        }
        // And back: the one that has been there all the time goes as well, and its place is taken by the others.
        isOver = true;
        await load;
        const { members } = store.cluster;
        const last = members.at(-1);
        assert(last !== undefined);
        for (const member of members.slice(0, -1)) {
          const ID = await idOf(store, member);
          await eventually(() => remove(store.of(last), ID), 30_000);
          await member.exited;
          await eventually(() => store.of(last).put('after', member.name));
        }
        assert.equal((await store.of(last).members()).length, 1);
        const keys = (await store.of(last).range(keysFrom('0'))).kvs.map(({ key }) => latin1(key));
        const had = new Set(keys);
        assert(
          written > 0 && times(written, (n) => had.has(`${n}`)).every(Boolean),
          'a write is lost',
        );
      }),
  );

  test('67 TestRecoverSnapshotBackend', async () => {
    const catchUp = isOracle ? ['--experimental-snapshot-catchup-entries=5'] : [];
    await withStore({ size: 3, flags: ['--snapshot-count=10', ...catchUp] }, async (store) => {
      const [slow, asked] = await store.followers();
      assert(slow !== undefined && asked !== undefined);
      await slow.stop();
      for (let n = 0; n < 50; n++) await store.of(asked).put(`${n}`, 'x'.repeat(10_000));
      // Killed while it takes the state of another, or just after; it begins again.
      for (const delayMs of [5, 60, 250]) {
        slow.spawn();
        await sleep(delayMs);
        await slow.stop('SIGKILL');
      }
      await slow.start();
      store.disconnect();
      await eventually(async () =>
        assert.equal((await store.of(slow).range(keysFrom('0'))).count, 50),
      );
      assert.equal(await store.of(slow).revision(), await store.of(asked).revision());
    });
  });

  test(
    '69 TestNetworkPartition5MembersLeaderInMinority, TestNetworkPartition5MembersLeaderInMajority',
    onlyWhole,
    () =>
      withDividedStore({ size: 5 }, async (store) => {
        for (const leads of [true, false]) {
          const leader = await store.leader();
          const [one, two] = await store.followers();
          assert(one !== undefined && two !== undefined);
          await divided(store, leads ? [leader, one] : [one, two]);
        }
      }),
  );

  test('69 TestNetworkPartition4Members', () =>
    withDividedStore({ size: 4 }, async (store) => {
      const [one] = await store.followers();
      assert(one !== undefined);
      await divided(store, [await store.leader(), one]);
    }));

  /** One side may go on if it is more than half; the other neither answers nor takes anything. Then all is well again. */
  async function divided(store: DividedStore, cutOff: MemberProcess[]): Promise<void> {
    const { members } = store.cluster;
    const rest = members.filter((member) => !cutOff.includes(member));
    const [inside, outside] = [rest[0], cutOff[1]];
    assert(inside !== undefined && outside !== undefined);
    const values = (member: MemberProcess): Promise<string[]> => store.of(member).values('foo');
    await eventually(() => store.of(outside).put('foo', 'before'));
    await store.caughtUp();
    store.divide(cutOff);
    const isMajority = rest.length > members.length / 2;
    if (isMajority) {
      await eventually(() => store.of(inside).put('foo', 'during'));
      await eventually(async () => assert.deepEqual(await values(inside), ['during']));
    }
    for (const member of isMajority ? [outside] : [inside, outside]) {
      const api = store.of(member);
      const outcomes = [
        api.channel.call(KV.methods.range, { key: Buffer.from('foo') }),
        // It may be written in the end: nobody has said that it will not.
        api.channel.call(KV.methods.put, putRequest('uncertain', '')),
      ];
      await sleep(1_200);
      for (const outcome of outcomes) {
        if (await settlesIn(outcome, 1)) assert.equal((await outcome).kind, 'error');
      }
      assert.deepEqual(await api.values('foo', { serializable: true }), ['before']);
    }
    store.heal();
    await eventually(() => store.of(outside).put('foo', 'after'));
    for (const member of members) {
      await eventually(async () => assert.deepEqual(await values(member), ['after']));
    }
  }

  const failures: ReadonlyArray<(store: DividedStore) => Promise<void>> = [
    async (store) => {
      store.divide([await store.leader()]);
      await sleep(1_000);
      store.heal();
    },
    async (store) => {
      for (const member of store.cluster.members.slice(0, 2)) {
        store.divide([member]);
        await sleep(600);
        store.heal();
      }
    },
    async (store) => {
      const leader = await store.leader();
      await leader.stop();
      await sleep(600);
      await leader.start();
    },
    async (store) => {
      for (const member of store.cluster.members.slice(0, 2)) {
        await member.stop();
        await member.start();
      }
    },
  ];

  test(
    '70 TestRevisionMonotonicWithLeaderPartitions, TestRevisionMonotonicWithPartitions, TestRevisionMonotonicWithLeaderRestarts, TestRevisionMonotonicWithRestarts',
    onlyWhole,
    () =>
      withDividedStore({ size: 3 }, async (store) => {
        let [isOver, puts, reads] = [false, 0, 0];
        const putting = store.apis.map(async (api) => {
          for (let n = 0; !isOver; n++) {
            if (await succeedsIn(api.put('foo', String(n)), patienceMs)) puts++;
            await sleep(5);
          }
        });
        const reading = times(2, async (worker) => {
          let seen = 0;
          for (let n = worker; !isOver; n++) {
            const range = store.at(n % 3).range('foo');
            if (await succeedsIn(range, patienceMs)) {
              const revision = (await range).header?.revision ?? 0;
              assert(revision >= seen, `revision ${revision} after ${seen}`);
              seen = revision;
              reads++;
            }
            await sleep(5);
          }
        });
        const goOn = async (): Promise<void> => {
          const [putsBefore, readsBefore] = [puts, reads];
          await eventually(async () => assert(puts > putsBefore + 10 && reads > readsBefore + 10));
        };
        for (const fail of failures) {
          await goOn();
          await fail(store);
        }
        await goOn();
        isOver = true;
        await Promise.all([...putting, ...reading]);
      }),
  );

  test('71 TestGracefulShutdown', () =>
    withStore({ size: 3 }, async (store) => {
      const leader = await store.leader();
      const [asked] = await store.followers();
      assert(asked !== undefined);
      const before = await store.of(asked).status();
      await store.of(asked).put('foo', 'bar');
      let [isOver, refused, slowestMs] = [false, 0, 0];
      const load = (async () => {
        while (!isOver) {
          const begun = performance.now();
          const put = putRequest('foo', 'bar');
          const outcome = await store.of(asked).channel.call(KV.methods.put, put);
          if (outcome.kind === 'error') refused++;
          slowestMs = Math.max(slowestMs, performance.now() - begun);
        }
      })();
      const exit = leader.stop('SIGTERM');
      await eventually(async () => {
        const { leader: now } = await store.of(asked).status();
        assert(now !== before.leader && now !== 0n);
      });
      // Handed over in the next term: nobody has waited for an election.
      assert.equal((await store.of(asked).status()).raftTerm, before.raftTerm + 1);
      const { code, signal } = await exit;
      isOver = true;
      await load;
      if (!isOracle) assert.deepEqual([code, signal, refused], [0, null, 0]);
      console.log(`  the slowest put took ${Math.round(slowestMs)} ms`);
      assert(slowestMs < 5_000);
    }));
});
