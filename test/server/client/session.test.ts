import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, suite, test } from 'node:test';
import { LeaseLostError } from '../../../server/client/errors.ts';
import { type Leases, Session } from '../../../server/client/session.ts';

/** Time and the server both stand still until the test moves them. */
class FakeLeases implements Leases {
  readonly calls: string[] = [];
  renew: () => Promise<number> = async () => 9;

  async leaseGrant() {
    return { ID: 5n, TTL: 9 };
  }

  async leaseRevoke(id: bigint): Promise<void> {
    this.calls.push(`revoke ${id}`);
  }

  async leaseKeepAlive(): Promise<number> {
    this.calls.push('renew');
    return this.renew();
  }
}

suite('a session', () => {
  let nowMs = 0;
  let released = 0;
  const leases = () => new FakeLeases();
  const open = (of: FakeLeases) => Session.open(of, { closeWith: () => () => void released++ });
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 100) {
      nowMs += 100;
      mock.timers.tick(100);
      await new Promise(setImmediate);
    }
  };

  beforeEach(() => {
    nowMs = released = 0;
    mock.timers.enable({ apis: ['setTimeout'] });
    mock.method(performance, 'now', () => nowMs);
  });
  afterEach(() => {
    mock.timers.reset();
    mock.restoreAll();
  });

  test('renews at every third of its life', async () => {
    const fake = leases();
    const session = await open(fake);
    await pass(2_900);
    assert.deepEqual(fake.calls, []);
    await pass(200);
    assert.deepEqual(fake.calls, ['renew']);
    await pass(9_000);
    assert.equal(fake.calls.length, 4);
    assert.equal(session.isOpen, true);
    await session.end();
    assert.equal(fake.calls.at(-1), 'revoke 5');
    await pass(20_000);
    assert.equal(fake.calls.length, 5);
    assert.equal(session.lost.aborted, false);
    assert.equal(released, 1);
  });

  test('is lost when a renewal finds no lease', async () => {
    const fake = leases();
    const session = await open(fake);
    fake.renew = async () => 0;
    await pass(3_100);
    assert(session.lost.reason instanceof LeaseLostError);
    await session.end();
    assert.deepEqual(fake.calls, ['renew']);
    assert.throws(() => session.claim('a'), LeaseLostError);
  });

  test('is lost at the end of its life, counted from the last renewal that was answered', async () => {
    const fake = leases();
    const session = await open(fake);
    await pass(3_100);
    fake.renew = () => new Promise(() => {});
    await pass(8_700);
    assert.equal(session.lost.aborted, false);
    await pass(300);
    assert(session.lost.reason instanceof LeaseLostError);
    assert.equal(released, 1);
  });

  test('tries again after a failure', async () => {
    const fake = leases();
    const session = await open(fake);
    const failure = new Error('down');
    fake.renew = async () => {
      throw failure;
    };
    await pass(7_000);
    assert(fake.calls.length > 4, String(fake.calls.length));
    fake.renew = async () => 9;
    await pass(20_000);
    assert.equal(session.lost.aborted, false);
    fake.renew = async () => {
      throw failure;
    };
    await pass(9_200);
    assert.equal(session.lost.reason.cause, failure);
  });

  test('gives each name to one holder', async () => {
    const session = await open(leases());
    const giveBack = session.claim('a');
    assert.throws(() => session.claim('a'), /already holds/);
    session.claim('b');
    giveBack();
    session.claim('a');
    session.close();
    assert.throws(() => session.claim('c'), /closed/);
  });
});
