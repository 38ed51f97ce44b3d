import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KeyTable } from '../backup/key-table.ts';
import type { LeaseId } from '../base/ids.ts';
import { StoredLease } from '../proto/gen/snapshot.ts';
import { decoded, versionOf } from '../snapshot/bolt-records.ts';
import { bucketName } from '../snapshot/bolt-schema.ts';
import type { SnapshotFile } from '../snapshot/snapshot-file.ts';
import type { Content, Entry, OnBytes } from './content.ts';

export interface SnapshotContentOptions {
  readonly isIncluded: (key: Uint8Array) => boolean;
  /** Told twice of each record. */
  readonly onBytes: OnBytes;
}

const recordsPerTurn = 1_000;

/**
 * What a snapshot has at its last revision, by the revision of each key's last change. The file is read twice: first to
 * check all of it and learn which version of each key is the last, which is held in a few bytes for each key.
 * Throws {@link BoltDamageError}.
 */
export async function snapshotContent(
  file: SnapshotFile,
  options: SnapshotContentOptions,
): Promise<Content> {
  const database = file.database();
  const table = new KeyTable();
  const ttls = new Map<LeaseId, number>();
  let revision = 0;
  let count = 0;
  for (const { name, records } of database.buckets()) {
    for (const record of records()) {
      if (name === bucketName.key) {
        const { main, kv, isTombstone } = versionOf(database, record);
        revision = main;
        table.set(kv.key, count, !isTombstone && kv.key.length > 0);
      } else if (name === bucketName.lease) {
        const { id, ttl } = decoded(database, StoredLease, record[1]);
        ttls.set(id, ttl);
      }
      options.onBytes(record[0].length + record[1].length);
      if (++count % recordsPerTurn === 0) await nextTurn();
    }
  }
  database.checkFreePages();
  const at = { table, ttls };
  return { clusterId: undefined, revision, entries: () => entriesOf(file, at, options) };
}

async function* entriesOf(
  file: SnapshotFile,
  { table, ttls }: { readonly table: KeyTable; readonly ttls: ReadonlyMap<LeaseId, number> },
  { isIncluded, onBytes }: SnapshotContentOptions,
): AsyncGenerator<Entry, void, void> {
  const database = file.database();
  const met = new Set<LeaseId>();
  let count = 0;
  for (const { name, records } of database.buckets()) {
    for (const record of records()) {
      const number = count;
      onBytes(record[0].length + record[1].length);
      if (++count % recordsPerTurn === 0) await nextTurn();
      if (name !== bucketName.key) continue;
      const { kv } = versionOf(database, record);
      if (!isIncluded(kv.key) || !table.isLast(kv.key, number)) continue;
      const ttlSeconds = ttls.get(kv.lease);
      if (ttlSeconds !== undefined && !met.has(kv.lease)) {
        met.add(kv.lease);
        yield { kind: 'lease', id: kv.lease, ttlSeconds };
      }
      // As after a restore: a lease that the snapshot does not have is none.
      yield { kind: 'key', ...kv, lease: ttlSeconds === undefined ? 0n : kv.lease };
    }
  }
}

/** Tells this file from others, without reading all of it: the pages that bbolt signs, and the checksum at the end. */
export function snapshotIdentity(file: SnapshotFile): string {
  const { head, tail } = file.ends();
  return createHash('sha256').update(head).update(tail).digest('hex');
}
