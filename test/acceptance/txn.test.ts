import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latin1 } from '../../server/base/bytes.ts';
import { keysBetween, keysFrom, keysUnder } from '../../server/client/keys.ts';
import {
  KV,
  type RequestOp,
  type TxnRequest,
  type TxnResponse,
} from '../../server/proto/gen/rpc.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { needs } from '../support/tools.ts';
import {
  type Api,
  compare,
  deleteOp,
  getOp,
  isOracle,
  pair,
  putOp,
  sharedStore,
  times,
  txnOp,
} from './support.ts';

// Acceptance cases 17 to 25: transactions.

const three = sharedStore({ size: 3 });

async function interactive(compares: string[], success: string[], failure: string[]) {
  const input = [compares, success, failure].map((lines) => `${lines.join('\n')}\n\n`).join('');
  const { code, stdout, stderr } = await new Etcdctl(three().cluster).run(['txn'], { input });
  assert.equal(code, 0, stderr);
  return stdout.split('\n').filter((line) => line !== '');
}

test('17 TestTxnSucc', needs('etcdctl'), async () => {
  await three().clear();
  await three().at().put('key1', 'value1');
  await three().at().put('key2', 'value2');
  assert.deepEqual(
    await interactive(
      ['value("key1") != "value2"', 'value("key2") != "value1"'],
      ['get key1', 'get key2'],
      [],
    ),
    ['SUCCESS', 'key1', 'value1', 'key2', 'value2'],
  );
  assert.deepEqual(
    await interactive(
      ['version("key1") = "1"', 'version("key2") = "1"'],
      ['get key1', 'get key2', 'put "key \\"with\\" space" "value \\x23"'],
      ['put key1 "fail"', 'put key2 "fail"'],
    ),
    ['SUCCESS', 'key1', 'value1', 'key2', 'value2', 'OK'],
  );
  assert.deepEqual(
    await interactive(
      ['version("key \\"with\\" space") = "1"'],
      ['get "key \\"with\\" space"'],
      [],
    ),
    ['SUCCESS', 'key "with" space', 'value #'],
  );
});

test('17 TestTxnFail', needs('etcdctl'), async () => {
  await three().clear();
  await three().at().put('key1', 'value1');
  const puts = [['put key "success"'], ['put key "fail"']] as const;
  assert.deepEqual(await interactive(['version("key") < "0"'], [...puts[0]], [...puts[1]]), [
    'FAILURE',
    'OK',
  ]);
  assert.deepEqual(await interactive(['value("key1") != "value1"'], [...puts[0]], [...puts[1]]), [
    'FAILURE',
    'OK',
  ]);
  assert.deepEqual(await three().at().values(keysFrom('')), ['fail', 'value1']);
});

test('18 TestV3TxnTooManyOps', async () => {
  const api = three().at();
  const put = (n: number): RequestOp => putOp(`key-${n}`, 'bar');
  const nested = (n: number): RequestOp => txnOp({ success: [put(n)] });
  const shapes: Record<string, (count: number) => Partial<TxnRequest>> = {
    compares: (count) => ({
      compare: times(count, (n) => compare(`key-${n}`, 'createRevision', '>', 0)),
    }),
    success: (count) => ({ success: times(count, put) }),
    failure: (count) => ({ failure: times(count, put) }),
    'transactions in it': (count) => ({ success: times(count, nested) }),
    // What is inside shares the number with what is around it.
    'a transaction beside others': (count) => ({
      success: [txnOp({ success: times(count - 1, put) }), getOp('a')],
    }),
  };
  for (const [name, shape] of Object.entries(shapes)) {
    assert.equal(
      await api.refusal(KV.methods.txn, shape(129)),
      '3 etcdserver: too many operations in txn request',
      name,
    );
  }
  for (const name of ['compares', 'success', 'failure']) await api.txn(shapes[name]?.(128) ?? {});
});

test('19 TestV3TxnDuplicateKeys', async () => {
  await three().clear();
  const put = putOp('abc', 'def');
  const deletes = { key: deleteOp('abc'), around: deleteOp(keysBetween('a', 'b')) };
  const beside = deleteOp(keysBetween('abb', 'abc'));
  const then = (...success: RequestOp[]): RequestOp => txnOp({ success });
  const both = (op: RequestOp): RequestOp => txnOp({ success: [op], failure: [op] });
  const duplicate: RequestOp[][] = [
    [put, put],
    [put, deletes.key],
    [put, deletes.around],
    [put, then(deletes.around)],
    [deletes.around, then(put)],
    [both(put), both(put)],
    [then(put), put],
    [then(then(put)), deletes.key],
  ];
  const fine: RequestOp[][] = [
    [beside, both(put)],
    [then(deletes.around), both(deletes.around)],
    [deletes.key, deletes.around, deletes.key, deletes.around],
    [put, beside],
    [both(put)],
  ];
  const api = three().at();
  for (const [n, success] of duplicate.entries()) {
    assert.equal(
      await api.refusal(KV.methods.txn, { success }),
      '3 etcdserver: duplicate key given in txn request',
      `duplicate ${n}`,
    );
  }
  for (const success of fine) await api.txn({ success });
});

