import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { EtcdError } from '../../../server/base/errors.ts';
import { leaseTtlMax } from '../../../server/config/limits.ts';
import { Lessor } from '../../../server/lease/lessor.ts';
import { effectiveTtl, leaseTtlMin } from '../../../server/lease/ttl.ts';

class Setup {
  nowMs = 1000;
  /** Keys and values as hex. */
  readonly records = new Map<string, string>();
  readonly lessor = new Lessor({
    clock: { nowMs: () => this.nowMs },
    backend: {
      put: (key, value) => this.records.set(hex(key), hex(value)),
      delete: (key) => this.records.delete(hex(key)),
    },
  });

  /** Another lessor with what is durable of this one. */
  reopen(): Setup {
    const reopened = new Setup();
    reopened.lessor.restoreBegin();
    for (const [key, value] of this.records) {
      reopened.records.set(key, value);
      reopened.lessor.restoreRecord(Buffer.from(key, 'hex'), Buffer.from(value, 'hex'));
    }
    reopened.lessor.restoreEnd();
    return reopened;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function thrown(run: () => void): string {
  try {
    run();
  } catch (error) {
    if (error instanceof EtcdError) return error.error;
    throw error;
  }
  return 'nothing';
}

suite('checkpoints', () => {
  function checkpointed(intervalMs: number): Setup {
    const setup = new Setup();
    setup.lessor.checkpointEvery(intervalMs);
    setup.lessor.promote(0);
    return setup;
  }

  test('what is left of a long lease is due each interval, and survives a change of leader', () => {
    const setup = checkpointed(10_000);
    setup.lessor.grant(1n, 100);
    setup.lessor.grant(2n, 10);
    assert.deepEqual(setup.lessor.dueCheckpoints(9), []);
    setup.nowMs += 10_000;
    assert.deepEqual(setup.lessor.dueCheckpoints(9), [{ id: 1n, remainingTtl: 90 }]);
    assert.deepEqual(setup.lessor.dueCheckpoints(9), []);
    setup.lessor.checkpoint(1n, 90);
    setup.nowMs += 10_000;
    assert.deepEqual(setup.lessor.dueCheckpoints(9), [{ id: 1n, remainingTtl: 80 }]);
    setup.lessor.checkpoint(1n, 80);
    const next = setup.reopen();
    next.lessor.promote(1000);
    assert.equal(next.lessor.remaining(1n), 81);
    assert.equal(next.lessor.remaining(2n), 11);
  });

  test('a renewed lease has to forget its checkpoint, then it is whole again', () => {
    const setup = checkpointed(10_000);
    setup.lessor.grant(1n, 100);
    assert.equal(setup.lessor.hasCheckpoint(1n), false);
    setup.lessor.checkpoint(1n, 70);
    assert.equal(setup.lessor.hasCheckpoint(1n), true);
    setup.lessor.checkpoint(1n, 0);
    assert.equal(setup.lessor.hasCheckpoint(1n), false);
    assert.equal(setup.lessor.renew(1n).kind, 'renewed');
    assert.equal(setup.lessor.remaining(1n), 100);
  });

  test('a lease that nearly ended, was revoked, or whose lessor does not lead has none due', () => {
    const setup = checkpointed(10_000);
    setup.lessor.grant(1n, 100);
    setup.lessor.checkpoint(1n, 10);
    setup.lessor.grant(2n, 100);
    setup.lessor.revoke(2n);
    setup.lessor.grant(3n, 11);
    setup.nowMs += 50_000;
    assert.deepEqual(setup.lessor.dueCheckpoints(9), [], 'expired, or its rest is short');
    setup.lessor.grant(4n, 100);
    setup.lessor.demote();
    setup.nowMs += 10_000;
    assert.deepEqual(setup.lessor.dueCheckpoints(9), []);
  });

  test('without an interval, or above the number asked for, nothing', () => {
    const setup = checkpointed(0);
    setup.lessor.grant(1n, 1000);
    setup.nowMs += 500_000;
    assert.deepEqual(setup.lessor.dueCheckpoints(9), []);
    const other = checkpointed(1000);
    for (let id = 1n; id <= 5n; id++) other.lessor.grant(id, 100);
    other.nowMs += 1000;
    assert.equal(other.lessor.dueCheckpoints(3).length, 3);
    assert.equal(other.lessor.dueCheckpoints(3).length, 2);
  });
});

suite('TTL rules', () => {
  test('a short TTL is raised to 1.5 election timeouts, rounded up to seconds', () => {
    assert.equal(leaseTtlMin(1000), 2);
    assert.equal(leaseTtlMin(10_000), 15);
    for (const ttl of [Number.MIN_SAFE_INTEGER, -1, 0, 1, 2])
      assert.equal(effectiveTtl(ttl, 1000), 2);
    assert.equal(effectiveTtl(3, 1000), 3);
  });

  test('the longest TTL is granted and runs its whole course', () => {
    const setup = new Setup();
    setup.lessor.promote(1000);
    setup.lessor.grant(1n, leaseTtlMax);
    assert.equal(setup.lessor.remaining(1n), leaseTtlMax);
    setup.nowMs += (leaseTtlMax - 1) * 1000;
    assert.deepEqual(setup.lessor.expired(10), []);
    assert.equal(setup.lessor.remaining(1n), 1);
    setup.nowMs += 1000;
    assert.deepEqual(setup.lessor.expired(10), [1n]);
  });

  test('grants that are refused', () => {
    const { lessor, records } = new Setup();
    lessor.grant(7n, 60);
    assert.equal(
      thrown(() => lessor.grant(7n, 60)),
      'LeaseExists',
    );
    assert.equal(
      thrown(() => lessor.grant(0n, 60)),
      'LeaseNotFound',
    );
    assert.equal(
      thrown(() => lessor.grant(8n, leaseTtlMax + 1)),
      'LeaseTtlTooLarge',
    );
    assert.equal(
      thrown(() => lessor.grant(8n, Number.MAX_SAFE_INTEGER)),
      'LeaseTtlTooLarge',
    );
    assert.equal(
      thrown(() => lessor.revoke(9n)),
      'LeaseNotFound',
    );
    assert.equal(records.size, 1);
  });

  test('a client may choose a negative id', () => {
    const { lessor } = new Setup();
    lessor.grant(-5n, 60);
    assert.equal(lessor.has(-5n), true);
  });
});

suite('keys', () => {
  test('a key has one lease; the keys come sorted by bytes', () => {
    const { lessor } = new Setup();
    lessor.grant(1n, 60);
    lessor.grant(2n, 60);
    for (const key of ['b', '\xff', 'a', 'B']) lessor.attach(key, 1n);
    assert.deepEqual(lessor.keysOf(1n), ['B', 'a', 'b', '\xff']);
    lessor.attach('a', 2n);
    assert.deepEqual(lessor.keysOf(1n), ['B', 'b', '\xff']);
    assert.deepEqual(lessor.keysOf(2n), ['a']);
    assert.equal(lessor.leaseOf('a'), 2n);
    lessor.detach('a');
    assert.equal(lessor.leaseOf('a'), 0n);
    assert.deepEqual(lessor.keysOf(2n), []);
  });

  test('what was persisted is restored, without deadlines', () => {
    const setup = new Setup();
    setup.lessor.grant(1n, 60);
    setup.lessor.grant(2n, 70);
    setup.lessor.revoke(1n);
    setup.lessor.grant(-3n, leaseTtlMax);
    const restored = setup.reopen();
    restored.lessor.attachAll(new Map([['k', 2n]]));
    assert.deepEqual(restored.lessor.ids(), [-3n, 2n]);
    assert.deepEqual(restored.lessor.keysOf(2n), ['k']);
    assert.equal(restored.lessor.grantedTtl(-3n), leaseTtlMax);
    assert.equal(restored.lessor.grantedTtl(2n), 70);
    assert.equal(restored.lessor.isPrimary, false);
    restored.nowMs += 1e9;
    assert.deepEqual(restored.lessor.expired(10), []);
  });
});

suite('the primary', () => {
  test('a promotion gives every lease its full TTL and one election timeout', () => {
    const setup = new Setup();
    setup.lessor.grant(1n, 10);
    setup.nowMs += 1e6;
    setup.lessor.promote(1000);
    assert.equal(setup.lessor.remaining(1n), 11);
    setup.nowMs += 10_999;
    assert.deepEqual(setup.lessor.expired(10), []);
    setup.nowMs += 1;
    assert.deepEqual(setup.lessor.expired(10), [1n]);
  });

  test('a checkpoint shortens what the next primary gives', () => {
    const setup = new Setup();
    setup.lessor.grant(1n, 600);
    setup.lessor.checkpoint(1n, 200);
    setup.lessor.checkpoint(2n, 200);
    const { lessor } = setup.reopen();
    lessor.promote(1000);
    assert.equal(lessor.remaining(1n), 201);
    lessor.renew(1n);
    assert.equal(lessor.remaining(1n), 600);
  });

  test('more than 750 leases never expire within one second of a promotion', () => {
    const setup = new Setup();
    for (let id = 1n; id <= 3000n; id += 1n) setup.lessor.grant(id, id % 2n === 0n ? 10 : 11);
    setup.lessor.promote(1000);
    let total = 0;
    for (let second = 0; second < 20; second += 1) {
      const count = setup.lessor.expired(5000).length;
      assert.ok(count <= 750, `${count} in second ${second}`);
      if (second < 11) assert.equal(count, 0);
      total += count;
      for (const id of setup.lessor.ids())
        if (setup.lessor.remaining(id) === 0) revokeIfDue(setup, id);
      setup.nowMs += 1000;
    }
    assert.equal(total, 3000);
  });

  test('an expired lease cannot be renewed; it is offered again when its revocation is lost', () => {
    const setup = new Setup();
    setup.lessor.promote(0);
    setup.lessor.grant(1n, 5);
    setup.nowMs += 5000;
    assert.deepEqual(setup.lessor.renew(1n), { kind: 'expired' });
    assert.deepEqual(setup.lessor.expired(10), [1n]);
    assert.deepEqual(setup.lessor.expired(10), []);
    setup.nowMs += 3000;
    assert.deepEqual(setup.lessor.renew(1n), { kind: 'expired' });
    assert.deepEqual(setup.lessor.expired(10), [1n]);
  });

  test('who waits for a revocation hears of it, or of the demotion', () => {
    const { lessor } = new Setup();
    const heard: string[] = [];
    lessor.promote(0);
    lessor.grant(1n, 5);
    lessor.grant(2n, 5);
    lessor.whenRevoked(1n, (isRevoked) => heard.push(`1 ${isRevoked}`));
    lessor.whenRevoked(2n, (isRevoked) => heard.push(`2 ${isRevoked}`));
    lessor.whenRevoked(3n, (isRevoked) => heard.push(`3 ${isRevoked}`));
    lessor.revoke(1n);
    lessor.demote();
    lessor.whenRevoked(2n, (isRevoked) => heard.push(`2 ${isRevoked}`));
    assert.deepEqual(heard, ['3 true', '1 true', '2 false', '2 false']);
  });

  test('a member that does not lead neither renews nor expires', () => {
    const setup = new Setup();
    setup.lessor.promote(0);
    setup.lessor.grant(1n, 5);
    setup.lessor.demote();
    setup.nowMs += 1e6;
    assert.deepEqual(setup.lessor.renew(1n), { kind: 'notPrimary' });
    assert.equal(setup.lessor.remaining(1n), undefined);
    assert.deepEqual(setup.lessor.expired(10), []);
  });
});

/** Only what was offered leaves the queue; the test revokes in place of raft. */
function revokeIfDue(setup: Setup, id: bigint): void {
  if (setup.lessor.renew(id).kind === 'expired') setup.lessor.revoke(id);
}

type Step =
  | { kind: 'grant'; id: number; ttl: number }
  | { kind: 'revoke' | 'renew'; id: number }
  | { kind: 'pass'; seconds: number }
  | { kind: 'promote' | 'demote' | 'expire' };

const id = fc.integer({ min: 1, max: 6 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('grant' as const), id, ttl: fc.integer({ min: 2, max: 9 }) }),
  fc.record({ kind: fc.constantFrom('revoke' as const, 'renew' as const), id }),
  fc.record({ kind: fc.constant('pass' as const), seconds: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ kind: fc.constantFrom('promote' as const, 'demote' as const, 'expire' as const) }),
);

test('a lease expires when its TTL has passed since the last renewal or promotion, never before', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const setup = new Setup();
      const { lessor } = setup;
      const ttls = new Map<bigint, number>();
      const deadlines = new Map<bigint, number>();
      for (const step of steps) {
        const deadline = 'id' in step ? deadlines.get(BigInt(step.id)) : undefined;
        switch (step.kind) {
          case 'grant':
            assert.equal(
              thrown(() => lessor.grant(BigInt(step.id), step.ttl)),
              ttls.has(BigInt(step.id)) ? 'LeaseExists' : 'nothing',
            );
            if (ttls.has(BigInt(step.id))) break;
            ttls.set(BigInt(step.id), step.ttl);
            if (lessor.isPrimary) deadlines.set(BigInt(step.id), setup.nowMs + step.ttl * 1000);
            break;
          case 'revoke':
            assert.equal(
              thrown(() => lessor.revoke(BigInt(step.id))),
              ttls.has(BigInt(step.id)) ? 'nothing' : 'LeaseNotFound',
            );
            ttls.delete(BigInt(step.id));
            deadlines.delete(BigInt(step.id));
            break;
          case 'renew': {
            const renewal = lessor.renew(BigInt(step.id));
            if (!lessor.isPrimary) assert.equal(renewal.kind, 'notPrimary');
            else if (deadline === undefined) assert.equal(renewal.kind, 'unknown');
            else assert.equal(renewal.kind, deadline > setup.nowMs ? 'renewed' : 'expired');
            if (renewal.kind === 'renewed') {
              deadlines.set(BigInt(step.id), setup.nowMs + renewal.ttl * 1000);
            }
            break;
          }
          case 'pass':
            setup.nowMs += step.seconds * 1000;
            break;
          case 'promote':
            lessor.promote(1000);
            for (const [id, ttl] of ttls) deadlines.set(id, setup.nowMs + 1000 + ttl * 1000);
            break;
          case 'demote':
            lessor.demote();
            deadlines.clear();
            break;
          case 'expire': {
            const due = [...deadlines].filter(([, deadlineMs]) => deadlineMs <= setup.nowMs);
            const offered = lessor.expired(100);
            assert.deepEqual(new Set(offered), new Set(due.map(([id]) => id)));
            for (const id of offered) {
              lessor.revoke(id);
              ttls.delete(id);
              deadlines.delete(id);
            }
            break;
          }
        }
        assert.equal(lessor.size, ttls.size);
        const reopened = setup.reopen().lessor;
        assert.deepEqual(
          reopened.ids().map((id) => [id, reopened.grantedTtl(id)]),
          [...ttls].toSorted(([a], [b]) => Number(a - b)),
        );
      }
    }),
  );
});
