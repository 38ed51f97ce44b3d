import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Backend, type PinnedState } from '../../../server/backend/backend.ts';
import { StateDamagedError } from '../../../server/backend/damage.ts';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import type { OrderedStore } from '../../../server/backend/ordered-store.ts';
import { seal } from '../../../server/backend/record.ts';
import { FormatError, type StatePart } from '../../../server/backend/restore.ts';
import { bucketKey, bucketRange, formatKey, prefix } from '../../../server/backend/schema.ts';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import type { Random } from '../../../server/base/random.ts';
import { storeKinds, write } from './support.ts';

async function open(store: OrderedStore, parts: readonly StatePart[] = []): Promise<Backend> {
  const backend = new Backend({ logger: silentLogger });
  await backend.open(store, parts);
  return backend;
}

function flush(backend: Backend): Promise<void> {
  return new Promise((resolve, reject) => {
    backend.flush((error) => (error === null ? resolve() : reject(error)));
  });
}

const leaseKey = (name: string) => bucketKey(prefix.lease, name);

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : latin1(bytes));

async function contents(pinned: PinnedState): Promise<[string, string][]> {
  const records: [string, string][] = [];
  for await (const chunk of pinned.scan(bucketRange(prefix.lease))) {
    for (const [key, value] of chunk) records.push([latin1(key.subarray(1)), latin1(value)]);
  }
  return records;
}

/** Gathers the lease bucket, as a part of the state. */
class LeaseBucket implements StatePart {
  readonly prefixes = [prefix.lease];
  records = new Map<string, string>();
  #gathered = new Map<string, string>();

  restoreBegin(): void {
    this.#gathered = new Map();
  }

  restoreRecord(key: Uint8Array, value: Uint8Array): void {
    this.#gathered.set(latin1(key.subarray(1)), latin1(value));
  }

  restoreEnd(): void {
    this.records = this.#gathered;
  }
}

function seeded(seed: number): Random {
  let state = seed >>> 0;
  return {
    uint32() {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state ^ (state >>> 15)) >>> 0;
    },
  };
}

for (const kind of storeKinds) {
  test(`${kind.name}: random changes, flushes, pins and restarts equal a map`, async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('put'), key: fc.nat(9) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete'), key: fc.nat(9) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush'), key: fc.nat(1) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('pin'), key: fc.nat(9) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart'), key: fc.nat(9) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const place = kind.make();
        let store = await place.open();
        const bucket = new LeaseBucket();
        let backend = await open(store, [bucket]);
        const model = new Map<string, string>();
        let index = 0;
        for (const { kind: what, key } of steps) {
          const name = `k${key}`;
          if (what === 'put') {
            index++;
            backend.put(leaseKey(name), fromLatin1(`v${index}`));
            model.set(name, `v${index}`);
            backend.setApplied({ index, term: 1 });
          } else if (what === 'delete') {
            index++;
            backend.delete(leaseKey(name));
            model.delete(name);
            backend.setApplied({ index, term: 1 });
          } else if (what === 'flush') {
            const flushed = flush(backend);
            if (key === 0) await flushed;
          } else if (what === 'pin') {
            const pinned = backend.pin();
            assert.equal(pinned.applied.index, index);
            const expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
            backend.put(leaseKey('later'), fromLatin1('x'));
            backend.delete(leaseKey('later'));
            assert.deepEqual(await contents(pinned), expected);
            assert.equal(text(pinned.get(leaseKey(name))), model.get(name));
            pinned.release();
          } else {
            await flush(backend);
            const inUse = backend.inUseBytes;
            await backend.close();
            store = await place.open();
            backend = await open(store, [bucket]);
            assert.deepEqual(bucket.records, model);
            assert.equal(backend.applied.index, index);
            assert.equal(backend.durableApplied.index, index);
            if (index > 0) assert.equal(backend.isDirty, false);
            assert.equal(backend.inUseBytes, inUse);
          }
          for (const each of ['k0', 'k1', name]) {
            assert.equal(text(backend.get(leaseKey(each))), model.get(each));
          }
        }
        await flush(backend);
        await backend.close();
        place.remove();
      }),
      { numRuns: kind.name === 'memory' ? 200 : 25 },
    );
  });
}

/** Ten entries, each of two records, in batches of their own. */
async function tenBatches(disk: MemoryDisk): Promise<Backend> {
  const backend = await open(new MemoryStore({ disk }));
  for (let index = 1; index <= 10; index++) {
    backend.put(leaseKey('counter'), fromLatin1(String(index)));
    backend.put(leaseKey(`entry ${index}`), fromLatin1('x'));
    backend.setApplied({ index, term: 1 });
    await flush(backend);
  }
  return backend;
}

test('a batch lost from the middle is noticed, one lost from the end is not yet there', async () => {
  for (let lost = 0; lost < 10; lost++) {
    const disk = new MemoryDisk({ keepsHistory: true });
    await tenBatches(disk);
    disk.loseBatch(lost);
    const opened = open(new MemoryStore({ disk }));
    if (lost < 9) await assert.rejects(opened, StateDamagedError);
    else assert.equal((await opened).applied.index, 9);
  }
});

test('one flipped bit anywhere is noticed', async () => {
  for (let seed = 0; seed < 200; seed++) {
    const disk = new MemoryDisk();
    await tenBatches(disk);
    disk.flipBit(seeded(seed));
    await assert.rejects(open(new MemoryStore({ disk })), StateDamagedError, `seed ${seed}`);
  }
});

