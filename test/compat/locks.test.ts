import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromLatin1 } from '../../server/base/bytes.ts';
import { PermissionType } from '../../server/proto/gen/auth.ts';
import { Election, type LeaderKey } from '../../server/proto/gen/election.ts';
import { Lock } from '../../server/proto/gen/lock.ts';
import { Auth, KV, Lease } from '../../server/proto/gen/rpc.ts';
import type { GrpcChannel, Headers, Outcome } from '../support/grpc.ts';
import { needs } from '../support/tools.ts';
import { comparable, type StoreUnderTest, withStores } from './store-under-test.ts';

// etcd's services for locks and elections, that its own etcdctl does not use: raw calls, on this store and on etcd.

const options = { ...needs('etcd'), timeout: 2 * 60_000 };
const bytes = fromLatin1;

type Case = (channel: GrpcChannel) => Promise<unknown>;

async function grant(channel: GrpcChannel, ID: bigint, TTL = 100): Promise<bigint> {
  const answer = await channel.call(Lease.methods.leaseGrant, { ID, TTL });
  assert.ok(answer.kind === 'ok');
  return ID;
}

async function keysBelow(channel: GrpcChannel, name: string) {
  const key = bytes(`${name}/`);
  const answer = await channel.call(KV.methods.range, { key, rangeEnd: bytes(`${name}0`) });
  assert.ok(answer.kind === 'ok');
  return answer.response.kvs;
}

/** Resolves when so many keys are below the name. */
async function contenders(channel: GrpcChannel, name: string, count: number): Promise<void> {
  while ((await keysBelow(channel, name)).length !== count) await sleep(20);
}

const lock = (channel: GrpcChannel, name: string, lease: bigint) =>
  channel.call(Lock.methods.lock, { name: bytes(name), lease });
const unlock = (channel: GrpcChannel, key: string) =>
  channel.call(Lock.methods.unlock, { key: bytes(key) });
const campaign = (channel: GrpcChannel, name: string, lease: bigint, value: string) =>
  channel.call(Election.methods.campaign, { name: bytes(name), lease, value: bytes(value) });
const proclaim = (channel: GrpcChannel, leader: LeaderKey | undefined, value: string) =>
  channel.call(Election.methods.proclaim, { leader, value: bytes(value) });
const resign = (channel: GrpcChannel, leader: LeaderKey | undefined) =>
  channel.call(Election.methods.resign, { leader });
const leaderOf = (channel: GrpcChannel, name: string) =>
  channel.call(Election.methods.leader, { name: bytes(name) });

function leaderIn(answer: Outcome<{ leader: LeaderKey | undefined }>): LeaderKey {
  assert.ok(answer.kind === 'ok' && answer.response.leader !== undefined);
  return answer.response.leader;
}

