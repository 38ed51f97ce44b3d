import { fromLatin1, latin1 } from '../base/bytes.ts';
import { scanChunkRecordsMax } from '../config/limits.ts';
import type { Applied } from './marker.ts';
import {
  type PinnedStore,
  type StoreOp,
  type StoreRange,
  type StoreRecord,
} from './ordered-store.ts';
import type { StateHash } from './state-hash.ts';

/** What a change costs beside its key and value. */
const changeOverheadBytes = 64;

/** What is to become of a key: its sealed record, or null for a deletion. */
export type Change = Uint8Array | null;

/** Changes that become one batch: the newest of each key, by latin-1 string. */
export class Segment {
  readonly changes = new Map<string, Change>();
  bytes = 0;
  /** Set when the segment is closed: what its batch's marker says. */
  closing: { readonly applied: Applied; readonly stateHash: StateHash } | undefined = undefined;

  set(key: string, change: Change): void {
    this.changes.set(key, change);
    this.bytes += key.length + (change?.length ?? 0) + changeOverheadBytes;
  }

  toOps(): StoreOp[] {
    const ops: StoreOp[] = [];
    for (const [key, value] of this.changes) ops.push(opOf(fromLatin1(key), value));
    return ops;
  }
}

function opOf(key: Uint8Array, value: Change): StoreOp {
  return value === null ? { kind: 'delete', key } : { kind: 'put', key, value };
}

/** The segments that are not yet durable, oldest first. */
export type Overlay = readonly Segment[];

/** Undefined: the overlay does not say. */
export function findInOverlay(overlay: Overlay, key: string): Change | undefined {
  for (let index = overlay.length - 1; index >= 0; index--) {
    const change = overlay[index]?.changes.get(key);
    if (change !== undefined) return change;
  }
  return undefined;
}

/** The (sealed) records of the store as they are with the overlay on top. The segments are closed ones. */
export async function* mergedScan(
  store: PinnedStore,
  overlay: Overlay,
  range: StoreRange,
): AsyncGenerator<readonly StoreRecord[]> {
  const changes = new Changes(overlay, range);
  for await (const chunk of store.scan(range)) {
    const merged: StoreRecord[] = [];
    for (const record of chunk) {
      const key = latin1(record[0]);
      changes.takeBelow(key, merged);
      if (!changes.takeEqual(key, merged)) merged.push(record);
    }
    yield* chunksOf(merged);
  }
  const rest: StoreRecord[] = [];
  changes.takeBelow(undefined, rest);
  yield* chunksOf(rest);
}

/** The overlay's changes in a range, in key order, taken one by one. */
class Changes {
  readonly #sorted: (readonly [key: string, change: Change])[];
  #at = 0;

  constructor(overlay: Overlay, range: StoreRange) {
    const start = range.gte === undefined ? '' : latin1(range.gte);
    const end = range.lt === undefined ? undefined : latin1(range.lt);
    const newest = new Map<string, Change>();
    for (const segment of overlay) {
      for (const [key, change] of segment.changes) {
        if (key >= start && (end === undefined || key < end)) newest.set(key, change);
      }
    }
    this.#sorted = [...newest].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Appends what stands before `key` (all, when undefined). */
  takeBelow(key: string | undefined, into: StoreRecord[]): void {
    for (;;) {
      const next = this.#sorted[this.#at];
      if (next === undefined || (key !== undefined && next[0] >= key)) return;
      this.#take(next, into);
    }
  }

  /** Whether the overlay says something of `key`; appends its record, if it is not a deletion. */
  takeEqual(key: string, into: StoreRecord[]): boolean {
    const next = this.#sorted[this.#at];
    if (next?.[0] !== key) return false;
    this.#take(next, into);
    return true;
  }

  #take([key, change]: readonly [string, Change], into: StoreRecord[]): void {
    this.#at++;
    if (change !== null) into.push([fromLatin1(key), change]);
  }
}

function* chunksOf(records: readonly StoreRecord[]): Generator<readonly StoreRecord[]> {
  for (let at = 0; at < records.length; at += scanChunkRecordsMax) {
    yield records.length <= scanChunkRecordsMax
      ? records
      : records.slice(at, at + scanChunkRecordsMax);
  }
}
