import { compareBytes, emptyBytes } from '../base/bytes.ts';
import { keyRange } from '../mvcc/key-range.ts';
import type { RangeQuery, RangeResult } from '../mvcc/range.ts';
import { KeyValue } from '../proto/gen/kv.ts';
import { type Compare, CompareResult, CompareTarget } from '../proto/gen/rpc.ts';

/** The keys and values that a compare looks at. */
export interface Comparable {
  range(query: RangeQuery): RangeResult;
}

/** Whether all keys of the compare's range satisfy it. With no key there, a key of zeros has to, but never for values. */
export function holds(view: Comparable, compare: Compare): boolean {
  const range = keyRange(compare.key, compare.rangeEnd);
  const { kvs } = view.range({ range });
  if (kvs.length > 0) return kvs.every((kv) => satisfies(kv, compare));
  return compare.target !== CompareTarget.VALUE && satisfies(missing, compare);
}

const missing = KeyValue.create();

function satisfies(kv: KeyValue, compare: Compare): boolean {
  const difference = differenceOf(kv, compare);
  switch (compare.result) {
    case CompareResult.EQUAL:
      return difference === 0;
    case CompareResult.NOT_EQUAL:
      return difference !== 0;
    case CompareResult.GREATER:
      return difference > 0;
    case CompareResult.LESS:
      return difference < 0;
    default:
      return true; // as etcd treats a result it does not know
  }
}

/** Negative, zero or positive, as the key's field is to what it is compared with; a value that is left out is zero. */
function differenceOf(kv: KeyValue, { target, targetUnion }: Compare): number {
  switch (target) {
    case CompareTarget.VERSION:
      return kv.version - (targetUnion?.kind === 'version' ? targetUnion.value : 0);
    case CompareTarget.CREATE:
      return kv.createRevision - (targetUnion?.kind === 'createRevision' ? targetUnion.value : 0);
    case CompareTarget.MOD:
      return kv.modRevision - (targetUnion?.kind === 'modRevision' ? targetUnion.value : 0);
    case CompareTarget.VALUE:
      return compareBytes(kv.value, targetUnion?.kind === 'value' ? targetUnion.value : emptyBytes);
    case CompareTarget.LEASE: {
      const lease = targetUnion?.kind === 'lease' ? targetUnion.value : 0n;
      return kv.lease === lease ? 0 : kv.lease < lease ? -1 : 1;
    }
    default:
      return 0;
  }
}
