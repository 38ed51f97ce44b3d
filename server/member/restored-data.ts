import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BulkLoad } from '../backend/bulk-load.ts';
import type { OrderedStore, StoreRecord } from '../backend/ordered-store.ts';
import { seal } from '../backend/record.ts';
import { bucketKey, formatKey, formatVersion, prefix } from '../backend/schema.ts';
import { asBuffer } from '../base/bytes.ts';
import { type ClusterId, type EntryId, hexId, type MemberId } from '../base/ids.ts';
import type { Config } from '../config/config.ts';
import {
  scanChunkBytesMax,
  scanChunkRecordsMax,
  walSegmentBytesDefault,
} from '../config/limits.ts';
import { Member } from '../proto/gen/internal.ts';
import type { BoltFile } from '../snapshot/bolt-reader.ts';
import { type RestoreOptions, restoredRecords } from '../snapshot/restored-records.ts';
import { nodeFileSystem } from '../wal/node-file-system.ts';
import { Wal } from '../wal/wal.ts';
import { encodeIdentity } from './identity.ts';
import { clusterIdOf, memberIdOf } from './ids.ts';
import { LevelStateStores } from './level-state-stores.ts';
import { nodeClock, nodeRandom } from './node-ports.ts';
import { newIncarnation } from './recovery.ts';

/** The directory cannot be restored into, or must not be started from. */
export class DataDirectoryError extends Error {
  override name = 'DataDirectoryError';
}

/** Who the restored member will be; the rest of the flags is not looked at. */
export type RestoredMember = Pick<
  Config,
  'dataDir' | 'initialCluster' | 'initialClusterToken' | 'advertisePeerUrls'
>;

interface FirstMember {
  readonly id: MemberId;
  readonly peerUrls: readonly string[];
}

/** A member's data directory that a restore has made. */
export interface RestoredData {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
}

/** Until everything in it is durable: only then it becomes `member`, at once. */
const unfinishedName = 'member.restoring';

/** In `member`: which restore has made it, where that has a name. */
const restoredName = 'restored.json';

/** Throws {@link DataDirectoryError} when a restore into the directory did not come to its end. */
export function refuseUnfinishedRestore(dataDir: string): void {
  if (!nodeFileSystem.exists(`${dataDir}/${unfinishedName}`)) return;
  throw new DataDirectoryError(
    `${dataDir}/${unfinishedName}: a restore into this directory did not come to its end; run it again, or remove that`,
  );
}

/**
 * Makes a new data directory for a member of a new cluster, whose state is what the file holds. A restore that is
 * killed leaves nothing that a member would start from. `id`: makes a retry one, see {@link restoredBefore}. Throws
 * {@link DataDirectoryError}, {@link BoltDamageError}, or the system's error.
 */