test('a record that went bad while the backend is open is not served', async () => {
  const disk = new MemoryDisk();
  const backend = await tenBatches(disk);
  const sealed = disk.records.get(latin1(leaseKey('counter')));
  assert.ok(sealed);
  sealed[0] = 0x39;
  assert.throws(() => backend.get(leaseKey('counter')), StateDamagedError);
  const pinned = backend.pin();
  await assert.rejects(contents(pinned), StateDamagedError);
});

test('a record that is missing, old or one too many is noticed', async () => {
  const changes: ((disk: MemoryDisk) => void)[] = [
    (disk) => disk.records.delete(latin1(leaseKey('counter'))),
    (disk) => {
      const old = seal(leaseKey('counter'), fromLatin1('3'));
      disk.records.set(latin1(leaseKey('counter')), old);
    },
    (disk) => disk.records.set(latin1(leaseKey('e')), seal(leaseKey('e'), fromLatin1(''))),
  ];
  for (const change of changes) {
    const disk = new MemoryDisk();
    await tenBatches(disk);
    change(disk);
    await assert.rejects(open(new MemoryStore({ disk })), StateDamagedError);
  }
});

test('records without a marker are an unfinished load, not a state', async () => {
  const store = new MemoryStore();
  const key = leaseKey('a');
  await write(store, [{ kind: 'put', key, value: seal(key, fromLatin1('1')) }]);
  await assert.rejects(open(store), StateDamagedError);
});

test('a newer format is refused, without calling it damage', async () => {
  const disk = new MemoryDisk();
  await tenBatches(disk);
  disk.records.set(latin1(formatKey), seal(formatKey, Uint8Array.of(2)));
  await assert.rejects(open(new MemoryStore({ disk })), FormatError);
});

test('a crash loses whole batches that were not acknowledged, and nothing else', async () => {
  for (let seed = 0; seed < 100; seed++) {
    const random = seeded(seed);
    const disk = new MemoryDisk();
    const ends: (() => void)[] = [];
    const store = new MemoryStore({ disk, schedule: (end) => ends.push(end) });
    const backend = await open(store);
    let acknowledged = 0;
    for (let index = 1; index <= 20; index++) {
      backend.put(leaseKey('counter'), fromLatin1(String(index)));
      backend.put(leaseKey(`entry ${index}`), fromLatin1('x'));
      backend.setApplied({ index, term: 1 });
      backend.flush((error) => {
        assert.equal(error, null);
        acknowledged = Math.max(acknowledged, index);
      });
      if (random.uint32() % 3 === 0) ends.shift()?.();
    }
    disk.crash(random);
    ends.shift()?.();
    const bucket = new LeaseBucket();
    const again = await open(new MemoryStore({ disk }), [bucket]);
    const { index } = again.applied;
    assert.ok(index >= acknowledged, `seed ${seed}`);
    assert.equal(bucket.records.get('counter'), index === 0 ? undefined : String(index));
    assert.equal(bucket.records.size, index === 0 ? 0 : index + 1);
  }
});

test('many small flushes while a batch is under way become one batch', async () => {
  const ends: (() => void)[] = [];
  const disk = new MemoryDisk({ keepsHistory: true });
  const backend = await open(new MemoryStore({ disk, schedule: (end) => ends.push(end) }));
  const durable: number[] = [];
  for (let index = 1; index <= 5; index++) {
    backend.put(leaseKey('counter'), fromLatin1(String(index)));
    backend.setApplied({ index, term: 1 });
    backend.flush(() => durable.push(index));
  }
  ends.shift()?.();
  assert.deepEqual(durable, [1]);
  assert.deepEqual(backend.durableApplied, { index: 1, term: 1 });
  assert.ok(backend.pendingBytes === 0 && backend.isDirty);
  ends.shift()?.();
  assert.deepEqual(durable, [1, 2, 3, 4, 5]);
  assert.equal(disk.batchCount, 2);
  assert.equal(backend.isDirty, false);
});

test('the applied index goes down alone when entries had no effect', async () => {
  const disk = new MemoryDisk();
  const backend = await open(new MemoryStore({ disk }));
  backend.setApplied({ index: 7, term: 3 });
  await flush(backend);
  const again = await open(new MemoryStore({ disk }));
  assert.deepEqual(again.applied, { index: 7, term: 3 });
});

test('a failed write is reported to all who wait, and nothing is tried again', async () => {
  const failure = new Error('input/output error');
  let writes = 0;
  const broken: OrderedStore = {
    suspicion: undefined,
    get: () => undefined,
    hasMany: async () => [],
    write(_batch, done) {
      writes++;
      queueMicrotask(() => done(failure));
    },
    async *scan() {},
    pin: () => assert.fail(),
    sizeBytes: () => 0,
    compact: async () => {},
    verified() {},
    close: async () => {},
  };
  const backend = await open(broken);
  backend.setApplied({ index: 1, term: 1 });
  const first = flush(backend);
  const second = flush(backend);
  await assert.rejects(first, failure);
  await assert.rejects(second, failure);
  await assert.rejects(flush(backend), failure);
  assert.equal(writes, 1);
});

test('another state can take the place of the one that is served', async () => {
  const newer = new MemoryDisk();
  await tenBatches(newer);
  const bucket = new LeaseBucket();
  const backend = await open(new MemoryStore(), [bucket]);
  backend.put(leaseKey('old'), fromLatin1('1'));
  backend.setApplied({ index: 3, term: 1 });
  const opening = backend.open(new MemoryStore({ disk: newer }), [bucket]);
  assert.equal(text(backend.get(leaseKey('old'))), '1');
  await opening;
  assert.equal(backend.get(leaseKey('old')), undefined);
  assert.equal(backend.applied.index, 10);
  assert.equal(bucket.records.get('counter'), '10');
});
