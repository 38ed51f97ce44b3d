import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { PinnedState } from '../backend/backend.ts';
import type { StoreRecord } from '../backend/ordered-store.ts';
import { bucketIdNumber, bucketRange, metaKey, type Prefix, prefix } from '../backend/schema.ts';
import { asBuffer, compareBytes, emptyBytes, fromLatin1 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { hexId } from '../base/ids.ts';
import { clusterVersion } from '../config/version.ts';
import { isTombstoneRecord } from '../mvcc/record-codec.ts';
import { etcdRevisionKey, parseRevisionKey } from '../mvcc/revision.ts';
import { Member } from '../proto/gen/internal.ts';
import { AlarmMember, type AlarmType } from '../proto/gen/rpc.ts';
import { StoredLease } from '../proto/gen/snapshot.ts';
import { bucketName, metaName } from './bolt-schema.ts';
import { type BoltBucket, encodeBolt, layOutBolt, sizeOfLayout } from './bolt-writer.ts';

/** A state as the database file of an etcd 3.5 or 3.6, which etcdutl restores as it does etcd's own. */
export interface ClientSnapshot {
  /** Of the file, without the checksum that is sent behind it. */
  readonly sizeBytes: number;
  /** The file from its beginning to its end, then the SHA-256 over it. Once. */
  chunks(): AsyncGenerator<Uint8Array>;
}

/**
 * Looks through the view once; the chunks then go through it again. The caller releases it afterwards. Rejects with the
 * signal's reason once it is aborted.
 */
export async function clientSnapshotOf(
  state: PinnedState,
  signal?: AbortSignal,
): Promise<ClientSnapshot> {
  const buckets = await bucketsOf(state, signal);
  const layout = await layOutBolt(buckets);
  return {
    sizeBytes: sizeOfLayout(layout),
    async *chunks() {
      const hash = createHash('sha256');
      for await (const chunk of encodeBolt(buckets, layout)) {
        hash.update(chunk);
        yield chunk;
      }
      yield hash.digest();
    },
  };
}

/** What says nothing of the data and differs between members: etcd leaves it out of its hash too. */
const unhashed: ReadonlySet<string> = new Set([
  metaName.consistentIndex,
  metaName.term,
  metaName.storageVersion,
]);

/** Maintenance.Hash: CRC-32C over the names of the buckets, each followed by its keys and values. */
export async function hashOfState(state: PinnedState): Promise<number> {
  let hash = 0;
  for (const bucket of await bucketsOf(state)) {
    hash = crc32c(fromLatin1(bucket.name), hash);
    for await (const chunk of bucket.records()) {
      for (const [key, value] of chunk) {
        const isHashed = bucket.name !== bucketName.meta || !unhashed.has(asBuffer(key).toString());
        if (isHashed) hash = crc32c(value, crc32c(key, hash));
      }
    }
  }
  return hash;
}

/** By name. The small ones whose order is not ours are held; the large ones are read as they are asked for. */
async function bucketsOf(state: PinnedState, signal?: AbortSignal): Promise<BoltBucket[]> {
  const read = reading(state, signal);
  const members = await allOf(state, prefix.member, ([, value]) => Member.decode(value));
  const buckets = [
    held(bucketName.alarm, await allOf(state, prefix.alarm, alarmRecord)),
    read(prefix.auth, bucketName.auth, withoutPrefix),
    read(prefix.role, bucketName.authRoles, withoutPrefix),
    read(prefix.user, bucketName.authUsers, withoutPrefix),
    // No cluster version: who restores this agrees on its own, so that an etcd 3.5 takes it as well as a 3.6.
    held(bucketName.cluster, []),
    read(prefix.revision, bucketName.key, versionRecord),
    read(prefix.lease, bucketName.lease, leaseRecord),
    held(bucketName.members, members.map(memberRecord)),
    held(
      bucketName.membersRemoved,
      await allOf(state, prefix.removedMember, ([key]) =>
        textRecord(hexId(bucketIdNumber(key)), 'removed'),
      ),
    ),
    held(bucketName.meta, metaRecords(state, members)),
  ];
  return buckets.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function held(name: string, records: StoreRecord[]): BoltBucket {
  records.sort(([a], [b]) => compareBytes(a, b));
  return {
    name,
    async *records() {
      yield records;
    },
  };
}

function reading(state: PinnedState, signal: AbortSignal | undefined) {
  return (of: Prefix, name: string, convert: (record: StoreRecord) => StoreRecord): BoltBucket => ({
    name,
    async *records() {
      for await (const chunk of state.scan(bucketRange(of))) {
        signal?.throwIfAborted();
        yield chunk.map(convert);
      }
    },
  });
}

async function allOf<T>(
  state: PinnedState,
  of: Prefix,
  convert: (record: StoreRecord) => T,
): Promise<T[]> {
  const all: T[] = [];
  for await (const chunk of state.scan(bucketRange(of))) all.push(...chunk.map(convert));
  return all;
}

function withoutPrefix([key, value]: StoreRecord): StoreRecord {
  return [key.subarray(1), value];
}

function versionRecord([key, value]: StoreRecord): StoreRecord {
  return [etcdRevisionKey(parseRevisionKey(key), isTombstoneRecord(value)), value];
}

/** Granted TTL and what a checkpoint left of it: whoever restores it starts the lease anew, as etcd does. */
function leaseRecord([key, value]: StoreRecord): StoreRecord {
  const id = BigInt.asIntN(64, bucketIdNumber(key));
  const ttls = asBuffer(value);
  const [ttl, remainingTtl] = [Number(ttls.readBigInt64BE(0)), Number(ttls.readBigInt64BE(8))];
  return [key.subarray(1), StoredLease.encode({ id, ttl, remainingTtl })];
}

function alarmRecord([key]: StoreRecord): StoreRecord {
  const alarm = { memberID: bucketIdNumber(key), alarm: (key[9] ?? 0) as AlarmType };
  return [AlarmMember.encode(alarm), emptyBytes];
}

/** Ids are numbers of 64 bits in etcd's JSON, so they are not left to JSON.stringify. */
function memberRecord({ id, name, peerUrls, clientUrls, isLearner }: Member): StoreRecord {
  const { stringify } = JSON;
  const fields = [`"id":${id}`, `"peerURLs":${stringify(peerUrls)}`];
  if (isLearner) fields.push('"isLearner":true');
  if (name !== '') fields.push(`"name":${stringify(name)}`);
  if (clientUrls.length > 0) fields.push(`"clientURLs":${stringify(clientUrls)}`);
  return textRecord(hexId(id), `{${fields.join()}}`);
}

function metaRecords(state: PinnedState, members: readonly Member[]): StoreRecord[] {
  const { index, term } = state.applied;
  const records = [
    textRecord(metaName.confState, confStateText(members)),
    textRecord(metaName.storageVersion, clusterVersion),
  ];
  if (index > 0) {
    records.push(uint64Record(metaName.consistentIndex, index), uint64Record(metaName.term, term));
  }
  for (const name of ['scheduledCompaction', 'finishedCompaction'] as const) {
    const revision = state.get(metaKey[name]);
    if (revision === undefined) continue;
    const main = Number(asBuffer(revision).readBigInt64BE());
    records.push([fromLatin1(metaName[name]), etcdRevisionKey({ main, sub: 0 }, false)]);
  }
  return records;
}

function confStateText(members: readonly Member[]): string {
  const idsOf = (isLearner: boolean) =>
    members.filter((member) => member.isLearner === isLearner).map(({ id }) => id);
  const lists = [
    ['voters', idsOf(false)],
    ['learners', idsOf(true)],
  ] as const;
  const fields = lists.flatMap(([name, ids]) =>
    ids.length > 0 ? [`"${name}":[${ids.join()}]`] : [],
  );
  return `{${[...fields, '"auto_leave":false'].join()}}`;
}

function textRecord(key: string, value: string): StoreRecord {
  return [fromLatin1(key), Buffer.from(value, 'utf8')];
}

function uint64Record(key: string, number: number): StoreRecord {
  const value = Buffer.alloc(8);
  value.writeBigUInt64BE(BigInt(number));
  return [fromLatin1(key), value];
}