test('20 TestV3TxnRevision', async () => {
  await three().clear();
  const api = three().at();
  const before = await api.putRevision('abc', 'def');
  const revisionOf = async (op: RequestOp): Promise<number | undefined> =>
    (await api.txn({ success: [op] })).header?.revision;
  assert.equal(await revisionOf(getOp('abc')), before);
  assert.equal(await revisionOf(deleteOp('def')), before);
  assert.equal(await revisionOf(putOp('abc', '123')), before + 1);
});

test('20 TestV3TxnCmpHeaderRev', async () => {
  await three().clear();
  const api = three().at();
  for (let n = 0; n < 10; n++) {
    const putting = api.putRevision('k', 'v');
    const { header, succeeded } = await api.txn({
      compare: [compare('k', 'version', '=', n)],
      success: [getOp('k')],
    });
    const [put, read] = [await putting, header?.revision ?? 0];
    // Whether the put is seen and what the header says of it are one.
    assert.equal(succeeded, read < put, `${n}: read at ${read}, put at ${put}`);
  }
});

test('21 TestV3TxnRangeCompare', async () => {
  const first = await three().clear();
  const api = three().at();
  for (const key of ['/a/2', '/a/3', '/a/4', '/f/5']) await api.put(key, 'x');
  const [from, under] = [keysFrom('/a/'), keysUnder('/a/')];
  for (const [n, [condition, holds]] of (
    [
      [compare(from, 'createRevision', '<', first + 5), true],
      [compare(from, 'createRevision', '<', first + 4), false],
      [compare(under, 'createRevision', '<', first + 4), true],
      [compare(under, 'createRevision', '<', first + 3), false],
      // Of no key no value is compared.
      [compare(keysUnder('/b/'), 'value', '=', 'x'), false],
      [compare(under, 'lease', '>', 0n), false],
      [compare(under, 'lease', '=', 0n), true],
    ] as const
  ).entries()) {
    assert.equal((await api.txn({ compare: [condition] })).succeeded, holds, `compare ${n}`);
  }
});

test('21 TestTxnCompareRange', async () => {
  await three().clear();
  const api = three().at();
  const created = await api.putRevision('foo/', 'bar');
  await api.put('foo/a', 'baz');
  const prefix = compare(keysUnder('foo/'), 'createRevision', '=', created);
  assert.equal((await api.txn({ compare: [prefix] })).succeeded, false);
  const one = compare('foo/', 'createRevision', '=', created);
  assert.equal((await api.txn({ compare: [one] })).succeeded, true);
});

test('22 TestV3TxnNestedPath', async () => {
  await three().clear();
  const api = three().at();
  for (let round = 0; round < 5; round++) {
    const path = times(10, () => Math.random() < 0.5);
    let txn: Partial<TxnRequest> = {};
    for (const takes of path.toReversed()) {
      const condition = [compare('k', 'version', '=', takes ? 0 : 1)];
      const [inner, other] = [[txnOp(txn)], [putOp('wrong')]];
      txn = takes
        ? { compare: condition, success: inner, failure: other }
        : { compare: condition, success: other, failure: inner };
    }
    let response: TxnResponse | undefined = await api.txn(txn);
    for (const takes of path) {
      assert.equal(response?.succeeded, takes, path.join());
      const inner: TxnResponse['responses'][number]['response'] = response.responses[0]?.response;
      response = inner?.kind === 'responseTxn' ? inner.value : undefined;
    }
    assert(response !== undefined);
  }
  assert.equal((await api.range('wrong')).count, 0);
});

test('22 TestTxnNested', async () => {
  await three().clear();
  const api = three().at();
  const { responses } = await api.txn({
    compare: [compare('foo', 'version', '=', 0)],
    success: [putOp('foo', 'bar'), txnOp({ success: [putOp('abc', '123')] })],
    failure: [putOp('foo', 'baz')],
  });
  assert.deepEqual(
    responses.map(({ response }) => response?.kind),
    ['responsePut', 'responseTxn'],
  );
  assert.deepEqual((await api.range(keysFrom(''))).kvs.map(pair), ['abc=123', 'foo=bar']);
});

