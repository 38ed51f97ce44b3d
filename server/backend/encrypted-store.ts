import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Cipher } from '../base/cipher.ts';
import type { Done } from '../base/file-system.ts';
import { encryptedTurnRecordsMax } from '../config/limits.ts';
import { StateDamagedError } from './damage.ts';
import type {
  OrderedStore,
  PinnedStore,
  StoreOp,
  StoreRange,
  StoreRecord,
  StoreScan,
} from './ordered-store.ts';

/**
 * A store whose values are encrypted below it, each for its key. Keys are not: they are revisions, ids, and the names of
 * users and roles.
 */
export class EncryptedStore implements OrderedStore {
  readonly #store: OrderedStore;
  readonly #cipher: Cipher;
  /** Resolved when the batch under way has ended: one at a time, and {@link renew} writes some too. */
  #written: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(store: OrderedStore, cipher: Cipher) {
    this.#store = store;
    this.#cipher = cipher;
  }

  get suspicion(): string | undefined {
    return this.#store.suspicion;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return decryptedOf(this.#cipher, key, this.#store.get(key));
  }

  hasMany(keys: readonly Uint8Array[]): Promise<readonly boolean[]> {
    return this.#store.hasMany(keys);
  }

  write(batch: readonly StoreOp[], done: Done): void {
    void this.#exclusive(() => this.#encryptAndWrite(batch)).then(
      () => done(null),
      (error: Error) => done(error),
    );
  }

  scan(range: StoreRange): StoreScan {
    return decryptedScan(this.#cipher, this.#store.scan(range));
  }

  pin(): PinnedStore {
    const cipher = this.#cipher;
    const pinned = this.#store.pin();
    return {
      get: (key) => decryptedOf(cipher, key, pinned.get(key)),
      scan: (range) => decryptedScan(cipher, pinned.scan(range)),
      release: () => pinned.release(),
    };
  }

  sizeBytes(): number {
    return this.#store.sizeBytes();
  }

  /**
   * Encrypts anew what older keys encrypted, while it is read and written. Resolves with the number of records, when all
   * are of the key that encrypts now, or the store is closed. Rejects when a batch cannot be written.
   */
  async renew(): Promise<number> {
    let renewed = 0;
    // What is under way may still be encrypted with an older key.
    await this.#written;
    try {
      for await (const chunk of this.#store.scan({})) {
        const old = chunk.filter(([, value]) => this.#isOld(value)).map(([key]) => key);
        if (old.length > 0) renewed += await this.#exclusive(() => this.#renewRecords(old));
        await nextTurn();
        if (this.#isClosed) break;
      }
    } catch (error) {
      if (!this.#isClosed) throw error;
    }
    return renewed;
  }

  async compact(): Promise<void> {
    await this.#store.compact();
  }

  verified(): void {
    this.#store.verified();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#written;
    await this.#store.close();
  }

  #isOld(value: Uint8Array): boolean {
    return this.#cipher.keyNumberOf(value) !== this.#cipher.keyNumber;
  }

  /** They may have been written or deleted since they were seen; nobody else writes now. */
  async #renewRecords(keys: readonly Uint8Array[]): Promise<number> {
    const batch: StoreOp[] = [];
    for (const key of keys) {
      const encrypted = this.#store.get(key);
      if (encrypted === undefined || !this.#isOld(encrypted)) continue;
      const value = decryptedOf(this.#cipher, key, encrypted);
      if (value !== undefined) batch.push({ kind: 'put', key, value });
    }
    await this.#encryptAndWrite(batch);
    return batch.length;
  }

  async #encryptAndWrite(batch: readonly StoreOp[]): Promise<void> {
    const encrypted: StoreOp[] = [];
    for (const op of batch) {
      if (encrypted.length % encryptedTurnRecordsMax === encryptedTurnRecordsMax - 1) {
        await nextTurn();
      }
      const { kind, key } = op;
      if (kind === 'delete') encrypted.push(op);
      else encrypted.push({ kind, key, value: this.#cipher.encrypt(op.value, key) });
    }
    await new Promise<void>((resolve, reject) => {
      this.#store.write(encrypted, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#written.then(work);
    this.#written = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }
}

async function* decryptedScan(
  cipher: Cipher,
  scan: StoreScan,
): AsyncGenerator<readonly StoreRecord[]> {
  for await (const chunk of scan) {
    yield chunk.map(([key, encrypted]) => [key, decrypted(cipher, key, encrypted)] as const);
  }
}

function decryptedOf(
  cipher: Cipher,
  key: Uint8Array,
  encrypted: Uint8Array | undefined,
): Uint8Array | undefined {
  return encrypted === undefined ? undefined : decrypted(cipher, key, encrypted);
}

function decrypted(cipher: Cipher, key: Uint8Array, encrypted: Uint8Array): Uint8Array {
  const value = cipher.decrypt(encrypted, key);
  if (value === undefined) throw new StateDamagedError('a record does not decrypt');
  return value;
}
