import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EtcdError } from '../../../server/base/errors.ts';
import { singleKey } from '../../../server/mvcc/key-range.ts';
import type { Store } from '../../../server/mvcc/store.ts';
import { openStore, put } from './support.ts';

type Step =
  | { op: 'put'; key: string; value: string; lease: string }
  | { op: 'delete'; key: string }
  | { op: 'txn'; put: [string, string]; delete: string }
  | { op: 'deleteAll' }
  | { op: 'compact'; revision: number }
  | { op: 'hash'; revision: number; hash?: number; compactRevision?: number; error?: string };

/**
 * What a real etcd 3.5.30 answered to the same operations, restarted after each compaction: before that it answers
 * HashKV of exactly the compacted revision from a cache, with the hash it took while compacting.
 */
const golden = JSON.parse(
  readFileSync('test/server/mvcc/testdata/hashkv-etcd-3.5.30.json', 'utf8'),
) as Step[];

const errors: Record<string, string> = {
  'etcdserver: mvcc: required revision has been compacted': 'Compacted',
  'etcdserver: mvcc: required revision is a future revision': 'FutureRevision',
};

test('HashKV equals that of etcd 3.5.30, with deletions, transactions, leases and compactions', async () => {
  const { store } = await openStore();
  let compared = 0;
  for (const step of golden) {
    if (step.op !== 'hash') {
      run(store, step);
      continue;
    }
    compared++;
    if (step.error !== undefined) {
      const error = errors[step.error];
      await assert.rejects(store.hashKv(step.revision), { name: 'EtcdError', error });
      continue;
    }
    const { hash, compactRevision } = await store.hashKv(step.revision);
    assert.deepEqual({ hash, compactRevision }, hashIn(step), `revision ${step.revision}`);
  }
  assert.ok(compared > 100);
});

function hashIn({ hash, compactRevision }: { hash?: number; compactRevision?: number }): object {
  return { hash, compactRevision };
}

function run(store: Store, step: Exclude<Step, { op: 'hash' }>): void {
  if (step.op === 'compact') {
    store.compact(step.revision);
    while (store.compactionStep());
    return;
  }
  const txn = store.beginWrite();
  if (step.op === 'put') {
    const lease = BigInt.asIntN(64, BigInt(step.lease));
    txn.put(step.key, Buffer.from(step.value, 'base64'), lease);
  } else if (step.op === 'delete') {
    txn.deleteRange(singleKey(step.key));
  } else if (step.op === 'deleteAll') {
    txn.deleteRange({ start: '\0', end: undefined, single: false });
  } else {
    txn.put(step.put[0], Buffer.from('t'), 0n);
    txn.deleteRange(singleKey(step.delete));
    txn.put(step.put[1], Buffer.from('u'), 0n);
  }
  txn.end();
}

test('HashKV does not depend on how far a compaction got', async () => {
  const { store } = await openStore();
  for (let number = 0; number < 3000; number++) put(store, `key ${number % 700}`, `v${number}`);
  store.compact(2000);
  const before = await store.hashKv(0);
  const atCompacted = await store.hashKv(2000);
  for (let isMore = true; isMore; ) {
    isMore = store.compactionStep();
    assert.deepEqual(await store.hashKv(0), before);
    assert.deepEqual(await store.hashKv(2000), atCompacted);
  }
});

test('HashKV takes one moment, whatever is written and compacted meanwhile', async () => {
  const { store } = await openStore();
  for (let number = 0; number < 5000; number++) put(store, `key ${number % 700}`, `v${number}`);
  const { hash } = await store.hashKv(4000);
  const hashing = store.hashKv(4000);
  put(store, 'key 1', 'later');
  assert.equal((await hashing).hash, hash);
  const overtaken = store.hashKv(4000);
  store.compact(4500);
  while (store.compactionStep());
  await assert.rejects(overtaken, new EtcdError('Compacted'));
});
