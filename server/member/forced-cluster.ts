import type { MemberId } from '../base/ids.ts';
import { hexId } from '../base/ids.ts';
import { ConfChange, ConfChangeKind, Member } from '../proto/gen/internal.ts';
import type { Entry } from '../raft/entry.ts';
import type { Persisted } from '../raft/raft.ts';
import { encodeIdentity } from './identity.ts';
import type { Recovered } from './recovery.ts';
import type { ReplicaOptions, ReplicaPorts } from './replica.ts';

/** --force-new-cluster cannot be done with this data. */
export class ForceRefusedError extends Error {
  override name = 'ForceRefusedError';
}

/**
 * With --force-new-cluster, what was recovered goes on as the only member of its cluster: entries behind its log remove
 * all others, for good. All of the log counts as committed: the last entries may have been acknowledged, though nobody is
 * left who could tell. Done once; the flag then does nothing until a start without it.
 */
export async function settleForced(
  ports: ReplicaPorts,
  options: ReplicaOptions,
  recovered: Recovered,
): Promise<Recovered> {
  const { identity } = recovered;
  const wasForced = identity.isForced === true;
  if (options.forceNewCluster !== true) {
    return wasForced ? settle(recovered, { isForced: false, entries: [] }) : recovered;
  }
  const advice = 'take --force-new-cluster out of the flags';
  if (wasForced) {
    ports.logger.warn(
      {},
      `--force-new-cluster was done at an earlier start and is not done again; ${advice}`,
    );
    return recovered;
  }
  const { others, entries } = forcedEntries(recovered);
  const forced = await settle(recovered, { isForced: true, entries });
  const removed = others.map(hexId).join();
  ports.logger.warn({ removed }, `this member is the only one of its cluster now; ${advice}`);
  return forced;
}

function forcedEntries({ state, identity, persisted }: Recovered): {
  readonly others: readonly MemberId[];
  readonly entries: readonly Entry[];
} {
  const { memberId } = identity;
  const { membership } = state;
  const ids = new Set(membership.members().map(({ id }) => id));
  let isMember = ids.has(memberId);
  for (const entry of persisted.entries) {
    if (entry.index <= persisted.applied || entry.kind !== 'confChange') continue;
    const { kind, member } = ConfChange.decode(entry.data);
    if (member === undefined) continue;
    ids.add(member.id);
    if (member.id === memberId) isMember = kind !== ConfChangeKind.REMOVE;
  }
  if (!isMember) {
    throw new ForceRefusedError(
      `member ${hexId(memberId)} is not in the cluster that its data is of, or was removed from it: it cannot become the` +
        ' only member; restore a snapshot into an empty data directory instead',
    );
  }
  const others = [...ids].filter((id) => id !== memberId);
  const changes = [
    // Changes nothing where it is a voter already.
    { kind: ConfChangeKind.PROMOTE, id: memberId },
    ...others.map((id) => ({ kind: ConfChangeKind.REMOVE, id })),
  ];
  // A term of its own: what others may hold at these places is of an older one.
  const term = persisted.hardState.term + 1;
  const lastIndex = persisted.base.index + persisted.entries.length;
  const entries = changes.map(({ kind, id }, at): Entry => {
    const data = ConfChange.encode(ConfChange.create({ kind, member: Member.create({ id }) }));
    return { index: lastIndex + 1 + at, term, kind: 'confChange', data };
  });
  return { others, entries };
}

/** Writes it down before anything is done with it. */
async function settle(
  recovered: Recovered,
  forced: { readonly isForced: boolean; readonly entries: readonly Entry[] },
): Promise<Recovered> {
  const { isForced, entries } = forced;
  const identity = { ...recovered.identity, isForced };
  const persisted = behind(recovered.persisted, entries);
  const { hardState } = persisted;
  await new Promise<void>((resolve) => {
    recovered.wal.append({ hardState, entries, identity: encodeIdentity(identity) }, resolve);
  });
  return { ...recovered, identity, persisted };
}

function behind(persisted: Persisted, entries: readonly Entry[]): Persisted {
  const last = entries.at(-1);
  if (last === undefined) return persisted;
  const hardState = { term: last.term, vote: 0n, commit: last.index };
  return { ...persisted, hardState, entries: [...persisted.entries, ...entries] };
}
