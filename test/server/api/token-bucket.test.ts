import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Allowances } from '../../../server/api/allowances.ts';
import { TokenBucket } from '../../../server/api/token-bucket.ts';

suite('a token bucket', () => {
  test('gives a second at once, and then one after the other', () => {
    const bucket = new TokenBucket(10, 1000);
    for (let at = 0; at < 10; at++) assert.equal(bucket.take(1000), 0);
    assert.equal(bucket.take(1000), 100);
    assert.equal(bucket.take(1030), 70);
    assert.equal(bucket.take(1100), 0);
    assert.equal(bucket.take(1100), 100);
    assert(!bucket.isFull(2099));
    assert(bucket.isFull(2101));
  });

  test('over a long time gives what it says, however it is asked', () => {
    const bucket = new TokenBucket(7, 0);
    let taken = 0;
    let nowMs = 0;
    while (nowMs < 100_000) {
      const waitMs = bucket.take(nowMs);
      if (waitMs === 0) taken++;
      else nowMs += waitMs;
    }
    assert(taken >= 700 && taken <= 708, `${taken}`);
  });

  test('one a second, and a clock that does not go on', () => {
    const bucket = new TokenBucket(1, 5);
    assert.equal(bucket.take(5), 0);
    assert.equal(bucket.take(4), 1000);
    assert.equal(bucket.take(1004), 0);
  });
});

suite('allowances', () => {
  test('belong to one each, and those in flight come back', () => {
    const allowances = new Allowances({ requestsPerSecond: 0, inFlight: 2 });
    assert.equal(allowances.enter('a', 0, true), undefined);
    assert.equal(allowances.enter('a', 0, true), undefined);
    assert.deepEqual(allowances.enter('a', 0, true), { limit: 'inFlight', retryAfterMs: 100 });
    assert.equal(allowances.enter('a', 0, false), undefined);
    assert.equal(allowances.enter('b', 0, true), undefined);
    allowances.leave('a');
    assert.equal(allowances.enter('a', 0, true), undefined);
  });

  test('a request that is refused for those in flight takes no token', () => {
    const allowances = new Allowances({ requestsPerSecond: 2, inFlight: 1 });
    assert.equal(allowances.enter('a', 0, true), undefined);
    assert.equal(allowances.enter('a', 0, true)?.limit, 'inFlight');
    allowances.leave('a');
    assert.equal(allowances.enter('a', 0, true), undefined);
    allowances.leave('a');
    assert.deepEqual(allowances.enter('a', 0, true), {
      limit: 'requestsPerSecond',
      retryAfterMs: 500,
    });
  });

  test('who comes and goes is forgotten, who still asks is not', () => {
    for (const requestsPerSecond of [0, 5]) {
      const allowances = new Allowances({ requestsPerSecond, inFlight: 1 });
      assert.equal(allowances.enter('stays', 0, true), undefined);
      for (let at = 0; at < 100_000; at++) {
        assert.equal(allowances.enter(`passes ${at}`, at, true), undefined);
        allowances.leave(`passes ${at}`);
      }
      assert(allowances.size <= 2_048, `${allowances.size} are kept`);
      assert.equal(allowances.enter('stays', 200_000, true)?.limit, 'inFlight');
    }
  });
});
