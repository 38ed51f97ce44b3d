import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latin1 } from '../../server/base/bytes.ts';
import { keysBetween, keysFrom, keysUnder } from '../../server/client/keys.ts';
import { Cluster, KV, type PutRequest, type RangeRequest } from '../../server/proto/gen/rpc.ts';
import {
  type Api,
  compare,
  deleteOp,
  eventually,
  getOp,
  isOracle,
  keyTexts,
  pair,
  putOp,
  putRequest,
  settlesIn,
  sharedStore,
  withStore,
} from './support.ts';
import { rangeCases, readTable } from './tables.ts';

// Acceptance cases 1 to 16: put, range, delete.

const three = sharedStore({ size: 3 });

test('01 TestKVPut', async () => {
  await three().clear();
  await three().at(0).put('foo', 'bar');
  for (const api of three().apis) {
    assert.deepEqual((await api.range('foo')).kvs.map(pair), ['foo=bar']);
  }
});

test('02 TestKVGet', async () => {
  const first = await three().clear();
  const { entries, reads } = readTable(first);
  for (const [key, value] of entries) await three().at(1).put(key, value);
  for (const { name, request, wanted } of reads) {
    for (const keysOnly of request.countOnly === true ? [false] : [false, true]) {
      const response = await three()
        .at(2)
        .range(keysFrom(''), { ...request, keysOnly });
      const { kvs, count, more, header } = response;
      assert.deepEqual(
        {
          kvs: kvs.map((kv) => ({ ...kv, key: latin1(kv.key), value: latin1(kv.value) })),
          count,
          more,
          revision: header?.revision,
        },
        {
          kvs: wanted.kvs.map((kv) => ({ ...kv, value: keysOnly ? '' : kv.value })),
          count: wanted.count,
          more: wanted.more,
          revision: first + entries.length,
        },
        `${name}${keysOnly ? ', keys only' : ''}`,
      );
    }
  }
});

test('04 TestKVDelete', async () => {
  await three().clear();
  const api = three().at();
  const keys = ['a', 'b', 'c', 'c/abc', 'd'];
  for (const [deleted, count, left] of [
    [keysUnder(''), 5, []],
    [keysFrom(''), 5, []],
    [keysBetween('a', 'c'), 2, ['c', 'c/abc', 'd']],
    ['c', 1, ['a', 'b', 'c/abc', 'd']],
    [keysUnder('c'), 2, ['a', 'b', 'd']],
    [keysFrom('c'), 3, ['a', 'b']],
    ['e', 0, keys],
  ] as const) {
    for (const key of keys) await api.put(key, 'bar');
    assert.equal((await api.delete(deleted)).deleted, count);
    assert.deepEqual(keyTexts(await api.range(keysUnder(''))), left);
  }
});

test('05 TestKVGetNoQuorum', () =>
  withStore({ size: 3 }, async (store) => {
    const [first, second] = store.cluster.members;
    await store.at(2).put('foo', 'bar');
    await store.caughtUp();
    await Promise.all([first?.stop(), second?.stop()]);
    const api = store.at(2);
    assert.deepEqual(await api.values('foo', { serializable: true }), ['bar']);
    // Not before the time is over that a request is given: 5 s and two election timeouts.
    const refusal = api.refusal(KV.methods.range, { key: Buffer.from('foo') });
    assert.equal(await settlesIn(refusal, 1_500), false);
    assert.deepEqual(await api.values('foo', { serializable: true }), ['bar']);
  }));

test('06 TestCtlV3GetMinMaxCreateModRev', async () => {
  const first = await three().clear();
  const api = three().at();
  for (const key of ['key1', 'key2', 'key1', 'key4']) await api.put(key, 'value');
  const read = async (bounds: Partial<RangeRequest>): Promise<string[]> =>
    keyTexts(await api.range(keysUnder('key'), bounds));
  assert.deepEqual(await read({ maxCreateRevision: first + 2 }), ['key1', 'key2']);
  assert.deepEqual(await read({ minCreateRevision: first + 2 }), ['key2', 'key4']);
  assert.deepEqual(await read({ maxModRevision: first + 2 }), ['key2']);
  assert.deepEqual(await read({ minModRevision: first + 3 }), ['key1', 'key4']);
});

test('07 TestV3RangeRequest', async () => {
  for (const [name, make] of Object.entries(rangeCases)) {
    const first = await three().clear();
    const { keys, reads } = make(first);
    for (const [n, key] of keys.entries())
      await three()
        .at(n % 3)
        .put(key, 'bar');
    for (const [n, [request, wanted, more, count]] of reads.entries()) {
      const response = await three()
        .at(n % 3)
        .call(KV.methods.range, request);
      assert.deepEqual(
        [keyTexts(response), response.more, response.count, response.header?.revision],
        [wanted, more, count, first + keys.length],
        `${name}, ${n}`,
      );
    }
  }
});

