import type { StoreRecord } from '../backend/ordered-store.ts';
import { parseEtcdRevisionKey, type RevisionPair } from '../mvcc/revision.ts';
import { KeyValue } from '../proto/gen/kv.ts';
import { DecodeError, type MessageType } from '../proto/wire.ts';
import { BoltDamageError, type BoltFile } from './bolt-reader.ts';

// What the records of an etcd database file say, checked.

/** A version of a key, from the bucket `key`. */
export interface StoredVersion extends RevisionPair {
  readonly isTombstone: boolean;
  readonly kv: KeyValue;
}

export function versionOf(file: BoltFile, [key, value]: StoreRecord): StoredVersion {
  const pair = parseEtcdRevisionKey(key);
  if (pair === undefined) throw new BoltDamageError(file.position, 'a key that is no revision');
  return { ...pair, kv: decoded(file, KeyValue, value) };
}

/** Throws {@link BoltDamageError} when the bytes are not such a message. */
export function decoded<T>(file: BoltFile, type: MessageType<T>, bytes: Uint8Array): T {
  try {
    return type.decode(bytes);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new BoltDamageError(file.position, `a record that cannot be read (${error.message})`);
  }
}