const cases: Record<string, Case> = {
  'a lock that is free, taken twice, and given back': async (channel) => {
    const lease = await grant(channel, 17n);
    const answers = [await lock(channel, 'l1', lease), await lock(channel, 'l1', lease)];
    const kvs = await keysBelow(channel, 'l1');
    const given = [await unlock(channel, 'l1/11'), await unlock(channel, 'l1/11')];
    return { answers, kvs, given, after: await keysBelow(channel, 'l1') };
  },
  'a lock without a lease': async (channel) => {
    const answer = await lock(channel, 'l2', 0n);
    assert.ok(answer.kind === 'ok');
    const [kv] = await keysBelow(channel, 'l2');
    const ID = kv?.lease ?? 0n;
    const time = await channel.call(Lease.methods.leaseTimeToLive, { ID });
    assert.ok(time.kind === 'ok');
    assert.equal(Buffer.from(answer.response.key).toString(), `l2/${ID.toString(16)}`);
    return time.response.grantedTTL;
  },
  'a lock with a lease that there is not': (channel) => lock(channel, 'l3', 99n),
  'a lease with a negative id': async (channel) => lock(channel, 'l4', await grant(channel, -255n)),
  'a lock without a name': async (channel) => lock(channel, '', await grant(channel, 18n)),
  'no key to unlock': (channel) => unlock(channel, ''),
  'three who wait in line, one of whom gives up': async (channel) => {
    const leases = [];
    for (const id of [21n, 22n, 23n]) leases.push(await grant(channel, id));
    const [first = 0n, , third = 0n] = leases;
    const held = await lock(channel, 'l5', first);
    const giving = channel.stream(Lock.methods.lock);
    giving.send({ name: bytes('l5'), lease: 22n });
    await contenders(channel, 'l5', 2);
    const waiting = lock(channel, 'l5', third);
    await contenders(channel, 'l5', 3);
    giving.cancel();
    await contenders(channel, 'l5', 2);
    await unlock(channel, 'l5/15');
    return { held, got: await waiting, kvs: await keysBelow(channel, 'l5') };
  },
  'a lock whose holder expires': async (channel) => {
    await lock(channel, 'l6', await grant(channel, 31n));
    const waiting = lock(channel, 'l6', await grant(channel, 32n));
    await contenders(channel, 'l6', 2);
    await channel.call(Lease.methods.leaseRevoke, { ID: 31n });
    return waiting;
  },
  'a waiter whose own lease expires': async (channel) => {
    await lock(channel, 'l7', await grant(channel, 33n));
    const waiting = lock(channel, 'l7', await grant(channel, 34n));
    await contenders(channel, 'l7', 2);
    await channel.call(Lease.methods.leaseRevoke, { ID: 34n });
    await channel.call(Lease.methods.leaseRevoke, { ID: 33n });
    return waiting;
  },
  'an election of one': async (channel) => {
    const won = await campaign(channel, 'e1', await grant(channel, 41n), 'one');
    const again = await campaign(channel, 'e1', 41n, 'two');
    const leader = leaderIn(won);
    return {
      won,
      again,
      is: await leaderOf(channel, 'e1'),
      said: await proclaim(channel, leader, 'three'),
      now: await leaderOf(channel, 'e1'),
      left: await resign(channel, leader),
      none: await leaderOf(channel, 'e1'),
      late: await proclaim(channel, leader, 'four'),
      twice: await resign(channel, leader),
    };
  },
  'no leader is given': async (channel) => [
    await proclaim(channel, undefined, 'x'),
    await resign(channel, undefined),
  ],
  'a leader key of an earlier life': async (channel) => {
    const leader = leaderIn(await campaign(channel, 'e2', await grant(channel, 42n), 'one'));
    await resign(channel, leader);
    await campaign(channel, 'e2', 42n, 'two');
    return [
      await proclaim(channel, leader, 'x'),
      await resign(channel, leader),
      await leaderOf(channel, 'e2'),
    ];
  },
  'a candidate who waits, and one who gives up': async (channel) => {
    const leader = leaderIn(await campaign(channel, 'e3', await grant(channel, 43n), 'one'));
    await grant(channel, 44n);
    const giving = channel.stream(Election.methods.campaign);
    giving.send({ name: bytes('e3'), lease: 44n, value: bytes('two') });
    await contenders(channel, 'e3', 2);
    const waiting = campaign(channel, 'e3', await grant(channel, 45n), 'three');
    await contenders(channel, 'e3', 3);
    giving.cancel();
    await contenders(channel, 'e3', 2);
    await resign(channel, leader);
    const won = await waiting;
    return {
      leader: won.kind === 'ok' ? won.response.leader : won,
      kvs: await keysBelow(channel, 'e3'),
    };
  },
  'a campaign with a lease that there is not': (channel) => campaign(channel, 'e4', 98n, 'x'),
  'what an observer sees': async (channel) => {
    const observing = channel.stream(Election.methods.observe);
    observing.send({ name: bytes('e5') });
    observing.halfClose();
    // Nothing says when the observer is there; what comes before it, it sees all the same.
    await sleep(200);
    const leader = leaderIn(await campaign(channel, 'e5', await grant(channel, 46n), 'one'));
    await observing.find(0, ({ kv }) => text(kv?.value) === 'one');
    await proclaim(channel, leader, 'two');
    await observing.find(1, ({ kv }) => text(kv?.value) === 'two');
    await resign(channel, leader);
    await campaign(channel, 'e5', await grant(channel, 47n), 'three');
    await observing.find(2, ({ kv }) => text(kv?.value) === 'three');
    observing.cancel();
    return observing.responses;
  },
};

