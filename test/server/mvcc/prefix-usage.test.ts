import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import { latin1 } from '../../../server/base/bytes.ts';
import { PrefixUsage } from '../../../server/mvcc/prefix-usage.ts';
import type { Store } from '../../../server/mvcc/store.ts';
import { flush, openStore, put } from './support.ts';

const prefixes = ['a/', 'a/b/', 'b', '\xff', 'none'];
const everything = { start: '', end: undefined, single: false };

/** By reading all that is there. */
function counted(store: Store): number[] {
  const { kvs } = store.range({ range: everything });
  return prefixes.map((prefix) =>
    kvs
      .filter(({ key }) => latin1(key).startsWith(prefix))
      .reduce((sum, { key, value }) => sum + key.length + value.length, 0),
  );
}

function kept({ usage }: Store): number[] {
  return prefixes.map((prefix) => usage?.bytesOf(prefix) ?? Number.NaN);
}

const keys = ['a/1', 'a/2', 'a/', 'a', 'a/b/1', 'a/b/2', 'b', 'b1', 'c', '\xff', '\xff\xff'];
const operation = fc.oneof(
  fc.record({ put: fc.constantFrom(...keys), size: fc.nat({ max: 30 }) }),
  fc.record({ from: fc.constantFrom(...keys), to: fc.constantFrom(...keys) }),
);

suite('what the keys with a prefix take', () => {
  test('is right after every transaction, compaction, start and replaced state', async () => {
    const txns = fc.array(fc.array(operation, { minLength: 1, maxLength: 5 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(txns, fc.nat({ max: 30 }), async (written, compactedAt) => {
        const disk = new MemoryDisk();
        const { store, backend } = await openStore(new MemoryStore({ disk }));
        store.keepUsageOf(prefixes);
        for (const [at, txn] of written.entries()) {
          const writing = store.beginWrite();
          for (const op of txn) {
            if ('put' in op) writing.put(op.put, Buffer.alloc(op.size), 0n);
            else writing.deleteRange({ start: op.from, end: op.to, single: false });
          }
          writing.end();
          assert.deepEqual(kept(store), counted(store));
          if (at !== compactedAt || store.revision <= 1) continue;
          store.compact(store.revision);
          while (store.compactionStep());
          assert.deepEqual(kept(store), counted(store));
        }
        backend.setApplied({ index: 1, term: 1 });
        await flush(backend);
        const again = await openStore(new MemoryStore({ disk }));
        again.store.keepUsageOf(prefixes);
        assert.deepEqual(kept(again.store), counted(store));
        // As the state of a leader takes the place of one's own.
        const other = await openStore();
        other.store.keepUsageOf(prefixes);
        put(other.store, 'a/gone', 'gone');
        await other.backend.open(new MemoryStore({ disk }), [other.store]);
        assert.deepEqual(kept(other.store), counted(store));
        put(other.store, 'a/new', 'new');
        assert.deepEqual(kept(other.store), counted(other.store));
      }),
      { numRuns: 60 },
    );
  });

  test('a key counts for all prefixes that it has', () => {
    const usage = new PrefixUsage(prefixes);
    assert.deepEqual(usage.prefixesOf('a/b/c'), ['a/', 'a/b/']);
    assert.deepEqual(usage.prefixesOf('a'), []);
    assert.deepEqual(usage.prefixesOf('b'), ['b']);
    assert.equal(usage.bytesOf('unknown'), 0);
  });

  test('nothing is kept unless it is asked for', async () => {
    const { store } = await openStore();
    put(store, 'a/1', 'v');
    assert.equal(store.usage, undefined);
  });
});
