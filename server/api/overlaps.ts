import { latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { DeleteRangeRequest, RequestOp } from '../proto/gen/rpc.ts';

/**
 * Refuses two puts to one key, and a put to a key that an operation beside or above it deletes, or one in a nested
 * transaction before it (etcd's checkIntervals): EtcdError DuplicateKey. The two branches of a nested transaction may
 * share keys, since only one of them runs.
 */
export function checkOverlaps(ops: readonly RequestOp[]): void {
  const isAlone = ops.length === 1 && ops[0]?.request?.kind !== 'requestTxn';
  if (ops.length === 0 || isAlone) return;
  const keys = new Set<string>();
  const branch = branchOf(ops, keys);
  new OverlapCheck(keys).run(branch);
}

/** What one branch of a transaction writes, in the order in which etcd looks at it. */
interface Branch {
  readonly deletes: readonly Span[];
  readonly nested: ReadonlyArray<readonly [Branch, Branch]>;
  readonly puts: readonly string[];
  /** How much it writes in all. */
  readonly size: number;
}

/** Keys from `start` to before `end`, in latin-1. */
interface Span {
  readonly start: string;
  readonly end: string;
}

function branchOf(ops: readonly RequestOp[], keys: Set<string>): Branch {
  const deletes: Span[] = [];
  const nested: [Branch, Branch][] = [];
  const puts: string[] = [];
  let nestedSize = 0;
  for (const { request } of ops) {
    if (request?.kind === 'requestDeleteRange') deletes.push(spanOf(request.value));
    else if (request?.kind === 'requestPut') {
      const key = latin1(request.value.key);
      keys.add(key);
      puts.push(key);
    } else if (request?.kind === 'requestTxn') {
      const { success, failure } = request.value;
      const branches: [Branch, Branch] = [branchOf(success, keys), branchOf(failure, keys)];
      nestedSize += branches[0].size + branches[1].size;
      nested.push(branches);
    }
  }
  return { deletes, nested, puts, size: deletes.length + puts.length + nestedSize };
}

/** As in etcd, an open-ended range ("\0") holds no key here: put and delete of it are applied in their order. */
function spanOf(request: DeleteRangeRequest): Span {
  const start = latin1(request.key);
  const end = latin1(request.rangeEnd);
  return { start, end: end === '' ? `${start}\0` : end };
}

/** Places of keys in their order. */
interface Places {
  readonly from: number;
  readonly to: number;
  readonly isPut: boolean;
}

/**
 * Goes through the operations once. What was met is kept by the places of the keys; what one branch wrote is taken back
 * while the other is looked at, the smaller one's: so the cost is O(n log² n), however they are nested.
 */
class OverlapCheck {
  /** In order. */
  readonly #keys: string[];
  readonly #placeOf: ReadonlyMap<string, number>;
  /** How many puts there were, by place. */
  readonly #puts: Uint32Array;
  /** How many deletes cover a place: a Fenwick tree of the differences between neighbours. */
  readonly #covers: Int32Array;
  readonly #met: Places[] = [];

  constructor(keys: ReadonlySet<string>) {
    this.#keys = [...keys].sort();
    this.#placeOf = new Map(this.#keys.map((key, place) => [key, place]));
    this.#puts = new Uint32Array(keys.size);
    this.#covers = new Int32Array(keys.size + 1);
  }

  run({ deletes, nested, puts }: Branch): void {
    for (const { start, end } of deletes) {
      const [from, to] = [this.#placeFrom(start), this.#placeFrom(end)];
      if (from < to) this.#meet({ from, to, isPut: false });
    }
    for (const branches of nested) this.#runEither(branches);
    for (const key of puts) {
      const from = this.#placeOf.get(key) ?? 0;
      if (this.#puts[from] !== 0 || this.#isCovered(from)) throw new EtcdError('DuplicateKey');
      this.#meet({ from, to: from + 1, isPut: true });
    }
  }

  #runEither([success, failure]: readonly [Branch, Branch]): void {
    const [smaller, larger] = success.size < failure.size ? [success, failure] : [failure, success];
    const start = this.#met.length;
    this.run(smaller);
    const hidden = this.#met.splice(start);
    for (const places of hidden) this.#count(places, -1);
    this.run(larger);
    for (const places of hidden) this.#meet(places);
  }

  #meet(places: Places): void {
    this.#met.push(places);
    this.#count(places, 1);
  }

  #count({ from, to, isPut }: Places, delta: number): void {
    if (isPut) this.#puts[from] = (this.#puts[from] ?? 0) + delta;
    else {
      this.#cover(from, delta);
      this.#cover(to, -delta);
    }
  }

  #cover(place: number, delta: number): void {
    for (let at = place + 1; at < this.#covers.length; at += at & -at) {
      this.#covers[at] = (this.#covers[at] ?? 0) + delta;
    }
  }

  #isCovered(place: number): boolean {
    let sum = 0;
    for (let at = place + 1; at > 0; at -= at & -at) sum += this.#covers[at] ?? 0;
    return sum > 0;
  }

  /** The place of the first key that is not below. */
  #placeFrom(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? '') < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
