import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lease, Maintenance } from '../../server/proto/gen/rpc.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { needs } from '../support/tools.ts';
import { onlyWhole } from '../support/whole.ts';
import {
  Api,
  eventually,
  isOracle,
  type Store,
  settlesIn,
  sharedStore,
  times,
  withStore,
} from './support.ts';

// Acceptance cases 52 to 60: leases. They spend their time waiting, so they run side by side, each with keys of its own.

const three = sharedStore({ size: 3 });
const quick = { flags: ['--heartbeat-interval=50', '--election-timeout=500'] };
const notFound = '5 etcdserver: requested lease not found';

/** Resolves when the lease is gone everywhere. */
async function gone(store: Store, ID: bigint): Promise<void> {
  await eventually(async () => {
    for (const api of store.apis) assert(!(await api.leases()).includes(ID), 'the lease is there');
  });
}

/** Ends or stalls the leader, and resolves when another one leads. */
async function withoutLeader(store: Store, stop: 'SIGKILL' | 'SIGSTOP') {
  const leader = await store.leader();
  if (stop === 'SIGKILL') await leader.stop();
  else leader.signal('SIGSTOP');
  const others = store.cluster.members.filter((member) => member !== leader);
  const { header } = await eventually(async () => {
    const status = await store.of(others[0] ?? leader).status();
    const known = await store.of(others[1] ?? leader).status();
    assert(status.leader !== 0n && status.leader === known.leader, 'no new leader');
    const isOther = [status, known].some((one) => one.header?.memberId === status.leader);
    assert(isOther, 'still the old leader');
    return status;
  });
  return { leader, others, header };
}

