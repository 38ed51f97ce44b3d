import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { StreamCall } from '../../../server/api/call.ts';
import { toStatus } from '../../../server/api/errors.ts';
import { servicesOf } from '../../../server/api/services.ts';
import { range, rangeSteps } from '../../../server/apply/range.ts';
import type { Store } from '../../../server/mvcc/store.ts';
import {
  KV,
  RangeRequest,
  RangeResponse,
  type RangeStreamResponse,
} from '../../../server/proto/gen/rpc.ts';
import { openStore, put } from '../mvcc/support.ts';
import { contextOf, FakeMember, FakeResponses } from './fake-member.ts';

/** A member over a store with keys. */
class StoreMember extends FakeMember {
  readonly store: Store;
  /** Runs between two steps of a range. */
  between: () => void = () => {};

  constructor(store: Store) {
    super();
    this.store = store;
  }

  override revision(): number {
    return this.store.revision;
  }

  override range(request: RangeRequest): RangeResponse {
    return range(this.store, request);
  }

  override *rangeSteps(
    request: RangeRequest,
    options?: { readonly isCounted: boolean },
  ): Generator<void, RangeResponse> {
    this.between();
    return yield* rangeSteps(this.store, request, options);
  }
}

async function memberWith(count: number, valueBytes: number): Promise<StoreMember> {
  const { store } = await openStore();
  for (let at = 0; at < count; at++)
    put(store, `k${String(at).padStart(4, '0')}`, 'v'.repeat(valueBytes));
  return new StoreMember(store);
}

class Stream extends FakeResponses<RangeStreamResponse> {
  /** Sees each message. */
  seen: (message: RangeStreamResponse) => void = () => {};

  override send(response: RangeStreamResponse): boolean {
    // As a client sees it: what is sent is not changed afterwards.
    const encoded = KV.methods.rangeStream.response.encode(response);
    const message = KV.methods.rangeStream.response.decode(encoded);
    super.send(message);
    this.seen(message);
    return this.hasRoom;
  }

  get parts(): RangeResponse[] {
    return this.sent.map(({ rangeResponse }) => rangeResponse ?? RangeResponse.create());
  }

  get merged(): RangeResponse {
    const last = this.parts.at(-1);
    return RangeResponse.create({ ...last, kvs: this.parts.flatMap(({ kvs }) => kvs) });
  }
}

async function stream(
  member: FakeMember,
  request: Partial<RangeRequest>,
  responses = new Stream(),
  requestBytesMax = 2000,
): Promise<Stream> {
  const services = servicesOf(member, { txnOpsMax: 128, messageBytesMax: 1, requestBytesMax });
  const call = services.find(KV.methods.rangeStream.path) as StreamCall<
    RangeRequest,
    RangeStreamResponse
  >;
  const requests = call.open(responses, contextOf());
  try {
    await requests.next(RangeRequest.create(request));
  } catch (error) {
    responses.fail(error);
  }
  requests.closed();
  return responses;
}

function failureOf(responses: Stream): string {
  assert(typeof responses.over === 'object');
  const { code, message } = toStatus(responses.over.error);
  return `${code} ${message}`;
}

const everything = { key: Buffer.from('\0'), rangeEnd: Buffer.from('\0') };

