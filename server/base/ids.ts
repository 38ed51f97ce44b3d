/** A random 64-bit id: exact, never a `number`. Printed as lower-case hex without padding, as etcd prints it. */
export type MemberId = bigint;
export type ClusterId = bigint;
/** int64; chosen by the server (positive) or by a client (any non-zero value). */
export type LeaseId = bigint;

/** Raft's term, log index and MVCC's main revision: created by us one by one, so always safe integers. */
export type Term = number;
export type LogIndex = number;
export type Revision = number;

/** No member: raft's "no leader", "no vote". */
export const noMember: MemberId = 0n;

export function hexId(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** The lease of a hexadecimal text as {@link hexId} prints it. */
export function leaseIdOf(hex: string): LeaseId {
  return BigInt.asIntN(64, BigInt(`0x${hex}`));
}

/** Entry identity: equal pairs mean equal logs up to here (paper §5.3, Log Matching). */
export interface EntryId {
  readonly index: LogIndex;
  readonly term: Term;
}

/** The order of §5.4.1: which of two logs that end so is more up to date. Negative, zero or positive. */
export function compareIds(a: EntryId, b: EntryId): number {
  return a.term === b.term ? a.index - b.index : a.term - b.term;
}
