import type { Done } from '../base/file-system.ts';
import { bulkLoadBytesMax } from '../config/limits.ts';
import { type Applied, encodeMarker, markerKey, nextMarker } from './marker.ts';
import type { OrderedStore, StoreOp, StoreRecord } from './ordered-store.ts';
import { checksumOf, seal } from './record.ts';
import { StateHash } from './state-hash.ts';

/**
 * Fills an empty store with a whole state. The marker goes in last, with everything that vouches for the state; a
 * store that was not finished is found damaged when it is opened.
 */
export class BulkLoad {
  readonly stateHash = new StateHash();
  readonly #store: OrderedStore;
  #ops: StoreOp[] = [];
  #bytes = 0;

  constructor(store: OrderedStore) {
    this.#store = store;
  }

  /** Sealed records that were verified, without markers. Resolves when there is room for more. */
  async add(records: readonly StoreRecord[]): Promise<void> {
    for (const [key, sealed] of records) {
      this.stateHash.add(checksumOf(sealed));
      this.#ops.push({ kind: 'put', key, value: sealed });
      this.#bytes += key.length + sealed.length;
    }
    if (this.#bytes >= bulkLoadBytesMax) await this.#write();
  }

  async finish(applied: Applied): Promise<void> {
    const marker = nextMarker(undefined, { ops: [], applied, stateHash: this.stateHash });
    const key = markerKey(marker.sequence);
    await this.#write();
    this.#ops.push({ kind: 'put', key, value: seal(key, encodeMarker(marker)) });
    await this.#write();
  }

  #write(): Promise<void> {
    const ops = this.#ops;
    this.#ops = [];
    this.#bytes = 0;
    return new Promise((resolve, reject) => {
      const done: Done = (error) => (error === null ? resolve() : reject(error));
      this.#store.write(ops, done);
    });
  }
}
