import type { Revision } from '../base/ids.ts';
import { keyRange } from '../mvcc/key-range.ts';
import type { RangeQuery, RangeResult } from '../mvcc/range.ts';
import type { Store } from '../mvcc/store.ts';
import type { RangeRequest, RangeResponse } from '../proto/gen/rpc.ts';
import { revisionHeader } from './header.ts';

/** What a range is read from: the store, or the transaction that is writing. */
export interface Readable {
  readonly revision: Revision;
  range(query: RangeQuery): RangeResult;
}

/** Written out, because to spread a request takes longer than to read a key. */
export function rangeQuery(request: RangeRequest, isUncounted = false): RangeQuery {
  return {
    range: keyRange(request.key, request.rangeEnd),
    revision: request.revision,
    limit: request.limit,
    countOnly: request.countOnly,
    isUncounted,
    keysOnly: request.keysOnly,
    minModRevision: request.minModRevision,
    maxModRevision: request.maxModRevision,
    minCreateRevision: request.minCreateRevision,
    maxCreateRevision: request.maxCreateRevision,
    sortOrder: request.sortOrder,
    sortTarget: request.sortTarget,
  };
}

/** Throws EtcdError `Compacted` or `FutureRevision`. */
export function range(view: Readable, request: RangeRequest): RangeResponse {
  return rangeResponse(view.revision, view.range(rangeQuery(request)));
}

/** The same in steps, between which others may run. */
export function* rangeSteps(
  view: Readable & Pick<Store, 'rangeSteps'>,
  request: RangeRequest,
  { isCounted = true }: { readonly isCounted?: boolean } = {},
): Generator<void, RangeResponse> {
  const { revision } = view;
  const query = rangeQuery(request, !isCounted);
  return rangeResponse(revision, yield* view.rangeSteps(query));
}

/** The answer, `revision` being the current one also when the range was read at an older one. */
export function rangeResponse(revision: Revision, result: RangeResult): RangeResponse {
  const { kvs, more, count } = result;
  return { header: revisionHeader(revision), kvs: [...kvs], more, count };
}