suite('leases', { concurrency: 3 }, () => {
  const ctl = (): Etcdctl => new Etcdctl(three().cluster);
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await ctl().run(args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const granted = (text: string): string => /^lease ([0-9a-f]+) granted/.exec(text)?.[1] ?? '';

  test('52 TestLeaseGrantTimeToLive, TestLeaseGrantAndList', needs('etcdctl'), async () => {
    const ids = new Set<string>();
    for (let n = 0; n < 3; n++) {
      const id = granted(await run('lease', 'grant', '10'));
      ids.add(id);
      assert.match(
        await run('lease', 'timetolive', id),
        new RegExp(`^lease ${id} granted with TTL\\(10s\\), remaining\\((?:[5-9]|10)s\\)\n$`),
      );
    }
    await eventually(async () => {
      const listed = new Set((await run('lease', 'list')).split('\n'));
      assert([...ids].every((id) => listed.has(id)));
    });
    for (const id of ids) await run('lease', 'revoke', id);
  });

  test('52 TestLeaseGrantTimeToLiveExpired', needs('etcdctl'), async () => {
    const id = granted(await run('lease', 'grant', '2'));
    await run('put', 'expired', 'bar', `--lease=${id}`);
    assert.equal(await run('get', 'expired'), 'expired\nbar\n');
    await eventually(async () => assert.equal(await run('get', 'expired'), ''));
    assert.equal(await run('lease', 'timetolive', id), `lease ${id} already expired\n`);
  });

  test('52 TestLeaseGrantKeepAliveOnce', needs('etcdctl'), async () => {
    const id = granted(await run('lease', 'grant', '4'));
    await sleep(2_000);
    assert.equal(
      await run('lease', 'keep-alive', '--once', id),
      `lease ${id} keepalived with TTL(4)\n`,
    );
    await sleep(2_500);
    // It would be over by now.
    assert.match(await run('lease', 'timetolive', id), /granted with TTL\(4s\), remaining\(\ds\)/);
  });

  test('52 TestLeaseGrantRevoke', needs('etcdctl'), async () => {
    const id = granted(await run('lease', 'grant', '20'));
    await run('put', 'revoked', 'bar', `--lease=${id}`);
    assert.equal(await run('lease', 'revoke', id), `lease ${id} revoked\n`);
    assert.equal(await run('lease', 'timetolive', id), `lease ${id} already expired\n`);
    assert.equal(await run('get', 'revoked'), '');
  });

  test('53 TestV3LeaseGrantByID', async () => {
    const api = three().at(1);
    assert.equal((await api.grant(1, 1n)).ID, 1n);
    const again = { ID: 1n, TTL: 1 };
    assert.equal(
      await api.refusal(Lease.methods.leaseGrant, again),
      '9 etcdserver: lease already exists',
    );
    assert.equal((await api.grant(1, 2n)).ID, 2n);
  });

  test('53 TestV3LeaseNegativeID', () =>
    withStore({ size: 3 }, async (store) => {
      for (const [ID, key] of [
        [-1n, 'foo'],
        [2n ** 63n - 1n, 'bar'],
        [-(2n ** 63n), 'hello'],
      ] as const) {
        assert.equal((await store.at().grant(300, ID)).ID, ID);
        await store.at().put(key, 'value', { lease: ID });
      }
      const [restarted] = await store.followers();
      assert(restarted !== undefined);
      await restarted.stop();
      await restarted.start();
      store.disconnect();
      await eventually(() => store.of(restarted).put('ready'));
      for (const [ID, key] of [
        [-1n, 'foo'],
        [2n ** 63n - 1n, 'bar'],
        [-(2n ** 63n), 'hello'],
      ] as const) {
        await store.of(restarted).revoke(ID);
        const ranges = await Promise.all(store.apis.map((api) => api.range(key)));
        for (const { count, header } of ranges) {
          assert.deepEqual([count, header?.revision], [0, ranges[0]?.header?.revision]);
        }
      }
    }));

  test('53 TestV3LeaseExists, TestV3LeaseLeases', () =>
    withStore({}, async (store) => {
      const ids: bigint[] = [];
      for (let n = 0; n < 5; n++) {
        ids.push((await store.at().grant(30 + n)).ID);
        // In the order in which they expire.
        assert.deepEqual(await store.at().leases(), ids);
      }
      await store.cluster.member(0).stop();
      await store.cluster.member(0).start();
      store.disconnect();
      assert.deepEqual(new Set(await store.at().leases()), new Set(ids));
    }));

  test('54 TestV3LeaseExpire', async () => {
    const api = three().at(2);
    const { ID: lease } = await api.grant(2);
    const watch = await api.watching('expires');
    await api.put('expires', 'bar', { lease });
    assert.deepEqual(await watch.events(2), ['put expires=bar', 'delete expires']);
    assert.equal((await api.range('expires')).count, 0);
    assert.deepEqual([(await api.ttl(lease)).TTL, (await api.ttl(lease)).grantedTTL], [-1, 0]);
    watch.close();
  });

  test('54 TestV3LeaseKeepAlive', async () => {
    const api = three().at(0);
    const { ID: lease } = await api.grant(3);
    await api.put('kept', 'bar', { lease });
    const stream = api.stream(Lease.methods.leaseKeepAlive);
    for (let n = 0; n < 3; n++) {
      stream.send({ ID: lease });
      const { response } = await stream.find(n, () => true);
      assert.deepEqual([response.ID, response.TTL], [lease, 3]);
      await sleep(1_500);
    }
    assert.deepEqual(await api.values('kept'), ['bar']);
    await api.revoke(lease);
    assert.equal((await api.range('kept')).count, 0);
    stream.cancel();
  });

  test('54 TestLeaseKeepAliveNotFound', async () => {
    const api = three().at(1);
    const leases = await Promise.all(times(3, () => api.grant(5)));
    const [first, second, third] = leases.map(({ ID }) => ID);
    await api.revoke(second ?? 0n);
    const stream = api.stream(Lease.methods.leaseKeepAlive);
    // The one that is not there is told by a TTL of 0, and does not disturb the others.
    for (const ID of [first, second, third]) stream.send({ ID: ID ?? 0n });
    await stream.find(2, () => true);
    assert.deepEqual(
      stream.responses.map(({ ID, TTL }) => [ID, TTL]),
      [
        [first, 5],
        [second, 0],
        [third, 5],
      ],
    );
    stream.cancel();
  });

  test('55 TestV3LeaseSwitch', async () => {
    const api = three().at();
    const [{ ID: one }, { ID: two }] = [await api.grant(30), await api.grant(30)];
    await api.put('switched', '', { lease: one });
    await api.put('switched', '', { lease: two });
    await api.revoke(one);
    assert.equal((await api.range('switched')).count, 1);
    await api.revoke(two);
    assert.equal((await api.range('switched')).count, 0);
  });

  test('55 TestV3LeaseRecoverKeyWithDetachedLease, TestV3LeaseRecoverKeyWithMultipleLease', () =>
    withStore({}, async (store) => {
      const api = store.at();
      const [{ ID: one }, { ID: two }] = [await api.grant(300), await api.grant(300)];
      const { ID: detached } = await api.grant(300);
      await api.put('detached', 'bar', { lease: detached });
      await api.put('detached', 'bar');
      await api.put('twice', 'bar', { lease: one });
      await api.put('twice', 'bar', { lease: two });
      await store.cluster.member(0).stop();
      await store.cluster.member(0).start();
      store.disconnect();
      assert.equal((await store.at().leases()).length, 3);
      await store.at().revoke(detached);
      assert.equal((await store.at().range('detached')).count, 1);
      await store.at().revoke(one);
      assert.equal((await store.at().range('twice')).count, 1);
      await store.at().revoke(two);
      assert.equal((await store.at().range('twice')).count, 0);
    }));

  test('56 TestV3LeaseRecoverAndRevoke, TestV3LeaseRevokeAndRecover', () =>
    withStore({}, async (store) => {
      const api = store.at();
      const [{ ID: kept }, { ID: revoked }] = [await api.grant(300), await api.grant(300)];
      await api.put('kept', 'bar', { lease: kept });
      await api.put('revoked', 'bar', { lease: revoked });
      await api.revoke(revoked);
      await store.cluster.member(0).stop();
      await store.cluster.member(0).start();
      store.disconnect();
      assert.deepEqual(await store.at().leases(), [kept]);
      assert.equal((await store.at().range('revoked')).count, 0);
      assert.equal(await store.at().refusal(Lease.methods.leaseRevoke, { ID: revoked }), notFound);
      assert.equal((await store.at().range('kept')).count, 1);
      await store.at().revoke(kept);
      assert.equal((await store.at().range('kept')).count, 0);
    }));

  test('57 TestV3LeasePromote', () =>
    withStore({ size: 3, ...quick }, async (store) => {
      const { ID: lease } = await store.at().grant(5);
      const begun = performance.now();
      await sleep(3_500);
      const { others } = await withoutLeader(store, 'SIGKILL');
      const [asked] = others;
      assert(asked !== undefined);
      const api = store.of(asked);
      // Begun anew by the leader that took over, so that nobody loses what he could not renew.
      await sleep(Math.max(0, 5_300 - (performance.now() - begun)));
      assert((await api.leases()).includes(lease), 'expired as if nothing had been');
      await eventually(async () => {
        assert(!(await api.leases()).includes(lease), 'the lease does not expire');
      });
    }));

  test('57 TestV3LeaseFailover', () =>
    withStore({ size: 3, ...quick }, async (store) => {
      const { ID: lease } = await store.at().grant(3);
      const { leader, others } = await withoutLeader(store, 'SIGSTOP');
      const [asked] = others;
      assert(asked !== undefined);
      const ttl = await eventually(() => store.of(asked).keepAlive(lease));
      assert.equal(ttl, 3);
      leader.signal('SIGCONT');
      await sleep(2_000);
      assert((await store.of(leader).leases()).includes(lease));
      await gone(store, lease);
    }));

  test('57 TestV3LeaseFailureOverlap', onlyWhole, () =>
    withStore({ size: 3, ...quick }, async (store) => {
      const [stopped] = await store.followers();
      assert(stopped !== undefined);
      const asked = store.cluster.members.find((member) => member !== stopped);
      assert(asked !== undefined);
      const api = store.of(asked);
      const sessions = (): Promise<unknown> =>
        Promise.all(
          times(5, async () => {
            const { ID } = await api.grant(60);
            await api.keepAlive(ID);
            await api.revoke(ID);
          }),
        );
      const before = sessions();
      await stopped.stop();
      await Promise.all([before, sessions()]);
      const last = sessions();
      await stopped.start();
      await Promise.all([last, sessions()]);
      assert.deepEqual(await api.leases(), []);
    }),
  );

  for (const [name, isOwnMember] of [
    ['59 TestLeaseRevoke_IgnoreOldLeader', false],
    ['59 TestLeaseRevoke_ClientSwitchToOtherMember', true],
  ] as const) {
    test(name, isOwnMember ? {} : onlyWhole, () =>
      withStore({ size: 3, ...quick }, async (store) => {
        const leader = await store.leader();
        const [follower] = await store.followers();
        assert(follower !== undefined);
        const { ID: lease } = await store.of(follower).grant(5);
        // Renewed over the leader itself until it stalls, or over another member all along.
        await store.of(isOwnMember ? leader : follower).keepAlive(lease);
        await withoutLeader(store, 'SIGSTOP');
        const renewing = setInterval(() => {
          store.of(follower).channel.stream(Lease.methods.leaseKeepAlive).send({ ID: lease });
        }, 500).unref();
        await store.of(follower).put('foo', 'bar');
        await sleep(5_500);
        // By its own clock the lease is over for the member that led when it stalled.
        leader.signal('SIGCONT');
        await sleep(1_500);
        for (const member of [leader, follower]) {
          assert((await store.of(member).leases()).includes(lease), 'a stalled leader has revoked');
        }
        clearInterval(renewing);
      }),
    );
  }

  test('59 TestLeaseRevokeDuringRenew', async () => {
    const api = three().at();
    for (let n = 0; n < 20; n++) {
      const { ID } = await api.grant(60);
      const [ttl] = await Promise.all([
        three()
          .at(n % 3)
          .keepAlive(ID),
        api.revoke(ID),
      ]);
      // Before it, or after it; never does a renewal bring back what is revoked.
      assert(ttl === 60 || ttl === 0, `TTL ${ttl}`);
      assert.equal(await api.keepAlive(ID), 0);
      assert.equal((await api.ttl(ID)).TTL, -1);
    }
  });

  test('60 TestV3LeaseTimeToLiveWithLeaderChanged', () =>
    withStore({ size: 3 }, async (store) => {
      const { ID: lease } = await store.at().grant(300);
      const ids = (await store.at().members()).map(({ ID }) => ID);
      const answers = new Map<string, number>();
      let isOver = false;
      const asking = store.apis.map(async (api) => {
        while (!isOver) {
          const outcome = await api.channel.call(Lease.methods.leaseTimeToLive, { ID: lease });
          if (outcome.kind === 'ok') {
            const { TTL, grantedTTL } = outcome.response;
            assert(TTL > 290 && grantedTTL === 300, `TTL ${TTL} of ${grantedTTL}`);
          } else {
            // To try again; never that the lease is not there.
            assert.equal(outcome.code, 14, outcome.message);
          }
          const text = outcome.kind === 'ok' ? 'ok' : outcome.message;
          answers.set(text, (answers.get(text) ?? 0) + 1);
        }
      });
      for (let n = 0; n < 4; n++) {
        const leader = store.of(await store.leader());
        const own = (await leader.status()).header?.memberId;
        const targetID = ids.find((id) => id !== own) ?? 0n;
        await leader.call(Maintenance.methods.moveLeader, { targetID });
      }
      isOver = true;
      await Promise.all(asking);
      assert((answers.get('ok') ?? 0) > 0);
    }));

  test('60 TestLeaseRenewLostQuorum', onlyWhole, () =>
    withStore({ size: 3, ...quick }, async (store) => {
      const [alone, ...others] = store.cluster.members;
      assert(alone !== undefined);
      const { ID: lease } = await store.of(alone).grant(10);
      assert.equal(await store.of(alone).keepAlive(lease), 10);
      await Promise.all(others.map((member) => member.stop()));
      // Long enough that it knows that it is alone.
      await sleep(1_500);
      const api = new Api(alone.clientUrl);
      const stream = api.stream(Lease.methods.leaseKeepAlive);
      stream.send({ ID: lease });
      // Nothing, or an error: not that it was renewed.
      await settlesIn(
        stream.find(0, () => true),
        1_000,
      );
      assert.deepEqual(stream.responses, []);
      await Promise.all(others.map((member) => member.start()));
      await eventually(async () => assert.equal(await store.of(alone).keepAlive(lease), 10));
      assert.deepEqual(await store.of(alone).leases(), [lease]);
      stream.cancel();
      api.close();
    }),
  );
});

test('58 TestV3LeaseCheckpoint, disabled', onlyWhole, () =>
  withStore({ size: 3, ...quick }, async (store) => {
    const { ID: lease } = await store.at().grant(300);
    await sleep(3_100);
    const { others } = await withoutLeader(store, 'SIGKILL');
    const [asked] = others;
    assert(asked !== undefined);
    // From the beginning again: nobody but the old leader knew how much was over.
    const { TTL } = await eventually(() => store.of(asked).ttl(lease));
    assert(TTL > 298, `TTL ${TTL}`);
  }),
);

const checkpointing = {
  size: 3,
  flags: [...quick.flags, '--experimental-enable-lease-checkpoint'],
  // Five minutes otherwise; etcd has no way to change it.
  environment: { MAINSTAY_LEASE_CHECKPOINT_MS: '1000' },
};
const timed = isOracle ? { skip: 'etcd writes checkpoints every five minutes only' } : onlyWhole;

test('58 TestV3LeaseCheckpoint, enabled', timed, () =>
  withStore(checkpointing, async (store) => {
    const { ID: lease } = await store.at().grant(600);
    for (let change = 1; change <= 2; change++) {
      await sleep(3_000);
      const { leader } = await withoutLeader(store, 'SIGKILL');
      // Over and over: the next leader goes on with it.
      await leader.start();
      store.disconnect();
      const { TTL } = await eventually(() => store.at().ttl(lease));
      assert(TTL > 500 && TTL <= 600 - 2 * change, `TTL ${TTL} after ${change} changes`);
    }
  }),
);
