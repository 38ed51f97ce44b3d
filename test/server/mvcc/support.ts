import { Backend } from '../../../server/backend/backend.ts';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import type { OrderedStore } from '../../../server/backend/ordered-store.ts';
import { fromLatin1 } from '../../../server/base/bytes.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { Store } from '../../../server/mvcc/store.ts';

export interface Opened {
  readonly backend: Backend;
  readonly store: Store;
}

export async function openStore(
  under: OrderedStore = new MemoryStore({ disk: new MemoryDisk() }),
): Promise<Opened> {
  const backend = new Backend({ logger: silentLogger });
  const store = new Store({ backend });
  await backend.open(under, [store]);
  return { backend, store };
}

export function flush(backend: Backend): Promise<void> {
  return new Promise((resolve, reject) => {
    backend.flush((error) => (error === null ? resolve() : reject(error)));
  });
}

export function put(store: Store, key: string, value: string, lease = 0n): number {
  const txn = store.beginWrite();
  txn.put(key, fromLatin1(value), lease);
  return txn.end().revision;
}
