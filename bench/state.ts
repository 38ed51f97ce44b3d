/**
 * How fast the state is by itself: puts, reads, ranges and counts on the MVCC store over LevelDB, and memory per key.
 * `node dist/bench/state.js [keys]`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Backend } from '../server/backend/backend.ts';
import { LevelStore } from '../server/backend/leveldb.ts';
import { fromLatin1, latin1 } from '../server/base/bytes.ts';
import { silentLogger } from '../server/base/logger.ts';
import { singleKey } from '../server/mvcc/key-range.ts';
import { Store } from '../server/mvcc/store.ts';

const keyCount = Number(process.argv[2] ?? 200_000);
const value = fromLatin1('v'.repeat(128));
/** Pseudo-random order, the same in each run. */
const keys = Array.from({ length: keyCount }, (_, index) =>
  fromLatin1(`/registry/pods/default/pod-${String(index).padStart(8, '0')}`),
);
const keyAt = (index: number) => latin1(keys[(index * 7_919_003) % keyCount] as Uint8Array);

let appliedIndex = 0;
let flushes: Promise<void> = Promise.resolve();

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-bench-'));
  const backend = new Backend({ logger: silentLogger });
  const store = new Store({ backend });
  await backend.open(await LevelStore.open({ directory }), [store]);

  const heapBefore = usedBytes();
  await timed('puts of new keys', keyCount, () => putAll(backend, store));
  await flush(backend);
  const perKey = (usedBytes() - heapBefore) / keyCount;
  console.log(`memory per key ${perKey.toFixed(0)} bytes (key of ${keyAt(0).length} bytes)`);
  await timed('overwriting puts', keyCount, () => putAll(backend, store));
  await flush(backend);

  await timed('reads of random keys', keyCount, async () => {
    for (let index = 0; index < keyCount; index++) {
      store.range({ range: singleKey(keyAt(index * 31)) });
    }
  });
  await timed('reads of 1000 hot keys', keyCount, async () => {
    for (let index = 0; index < keyCount; index++) {
      store.range({ range: singleKey(keyAt(index % 1000)) });
    }
  });
  const everything = { start: '', end: undefined, single: false };
  await timed('pages of 500 at an older revision, counted', 100, async () => {
    for (let page = 0; page < 100; page++) {
      const range = { ...everything, start: keyAt(page * 97) };
      store.range({ range, limit: 500, revision: store.revision - 20 });
    }
  });
  await timed('keys in one range over all', keyCount, async () => {
    store.range({ range: everything });
  });
  const hashed = timed('versions in HashKV', 2 * keyCount, async () => {
    await store.hashKv(0);
  });
  await hashed;
  await timed('versions compacted', keyCount, async () => {
    store.compact(store.revision);
    while (store.compactionStep()) if (backend.pendingBytes > 4_000_000) await flush(backend);
    await flush(backend);
  });
  await backend.close();

  const again = new Backend({ logger: silentLogger });
  const restored = new Store({ backend: again });
  await timed('keys opened and verified', keyCount, async () => {
    await again.open(await LevelStore.open({ directory }), [restored]);
  });
  await again.close();
  rmSync(directory, { recursive: true });
}

/** As a member does it: one transaction and one applied entry each, batches going down meanwhile. */
async function putAll(backend: Backend, store: Store): Promise<void> {
  for (let index = 0; index < keyCount; index++) {
    const txn = store.beginWrite();
    txn.put(keyAt(index), value, 0n);
    txn.end();
    backend.setApplied({ index: ++appliedIndex, term: 1 });
    if (index % 2000 === 0) {
      flushes = flush(backend);
      if (backend.pendingBytes > 16_000_000) await flushes;
      else await new Promise(setImmediate);
    }
  }
}

function flush(backend: Backend): Promise<void> {
  return new Promise((resolve, reject) => {
    backend.flush((error) => (error === null ? resolve() : reject(error)));
  });
}

async function timed(what: string, count: number, run: () => Promise<void>): Promise<void> {
  const start = process.hrtime.bigint();
  const cpuBefore = process.cpuUsage();
  await run();
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const cpu = process.cpuUsage(cpuBefore);
  const rate = Math.round(count / seconds).toLocaleString('en');
  const cpuRate = Math.round((count * 1e6) / (cpu.user + cpu.system)).toLocaleString('en');
  console.log(`${what}: ${rate}/s, per second of CPU time of all threads: ${cpuRate}`);
}

function usedBytes(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

await main();