test('10 TestV3DeleteRange', async () => {
  const keys = ['foo', 'foo/abc', 'fop'];
  const api = three().at(1);
  for (const [had, key, end, prevKv, left] of [
    [keys, 'foo/', 'fop', false, ['foo', 'fop']],
    [keys, 'foo/', 'foo/', false, keys],
    [keys, 'fo', 'fop', false, ['fop']],
    [keys, 'foo/', 'fos', false, ['foo']],
    [keys, 'foo/abc', '', false, ['foo', 'fop']],
    [['foo'], 'foo', 'foo', false, ['foo']],
    [['foo'], 'foo', '\0', true, []],
    [keys, 'foo/', 'fop', true, ['foo', 'fop']],
  ] as const) {
    await three().clear();
    for (const each of had) await api.put(each, 'value');
    const response = await api.delete(keysBetween(key, end), { prevKv });
    assert.equal(response.deleted, had.length - left.length);
    const gone = had.filter((each) => !left.some((one) => one === each));
    assert.deepEqual(response.prevKvs.map(pair), prevKv ? gone.map((each) => `${each}=value`) : []);
    const range = await api.range(keysBetween('\0', Buffer.of(0xff)));
    assert.deepEqual(keyTexts(range), left);
    // Where nothing was deleted there is no new revision.
    assert.equal(range.header?.revision, response.header?.revision);
  }
});

/** One step of a case: a put as it is or inside a transaction, and what must be there afterwards. */
interface PutStep {
  readonly more: Partial<PutRequest>;
  readonly value: string;
  readonly inTxn?: boolean;
  readonly refusal?: string;
  readonly after?: { readonly value: string; readonly lease: bigint };
}

async function putSteps(api: Api, key: string, steps: readonly PutStep[]): Promise<void> {
  for (const [n, { more, value, inTxn, refusal, after }] of steps.entries()) {
    const put = putRequest(key, value, more);
    const txn = { success: [putOp(key, value, more)] };
    if (refusal !== undefined) {
      const said =
        inTxn === true
          ? await api.refusal(KV.methods.txn, txn)
          : await api.refusal(KV.methods.put, put);
      assert.equal(said, refusal, `step ${n}`);
      continue;
    }
    if (inTxn === true) await api.txn(txn);
    else assert.equal((await api.call(KV.methods.put, put)).prevKv, undefined);
    const [kv] = (await api.range(key)).kvs;
    assert(kv !== undefined);
    assert.deepEqual({ value: latin1(kv.value), lease: kv.lease }, after, `step ${n}`);
  }
}

test('11 TestV3PutIgnoreValue', async () => {
  await three().clear();
  const api = three().at();
  const { ID: lease } = await api.grant(30);
  const ignoreValue = true;
  const noKey = '3 etcdserver: key not found';
  await putSteps(api, 'foo', [
    { more: { ignoreValue }, value: '', refusal: noKey },
    { more: { ignoreValue }, value: '', inTxn: true, refusal: noKey },
    { more: {}, value: 'bar', after: { value: 'bar', lease: 0n } },
    { more: { ignoreValue, lease }, value: '', inTxn: true, after: { value: 'bar', lease } },
    { more: { ignoreValue }, value: 'bar', refusal: '3 etcdserver: value is provided' },
    { more: { ignoreValue }, value: '', after: { value: 'bar', lease: 0n } },
  ]);
  // Detached above, so it stays.
  await api.revoke(lease);
  assert.deepEqual(await api.values('foo'), ['bar']);
});

test('11 TestV3PutIgnoreLease', async () => {
  await three().clear();
  const api = three().at();
  const { ID: lease } = await api.grant(30);
  const ignoreLease = true;
  const noKey = '3 etcdserver: key not found';
  await putSteps(api, 'zoo', [
    { more: { ignoreLease }, value: 'bar', refusal: noKey },
    { more: { ignoreLease }, value: 'bar', inTxn: true, refusal: noKey },
    { more: { lease }, value: 'bar', after: { value: 'bar', lease } },
    { more: { ignoreLease }, value: 'bar1', inTxn: true, after: { value: 'bar1', lease } },
    { more: { ignoreLease, lease }, value: 'bar', refusal: '3 etcdserver: lease is provided' },
    { more: {}, value: 'bar', after: { value: 'bar', lease: 0n } },
  ]);
  await api.revoke(lease);
  assert.deepEqual(await api.values('zoo'), ['bar']);
});

test('12 TestV3PutMissingLease', async () => {
  await three().clear();
  const api = three().at(2);
  const put = putRequest('foo', '', { lease: 123_456n });
  const op = putOp('foo', '', { lease: 123_456n });
  const notFound = '5 etcdserver: requested lease not found';
  assert.equal(await api.refusal(KV.methods.put, put), notFound);
  assert.equal(await api.refusal(KV.methods.txn, { success: [op] }), notFound);
  const failing = { compare: [compare('bar', 'createRevision', '>', 0)], failure: [op] };
  assert.equal(await api.refusal(KV.methods.txn, failing), notFound);
  // In a branch that is not taken it does not matter.
  await api.txn({ success: [getOp('bar')], failure: [op] });
  assert.equal((await api.range('foo')).count, 0);
});

