import { Buffer } from 'node:buffer';
import { latin1 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import type { Revision } from '../base/ids.ts';
import type { BoltFile } from './bolt-reader.ts';
import { type StoredVersion, versionOf } from './bolt-records.ts';
import { bucketName, metaName } from './bolt-schema.ts';

/** What `etcdutl snapshot status` says of a file, by the same rules. */
export interface SnapshotStatus {
  /** CRC-32C over the names of the buckets, each followed by its keys and values. */
  readonly hash: number;
  /** Of the last version in the file; 0 without any. */
  readonly revision: Revision;
  /** Keys that exist at that revision. */
  readonly totalKey: number;
  readonly totalSize: number;
  /** Of the storage; empty where the file does not say, as before etcd 3.6. */
  readonly version: string;
}

/** Reads the whole file, and so also checks it. Throws {@link BoltDamageError}. */
export function snapshotStatusOf(
  file: BoltFile,
  onRecord: (sizeBytes: number) => void = () => {},
): SnapshotStatus {
  const keys = new LiveKeys();
  let hash = 0;
  let version = '';
  for (const { name, records } of file.buckets()) {
    hash = crc32c(Buffer.from(name, 'latin1'), hash);
    for (const [key, value] of records()) {
      hash = crc32c(value, crc32c(key, hash));
      if (name === bucketName.key) keys.add(versionOf(file, [key, value]));
      if (name === bucketName.meta && latin1(key) === metaName.storageVersion)
        version = latin1(value);
      onRecord(key.length + value.length);
    }
  }
  file.checkFreePages();
  const { revision, size } = keys;
  return { hash, revision, totalKey: size, totalSize: file.sizeBytes, version };
}

class LiveKeys {
  revision: Revision = 0;
  readonly #keys = new Set<string>();

  get size(): number {
    return this.#keys.size;
  }

  add({ main, isTombstone, kv }: StoredVersion): void {
    this.revision = main;
    const key = latin1(kv.key);
    if (isTombstone) this.#keys.delete(key);
    else this.#keys.add(key);
  }
}