export async function restoreData(
  file: BoltFile,
  member: RestoredMember,
  options: RestoreOptions & {
    readonly id?: string | undefined;
    readonly onRecord?: (sizeBytes: number) => void;
  },
): Promise<RestoredData> {
  const { dataDir, initialClusterToken: token } = member;
  const place = `${dataDir}/${unfinishedName}`;
  prepareDirectory(dataDir);
  const members = member.initialCluster
    .map(({ peerUrls }) => ({ id: memberIdOf(peerUrls, { token }), peerUrls }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const stores = new LevelStateStores(place);
  const store = await stores.open();
  // Every first member has these entries, applied: who joins later gets them, and all the rest, from the state.
  const applied = { index: members.length, term: 1 };
  const digest = await loadState(store, { file, members, applied, ...options });
  await store.close();
  nodeFileSystem.syncDirectory(stores.place);
  const memberId = memberIdOf(member.advertisePeerUrls, { token });
  const clusterId = clusterIdOf(
    members.map(({ id }) => id),
    digest,
  );
  await beginLog(`${place}/wal`, { clusterId, memberId, members, applied });
  if (options.id !== undefined) {
    recordRestore(`${place}/${restoredName}`, { id: options.id, clusterId, memberId });
  }
  nodeFileSystem.syncDirectory(place);
  nodeFileSystem.rename(place, `${dataDir}/member`);
  nodeFileSystem.syncDirectory(dataDir);
  return { clusterId, memberId };
}

/**
 * What a restore with this id, for this member, has made of the directory; undefined where none has. Whoever asked for it
 * may not have heard that it was done.
 */
export function restoredBefore(
  { dataDir, advertisePeerUrls, initialClusterToken: token }: RestoredMember,
  id: string,
): RestoredData | undefined {
  const path = `${dataDir}/member/${restoredName}`;
  if (!nodeFileSystem.exists(path)) return undefined;
  const restored = JSON.parse(asBuffer(nodeFileSystem.read(path)).toString());
  const memberId = memberIdOf(advertisePeerUrls, { token });
  if (restored.id !== id || restored.memberId !== hexId(memberId)) return undefined;
  return { clusterId: BigInt(`0x${restored.clusterId}`), memberId };
}

function recordRestore(path: string, { id, ...ids }: RestoredData & { readonly id: string }): void {
  const json = { id, clusterId: hexId(ids.clusterId), memberId: hexId(ids.memberId) };
  const file = nodeFileSystem.create(path);
  file.writeSync(Buffer.from(JSON.stringify(json)), 0);
  file.datasyncSync();
  file.close();
}

function prepareDirectory(dataDir: string): void {
  const others = nodeFileSystem.list(dataDir).filter((name) => name !== unfinishedName);
  if (others.length > 0) {
    throw new DataDirectoryError(`data-dir "${dataDir}" is not empty: it has ${others.join(', ')}`);
  }
  rmSync(`${dataDir}/${unfinishedName}`, { recursive: true, force: true });
  nodeFileSystem.makeDirectory(`${dataDir}/${unfinishedName}`);
}

interface Loading extends RestoreOptions {
  readonly file: BoltFile;
  readonly members: readonly FirstMember[];
  readonly applied: EntryId;
  readonly onRecord?: (sizeBytes: number) => void;
}

/** A digest of what came from the file. */
async function loadState(store: OrderedStore, loading: Loading): Promise<Uint8Array> {
  const { file, members, applied, onRecord = () => {} } = loading;
  const load = new BulkLoad(store);
  const digest = createHash('sha256');
  let chunk: StoreRecord[] = [sealedRecord([formatKey, Uint8Array.of(formatVersion)])];
  for (const { id, peerUrls } of members) {
    const value = Member.encode(Member.create({ id, peerUrls: [...peerUrls] }));
    chunk.push(sealedRecord([bucketKey(prefix.member, id), value]));
  }
  let chunkBytes = 0;
  for (const record of restoredRecords(file, loading)) {
    const sealed = sealedRecord(record);
    digest.update(sealed[0]).update(sealed[1]);
    chunk.push(sealed);
    const sizeBytes = sealed[0].length + sealed[1].length;
    chunkBytes += sizeBytes;
    onRecord(sizeBytes);
    if (chunk.length < scanChunkRecordsMax && chunkBytes < scanChunkBytesMax) continue;
    await load.add(chunk);
    await nextTurn();
    chunk = [];
    chunkBytes = 0;
  }
  file.checkFreePages();
  await load.add(chunk);
  await load.finish(applied);
  return digest.digest();
}

function sealedRecord([key, value]: StoreRecord): StoreRecord {
  return [key, seal(key, value)];
}

async function beginLog(
  directory: string,
  first: {
    readonly clusterId: ClusterId;
    readonly memberId: MemberId;
    readonly members: readonly FirstMember[];
    readonly applied: EntryId;
  },
): Promise<void> {
  const { clusterId, memberId, applied } = first;
  const peers = first.members.map((member) => ({ ...member, isVoter: true }));
  const incarnation = newIncarnation(nodeRandom);
  const identity = encodeIdentity({ clusterId, memberId, incarnation, peers });
  const hardState = { term: applied.term, vote: 0n, commit: applied.index };
  await new Promise<void>((resolve, reject) => {
    const wal = Wal.create(
      { fileSystem: nodeFileSystem, clock: nodeClock, random: nodeRandom, fatal: reject },
      { directory, segmentBytes: walSegmentBytesDefault, sealAfterMs: 100 },
      { hardState, entries: [], identity },
    );
    wal.append({ hardState, entries: [], reset: applied }, () => wal.close(resolve));
  });
}
