import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quorumOf } from '../../operator/resources/budget.ts';
import { type Random, randomBelow } from '../../server/base/random.ts';
import { clusterPath, Violation, World } from './support/world.ts';

// The operator as shipped (observe, plan, act, status) against a world in memory, with every invariant of
// reference/reliability.md §3.5 checked at each of its writes.

const seedCount = Number(process.env['OPERATOR_SEEDS'] ?? 20);
const firstSeed = Number(process.env['OPERATOR_SEED'] ?? 1);
/** 1 tries every write as the one at which the operator ends. */
const crashStride = Number(process.env['OPERATOR_CRASH_STRIDE'] ?? 15);
const passesMax = 400;

test('three members come up one by one, then nothing is written any more', async () => {
  const world = new World(seeded(1));
  world.createCluster(3);
  await converge(world);
  assertConverged(world, 3);
  await assertIdle(world);
  const status = world.cluster?.status;
  assert.equal(status?.ready, '3/3');
  assert.deepEqual(
    status?.members?.map((member) => member.name),
    ['demo-1', 'demo-2', 'demo-3'],
  );
  assert.equal(status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True');
});

test('a lost pod comes back as the same member on the same volume', async () => {
  const world = new World(seeded(2));
  world.createCluster(3);
  await converge(world);
  const before = identities(world);
  for (const pod of world.pods()) world.deleteObject(pod);
  await converge(world);
  assert.deepEqual(identities(world), before);
});

test('a deleted volume is replaced by a new member', async () => {
  const world = new World(seeded(3));
  world.createCluster(3);
  await converge(world);
  const [first] = world.volumes();
  assert.ok(first);
  world.deleteObject(first);
  await converge(world);
  assertConverged(world, 3);
  assert.deepEqual(names(world), ['demo-2', 'demo-3', 'demo-4']);
});

test('Retain keeps the volumes, and a StoreCluster of the same name does not take them', async () => {
  const world = new World(seeded(4));
  world.createCluster(3, 'Retain');
  await converge(world);
  world.deleteCluster();
  await converge(world);
  assert.ok(!world.kube.objects.has(clusterPath));
  assert.deepEqual([world.pods().length, world.volumes().length], [0, 3]);
  world.createCluster(1);
  await turns(world, 30);
  assert.equal(world.cluster?.status?.plan?.reason, 'ForeignVolumes');
  assert.equal(world.pods().length, 0);
});

test('Delete takes the volumes along', async () => {
  const world = new World(seeded(5));
  world.createCluster(3, 'Delete');
  await converge(world);
  world.deleteCluster();
  await converge(world);
  assert.equal(world.kube.objects.size, 0);
});

for (const when of ['before', 'after'] as const) {
  test(`an operator that ends ${when} a write goes on where it was`, async () => {
    const writes = await scenario(-1, when);
    assert.ok(writes > 60, `${writes} writes`);
    for (let crashAt = 0; crashAt < writes; crashAt += crashStride) await scenario(crashAt, when);
  });
}

test(`${seedCount} random histories keep the invariants and converge`, async () => {
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed += 1) {
    try {
      await randomHistory(seed);
    } catch (error) {
      const again = `OPERATOR_SEED=${seed} OPERATOR_SEEDS=1 node --test dist/test/operator/convergence.test.js`;
      throw new Error(`seed ${seed}: ${String(error)}; again: ${again}`, { cause: error });
    }
  }
});

/** Up to 3, to 5, down to 1, up to 3, gone; the operator's `crashAt`-th write fails. Returns how many writes it took. */
async function scenario(crashAt: number, when: 'before' | 'after'): Promise<number> {
  const world = new World(seeded(7));
  let count = 0;
  const crash = () => {
    count += 1;
    if (count - 1 === crashAt) throw new Error('the operator ends here');
  };
  addHook(world, when, crash);
  world.createCluster(3, 'Delete');
  await converge(world);
  for (const replicas of [5, 1, 3]) {
    world.scale(replicas);
    await converge(world);
    assertConverged(world, replicas);
  }
  world.deleteCluster();
  await converge(world);
  assert.equal(world.kube.objects.size, 0);
  return count;
}

/** The checks come first: what never happens needs no checking, what happens and loses its answer does. */
function addHook(world: World, when: 'before' | 'after', crash: () => void): void {
  const { kube, admin } = world;
  if (when === 'after') {
    kube.hooks.after = crash;
    admin.hooks.after = crash;
    return;
  }
  const [checkWrite, checkChange] = [kube.hooks.before, admin.hooks.before];
  kube.hooks.before = (verb, path, present) => {
    checkWrite?.(verb, path, present);
    crash();
  };
  admin.hooks.before = (verb, store, id) => {
    checkChange?.(verb, store, id);
    crash();
  };
}