suite('RangeStream', () => {
  test('put together, the parts are the answer of Range', async () => {
    const member = await memberWith(300, 20);
    const bound = fc.integer({ min: -1, max: 310 });
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          from: bound,
          to: bound,
          limit: fc.oneof(fc.constantFrom(0, -1, 10, 11), fc.integer({ min: 0, max: 320 })),
          revision: fc.integer({ min: -1, max: 301 }),
          keysOnly: fc.boolean(),
          countOnly: fc.boolean(),
          serializable: fc.boolean(),
        }),
        async ({ from, to, ...rest }) => {
          const key = Buffer.from(from < 0 ? '\0' : `k${String(from).padStart(4, '0')}`);
          const rangeEnd = Buffer.from(to < 0 ? '\0' : `k${String(to).padStart(4, '0')}`);
          const request = RangeRequest.create({ key, rangeEnd, ...rest });
          const whole = range(member.store, request);
          const responses = await stream(member, request);
          assert.equal(responses.over, 'end');
          const { header, kvs, more, count } = responses.merged;
          assert.equal(header?.revision, whole.header?.revision);
          assert.deepEqual(
            { kvs, more, count },
            { kvs: whole.kvs, more: whole.more, count: whole.count },
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  test('only the last part has a header, a count and more; the parts grow to the size wanted', async () => {
    const member = await memberWith(200, 20);
    const { parts } = await stream(member, { ...everything, limit: 150 });
    assert.equal(parts[0]?.kvs.length, 10);
    for (const part of parts.slice(0, -1)) {
      assert.deepEqual([part.header, part.more, part.count], [undefined, false, 0]);
      assert(RangeResponse.encode(part).length <= 2 * 2000);
    }
    const last = parts.at(-1);
    assert.deepEqual([last?.header?.memberId, last?.more, last?.count], [0xa1n, true, 200]);
    assert.deepEqual(
      parts.slice(0, 3).map(({ kvs }) => kvs.length),
      [10, 20, 40],
    );
  });

  test('large values make the parts smaller again', async () => {
    const member = await memberWith(60, 1500);
    const { parts } = await stream(member, everything);
    assert.deepEqual(
      parts.slice(0, 6).map(({ kvs }) => kvs.length),
      [10, 5, 2, 2, 2, 2],
    );
  });

  test('all parts are of the revision of the first, whatever is written between', async () => {
    const member = await memberWith(100, 20);
    const { revision } = member.store;
    let writes = 0;
    member.between = () => {
      put(member.store, `k${String(99 - writes).padStart(4, '0')}x`, 'new');
      put(member.store, `k0099`, `changed ${writes++}`);
    };
    const { merged } = await stream(member, everything);
    assert(writes > 3);
    assert.equal(merged.header?.revision, revision);
    assert.equal(merged.count, 100);
    assert.equal(merged.kvs.length, 100);
    assert(merged.kvs.every(({ modRevision }) => modRevision <= revision));
  });

  test('a compaction between two parts ends it', async () => {
    const member = await memberWith(100, 20);
    let parts = 0;
    member.between = () => {
      if (++parts !== 2) return;
      put(member.store, 'z', '1');
      member.store.compact(member.store.revision);
    };
    const responses = await stream(member, everything);
    assert.equal(failureOf(responses), '11 etcdserver: mvcc: required revision has been compacted');
  });

  test('a client that does not read is waited for, one that is gone is not', async () => {
    const member = await memberWith(100, 20);
    const responses = new Stream();
    responses.hasRoom = false;
    const services = servicesOf(member, { txnOpsMax: 1, messageBytesMax: 1, requestBytesMax: 1 });
    const call = services.find(KV.methods.rangeStream.path) as StreamCall;
    const requests = call.open(responses, contextOf());
    const done = requests.next(RangeRequest.create(everything));
    const turns = async () => {
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    };
    await turns();
    assert.equal(responses.sent.length, 1);
    requests.drained();
    await turns();
    assert.equal(responses.sent.length, 2);
    requests.closed();
    await done;
    assert.equal(responses.sent.length, 2);
  });

  test('what it cannot do', async () => {
    const member = await memberWith(3, 1);
    const told = async (request: Partial<RangeRequest>) =>
      failureOf(await stream(member, { ...everything, ...request }));
    const order = '12 RangeStream does not support custom sort orders';
    assert.equal(await told({ sortOrder: 2 }), order);
    assert.equal(await told({ sortOrder: 1, sortTarget: 3 }), order);
    const filters = '12 RangeStream does not support revision filters';
    assert.equal(await told({ minModRevision: 1 }), filters);
    assert.equal(await told({ maxCreateRevision: 1 }), filters);
    assert.equal(await told({ key: new Uint8Array(0) }), '3 etcdserver: key is not provided');
    assert.equal(
      await told({ revision: 99 }),
      '11 etcdserver: mvcc: required revision is a future revision',
    );
    member.raft.isLearner = true;
    assert.throws(() => openStream(member), { error: 'NotSupportedForLearner' });
  });
});

function openStream(member: FakeMember): void {
  const services = servicesOf(member, { txnOpsMax: 1, messageBytesMax: 1 });
  const call = services.find(KV.methods.rangeStream.path) as StreamCall;
  call.open(new Stream(), contextOf());
}
