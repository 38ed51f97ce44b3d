import { compareBytes, emptyBytes } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { Revision } from '../base/ids.ts';
import { rangeStepKeysMax } from '../config/limits.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import { SortOrder, SortTarget } from '../proto/gen/rpc.ts';
import type { KeyEntry } from './key-entry.ts';
import type { KeyIndex } from './key-index.ts';
import { isEmptyRange, type KeyRange } from './key-range.ts';
import type { Versions } from './versions.ts';

/** What is asked; the fields of etcdserverpb.RangeRequest with the same meaning. Zero and absent are the same. */
export interface RangeQuery {
  readonly range: KeyRange;
  /** 0 or negative: the current one. */
  readonly revision?: Revision;
  /** 0 or negative: none. */
  readonly limit?: number;
  readonly countOnly?: boolean;
  /** What the limit leaves out need not be counted. */
  readonly isUncounted?: boolean;
  readonly keysOnly?: boolean;
  readonly minModRevision?: Revision;
  readonly maxModRevision?: Revision;
  readonly minCreateRevision?: Revision;
  readonly maxCreateRevision?: Revision;
  readonly sortOrder?: SortOrder;
  readonly sortTarget?: SortTarget;
}

export interface RangeResult {
  /** Not to be changed: they may be shared. */
  readonly kvs: readonly KeyValue[];
  /** Of all keys in the range as of the revision, whatever limit and filters say. */
  readonly count: number;
  /** Whether the limit left something out. */
  readonly more: boolean;
}

/** What a range is read from, as it is at each step. */
export interface RangeView {
  readonly index: KeyIndex;
  readonly versions: Versions;
  readonly revision: Revision;
  readonly compactRevision: Revision;
}

/**
 * Reads a range in steps: between two of them the caller may let others run, the answer stays that of one revision.
 * Throws EtcdError `Compacted` (also when a compaction overtakes it between two steps) or `FutureRevision`.
 */
export function* rangeSteps(view: RangeView, query: RangeQuery): Generator<void, RangeResult> {
  if (query.range.single) return readKey(view, query);
  const revision = readRevision(view, query.revision ?? 0);
  const { range, limit = 0 } = query;
  if (isEmptyRange(range)) return { kvs: [], count: 0, more: false };
  if (query.countOnly === true) {
    return { kvs: [], count: view.index.countAt(range, revision), more: false };
  }
  const isCut = limit > 0 && isKeyOrder(query) && !hasFilters(query);
  const fetched = yield* fetch(view, query, { revision, max: isCut ? limit + 1 : Infinity });
  const isCounted = isCut && fetched.length > limit && query.isUncounted !== true;
  const count = isCounted ? view.index.countAt(range, revision) : fetched.length;
  const kvs = sorted(filtered(fetched, query), query);
  const more = limit > 0 && kvs.length > limit;
  const shown = more ? kvs.slice(0, limit) : kvs;
  return { kvs: query.keysOnly === true ? shown.map(withoutValue) : shown, count, more };
}

