import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { CallContext, StreamCall, UnaryCall } from '../../../server/api/call.ts';
import { toStatus } from '../../../server/api/errors.ts';
import { ExpensiveRequests } from '../../../server/api/expensive-requests.ts';
import { RequestLimits } from '../../../server/api/request-limits.ts';
import { type Services, servicesOf } from '../../../server/api/services.ts';
import {
  Cluster,
  KV,
  Lease,
  Maintenance,
  PutRequest,
  RangeRequest,
  Watch,
} from '../../../server/proto/gen/rpc.ts';
import { contextOf, FakeMember, FakeResponses } from './fake-member.ts';

const none = { requestsPerSecond: 0, inFlight: 0 };
const request = PutRequest.create({ key: Buffer.from('k') });

class Limited {
  nowMs = 0;
  readonly member = new FakeMember();
  readonly limits: RequestLimits;
  readonly services: Services;

  constructor(config: Partial<ConstructorParameters<typeof RequestLimits>[1]>) {
    const users = {
      nameOf: (context: CallContext) => context.header('user'),
      isRoot: (context: CallContext) => context.header('user') === 'root',
    };
    const clock = { nowMs: () => this.nowMs };
    this.limits = new RequestLimits({ clock, users }, { user: none, connection: none, ...config });
    this.services = servicesOf(this.member, {
      txnOpsMax: 128,
      messageBytesMax: 1000,
      limits: this.limits,
    });
  }

  /** What a put ends with. */
  async put(user?: string, remoteAddress = '127.0.0.1:1'): Promise<string> {
    const call = this.services.find(KV.methods.put.path) as UnaryCall;
    const context = { ...contextOf(user === undefined ? {} : { user }), remoteAddress };
    try {
      await call.run(request, context);
      return 'ok';
    } catch (error) {
      const { code, message, retryAfterMs } = toStatus(error);
      return `${code} ${message} (${retryAfterMs})`;
    }
  }
}

suite('limits of requests', () => {
  test('a user has his rate on all connections together, and root has none', async () => {
    const limited = new Limited({ user: { requestsPerSecond: 2, inFlight: 0 } });
    assert.equal(await limited.put('ann', 'a:1'), 'ok');
    assert.equal(await limited.put('ann', 'a:2'), 'ok');
    const refused = '8 mainstay: this user may have 2 requests per second; retry in 500 ms (500)';
    assert.equal(await limited.put('ann', 'a:3'), refused);
    assert.equal(await limited.put('bob', 'a:3'), 'ok');
    for (let at = 0; at < 9; at++) assert.equal(await limited.put('root', 'a:3'), 'ok');
    limited.nowMs = 500;
    assert.equal(await limited.put('ann', 'a:3'), 'ok');
    assert.equal(limited.limits.refused.userRequestsPerSecond, 1);
    // Nobody knows who it is: authentication is off.
    for (let at = 0; at < 9; at++) assert.equal(await limited.put(undefined, 'a:4'), 'ok');
  });

  test('what is in flight counts until it is answered, also when it fails', async () => {
    const limited = new Limited({ connection: { requestsPerSecond: 0, inFlight: 2 } });
    const first = [limited.put(), limited.put()];
    const third = limited.put();
    const text = 'mainstay: this connection may have 2 requests in flight; retry in 100 ms (100)';
    assert.equal(await third, `8 ${text}`);
    assert.equal(await limited.put(undefined, 'other:1'), 'ok');
    assert.deepEqual(await Promise.all(first), ['ok', 'ok']);
    const bad = limited.services.find(KV.methods.put.path) as UnaryCall;
    for (let at = 0; at < 9; at++) {
      await assert.rejects(async () => bad.run(PutRequest.create(), contextOf()));
    }
    assert.equal(await limited.put(), 'ok');
  });

  test('a connection that is refused for its user has nothing in flight', async () => {
    const limited = new Limited({
      user: { requestsPerSecond: 1, inFlight: 0 },
      connection: { requestsPerSecond: 0, inFlight: 1 },
    });
    assert.equal(await limited.put('ann'), 'ok');
    for (let at = 0; at < 9; at++) assert.match(await limited.put('ann'), /^8 .*this user/);
    assert.equal(await limited.put('bob'), 'ok');
  });

  test('a watch counts as it is begun, keep-alives and administration never', async () => {
    const limited = new Limited({ connection: { requestsPerSecond: 1, inFlight: 1 } });
    const open = (path: string) => {
      const call = limited.services.find(path) as StreamCall;
      return call.open(new FakeResponses(), contextOf());
    };
    open(Watch.methods.watch.path);
    assert.throws(() => open(Watch.methods.watch.path), /requests per second/);
    for (let at = 0; at < 9; at++) open(Lease.methods.leaseKeepAlive.path);
    for (const { path } of [Maintenance.methods.status, Cluster.methods.memberList]) {
      const call = limited.services.find(path) as UnaryCall;
      for (let at = 0; at < 9; at++) {
        const answer = await call.run({ linearizable: false }, contextOf());
        assert(answer !== undefined);
      }
    }
    limited.nowMs = 1000;
    assert.equal(await limited.put(), 'ok');
  });

  test('without limits a call is what it was', () => {
    const { limits, services } = new Limited({});
    const call = services.find(KV.methods.put.path) as UnaryCall;
    assert.equal(limits.limit(call), call);
  });
});

test('what asks for many keys waits for its turn, what asks for few does not', async () => {
  const member = new FakeMember();
  const expensive = new ExpensiveRequests({ atOnceMax: 1 });
  const services = servicesOf(member, { txnOpsMax: 128, messageBytesMax: 1000, expensive });
  const range = services.find(KV.methods.range.path) as UnaryCall;
  const [all, few] = [{ rangeEnd: Buffer.from('l') }, { rangeEnd: Buffer.from('l'), limit: 10 }];
  const run = (more: Partial<RangeRequest>) =>
    range.run(RangeRequest.create({ key: Buffer.from('k'), serializable: true, ...more }), {
      ...contextOf(),
    });
  member.keys = 10_001;
  const running = [run(all), run(all), run({ ...few, sortTarget: 3, sortOrder: 1 })];
  assert.deepEqual([expensive.running, expensive.waiting], [1, 2]);
  await Promise.all([run(few), run({}), run({ ...all, countOnly: true })]);
  await Promise.all(running);
  assert.deepEqual([expensive.running, expensive.waiting], [0, 0]);
  member.keys = 10_000;
  void run(all);
  assert.deepEqual([expensive.running, expensive.counters.queued], [0, 2]);
});