function text(value: Uint8Array | undefined): string {
  return Buffer.from(value ?? []).toString();
}

test('locks and elections answer as those of etcd', options, (context) =>
  withStores({}, async (stores: readonly [StoreUnderTest, StoreUnderTest]) => {
    for (const [name, run] of Object.entries(cases)) {
      await context.test(name, async () => {
        const [base] = await Promise.all(stores.map((store) => store.clear()));
        const [tested, etcd] = await Promise.all(
          stores.map(async ({ channel }) => comparable(await run(channel), base ?? 0)),
        );
        assert.deepEqual(tested, etcd);
      });
    }
  }),
);

/** A store in which the user `a` may do everything with the keys of the lock `mine`. */
async function withAuth(channel: GrpcChannel): Promise<Headers> {
  const { methods } = Auth;
  const done = async (outcome: Promise<Outcome<unknown>>): Promise<void> => {
    assert.equal((await outcome).kind, 'ok');
  };
  for (const [name, role] of [
    ['root', 'root'],
    ['a', 'locker'],
  ] as const) {
    await done(channel.call(methods.userAdd, { name, password: 'p' }));
    await done(channel.call(methods.roleAdd, { name: role }));
    await done(channel.call(methods.userGrantRole, { user: name, role }));
  }
  const [key, rangeEnd] = [bytes('mine/'), bytes('mine0')];
  const perm = { permType: PermissionType.READWRITE, key, rangeEnd };
  await done(channel.call(methods.roleGrantPermission, { name: 'locker', perm }));
  await done(channel.call(methods.authEnable, {}));
  const answer = await channel.call(methods.authenticate, { name: 'a', password: 'p' });
  assert.ok(answer.kind === 'ok');
  return { token: answer.response.token };
}

test('locks and elections are made with the rights of who calls', options, () =>
  withStores({}, async (stores) => {
    const [tested, etcd] = await Promise.all(
      stores.map(async ({ channel }) => {
        const user = await withAuth(channel);
        const [mine, others] = [bytes('mine'), bytes('others')];
        const granted = await channel.call(Lease.methods.leaseGrant, { ID: 9n, TTL: 60 }, user);
        const key = { name: mine, key: bytes('mine/9'), rev: 1, lease: 9n };
        const answers: unknown[] = [granted];
        for (const headers of [user, {}, { token: 'none.5' }]) {
          answers.push(
            await channel.call(Lock.methods.lock, { name: mine, lease: 9n }, headers),
            await channel.call(Lock.methods.lock, { name: mine, lease: 0n }, {}),
            await channel.call(Lock.methods.lock, { name: others, lease: 9n }, headers),
            await channel.call(Lock.methods.unlock, { key: bytes('others/9') }, headers),
            await channel.call(Election.methods.leader, { name: mine }, headers),
            await channel.call(Election.methods.leader, { name: others }, headers),
            await channel.call(Election.methods.proclaim, { leader: key, value: mine }, headers),
            await channel.call(Election.methods.resign, { leader: key }, headers),
          );
        }
        const observing = channel.stream(Election.methods.observe);
        observing.send({ name: mine });
        observing.halfClose();
        answers.push(await observing.ended());
        return comparable(answers, 0);
      }),
    );
    assert.deepEqual(tested, etcd);
  }),
);
