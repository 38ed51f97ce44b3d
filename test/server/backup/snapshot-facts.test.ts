import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { BackupError } from '../../../server/backup/failure.ts';
import { KeyTable } from '../../../server/backup/key-table.ts';
import { needsEarlyTable } from '../../../server/backup/kv-facts.ts';
import { SnapshotHash, SnapshotReading } from '../../../server/backup/snapshot-facts.ts';
import { fromLatin1 } from '../../../server/base/bytes.ts';
import { clientSnapshotOf } from '../../../server/snapshot/client-snapshot.ts';
import { type Opened, openStore, put } from '../mvcc/support.ts';

async function snapshotOf({ backend }: Opened): Promise<Buffer> {
  const pinned = backend.pin();
  const { chunks } = await clientSnapshotOf(pinned);
  const all: Uint8Array[] = [];
  for await (const chunk of chunks()) all.push(chunk);
  pinned.release();
  return Buffer.concat(all.slice(0, -1));
}

/** As `save` does it: the file passes by twice, or three times. */
function factsOf(snapshot: Buffer, chunkBytes: number) {
  const passBy = (add: (chunk: Uint8Array) => void): void => {
    for (let at = 0; at < snapshot.length; at += chunkBytes) {
      add(snapshot.subarray(at, at + chunkBytes));
    }
  };
  const reading = new SnapshotReading();
  passBy((chunk) => reading.add(chunk));
  const facts = reading.end();
  let { table } = reading;
  if (needsEarlyTable(facts)) {
    const early = new SnapshotReading(facts.compactRevision);
    passBy((chunk) => early.add(chunk));
    table = early.table;
  }
  const hash = new SnapshotHash(facts, table);
  passBy((chunk) => hash.add(chunk));
  return { ...facts, hash: hash.end() };
}

const everything = { start: '', end: undefined, single: false };

async function expected({ store }: Opened) {
  const { revision, compactRevision } = store;
  const { hash } = await store.hashKv(0);
  return { revision, compactRevision, keys: store.index.countAt(everything, revision), hash };
}

type Step =
  | { readonly kind: 'put'; readonly key: string; readonly valueBytes: number }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'compact'; readonly back: number }
  | { readonly kind: 'erase' };

function run(opened: Opened, steps: readonly Step[]): void {
  const { store, backend } = opened;
  let index = 0;
  for (const step of steps) {
    if (step.kind === 'put') put(store, step.key, 'v'.repeat(step.valueBytes));
    if (step.kind === 'delete') {
      const txn = store.beginWrite();
      txn.deleteRange({ start: step.key, end: undefined, single: true });
      txn.end();
    }
    if (step.kind === 'compact') {
      const revision = store.revision - step.back;
      if (revision > Math.max(0, store.compactRevision)) store.compact(revision);
    }
    while (step.kind === 'erase' && store.compactionStep());
    backend.setApplied({ index: ++index, term: 1 });
  }
}

const key = fc.constantFrom('a', 'b', 'c', 'dd', 'ee/ff');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('put'), key, valueBytes: fc.nat(9_000) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('delete'), key }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('compact'), back: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('erase') }) },
);

suite('what a snapshot holds, told while it passes by', () => {
  test('revision, keys and HashKV are those of the store, whatever was compacted', async () => {
    const property = fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.constantFrom(100, 4_096, 32_768, 1_000_000),
      async (steps, chunkBytes) => {
        const opened = await openStore();
        run(opened, steps);
        assert.deepEqual(factsOf(await snapshotOf(opened), chunkBytes), await expected(opened));
      },
    );
    await fc.assert(property, { numRuns: 150 });
  });

  test('no key is left, and all was compacted before', async () => {
    const opened = await openStore();
    run(opened, [
      { kind: 'put', key: 'a', valueBytes: 1 },
      { kind: 'put', key: 'b', valueBytes: 1 },
      { kind: 'compact', back: 0 },
      { kind: 'delete', key: 'a' },
      { kind: 'delete', key: 'b' },
    ]);
    const told = factsOf(await snapshotOf(opened), 4_096);
    assert.equal(told.keys, 0);
    assert.deepEqual(told, await expected(opened));
  });

  test('what is no snapshot, or ends too early', async () => {
    const opened = await openStore();
    run(opened, [{ kind: 'put', key: 'a', valueBytes: 5_000 }]);
    const snapshot = await snapshotOf(opened);
    for (const wrong of [
      Buffer.alloc(0),
      Buffer.alloc(8_192),
      snapshot.subarray(0, snapshot.length - 1),
    ]) {
      assert.throws(() => factsOf(wrong, 4_096), BackupError);
    }
  });
});

test('the table of keys knows each key, however many there are', () => {
  const table = new KeyTable();
  const keys = Array.from({ length: 20_000 }, (_, at) => fromLatin1(`key ${at}`));
  for (const [at, each] of keys.entries()) table.set(each, at, true);
  for (const [at, each] of keys.entries())
    if (at % 3 === 0) table.set(each, 20_000 + at, at % 2 === 0);
  assert.equal(table.liveKeys, keys.filter((_, at) => at % 3 !== 0 || at % 2 === 0).length);
  for (const [at, each] of keys.entries()) {
    assert.equal(table.isLast(each, at), at % 3 !== 0);
    assert.equal(table.isLast(each, 20_000 + at), at % 6 === 0);
  }
});
