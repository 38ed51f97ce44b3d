import { fromLatin1, latin1 } from '../base/bytes.ts';
import { type RangeRequest, SortOrder, SortTarget } from '../proto/gen/rpc.ts';
import { type InnerCalls, isDelete } from './inner-calls.ts';
import type { StreamEnd } from './stream-calls.ts';

// Who wants a lock, or to be elected, puts a key below the name; the one whose key was created first has it.

/** The key of a lease below a name. */
export function contenderKey(name: Uint8Array, lease: bigint): Uint8Array {
  return fromLatin1(`${latin1(name)}/${lease.toString(16)}`);
}

/** The keys below a name. */
export function contenders(name: Uint8Array): Pick<RangeRequest, 'key' | 'rangeEnd'> {
  const text = latin1(name);
  // '0' comes after '/'.
  return { key: fromLatin1(`${text}/`), rangeEnd: fromLatin1(`${text}0`) };
}

/** The one that has it: a request for its key. */
export function firstOf(range: Pick<RangeRequest, 'key' | 'rangeEnd'>): Partial<RangeRequest> {
  const sort = { sortTarget: SortTarget.CREATE, sortOrder: SortOrder.ASCEND };
  return { ...range, ...sort, limit: 1 };
}

/**
 * Waits until no contender is left whose key was created before the revision: for the last of them, and once more for
 * whoever is then the last. Rejects with GoneError when the client is gone.
 */
export async function waitForTurn(
  calls: InnerCalls,
  name: Uint8Array,
  { createRevision, end }: { createRevision: number; end: StreamEnd },
): Promise<void> {
  const lastBefore = {
    ...contenders(name),
    sortTarget: SortTarget.CREATE,
    sortOrder: SortOrder.DESCEND,
    limit: 1,
    maxCreateRevision: createRevision - 1,
  };
  for (;;) {
    const { header, kvs } = await calls.range(lastBefore);
    const [before] = kvs;
    if (before === undefined) return;
    const startRevision = header?.revision ?? 0;
    await calls.watch({ key: before.key, startRevision }, end, isDelete);
  }
}
