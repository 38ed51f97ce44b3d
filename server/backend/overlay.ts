import { latin1 } from '../base/bytes.ts';
import type { Applied } from './marker.ts';
import {
  type PinnedStore,
  type StoreOp,
  type StoreRange,
  type StoreRecord,
  scanChunkMax,
} from './ordered-store.ts';
import type { StateHash } from './state-hash.ts';

/** What an operation costs beside its key and value. */
const opOverheadBytes = 64;

/** Changes that become one batch: the newest operation of each key. */
export class Segment {
  readonly ops = new Map<string, StoreOp>();
  bytes = 0;
  /** Set when the segment is closed: what its batch's marker says. */
  closing: { readonly applied: Applied; readonly stateHash: StateHash } | undefined = undefined;

  set(op: StoreOp): void {
    this.ops.set(latin1(op.key), op);
    this.bytes += op.key.length + (op.kind === 'put' ? op.value.length : 0) + opOverheadBytes;
  }
}

/** The segments that are not yet durable, oldest first. */
export type Overlay = readonly Segment[];

export function findInOverlay(overlay: Overlay, key: string): StoreOp | undefined {
  for (let index = overlay.length - 1; index >= 0; index--) {
    const op = overlay[index]?.ops.get(key);
    if (op !== undefined) return op;
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

/** The overlay's operations in a range, in key order, taken one by one. */
class Changes {
  readonly #sorted: (readonly [key: string, op: StoreOp])[];
  #at = 0;

  constructor(overlay: Overlay, range: StoreRange) {
    const start = range.gte === undefined ? '' : latin1(range.gte);
    const end = range.lt === undefined ? undefined : latin1(range.lt);
    const newest = new Map<string, StoreOp>();
    for (const segment of overlay) {
      for (const [key, op] of segment.ops) {
        if (key >= start && (end === undefined || key < end)) newest.set(key, op);
      }
    }
    this.#sorted = [...newest].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Appends what stands before `key` (all, when undefined). */
  takeBelow(key: string | undefined, into: StoreRecord[]): void {
    for (;;) {
      const next = this.#sorted[this.#at];
      if (next === undefined || (key !== undefined && next[0] >= key)) return;
      this.#take(next[1], into);
    }
  }

  /** Whether the overlay says something of `key`; appends its record, if it is not a deletion. */
  takeEqual(key: string, into: StoreRecord[]): boolean {
    const next = this.#sorted[this.#at];
    if (next?.[0] !== key) return false;
    this.#take(next[1], into);
    return true;
  }

  #take(op: StoreOp, into: StoreRecord[]): void {
    this.#at++;
    if (op.kind === 'put') into.push([op.key, op.value]);
  }
}

function* chunksOf(records: readonly StoreRecord[]): Generator<readonly StoreRecord[]> {
  for (let at = 0; at < records.length; at += scanChunkMax) {
    yield records.length <= scanChunkMax ? records : records.slice(at, at + scanChunkMax);
  }
}
