import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latin1 } from '../../server/base/bytes.ts';
import { keysBetween, keysUnder } from '../../server/client/keys.ts';
import type { RangeStreamResponse } from '../../server/proto/gen/rpc.ts';
import {
  KV,
  type RangeRequest,
  RangeResponse,
  SortOrder,
  SortTarget,
} from '../../server/proto/gen/rpc.ts';
import type { GrpcStream } from '../support/grpc.ts';
import { type Api, keyTexts, sharedStore, since, times, withStore } from './support.ts';
import { rangeCases, readTable } from './tables.ts';

// Acceptance cases 3, 7, 8 and 9: the same answers as of a range, in parts.

const single = sharedStore();

function open(
  api: Api,
  request: Partial<RangeRequest>,
): GrpcStream<RangeRequest, RangeStreamResponse> {
  const stream = api.stream(KV.methods.rangeStream);
  stream.send(request);
  stream.halfClose();
  return stream;
}

/** Upstream refuses the others. */
function isSupported(request: Partial<RangeRequest>): boolean {
  const { sortOrder = SortOrder.NONE, sortTarget = SortTarget.KEY } = request;
  const isInOrder =
    sortOrder === SortOrder.NONE ||
    (sortOrder === SortOrder.ASCEND && sortTarget === SortTarget.KEY);
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  const filters = [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision];
  return isInOrder && filters.every((bound) => (bound ?? 0) === 0);
}

/** As protobuf merges messages: lists one after the other, of the rest what came last. */
async function merged(stream: GrpcStream<RangeRequest, RangeStreamResponse>) {
  const end = await stream.ended();
  assert(end.kind === 'error' && end.code === 0, JSON.stringify(end));
  const parts = stream.responses.map(
    ({ rangeResponse }) => rangeResponse ?? RangeResponse.create(),
  );
  // What is about all of it stands in the last part alone.
  for (const part of parts.slice(0, -1)) {
    assert.deepEqual([part.header, part.more, part.count], [undefined, false, 0]);
  }
  const last = parts.at(-1);
  assert(last !== undefined);
  return { whole: { ...last, kvs: parts.flatMap(({ kvs }) => kvs) }, parts: parts.length };
}

async function checkSame(api: Api, request: Partial<RangeRequest>, name: string): Promise<void> {
  const whole = await api.call(KV.methods.range, request);
  const streamed = await merged(open(api, request));
  assert.deepEqual(streamed.whole, whole, name);
}

test('03 TestKVGetStream', since('3.7'), async () => {
  const first = await single().clear();
  const api = single().at();
  const { entries, reads } = readTable(first);
  for (const [key, value] of entries) await api.put(key, value);
  let count = 0;
  for (const { name, request, wanted } of reads) {
    if (!isSupported(request)) continue;
    const { whole } = await merged(open(api, request));
    const kvs = whole.kvs.map((kv) => ({ ...kv, key: latin1(kv.key), value: latin1(kv.value) }));
    const { more, header } = whole;
    assert.deepEqual(
      { kvs, count: whole.count, more, revision: header?.revision },
      { ...wanted, revision: first + entries.length },
      name,
    );
    if (request.countOnly !== true) await checkSame(api, { ...request, keysOnly: true }, name);
    count++;
  }
  assert(count > 15);
});

test('07 TestV3RangeRequest, streamed', since('3.7'), async () => {
  for (const [name, make] of Object.entries(rangeCases)) {
    const { keys, reads } = make(await single().clear());
    for (const key of keys) await single().at().put(key, 'bar');
    for (const [request] of reads) {
      if (isSupported(request)) await checkSame(single().at(), request, name);
      else {
        const end = await open(single().at(), request).ended();
        assert(end.kind === 'error');
        assert.match(
          `${end.code} ${end.message}`,
          /^12 RangeStream does not support (custom sort orders|revision filters)$/,
        );
      }
    }
  }
});

