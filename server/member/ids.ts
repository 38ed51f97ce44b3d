import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { emptyBytes } from '../base/bytes.ts';
import type { ClusterId, MemberId } from '../base/ids.ts';

/**
 * The id of a member that is there from the beginning, as etcd computes it: every member derives the same ids from the
 * same flags. A member added later is salted with the time, so that it never gets the id of one that was removed.
 */
export function memberIdOf(
  peerUrls: readonly string[],
  salt: { token: string } | { unixSeconds: number },
): MemberId {
  const text = 'token' in salt ? salt.token : String(salt.unixSeconds);
  return firstEightBytes(Buffer.from([...peerUrls].sort().join('') + text));
}

/**
 * From the ids of the first members. `restored` is a digest of what the cluster begins with: members that were restored
 * from different snapshots, or not restored, are of different clusters, and do not listen to each other.
 */
export function clusterIdOf(
  members: readonly MemberId[],
  restored: Uint8Array = emptyBytes,
): ClusterId {
  const bytes = Buffer.alloc(8 * members.length);
  const sorted = [...members].sort((a, b) => (a < b ? -1 : 1));
  for (const [at, member] of sorted.entries()) bytes.writeBigUInt64BE(member, 8 * at);
  return firstEightBytes(Buffer.concat([bytes, restored]));
}

function firstEightBytes(bytes: Buffer): bigint {
  return createHash('sha1').update(bytes).digest().readBigUInt64BE(0);
}
