import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EtcdError } from '../../../server/base/errors.ts';
import { Quota } from '../../../server/member/quota.ts';
import type { ProposalDone } from '../../../server/propose/proposer.ts';
import type { InternalRequestRequest } from '../../../server/proto/gen/internal.ts';
import { AlarmAction, AlarmType } from '../../../server/proto/gen/rpc.ts';

class Bench {
  sizeBytes = 100;
  isRaised = false;
  isCounted = true;
  readonly proposed: InternalRequestRequest[] = [];
  done: ProposalDone = () => {};
  readonly quota: Quota;

  constructor(quotaBytes: number) {
    this.quota = new Quota(
      {
        backend: Object.defineProperty({ sizeBytes: 0 }, 'sizeBytes', {
          get: () => this.sizeBytes,
        }),
        alarms: { isRaised: () => this.isRaised },
        isCounted: () => this.isCounted,
        propose: (request, done) => {
          this.proposed.push(request);
          this.done = done;
        },
      },
      { memberId: 7n, quotaBytes },
    );
  }
}

suite('quota', () => {
  test('an entry that fills it raises NOSPACE for this member, once', () => {
    const bench = new Bench(1000);
    bench.quota.applied(899);
    assert.deepEqual(bench.proposed, []);
    bench.quota.applied(900);
    bench.quota.applied(900);
    const value = { action: AlarmAction.ACTIVATE, memberID: 7n, alarm: AlarmType.NOSPACE };
    assert.deepEqual(bench.proposed, [{ kind: 'alarm', value }]);
    bench.isRaised = true;
    bench.done(undefined, { revision: 1 });
    bench.quota.applied(900);
    assert.equal(bench.proposed.length, 1);
  });

  test('what adds nothing does not raise it, also above the quota', () => {
    const bench = new Bench(1000);
    bench.sizeBytes = 5000;
    bench.quota.applied(0);
    assert.deepEqual(bench.proposed, []);
  });

  test('an observer without room raises no alarm: everybody would stop writing for it', () => {
    const bench = new Bench(1000);
    bench.isCounted = false;
    bench.quota.applied(5000);
    assert.deepEqual(bench.proposed, []);
    bench.isCounted = true;
    bench.quota.applied(5000);
    assert.equal(bench.proposed.length, 1);
  });

  test('where raising failed, the next entry raises it', () => {
    const bench = new Bench(1000);
    bench.quota.applied(1000);
    bench.done(new EtcdError('Timeout'), undefined);
    bench.quota.applied(1000);
    assert.equal(bench.proposed.length, 2);
  });

  test('a negative quota is none', () => {
    const bench = new Bench(-1);
    bench.quota.applied(1e12);
    assert.deepEqual(bench.proposed, []);
  });
});
