import { fromLatin1 } from '../../../server/base/bytes.ts';
import { crc32c } from '../../../server/base/crc32c.ts';
import { isInRange, type KeyRange } from '../../../server/mvcc/key-range.ts';
import type { RangeQuery } from '../../../server/mvcc/range.ts';
import { etcdRevisionKey } from '../../../server/mvcc/revision.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';

/** One change that a transaction asks for. */
export type Change =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly lease: bigint }
  | { readonly kind: 'delete'; readonly range: KeyRange };

export interface PlainKv {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
}

interface ModelVersion {
  readonly main: number;
  readonly sub: number;
  readonly key: string;
  /** Undefined: a tombstone. */
  readonly kv: PlainKv | undefined;
}

export interface ModelEvent {
  readonly kind: 'put' | 'delete';
  readonly key: string;
  readonly kv: PlainKv | undefined;
  readonly prev: PlainKv | undefined;
}

/** The store, said as simply as possible: every state that ever was, and a list of all versions. */
export class Model {
  /** The state as of each revision, from 1 on; nothing is before. */
  readonly #states: ReadonlyMap<string, PlainKv>[] = [new Map(), new Map()];
  /** All versions that a compaction has left, in order. */
  #versions: ModelVersion[] = [];
  readonly #events: ModelEvent[][] = [];
  compactRevision = -1;

  get revision(): number {
    return this.#states.length - 1;
  }

  txn(changes: readonly Change[]): void {
    const before = this.#stateAt(this.revision);
    const state = new Map(before);
    const main = this.revision + 1;
    const events: ModelEvent[] = [];
    for (const change of changes) {
      const touched =
        change.kind === 'put'
          ? [change.key]
          : [...state.keys()].filter((key) => isInRange(change.range, key)).sort();
      for (const key of touched) {
        const old = state.get(key);
        const kv = change.kind === 'put' ? nextKv(change, old, main) : undefined;
        if (kv === undefined) state.delete(key);
        else state.set(key, kv);
        this.#versions.push({ main, sub: events.length, key, kv });
        events.push({ kind: change.kind, key, kv, prev: before.get(key) });
      }
    }
    if (events.length === 0) return;
    this.#states.push(state);
    this.#events[main] = events;
  }

  compact(revision: number): 'done' | 'Compacted' | 'FutureRevision' {
    if (revision <= this.compactRevision) return 'Compacted';
    if (revision > this.revision) return 'FutureRevision';
    this.compactRevision = revision;
    this.#versions = this.#versions.filter(
      (version) => version.main > revision || this.#isKept(version, revision),
    );
    return 'done';
  }

  range(query: RangeQuery): { kvs: PlainKv[]; count: number; more: boolean } | string {
    const asked = query.revision ?? 0;
    if (asked > this.revision) return 'FutureRevision';
    const revision = asked <= 0 ? this.revision : asked;
    if (revision < this.compactRevision) return 'Compacted';
    const all = [...this.#stateAt(revision).values()]
      .filter((kv) => isInRange(query.range, kv.key))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    if (query.countOnly === true) return { kvs: [], count: all.length, more: false };
    const { limit = 0, sortOrder = 0, sortTarget = 0 } = query;
    const isCutFirst = limit > 0 && sortOrder === 0 && !hasFilter(query);
    const fetched = isCutFirst ? all.slice(0, limit + 1) : all;
    const kvs = fetched.filter((kv) => isWanted(kv, query)).sort(order(sortTarget, sortOrder));
    const more = limit > 0 && kvs.length > limit;
    const shown = more ? kvs.slice(0, limit) : kvs;
    return {
      kvs: query.keysOnly === true ? shown.map((kv) => ({ ...kv, value: '' })) : shown,
      count: all.length,
      more,
    };
  }

  eventsOf(revision: number): ModelEvent[] {
    return this.#events[revision] ?? [];
  }

  leases(): Map<string, bigint> {
    const leased = [...this.#stateAt(this.revision).values()].filter((kv) => kv.lease !== 0n);
    return new Map(leased.map((kv) => [kv.key, kv.lease]));
  }

  /** As etcd does it, with the set of versions to keep written out (server/storage/mvcc/hash.go). */
  hashKv(revision: number): number {
    const keep = new Set(
      this.#versions.filter((version) => version.kv && this.#isNewestAt(version, revision)),
    );
    let hash = crc32c(fromLatin1('key'));
    for (const version of this.#versions) {
      if (version.main > revision) continue;
      if (version.main <= this.compactRevision && keep.size > 0 && !keep.has(version)) continue;
      if (version.main === this.compactRevision && !version.kv) continue;
      hash = crc32c(etcdRevisionKey(version, !version.kv), hash);
      hash = crc32c(KeyValue.encode(protoOf(version)), hash);
    }
    return hash;
  }

  #stateAt(revision: number): ReadonlyMap<string, PlainKv> {
    return this.#states[revision] ?? new Map();
  }

  #isKept(version: ModelVersion, revision: number): boolean {
    if (!this.#isNewestAt(version, revision)) return false;
    return version.kv !== undefined || version.main === revision;
  }

  #isNewestAt(version: ModelVersion, revision: number): boolean {
    const newest = this.#versions.findLast(
      (other) => other.key === version.key && other.main <= revision,
    );
    return newest === version;
  }
}

function nextKv(
  change: { key: string; value: string; lease: bigint },
  old: PlainKv | undefined,
  main: number,
): PlainKv {
  const { key, value, lease } = change;
  return {
    key,
    value,
    lease,
    create: old?.create ?? main,
    mod: main,
    version: (old?.version ?? 0) + 1,
  };
}

function protoOf({ key, kv }: ModelVersion): KeyValue {
  if (kv === undefined) return KeyValue.create({ key: fromLatin1(key) });
  return {
    key: fromLatin1(key),
    createRevision: kv.create,
    modRevision: kv.mod,
    version: kv.version,
    value: fromLatin1(kv.value),
    lease: kv.lease,
  };
}

function hasFilter(query: RangeQuery): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = query;
  return [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision].some(Boolean);
}

function isWanted(kv: PlainKv, query: RangeQuery): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = query;
  return (
    kv.mod >= (minModRevision || 0) &&
    kv.mod <= (maxModRevision || Infinity) &&
    kv.create >= (minCreateRevision || 0) &&
    kv.create <= (maxCreateRevision || Infinity)
  );
}

function order(target: number, sortOrder: number): (a: PlainKv, b: PlainKv) => number {
  const fields = ['key', 'version', 'create', 'mod', 'value'] as const;
  const field = fields[target] ?? 'key';
  const sign = sortOrder === 2 ? -1 : 1;
  return (a, b) => (a[field] < b[field] ? -sign : a[field] > b[field] ? sign : 0);
}