/** The same without a pause. */
export function readRange(view: RangeView, query: RangeQuery): RangeResult {
  if (query.range.single) return readKey(view, query);
  const steps = rangeSteps(view, query);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The most frequent range by far: one key. */
function readKey(view: RangeView, query: RangeQuery): RangeResult {
  const revision = readRevision(view, query.revision ?? 0);
  const entry = view.index.get(query.range.start);
  if (entry?.isLiveAt(revision) !== true) return nothing;
  if (query.countOnly === true) return { kvs: [], count: 1, more: false };
  const kv = view.versions.readAt(entry, revision);
  const kvs = kv === undefined ? [] : filtered([kv], query);
  return { kvs: query.keysOnly === true ? kvs.map(withoutValue) : kvs, count: 1, more: false };
}

const nothing: RangeResult = { kvs: [], count: 0, more: false };

/** The revision that is read. */
function readRevision(view: RangeView, asked: Revision): Revision {
  if (asked > view.revision) throw new EtcdError('FutureRevision');
  const revision = asked <= 0 ? view.revision : asked;
  if (revision < view.compactRevision) throw new EtcdError('Compacted');
  return revision;
}

function* fetch(
  view: RangeView,
  query: RangeQuery,
  { revision, max }: { revision: Revision; max: number },
): Generator<void, KeyValue[]> {
  const kvs: KeyValue[] = [];
  const isReverse = isDescendingByKey(query);
  let rest: KeyRange | undefined = query.range;
  while (rest !== undefined) {
    if (revision < view.compactRevision) throw new EtcdError('Compacted');
    rest = fetchStep(view, { rest, isReverse, revision, max }, kvs);
    if (rest !== undefined) yield;
  }
  return kvs;
}

interface FetchStep {
  readonly rest: KeyRange;
  readonly isReverse: boolean;
  readonly revision: Revision;
  readonly max: number;
}

/** Appends the next keys' values; returns what is left of the range. */
function fetchStep(view: RangeView, step: FetchStep, kvs: KeyValue[]): KeyRange | undefined {
  let looked = 0;
  let last: string | undefined;
  const visit = (entry: KeyEntry, key: string): boolean => {
    const kv = view.versions.readAt(entry, step.revision);
    if (kv !== undefined) kvs.push(kv);
    last = key;
    return ++looked < rangeStepKeysMax && kvs.length < step.max;
  };
  if (step.isReverse) view.index.forEachReverse(step.rest, visit);
  else view.index.forEach(step.rest, visit);
  if (last === undefined || looked < rangeStepKeysMax || kvs.length >= step.max) return undefined;
  return step.isReverse ? { ...step.rest, end: last } : { ...step.rest, start: `${last}\0` };
}

/**
 * Whether etcd takes the limit while it fetches, before it sorts: by key, and also, as a quirk of it, with no order
 * given and another target (server/etcdserver/txn/range.go, rangeLimit).
 */
function isKeyOrder(query: RangeQuery): boolean {
  return (query.sortOrder ?? 0) === SortOrder.NONE || (query.sortTarget ?? 0) === SortTarget.KEY;
}

function isDescendingByKey(query: RangeQuery): boolean {
  return query.sortOrder === SortOrder.DESCEND && (query.sortTarget ?? 0) === SortTarget.KEY;
}

function hasFilters(query: RangeQuery): boolean {
  return Boolean(
    query.minModRevision ||
      query.maxModRevision ||
      query.minCreateRevision ||
      query.maxCreateRevision,
  );
}

function filtered(kvs: KeyValue[], query: RangeQuery): KeyValue[] {
  if (!hasFilters(query)) return kvs;
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = query;
  return kvs.filter(
    (kv) =>
      !(maxModRevision && kv.modRevision > maxModRevision) &&
      !(minModRevision && kv.modRevision < minModRevision) &&
      !(maxCreateRevision && kv.createRevision > maxCreateRevision) &&
      !(minCreateRevision && kv.createRevision < minCreateRevision),
  );
}

/** They come in key order, or, descending by key, already reversed. */
function sorted(kvs: KeyValue[], query: RangeQuery): KeyValue[] {
  const compare = comparison(query.sortTarget ?? 0);
  if (compare === undefined) return kvs;
  if (query.sortOrder !== SortOrder.DESCEND) return kvs.sort(compare);
  return kvs.sort((a, b) => compare(b, a));
}

function comparison(target: SortTarget): ((a: KeyValue, b: KeyValue) => number) | undefined {
  switch (target) {
    case SortTarget.VERSION:
      return (a, b) => a.version - b.version;
    case SortTarget.CREATE:
      return (a, b) => a.createRevision - b.createRevision;
    case SortTarget.MOD:
      return (a, b) => a.modRevision - b.modRevision;
    case SortTarget.VALUE:
      return (a, b) => compareBytes(a.value, b.value);
    default:
      return undefined;
  }
}

function withoutValue(kv: KeyValue): KeyValue {
  return { ...kv, value: emptyBytes };
}
