import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createRevisionOf,
  exists,
  isMissing,
  leaseOf,
  modRevisionOf,
  valueOf,
  versionOf,
} from '../../../server/client/compare.ts';
import { etcdTexts } from '../../../server/client/etcd-texts.ts';
import type { KeySpace } from '../../../server/client/key-space.ts';
import { keysBetween, keysFrom, keysUnder, oneKey, textOf } from '../../../server/client/keys.ts';
import { deleteOp, kvsAt, nested, putOp, rangeOp } from '../../../server/client/txn.ts';
import { failureOf, onBoth } from './stores.ts';

async function keysOf(space: KeySpace, keys = keysUnder('')): Promise<string[]> {
  const { kvs } = await space.range(keys, { keysOnly: true });
  return kvs.map(({ key }) => textOf(key));
}

onBoth('keys and values', {}, (store) => {
  test('put, get, range and delete', async () => {
    const space = store.client().namespace('kv/');
    const first = await space.put('a', '1');
    const second = await space.put('a', '2', { prevKv: true });
    assert.equal(second.header.revision, first.header.revision + 1);
    assert.equal(textOf(second.prevKv?.value), '1');
    const kv = await space.get('a');
    assert.deepEqual(
      [textOf(kv?.key), textOf(kv?.value), kv?.version, kv?.createRevision],
      ['a', '2', 2, first.header.revision],
    );
    const then = await space.get('a', { revision: first.header.revision });
    assert.equal(textOf(then?.value), '1');
    await space.put('a', '', { ignoreValue: true });
    assert.equal(textOf((await space.get('a'))?.value), '2');
    assert.equal(await space.get('none'), undefined);
    await space.put('b', 'x');
    const { kvs, more, count } = await space.range(keysFrom('a'), { limit: 1 });
    assert.deepEqual([kvs.length, more, count], [1, true, 2]);
    const { deleted, prevKvs } = await space.delete(keysUnder(''), { prevKv: true });
    assert.deepEqual([deleted, prevKvs.map(({ key }) => textOf(key))], [2, ['a', 'b']]);
  });

  test('failures say what etcd says, and whether to try again', async () => {
    const client = store.client();
    const { header } = await client.put('f/a', '1');
    const ops = Array.from({ length: 129 }, (_, i) => putOp(`f/${i}`, ''));
    const cases: readonly [() => Promise<unknown>, number, string][] = [
      [() => client.put('', '1'), 3, etcdTexts.emptyKey],
      [
        () => client.get('f/a', { revision: header.revision + 1_000 }),
        11,
        etcdTexts.futureRevision,
      ],
      [() => client.put('f/a', '', { lease: 12_345n }), 5, etcdTexts.leaseNotFound],
      [
        () =>
          client
            .when()
            .do(...ops)
            .commit(),
        3,
        etcdTexts.tooManyOps,
      ],
      [
        () => client.when().do(putOp('k', '1'), putOp('k', '2')).commit(),
        3,
        etcdTexts.duplicateKey,
      ],
      [() => client.leaseRevoke(12_345n), 5, etcdTexts.leaseNotFound],
      [() => client.leaseGrant(9_000_000_001), 11, etcdTexts.leaseTtlTooLarge],
      [() => client.put('f/big', 'x'.repeat(1_600_000)), 3, etcdTexts.requestTooLarge],
      [() => client.compact(header.revision + 1_000), 11, etcdTexts.futureRevision],
      [() => client.memberRemove(77n), 5, etcdTexts.memberNotFound],
    ];
    for (const [call, code, text] of cases) {
      const failure = await failureOf(call());
      assert.deepEqual([failure.code, failure.text], [code, text]);
      assert.deepEqual([failure.isUncertain, failure.isSafeToRetry], [false, false], text);
      assert.equal(failure.endpoint, store.cluster.endpoints[0]);
    }
  });

  test('pages of a range are all of one revision', async () => {
    const space = store.client().namespace('pages/');
    const names = Array.from({ length: 25 }, (_, i) => `k${String(i).padStart(2, '0')}`);
    await space
      .when()
      .do(...names.map((name) => putOp(name, 'old')))
      .commit();
    const sizes: number[] = [];
    const seen: string[] = [];
    for await (const { kvs, count } of space.pages(keysUnder('k'), { pageSize: 10 })) {
      if (sizes.length === 0) {
        assert.equal(count, 25);
        await space.put('k20', 'new');
        await space.put('k21x', 'new');
        await space.delete(oneKey('k22'));
      }
      sizes.push(kvs.length);
      seen.push(...kvs.map(({ key, value }) => `${textOf(key)} ${textOf(value)}`));
    }
    assert.deepEqual(sizes, [10, 10, 5]);
    assert.deepEqual(
      seen,
      names.map((name) => `${name} old`),
    );
    const values = new Set<string>();
    for await (const { value } of space.entries(keysFrom('k2'), { pageSize: 2 })) {
      values.add(textOf(value));
    }
    assert.deepEqual([...values], ['new', 'old']);
  });

  test('pages fail when their revision is compacted meanwhile', async () => {
    const client = store.client();
    const space = client.namespace('gone/');
    await space.when().do(putOp('a', ''), putOp('b', ''), putOp('c', '')).commit();
    const pages = space.pages(keysUnder(''), { pageSize: 1 });
    await pages.next();
    const { header } = await space.put('a', 'x');
    await client.compact(header.revision, { physical: true });
    assert.equal((await failureOf(pages.next())).text, etcdTexts.compacted);
  });

  test('a transaction compares, acts and nests', async () => {
    const client = store.client();
    const space = client.namespace('txn/');
    const { ID } = await client.leaseGrant(600);
    const { header } = await space.put('a', '5', { lease: ID });
    const { revision } = header;
    const holding = [
      versionOf('a').equals(1),
      versionOf('a').isGreaterThan(0),
      createRevisionOf('a').equals(revision),
      modRevisionOf('a').isLessThan(revision + 1),
      valueOf('a').equals('5'),
      valueOf('a').differsFrom('6'),
      valueOf(keysUnder('a')).isLessThan('6'),
      leaseOf('a').equals(ID),
      exists('a'),
      isMissing('b'),
      leaseOf('b').equals(0n),
    ];
    const failing = [versionOf('a').equals(2), exists('b'), valueOf('b').differsFrom('x')];
    for (const compare of holding) {
      assert.equal((await space.when(compare).commit()).succeeded, true);
    }
    for (const compare of failing) {
      const { succeeded } = await space.when(...holding, compare).commit();
      assert.equal(succeeded, false);
    }
    const inner = nested(valueOf('a').equals('other'))
      .do(putOp('wrong', ''))
      .otherwise(putOp('right', '1'), rangeOp(keysUnder('')));
    const answer = await space
      .when(...holding)
      .do(putOp('b', '6', { prevKv: true }), inner, deleteOp('a', { prevKv: true }))
      .otherwise(rangeOp('a'))
      .commit();
    assert.equal(answer.succeeded, true);
    const kinds = answer.responses.map(({ response }) => response?.kind);
    assert.deepEqual(kinds, ['responsePut', 'responseTxn', 'responseDeleteRange']);
    const [, middle, last] = answer.responses.map(({ response }) => response);
    assert(middle?.kind === 'responseTxn' && last?.kind === 'responseDeleteRange');
    const found = kvsAt(middle.value, 1).map(({ key }) => textOf(key));
    assert.deepEqual(found, ['a', 'b', 'right']);
    assert.deepEqual(
      last.value.prevKvs.map(({ value }) => textOf(value)),
      ['5'],
    );
    const other = await space.when(exists('a')).otherwise(rangeOp('right')).commit();
    assert.deepEqual(
      kvsAt(other, 0).map(({ value }) => textOf(value)),
      ['1'],
    );
  });

  test('a namespace sees its own keys only, and others see them with their prefix', async () => {
    const client = store.client();
    const space = client.namespace('ns/');
    const inner = space.namespace('in/');
    await client.put('ns', 'before');
    await client.put('ns0', 'after');
    await inner.put('a', '1');
    await space.put('b', '2');
    assert.deepEqual(await keysOf(space), ['b', 'in/a']);
    assert.deepEqual(await keysOf(space, keysFrom('c')), ['in/a']);
    assert.deepEqual(await keysOf(space, keysBetween('a', 'c')), ['b']);
    assert.deepEqual(await keysOf(inner), ['a']);
    assert.deepEqual(await keysOf(client, keysUnder('ns/')), ['ns/b', 'ns/in/a']);
    assert.equal((await failureOf(space.put('', 'x'))).text, etcdTexts.emptyKey);
    const { ID } = await space.leaseGrant(600);
    await client.put('elsewhere', '', { lease: ID });
    await inner.put('leased', '', { lease: ID });
    const { keys } = await inner.leaseTimeToLive(ID, { keys: true });
    assert.deepEqual(keys.map(textOf), ['leased']);
    assert.equal((await space.delete(keysUnder(''))).deleted, 3);
    assert.deepEqual(await keysOf(client, keysUnder('ns')), ['ns', 'ns0']);
  });

  test('a call ends with its time or its signal', async () => {
    const client = store.client({ timeoutMs: 20_000 });
    await client.put('d/a', '1');
    store.cluster.member(0).signal('SIGSTOP');
    // It takes effect a little later.
    await sleep(200);
    try {
      const start = performance.now();
      const late = await failureOf(client.put('d/a', '2', { timeoutMs: 300 }));
      assert.equal(late.code, 4);
      assert.equal(late.isUncertain, true);
      const abort = new AbortController();
      const reason = new Error('enough');
      setTimeout(() => {
        abort.abort(reason);
      }, 200);
      await assert.rejects(client.get('d/a', { signal: abort.signal }), reason);
      await assert.rejects(client.get('d/a', { signal: AbortSignal.abort(reason) }), reason);
      assert(performance.now() - start < 5_000);
    } finally {
      store.cluster.member(0).signal('SIGCONT');
    }
    assert.match(textOf((await client.get('d/a'))?.value), /[12]/);
  });

  test('software transactions lose no update', async () => {
    const client = store.client();
    const space = client.namespace('stm/');
    const accounts = ['a', 'b', 'c', 'd'];
    await space
      .when()
      .do(...accounts.map((name) => putOp(name, '100')))
      .commit();
    const pick = (n: number) => accounts[n % accounts.length] ?? 'a';
    let tries = 0;
    const transfers = Array.from({ length: 24 }, (_, n) =>
      space.stm(async (attempt) => {
        tries++;
        const [from, to] = [pick(n), pick(n + 1 + (n % 3))];
        const had = Number(textOf(await attempt.get(from)));
        const has = Number(textOf(await attempt.get(to)));
        attempt.put(from, String(had - 1));
        attempt.put(to, String(has + 1));
        return textOf(await attempt.get(from));
      }),
    );
    for (const { result, response } of await Promise.all(transfers)) {
      assert.match(result, /^\d+$/);
      assert.equal(response.succeeded, true);
    }
    assert(tries >= transfers.length);
    const { kvs } = await space.range(keysUnder(''));
    const sum = kvs.reduce((total, { value }) => total + Number(textOf(value)), 0);
    assert.equal(sum, 400);
    const total = kvs.reduce((count, { version }) => count + version - 1, 0);
    assert.equal(total, 2 * transfers.length);
  });

  test('each isolation of a software transaction notices what it promises', async () => {
    const space = store.client().namespace('iso/');
    const run = async (isolation: 'serializableSnapshot' | 'serializable' | 'readCommitted') => {
      await space.when().do(putOp('read', '0'), putOp('blind', '0')).commit();
      let tries = 0;
      await space.stm(
        async (attempt) => {
          await attempt.get('other');
          if (++tries === 1) await space.put('blind', 'theirs');
          attempt.put('blind', 'ours');
        },
        { isolation },
      );
      const blindTries = tries;
      tries = 0;
      await space.stm(
        async (attempt) => {
          await attempt.get('read');
          if (++tries === 1) await space.put('read', 'theirs');
          attempt.put('result', String(tries));
          attempt.delete('other');
        },
        { isolation },
      );
      return [blindTries, tries];
    };
    assert.deepEqual(await run('serializableSnapshot'), [2, 2]);
    assert.deepEqual(await run('serializable'), [1, 2]);
    assert.deepEqual(await run('readCommitted'), [1, 1]);
  });
});
