import { compareBytes, emptyBytes } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { Revision } from '../base/ids.ts';
import {
  countStepKeysMax,
  rangeStepBytesMax,
  rangeStepKeysMax,
  unreadKeyCost,
} from '../config/limits.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import { SortOrder, SortTarget } from '../proto/gen/rpc.ts';
import type { KeyEntry } from './key-entry.ts';
import type { KeyIndex } from './key-index.ts';
import { isEmptyRange, type KeyRange } from './key-range.ts';
import { sortSteps } from './sort-steps.ts';
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
    return { kvs: [], count: yield* countSteps(view, range, revision), more: false };
  }
  const isCut = limit > 0 && isKeyOrder(query) && !hasFilters(query);
  const fetched = yield* fetch(view, query, { revision, max: isCut ? limit + 1 : Infinity });
  const isCounted = isCut && fetched.count > limit && query.isUncounted !== true;
  const count = isCounted ? yield* countSteps(view, range, revision) : fetched.count;
  const kvs = yield* sorted(fetched.kvs, query);
  const more = limit > 0 && kvs.length > limit;
  const shown = more ? kvs.slice(0, limit) : kvs;
  return { kvs: isValueLate(query) ? yield* withoutValues(shown) : shown, count, more };
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
  if (kv === undefined || !passes(kv, query)) return { kvs: [], count: 1, more: false };
  return { kvs: [query.keysOnly === true ? withoutValue(kv) : kv], count: 1, more: false };
}

const nothing: RangeResult = { kvs: [], count: 0, more: false };

/** The revision that is read. */
function readRevision(view: RangeView, asked: Revision): Revision {
  if (asked > view.revision) throw new EtcdError('FutureRevision');
  const revision = asked <= 0 ? view.revision : asked;
  if (revision < view.compactRevision) throw new EtcdError('Compacted');
  return revision;
}

/** How many keys the range has, and those that the filters leave. */
interface Fetched {
  count: number;
  readonly kvs: KeyValue[];
}

function* fetch(
  view: RangeView,
  query: RangeQuery,
  { revision, max }: { revision: Revision; max: number },
): Generator<void, Fetched> {
  const fetched: Fetched = { count: 0, kvs: [] };
  let rest: KeyRange | undefined = query.range;
  while (rest !== undefined) {
    if (revision < view.compactRevision) throw new EtcdError('Compacted');
    rest = fetchStep(view, query, { rest, revision, max }, fetched);
    if (rest !== undefined) yield;
  }
  return fetched;
}

interface FetchStep {
  readonly rest: KeyRange;
  readonly revision: Revision;
  /** Of keys counted. */
  readonly max: number;
}

/** Appends the next keys' values; returns what is left of the range. */
function fetchStep(
  view: RangeView,
  query: RangeQuery,
  step: FetchStep,
  fetched: Fetched,
): KeyRange | undefined {
  const isReverse = isDescendingByKey(query);
  const isFiltered = hasFilters(query);
  const isKeyOnly = query.keysOnly === true && !isValueLate(query);
  let looked = 0;
  let sizeBytes = 0;
  let last: string | undefined;
  const isStepOver = (): boolean =>
    looked >= rangeStepKeysMax || sizeBytes >= rangeStepBytesMax || fetched.count >= step.max;
  const visit = (entry: KeyEntry, key: string): boolean => {
    looked += entry.recent === undefined ? unreadKeyCost : 1;
    const kv = view.versions.readAt(entry, step.revision);
    last = key;
    if (kv === undefined) return !isStepOver();
    fetched.count++;
    sizeBytes += kv.value.length;
    if (!isFiltered || passes(kv, query)) fetched.kvs.push(isKeyOnly ? withoutValue(kv) : kv);
    return !isStepOver();
  };
  if (isReverse) view.index.forEachReverse(step.rest, visit);
  else view.index.forEach(step.rest, visit);
  if (last === undefined || !isStepOver() || fetched.count >= step.max) return undefined;
  return isReverse ? { ...step.rest, end: last } : { ...step.rest, start: `${last}\0` };
}

/** How many keys exist as of the revision, in steps where all keys have to be looked at. */
function* countSteps(
  view: RangeView,
  range: KeyRange,
  revision: Revision,
): Generator<void, number> {
  const known = view.index.knownCountAt(range, revision);
  if (known !== undefined) return known;
  let count = 0;
  let rest: KeyRange | undefined = range;
  while (rest !== undefined) {
    if (revision < view.compactRevision) throw new EtcdError('Compacted');
    let looked = 0;
    let last: string | undefined;
    view.index.forEach(rest, (entry, key) => {
      if (entry.isLiveAt(revision)) count++;
      last = key;
      return ++looked < countStepKeysMax;
    });
    rest = looked < countStepKeysMax ? undefined : { ...rest, start: `${last}\0` };
    if (rest !== undefined) yield;
  }
  return count;
}

/**
 * Whether etcd takes the limit while it fetches, before it sorts: by key, and also, as a quirk of it, with no order
 * given and another target (server/etcdserver/txn/range.go, rangeLimit).
 */
export function isKeyOrder(query: Pick<RangeQuery, 'sortOrder' | 'sortTarget'>): boolean {
  return (query.sortOrder ?? 0) === SortOrder.NONE || (query.sortTarget ?? 0) === SortTarget.KEY;
}

function isDescendingByKey(query: RangeQuery): boolean {
  return query.sortOrder === SortOrder.DESCEND && (query.sortTarget ?? 0) === SortTarget.KEY;
}

/** Whether revisions leave keys out. */
export function hasFilters(query: Omit<RangeQuery, 'range'>): boolean {
  return Boolean(
    query.minModRevision ||
      query.maxModRevision ||
      query.minCreateRevision ||
      query.maxCreateRevision,
  );
}

function passes(kv: KeyValue, query: RangeQuery): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = query;
  return (
    !(maxModRevision && kv.modRevision > maxModRevision) &&
    !(minModRevision && kv.modRevision < minModRevision) &&
    !(maxCreateRevision && kv.createRevision > maxCreateRevision) &&
    !(minCreateRevision && kv.createRevision < minCreateRevision)
  );
}

/** They come in key order, or, descending by key, already reversed. */
function* sorted(kvs: KeyValue[], query: RangeQuery): Generator<void, KeyValue[]> {
  const compare = comparison(query.sortTarget ?? 0);
  if (compare === undefined) return kvs;
  if (query.sortOrder !== SortOrder.DESCEND) return yield* sortSteps(kvs, compare);
  return yield* sortSteps(kvs, (a, b) => compare(b, a));
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

/** Whether values are only to order by. */
function isValueLate(query: RangeQuery): boolean {
  return query.keysOnly === true && query.sortTarget === SortTarget.VALUE;
}

function* withoutValues(kvs: readonly KeyValue[]): Generator<void, KeyValue[]> {
  const stripped: KeyValue[] = [];
  for (const kv of kvs) {
    stripped.push(withoutValue(kv));
    if (stripped.length % rangeStepKeysMax === 0) yield;
  }
  return stripped;
}

function withoutValue(kv: KeyValue): KeyValue {
  return { ...kv, value: emptyBytes };
}