test('13 TestKVPutError', async () => {
  await three().clear();
  const api = three().at();
  assert.equal(
    await api.refusal(KV.methods.put, putRequest('', 'bar')),
    '3 etcdserver: key is not provided',
  );
  const bytesMax = 1.5 * 1024 * 1024;
  assert.equal(
    await api.refusal(KV.methods.put, putRequest('key', 'a'.repeat(bytesMax + 100))),
    '3 etcdserver: request is too large',
  );
  await api.put('foo1', 'a'.repeat(bytesMax - 50));
  assert.equal((await api.range('foo1')).kvs[0]?.value.length, bytesMax - 50);
});

test('13 TestV3TooLargeRequest', async () => {
  const put = putRequest('foo', new Uint8Array(1624 * 1024));
  assert.equal(
    await three().at().refusal(KV.methods.put, put),
    '3 etcdserver: request is too large',
  );
});

test('13 TestV3LargeRequests', async () => {
  const [kib, mib] = [1024, 1024 * 1024];
  for (const [flag, sizes] of [
    [256, [[kib, false]]],
    [
      10 * mib,
      [
        [9 * mib, true],
        [10 * mib, false],
        [10 * mib + 5, false],
      ],
    ],
  ] as const) {
    await withStore({ flags: [`--max-request-bytes=${flag}`] }, async (store) => {
      for (const [sizeBytes, fits] of sizes) {
        const put = putRequest('foo', new Uint8Array(sizeBytes));
        if (fits) {
          await store.at().call(KV.methods.put, put);
          assert.equal((await store.at().range('foo')).kvs[0]?.value.length, sizeBytes);
        } else {
          assert.equal(
            await store.at().refusal(KV.methods.put, put),
            '3 etcdserver: request is too large',
          );
        }
      }
      // Beyond what gRPC itself takes: the limit and 512 KiB.
      const put = putRequest('foo', new Uint8Array(flag + 600 * kib));
      assert.match(
        await store.at().refusal(KV.methods.put, put),
        /^8 grpc: received message larger than max \(\d+ vs\. \d+\)$/,
      );
    });
  }
});

test('14 TestKVWithEmptyValue', async () => {
  await three().clear();
  const api = three().at();
  for (const key of ['my-namespace/foobar', 'my-namespace/foobar1', 'namespace/foobar1']) {
    await api.put(key, '');
  }
  assert.deepEqual(await api.values(keysFrom('')), ['', '', '']);
  assert.equal((await api.range(keysUnder('my-namespace/'))).count, 2);
  const { prevKv } = await api.put('namespace/foobar1', 'data', { prevKv: true });
  assert.equal(prevKv && pair(prevKv), 'namespace/foobar1=');
  // No key at all is not every key.
  assert.equal(await api.refusal(KV.methods.deleteRange), '3 etcdserver: key is not provided');
  assert.equal((await api.delete(keysFrom(''))).deleted, 3);
});

test('15 TestV3PutRestart', () =>
  withStore({ size: 3 }, async (store) => {
    const [stopped, asked] = await store.followers();
    assert(stopped !== undefined && asked !== undefined);
    const api = store.of(asked);
    const before = await api.putRevision('foo', 'bar');
    await stopped.stop();
    assert.equal(await api.putRevision('foo', 'bar'), before + 1);
    await stopped.start();
    assert.equal(await api.putRevision('foo', 'bar'), before + 2);
    store.disconnect();
    assert.equal((await store.of(stopped).range('foo')).kvs[0]?.version, 3);
  }));

test('16 TestKVForLearner', () =>
  withStore({}, async (store) => {
    await store.at().put('foo', 'bar');
    const learner = await store.cluster.newMember();
    await store.at().call(Cluster.methods.memberAdd, {
      peerURLs: [learner.peerUrl],
      isLearner: true,
    });
    await learner.start(store.cluster.flagsFor('existing'));
    const api = store.of(learner);
    await eventually(async () => {
      assert.deepEqual(await api.values('foo', { serializable: true }), ['bar']);
    });
    // 3.5 still gives it the code of what is worth another try.
    const refusal = `${isOracle ? 14 : 9} etcdserver: rpc not supported for learner`;
    const key = Buffer.from('foo');
    assert.equal(await api.refusal(KV.methods.range, { key }), refusal);
    assert.equal(await api.refusal(KV.methods.put, { key, value: key }), refusal);
    assert.equal(await api.refusal(KV.methods.deleteRange, { key }), refusal);
    assert.equal(await api.refusal(KV.methods.txn, { success: [deleteOp('foo')] }), refusal);
    assert.equal(
      await api.refusal(KV.methods.txn, { compare: [compare('foo', 'createRevision', '=', 0)] }),
      refusal,
    );
  }));
