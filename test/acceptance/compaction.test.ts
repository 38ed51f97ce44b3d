import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keysUnder } from '../../server/client/keys.ts';
import { KV } from '../../server/proto/gen/rpc.ts';
import { pair, sharedStore, withStore } from './support.ts';

// Acceptance cases 26, 27 and 30: compaction. What concerns hashes is in hash-kv.test.ts.

const three = sharedStore({ size: 3 });

const compacted = '11 etcdserver: mvcc: required revision has been compacted';
const future = '11 etcdserver: mvcc: required revision is a future revision';
const key = Buffer.from('key');

test('26 TestCompact', async () => {
  for (const physical of [false, true]) {
    const first = await three().clear();
    const api = three().at();
    for (const value of ['val1', 'val2', 'val3']) await api.put('key', value);
    const revision = first + 2;
    assert.deepEqual((await api.range('key', { revision })).kvs.map(pair), ['key=val2']);
    await api.compact(first + 3, physical);
    assert.equal(await api.refusal(KV.methods.range, { key, revision }), compacted);
    assert.equal(
      await api.refusal(KV.methods.compact, { revision: first + 1, physical }),
      compacted,
    );
    for (const member of three().apis) {
      const { kvs } = await member.range('key', { revision: first + 3 });
      assert.deepEqual(kvs.map(pair), ['key=val3']);
    }
  }
});

test('27 TestKVCompactError', async () => {
  await three().clear();
  const api = three().at();
  let revision = 0;
  for (let n = 0; n < 5; n++) revision = await api.putRevision('foo', 'bar');
  await api.compact(revision);
  assert.equal(await api.refusal(KV.methods.compact, { revision }), compacted);
  assert.equal(await api.refusal(KV.methods.compact, { revision: revision + 100 }), future);
});

test('27 TestKVCompact', async () => {
  const first = await three().clear();
  for (let n = 0; n < 10; n++) await three().at().put('foo', 'bar');
  const revision = first + 6;
  await three().at().compact(revision);
  assert.equal(await three().at().refusal(KV.methods.compact, { revision }), compacted);
  // Another member may not have heard of the compaction: a read that goes through the quorum waits for it.
  await three().at(1).range('quorum-get');
  const watch = await three()
    .at(1)
    .watching('foo', { startRevision: first + 2 });
  const end = await watch.next();
  assert.deepEqual([end.canceled, end.compactRevision], [true, revision]);
  await watch.silent();
  watch.close();
  const tooFar = { revision: revision + 1_000 };
  assert.equal(await three().at().refusal(KV.methods.compact, tooFar), future);
});

test('27 TestV3CompactCurrentRev', async () => {
  await three().clear();
  const api = three().at();
  let revision = 0;
  for (let n = 0; n < 3; n++) revision = await api.putRevision('foo', 'bar');
  await api.compact(revision);
  assert.deepEqual(await api.values('foo'), ['bar']);
  assert.deepEqual(await api.values('foo', { serializable: true }), ['bar']);
  assert.deepEqual(await api.values('foo', { revision }), ['bar']);
});

test('30 TestReproduce17780', () =>
  withStore({ size: 3 }, async (store) => {
    // The member that is asked dies while it compacts; a moment later each time.
    for (const delayMs of [0, 3, 10]) {
      const [target] = await store.followers();
      assert(target !== undefined);
      const api = store.of(target);
      let revision = 0;
      for (let n = 0; n < 30; n++) revision = await api.putRevision(`${n}`, 'x'.repeat(16));
      revision = (await api.delete(keysUnder('1'))).header?.revision ?? 0;
      const compacting = api.channel.call(KV.methods.compact, { revision, physical: true });
      await sleep(delayMs);
      await target.stop('SIGKILL');
      await compacting;
      await target.start();
      store.disconnect();
      // Never less than what was told before.
      assert((await store.of(target).revision()) >= revision);
      assert.equal((await store.of(target).range(keysUnder('1'))).count, 0);
      const next = await store.of(target).putRevision('next', 'y');
      for (const one of store.apis) {
        const { header } = await one.range('next');
        assert.equal(header?.revision, next);
      }
    }
  }));