test('23 TestV3TxnInvalidRange', async () => {
  await three().clear();
  const api = three().at();
  let revision = 0;
  for (let n = 0; n < 3; n++) revision = await api.putRevision('foo', 'bar');
  await api.compact(revision - 1);
  const put = putOp('foo', 'changed');
  assert.equal(
    await api.refusal(KV.methods.txn, {
      success: [put, getOp('foo', { revision: revision + 100 })],
    }),
    '11 etcdserver: mvcc: required revision is a future revision',
  );
  assert.equal(
    await api.refusal(KV.methods.txn, { success: [put, getOp('foo', { revision: 1 })] }),
    '11 etcdserver: mvcc: required revision has been compacted',
  );
  const { kvs, header } = await api.range('foo');
  assert.deepEqual([kvs.map(pair), header?.revision], [['foo=bar'], revision]);
});

// etcd 3.5 writes one half of such a transaction on the members that have compacted: what the case is about.
const fixed = { skip: isOracle ? 'etcd 3.5 still has the fault' : false };

test('24 TestTxnRangeConsistency', fixed, async () => {
  await three().clear();
  const asked = three().at(1);
  let revision = 0;
  for (let n = 1; n <= 20; n++) revision = await asked.putRevision(`k${n}`, `v${n}`);
  await asked.compact(revision);
  assert.equal(
    await asked.refusal(KV.methods.txn, {
      compare: [compare('k1', 'value', '=', 'v1')],
      success: [putOp('k2', 'foo'), getOp('k1', { revision: revision - 1 })],
    }),
    '11 etcdserver: mvcc: required revision has been compacted',
  );
  for (const api of three().apis) {
    assert.deepEqual(await api.values('k2'), ['v2']);
    assert.equal(await api.revision(), revision);
  }
});

/** Software transactional memory: reads, then writes if nothing that was read has changed; else all over again. */
async function atomically(
  api: Api,
  body: (read: (key: string) => Promise<string>) => Promise<Record<string, string>>,
): Promise<void> {
  for (;;) {
    const seen = new Map<string, number>();
    const writes = await body(async (key) => {
      const [kv] = (await api.range(key)).kvs;
      seen.set(key, kv?.modRevision ?? 0);
      return kv === undefined ? '' : latin1(kv.value);
    });
    const { succeeded } = await api.txn({
      compare: [...seen].map(([key, revision]) => compare(key, 'modRevision', '=', revision)),
      success: Object.entries(writes).map(([key, value]) => putOp(key, value)),
    });
    if (succeeded) return;
  }
}

test('25 TestSTMConflict', async () => {
  await three().clear();
  const keys = times(5, (n) => `foo-${n}`);
  for (const key of keys) await three().at().put(key, '100');
  const worker = (n: number): Promise<void> => {
    const [from, to] = [keys[n % 5] ?? '', keys[(n * 3 + 1) % 5] ?? ''];
    return atomically(three().at(n % 3), async (read) => {
      if (from === to) return {};
      const [source, target] = [Number(await read(from)), Number(await read(to))];
      return { [from]: String(source - 10), [to]: String(target + 10) };
    });
  };
  await Promise.all(times(5, (n) => worker(n)));
  const values = await three().at().values(keysUnder('foo-'));
  assert.equal(
    values.reduce((sum, value) => sum + Number(value), 0),
    500,
  );
});

test('25 TestSTMSerialize', async () => {
  await three().clear();
  const keys = times(5, (n) => `foo-${n}`);
  let isOver = false;
  const writer = async (): Promise<void> => {
    for (let n = 1; n <= 20; n++) {
      const writes = Object.fromEntries(keys.map((key) => [key, String(n)]));
      await atomically(three().at(), async (read) => {
        await read(keys[0] ?? '');
        return writes;
      });
    }
    isOver = true;
  };
  let checked = 0;
  const reader = async (place: number): Promise<void> => {
    while (!isOver) {
      let values: string[] = [];
      await atomically(three().at(place), async (read) => {
        values = [];
        for (const key of keys) values.push(await read(key));
        return {};
      });
      assert.equal(new Set(values).size, 1, `one state was read as ${values.join()}`);
      checked++;
    }
  };
  await Promise.all([writer(), reader(1), reader(2)]);
  assert(checked > 0);
});
