import type { KeyValue } from '../proto/gen/kv.ts';
import { type RangeResponse, SortOrder, SortTarget } from '../proto/gen/rpc.ts';
import type { CallOptions } from './calls.ts';
import type { Headed } from './key-space.ts';
import { type Keys, keyAfter } from './keys.ts';
import type { RangeFields } from './txn.ts';

export interface PageOptions extends Omit<RangeFields, 'limit' | 'countOnly'>, CallOptions {
  /** How many keys each answer brings at most, 1000 by default. */
  readonly pageSize?: number | undefined;
}

const defaultPageSize = 1000;

/**
 * A range in pages, by ascending key, all of one revision: that of the first answer, or the one asked for. A page is asked
 * for when it is wanted. Fails with `mvcc: required revision has been compacted` when that happens meanwhile.
 */
export async function* pages(
  range: (keys: Keys, options: RangeFields & CallOptions) => Promise<Headed<RangeResponse>>,
  keys: Keys,
  options: PageOptions,
): AsyncGenerator<Headed<RangeResponse>, void, void> {
  const { pageSize = defaultPageSize, ...fields } = options;
  requireKeyOrder(fields);
  if (!(pageSize >= 1)) throw new RangeError('a page has at least one key');
  let rest = keys;
  let revision = fields.revision ?? 0;
  for (;;) {
    const page = await range(rest, { ...fields, revision, limit: pageSize });
    if (revision === 0) revision = page.header.revision;
    yield page;
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return;
    rest = { key: keyAfter(last.key), rangeEnd: keys.rangeEnd };
  }
}

export async function* entries(
  paged: AsyncIterable<RangeResponse>,
): AsyncGenerator<KeyValue, void, void> {
  for await (const { kvs } of paged) yield* kvs;
}

function requireKeyOrder({ sortOrder = SortOrder.NONE, sortTarget = SortTarget.KEY }: RangeFields) {
  if (sortTarget === SortTarget.KEY && sortOrder !== SortOrder.DESCEND) return;
  throw new TypeError('pages come by ascending key: sort what you have read');
}