async function randomHistory(seed: number): Promise<void> {
  const random = seeded(seed);
  const world = new World(random);
  let faulty = true;
  const maybeFail = () => {
    if (faulty && randomBelow(random, 12) === 0) throw new Error('the answer is lost');
  };
  addHook(world, randomBelow(random, 2) === 0 ? 'before' : 'after', maybeFail);
  world.createCluster(1 + randomBelow(random, 5));
  world.kube.lag = (path) => (faulty && path === clusterPath ? lagOf(random) : 0);
  let late: (() => Promise<void>) | undefined;
  for (let step = 0; step < 300; step += 1) {
    await world.pass();
    if (randomBelow(random, 10) === 0) {
      await late?.();
      late = await world.latePass();
    }
    if (randomBelow(random, 3) > 0) world.turn();
    if (randomBelow(random, 15) === 0) disturb(world, random);
  }
  faulty = false;
  world.startProcesses();
  await converge(world);
  assertConverged(world, world.cluster?.spec.replicas ?? 0);
  await assertIdle(world);
}

/** Mostly none. */
function lagOf(random: Random): number {
  return Math.max(0, randomBelow(random, 20) - 16);
}

function disturb(world: World, random: Random): void {
  const pod = pick(world.pods(), random);
  switch (randomBelow(random, 7)) {
    case 0:
      return world.scale(1 + randomBelow(random, 5));
    case 1:
      return pod && world.deleteObject(pod);
    case 2:
      return pod && world.evict(pod);
    case 3:
      return pod && world.stopProcess(pod);
    case 4:
      return world.startProcesses();
    case 5:
      return removeByHand(world, random);
    default:
      return loseVolume(world, random);
  }
}

/** What `etcdctl member remove` does. */
function removeByHand(world: World, random: Random): void {
  const store = world.store();
  const member = pick(store?.members ?? [], random);
  if (store === undefined || member === undefined || member.id === store.leaderId) return;
  const left = store.runningVoters().filter((voter) => voter !== member).length;
  const voters = store.voters().filter((voter) => voter !== member).length;
  if (!store.hasQuorum() || left < quorumOf(voters)) return;
  store.remove(member.id);
  // Between joining and the record of its id nobody can know that it ever joined: its name may join again.
  store.peerUrls.delete(member.peerUrl);
}

/** Never so many that the store cannot live on: nothing could bring that back. */
function loseVolume(world: World, random: Random): void {
  const store = world.store();
  const volume = pick(world.volumes(), random);
  const lost = world.volumes().filter(({ metadata }) => metadata.deletionTimestamp !== undefined);
  const names = new Set(world.volumes().map(({ metadata }) => metadata.name));
  const bare =
    store?.members.filter((member) => member.name !== '' && !names.has(member.name)) ?? [];
  const voters = store?.voters().length ?? 0;
  if (volume === undefined || voters < 3 || lost.length + bare.length > 0) return;
  world.deleteObject(volume);
}

function pick<T>(items: readonly T[], random: Random): T | undefined {
  return items[randomBelow(random, Math.max(1, items.length))];
}

/** Until the operator has nothing to do; then 20 passes that write nothing. */
async function converge(world: World): Promise<void> {
  const done = () => world.cluster === undefined || world.cluster.status?.plan?.decision === 'Idle';
  await turns(world, 3);
  for (let passes = 0; !(done() && isQuiet(world)); passes += 1) {
    if (passes > passesMax) throw new Violation(`O7: not converged: ${explain(world)}`);
    await turns(world, 1);
  }
}

async function assertIdle(world: World): Promise<void> {
  const { writes } = world;
  await turns(world, 20);
  assert.equal(world.writes, writes, `O7: writes though converged: ${explain(world)}`);
}

function isQuiet(world: World): boolean {
  return [...world.pods(), ...world.volumes()].every(
    ({ metadata }) => metadata.deletionTimestamp === undefined,
  );
}

async function turns(world: World, count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    await world.pass();
    world.turn();
  }
}

/** O6 and O10: exactly the wanted members, each with its pod and volume, and a status that says so. */
function assertConverged(world: World, replicas: number): void {
  const store = world.store();
  assert.ok(store);
  const memberNames = store.members.map((member) => member.name).sort();
  assert.equal(memberNames.length, replicas);
  assert.ok(store.members.every((member) => !member.learner && store.running.has(member.id)));
  assert.deepEqual(names(world), memberNames);
  assert.deepEqual(
    world
      .pods()
      .map(({ metadata }) => metadata.name)
      .sort(),
    memberNames,
  );
  const status = world.cluster?.status;
  assert.equal(status?.ready, `${replicas}/${replicas}`);
  assert.deepEqual(status?.members?.map((member) => member.name).sort(), memberNames);
  const leader = store.members.find((member) => member.id === store.leaderId)?.name;
  assert.equal(status?.leader, leader);
}

function names(world: World): string[] {
  return world
    .volumes()
    .map(({ metadata }) => metadata.name)
    .sort();
}

function identities(world: World): unknown {
  const volumes = world.volumes().map(({ metadata }) => [metadata.name, metadata.uid]);
  const members = world.store()?.members.map(({ id, name }) => [id, name]);
  return { volumes, members };
}

function explain(world: World): string {
  const store = world.store();
  return JSON.stringify({ plan: world.cluster?.status?.plan, names: names(world), store });
}

/** mulberry32 */
function seeded(seed: number): Random {
  let state = seed;
  return {
    uint32() {
      state = (state + 0x6d2b79f5) | 0;
      let value = Math.imul(state ^ (state >>> 15), 1 | state);
      value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
      return (value ^ (value >>> 14)) >>> 0;
    },
  };
}
