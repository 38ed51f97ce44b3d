import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EncryptedStore } from '../../../server/backend/encrypted-store.ts';
import { LevelStore } from '../../../server/backend/leveldb.ts';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import type { OrderedStore, StoreOp } from '../../../server/backend/ordered-store.ts';
import { encryptionKeyOf } from '../../../server/base/encryption-key.ts';
import { DataKeys } from '../../../server/encryption/data-keys.ts';

/** One of the two ordered stores, with what it keeps between two openings. */
export interface StoreKind {
  readonly name: string;
  /** A place for one store, empty. */
  make(): StorePlace;
}

export interface StorePlace {
  open(): Promise<OrderedStore>;
  remove(): void;
}

export const storeKinds: readonly StoreKind[] = [
  {
    name: 'memory',
    make() {
      const disk = new MemoryDisk();
      return { open: async () => new MemoryStore({ disk }), remove() {} };
    },
  },
  {
    name: 'memory, encrypted',
    make() {
      const disk = new MemoryDisk();
      const keys = DataKeys.create(encryptionKeyOf(Buffer.alloc(32), 'zeros'));
      return {
        open: async () => new EncryptedStore(new MemoryStore({ disk }), keys),
        remove() {},
      };
    },
  },
  {
    name: 'LevelDB',
    make() {
      const directory = temporaryDirectory();
      return {
        open: () => LevelStore.open({ directory }),
        remove: () => rmSync(directory, { recursive: true, force: true }),
      };
    },
  },
];

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'mainstay-state-'));
}

export function write(store: OrderedStore, batch: readonly StoreOp[]): Promise<void> {
  return new Promise((resolve, reject) => {
    store.write(batch, (error) => (error === null ? resolve() : reject(error)));
  });
}
