import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lease } from '../../../operator/api/objects.ts';
import {
  LeaderLease,
  leaderLeaseDefaults,
  NotLeaderError,
} from '../../../operator/kube/leader-lease.ts';
import { objectPath } from '../../../operator/kube/paths.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const path = objectPath('Lease', { namespace: 'ns', name: 'operator' });

function candidate(kube: FakeKube, clock: VirtualClock, identity: string) {
  return new LeaderLease(
    { kube, clock, logger: silentLogger },
    { ...leaderLeaseDefaults, namespace: 'ns', name: 'operator', identity },
  );
}

test('the first takes it, the second waits until it is given back', async () => {
  const [kube, clock] = [new FakeKube(), new VirtualClock()];
  const [a, b] = [candidate(kube, clock, 'a'), candidate(kube, clock, 'b')];
  const [stopA, stopB] = [new AbortController(), new AbortController()];
  await a.acquire(stopA.signal);
  a.fence();
  const heldByA = a.hold(stopA.signal);
  const acquiredByB = b.acquire(stopB.signal);
  await clock.advance(60_000);
  assert.deepEqual([a.isHeld(), b.isHeld()], [true, false]);
  assert.throws(b.fence, NotLeaderError);
  stopA.abort();
  await heldByA;
  assert.equal(a.isHeld(), false);
  await clock.advance(2_000);
  await acquiredByB;
  assert.equal(b.isHeld(), true);
  const { spec } = kube.read(path) as unknown as Lease;
  assert.deepEqual([spec.holderIdentity, spec.leaseTransitions], ['b', 1]);
});

test('who cannot renew stops writing before another may begin', async () => {
  const [kube, clock] = [new FakeKube(), new VirtualClock()];
  const [a, b] = [candidate(kube, clock, 'a'), candidate(kube, clock, 'b')];
  const never = new AbortController();
  await a.acquire(never.signal);
  const heldByA = a.hold(never.signal);
  const acquiredByB = b.acquire(never.signal);
  kube.hooks.before = (verb, _path, present) => {
    const holder = (present as unknown as Lease | undefined)?.spec.holderIdentity;
    if (verb === 'replace' && holder === 'a' && clock.nowMs() < 12_000) throw new Error('timeout');
  };
  await clock.advance(9_000);
  assert.equal(a.isHeld(), true);
  await clock.advance(2_000);
  assert.deepEqual([a.isHeld(), b.isHeld()], [false, false]);
  await heldByA;
  await clock.advance(8_000);
  await acquiredByB;
  assert.equal(b.isHeld(), true);
});

test('of two that see it expired one wins', async () => {
  const [kube, clock] = [new FakeKube(), new VirtualClock()];
  const never = new AbortController();
  await candidate(kube, clock, 'gone').acquire(never.signal);
  const [a, b] = [candidate(kube, clock, 'a'), candidate(kube, clock, 'b')];
  void a.acquire(never.signal);
  void b.acquire(never.signal);
  await clock.advance(20_000);
  assert.equal([a, b].filter((lease) => lease.isHeld()).length, 1);
});

test('a machine that was suspended has lost it, though its monotonic clock stood still', async () => {
  const [kube, clock] = [new FakeKube(), new VirtualClock()];
  let suspendedMs = 0;
  const wallMs = () => clock.wallMs() + suspendedMs;
  const after = clock.after.bind(clock);
  const lease = new LeaderLease(
    { kube, logger: silentLogger, clock: { nowMs: () => clock.nowMs(), after, wallMs } },
    { ...leaderLeaseDefaults, namespace: 'ns', name: 'operator', identity: 'a' },
  );
  await lease.acquire(new AbortController().signal);
  assert.equal(lease.isHeld(), true);
  suspendedMs = -60_000;
  assert.equal(lease.isHeld(), true, 'a clock that was set back is no reason');
  suspendedMs = 10_000;
  assert.throws(lease.fence, NotLeaderError);
});
