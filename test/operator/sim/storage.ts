import type { PersistentVolumeClaim } from '../../../operator/api/objects.ts';
import { FakeStore } from '../support/fake-store.ts';

/** What a member wrote on its volume. Never changed in place. */
export interface Disk {
  /** `--initial-cluster-token` of the store. */
  readonly token: string;
  readonly memberId: string;
  /** Its files do not pass their checks. */
  readonly isDamaged: boolean;
  /** `--force-new-cluster` was done, and is not done again. */
  readonly isForced: boolean;
}

/** The stores that there are and ever were, and what the volumes hold of them. */
export class Storage {
  /** By `--initial-cluster-token`. */
  readonly stores = new Map<string, FakeStore>();
  /** By the UID of the volume. */
  readonly #disks: Map<string, Disk>;

  constructor(from?: Storage) {
    for (const [token, store] of from?.stores ?? []) this.stores.set(token, store.clone());
    this.#disks = new Map(from === undefined ? [] : from.#disks);
  }

  disk(volume: PersistentVolumeClaim | undefined): Disk | undefined {
    return volume === undefined ? undefined : this.#disks.get(volume.metadata.uid ?? '');
  }

  write(volume: PersistentVolumeClaim, disk: Disk): void {
    this.#disks.set(volume.metadata.uid ?? '', disk);
  }

  erase(volume: PersistentVolumeClaim): void {
    this.#disks.delete(volume.metadata.uid ?? '');
  }

  damage(volume: PersistentVolumeClaim | undefined): void {
    const disk = this.disk(volume);
    if (volume !== undefined && disk !== undefined)
      this.write(volume, { ...disk, isDamaged: true });
  }

  storeOf({ token }: Disk): FakeStore | undefined {
    return this.stores.get(token);
  }

  /** Whether what is on it is a member's: of a store of which it is a part. */
  isMember(disk: Disk): boolean {
    return this.storeOf(disk)?.member(disk.memberId) !== undefined;
  }

  begin(token: string): FakeStore {
    const store = new FakeStore(`c${this.stores.size + 1}0`);
    this.stores.set(token, store);
    return store;
  }
}