test('08 TestV3RangeStreamCount', since('3.7'), async () => {
  await single().clear();
  const api = single().at();
  for (let n = 0; n < 25; n++) await api.put(`k${String(n).padStart(2, '0')}`, 'v');
  for (const [limit, keys, more, partsMin] of [
    [0, 25, false, 2],
    [5, 5, true, 1],
    [25, 25, false, 2],
    [100, 25, false, 2],
    [10, 10, true, 1],
  ] as const) {
    const { whole, parts } = await merged(open(api, { ...keysBetween('k00', 'l'), limit }));
    assert.deepEqual([whole.count, whole.more, whole.kvs.length], [25, more, keys], `${limit}`);
    assert(parts >= partsMin, `${parts} parts for limit ${limit}`);
  }
  const counted = await merged(open(api, { ...keysUnder('k'), countOnly: true }));
  assert.deepEqual([counted.parts, counted.whole.count, counted.whole.kvs], [1, 25, []]);
});

test('08 TestV3RangeStreamWriteBetweenChunks', since('3.7'), async () => {
  await single().clear();
  const api = single().at();
  const value = 'x'.repeat(200_000);
  for (let n = 0; n < 60; n++) await api.put(`k${String(n).padStart(2, '0')}`, value);
  const revision = await api.revision();
  const stream = open(api, keysBetween('k00', 'l'));
  await stream.find(0, () => true);
  // Not read on, so that the member cannot be done before this is written.
  stream.pause();
  await api.put('k99-new', 'v');
  await api.put('k50', 'changed');
  await api.delete('k59');
  stream.resume();
  const { whole, parts } = await merged(stream);
  assert(parts >= 2);
  assert.deepEqual(
    keyTexts(whole),
    times(60, (n) => `k${String(n).padStart(2, '0')}`),
  );
  assert(whole.kvs.every((kv) => kv.value.length === value.length));
  assert.deepEqual([whole.header?.revision, whole.count], [revision, 60]);
});

test('08 TestV3RangeStreamLargeValues', since('3.7'), () =>
  withStore({ flags: ['--max-request-bytes=8388608'] }, async (store) => {
    const value = new Uint8Array(2 * 1024 * 1024);
    const keys = times(12, (n) => `big-${String(n).padStart(2, '0')}`);
    for (let n = 0; n < keys.length; n++) await store.at().put(keys[n] ?? '', value);
    const [member] = store.cluster.members;
    await member?.stop();
    await member?.start([...store.cluster.flagsFor('new'), '--max-request-bytes=1572864']);
    store.disconnect();
    // Each is larger than what a part should be, and all come.
    const { whole, parts } = await merged(open(store.at(), keysUnder('big-')));
    assert.deepEqual(keyTexts(whole), keys);
    assert(whole.kvs.every((kv) => kv.value.length === value.length));
    assert(parts >= 2, `${parts} parts`);
  }),
);

test('09 TestV3RangeStreamPartialThenCompacted', since('3.7'), async () => {
  await single().clear();
  const api = single().at();
  const value = 'x'.repeat(100_000);
  for (let n = 0; n < 300; n += 10) {
    await Promise.all(times(10, (m) => api.put(`stream-${String(n + m).padStart(4, '0')}`, value)));
  }
  const stream = open(api, keysUnder('stream-'));
  await stream.find(0, () => true);
  stream.pause();
  const revision = await api.putRevision('zz-advance-revision', 'x');
  await api.compact(revision, true);
  stream.resume();
  const end = await stream.ended();
  assert(end.kind === 'error');
  assert.equal(
    `${end.code} ${end.message}`,
    '11 etcdserver: mvcc: required revision has been compacted',
  );
  const keys = stream.responses.flatMap(({ rangeResponse }) => rangeResponse?.kvs ?? []).length;
  assert(keys >= 10 && keys < 300, `${keys} keys`);
});
