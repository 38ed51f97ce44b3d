import { Buffer } from 'node:buffer';
import type { StoreRecord } from '../backend/ordered-store.ts';
import { bucketKey, metaKey, type Prefix, prefix } from '../backend/schema.ts';
import { assert } from '../base/assert.ts';
import { asBuffer, compareBytes, emptyBytes, latin1 } from '../base/bytes.ts';
import type { Revision } from '../base/ids.ts';
import { encodeLease } from '../lease/lessor.ts';
import { isTombstoneRecord } from '../mvcc/record-codec.ts';
import { parseEtcdRevisionKey, type RevisionPair, revisionKey } from '../mvcc/revision.ts';
import { encodeRevision } from '../mvcc/store.ts';
import { AlarmMember } from '../proto/gen/rpc.ts';
import { StoredLease } from '../proto/gen/snapshot.ts';
import { BoltDamageError, type BoltFile } from './bolt-reader.ts';
import { decoded, versionOf } from './bolt-records.ts';
import { bucketName, metaName } from './bolt-schema.ts';

/** The bumped revision would be larger than revisions can be. */
export class RevisionOverflowError extends Error {
  override name = 'RevisionOverflowError';
}

/** How far the restored revision is put on. What comes out is then compacted, so that whoever watched or cached starts anew. */
export interface RevisionBump {
  /** Added to the last revision. 0: as it is. */
  readonly bumpRevision: number;
  /** The next revision is above it. */
  readonly aboveRevision?: Revision | undefined;
}

export interface RestoreOptions extends RevisionBump {
  /** Versions that came after the file's own, in the order of their revisions: put behind them. */
  readonly laterVersions?: Iterable<LaterVersion> | undefined;
}

export interface LaterVersion extends RevisionPair {
  /** mvccpb.KeyValue; of a tombstone, only its key. */
  readonly record: Uint8Array;
}

/**
 * What a new cluster keeps of an etcd database file, as records of our state: keys, leases, alarms, authentication and
 * how far it was compacted. Members and their log are those of a cluster that is gone.
 * Throws {@link BoltDamageError} and {@link RevisionOverflowError}. Call {@link BoltFile.checkFreePages} after the last one.
 */
export function* restoredRecords(file: BoltFile, options: RestoreOptions): Generator<StoreRecord> {
  let latest: RevisionPair = { main: 0, sub: 0 };
  let bumped: Revision | undefined;
  for (const { name, records } of file.buckets()) {
    if (name === bucketName.key) {
      for (const record of records()) {
        latest = checkedVersion(file, record, latest);
        yield [revisionKey(latest.main, latest.sub), record[1]];
      }
      for (const { main, sub, record } of options.laterVersions ?? []) {
        const isLater = main > latest.main || (main === latest.main && sub > latest.sub);
        assert(isLater, 'later versions come in order');
        latest = { main, sub };
        yield [revisionKey(main, sub), record];
      }
      bumped = bumpedRevision(latest.main, options);
      if (bumped !== undefined) {
        // As etcdutl leaves it: a version of no key, so that there is one at the current revision.
        yield [revisionKey(bumped, 0), emptyBytes];
      }
    } else {
      const convert = converters[name];
      for (const record of records()) {
        const restored = convert?.(file, record);
        const isSuperseded = bumped !== undefined && restored?.[0] === metaKey.scheduledCompaction;
        if (restored !== undefined && !isSuperseded) yield restored;
      }
    }
  }
  if (bumped !== undefined) yield [metaKey.scheduledCompaction, encodeRevision(bumped)];
}

function bumpedRevision(latest: Revision, bump: RevisionBump): Revision | undefined {
  const { bumpRevision, aboveRevision } = bump;
  if (bumpRevision === 0 && aboveRevision === undefined) return undefined;
  const bumped = Math.max(latest + Math.max(1, bumpRevision), aboveRevision ?? 0);
  if (Number.isSafeInteger(bumped)) return bumped;
  throw new RevisionOverflowError(`revision ${latest} and ${bumpRevision} more is too large`);
}

type Converter = (file: BoltFile, record: StoreRecord) => StoreRecord | undefined;

/** By bucket. Of the others nothing is kept. */
const converters: Readonly<Record<string, Converter>> = {
  [bucketName.lease]: restoredLease,
  [bucketName.alarm]: restoredAlarm,
  [bucketName.auth]: (_file, record) => under(prefix.auth, record),
  [bucketName.authUsers]: (_file, record) => under(prefix.user, record),
  [bucketName.authRoles]: (_file, record) => under(prefix.role, record),
  [bucketName.meta]: restoredCompaction,
};

/** Which version the record is. The empty one that a bump leaves counts as a tombstone. */
function checkedVersion(file: BoltFile, record: StoreRecord, former: RevisionPair): RevisionPair {
  const { main, sub, isTombstone, kv } = versionOf(file, record);
  const [, value] = record;
  const isRight =
    value.length === 0 || (isTombstone ? isTombstoneRecord(value) : kv.modRevision === main);
  if (main < 1 || !isRight) {
    throw new BoltDamageError(file.position, `the version at revision ${main} is of another one`);
  }
  if (main === former.main && sub === former.sub) {
    throw new BoltDamageError(file.position, `two versions at revision ${main}.${sub}`);
  }
  return { main, sub };
}

function restoredLease(file: BoltFile, [key, value]: StoreRecord): StoreRecord {
  const lease = decoded(file, StoredLease, value);
  const isRight = key.length === 8 && asBuffer(key).readBigInt64BE(0) === lease.id;
  if (!isRight || lease.id === 0n || lease.ttl <= 0 || lease.remainingTtl < 0) {
    throw new BoltDamageError(file.position, 'a lease that makes no sense');
  }
  return [bucketKey(prefix.lease, lease.id), encodeLease(lease)];
}

function restoredAlarm(file: BoltFile, [key]: StoreRecord): StoreRecord {
  const raised = decoded(file, AlarmMember, key);
  const { memberID, alarm } = raised;
  if (compareBytes(AlarmMember.encode(raised), key) !== 0) {
    throw new BoltDamageError(file.position, 'an alarm that makes no sense');
  }
  const id = Buffer.alloc(9);
  id.writeBigUInt64BE(memberID);
  id[8] = alarm;
  return [bucketKey(prefix.alarm, id), emptyBytes];
}

function restoredCompaction(file: BoltFile, [key, value]: StoreRecord): StoreRecord | undefined {
  const name = latin1(key);
  if (name !== metaName.scheduledCompaction && name !== metaName.finishedCompaction)
    return undefined;
  const revision = parseEtcdRevisionKey(value)?.main;
  if (revision === undefined) {
    throw new BoltDamageError(file.position, `${name} is no revision`);
  }
  const isScheduled = name === metaName.scheduledCompaction;
  const own = isScheduled ? metaKey.scheduledCompaction : metaKey.finishedCompaction;
  return [own, encodeRevision(revision)];
}

function under(of: Prefix, [key, value]: StoreRecord): StoreRecord {
  return [bucketKey(of, key), value];
}
