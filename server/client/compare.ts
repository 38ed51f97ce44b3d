import {
  Compare,
  CompareResult,
  CompareTarget,
  type CompareTargetUnion,
} from '../proto/gen/rpc.ts';
import { type Bytes, bytesOf, type Keys, keysOf } from './keys.ts';

/** What one property of a key is compared with. Of a range, every key must satisfy it. */
export class Comparison<Value> {
  readonly #keys: Keys;
  readonly #target: CompareTarget;
  readonly #union: (value: Value) => CompareTargetUnion;

  constructor(
    keys: Keys,
    { target, union }: { target: CompareTarget; union: (value: Value) => CompareTargetUnion },
  ) {
    this.#keys = keys;
    this.#target = target;
    this.#union = union;
  }

  equals(value: Value): Compare {
    return this.#compare(CompareResult.EQUAL, value);
  }

  differsFrom(value: Value): Compare {
    return this.#compare(CompareResult.NOT_EQUAL, value);
  }

  isGreaterThan(value: Value): Compare {
    return this.#compare(CompareResult.GREATER, value);
  }

  isLessThan(value: Value): Compare {
    return this.#compare(CompareResult.LESS, value);
  }

  #compare(result: CompareResult, value: Value): Compare {
    const [target, targetUnion] = [this.#target, this.#union(value)];
    return Compare.create({ ...this.#keys, result, target, targetUnion });
  }
}

/** How often the key was written since it was created; 0: it is not there. */
export function versionOf(keys: Bytes | Keys): Comparison<number> {
  const union = (value: number) => ({ kind: 'version', value }) as const;
  return new Comparison(keysOf(keys), { target: CompareTarget.VERSION, union });
}

/** The revision at which the key was created; 0: it is not there. */
export function createRevisionOf(keys: Bytes | Keys): Comparison<number> {
  const union = (value: number) => ({ kind: 'createRevision', value }) as const;
  return new Comparison(keysOf(keys), { target: CompareTarget.CREATE, union });
}

/** The revision at which the key was written last; 0: it is not there. */
export function modRevisionOf(keys: Bytes | Keys): Comparison<number> {
  const union = (value: number) => ({ kind: 'modRevision', value }) as const;
  return new Comparison(keysOf(keys), { target: CompareTarget.MOD, union });
}

/** The value, in bytewise order. Of a key that is not there every comparison of the value fails. */
export function valueOf(keys: Bytes | Keys): Comparison<Bytes> {
  const union = (value: Bytes) => ({ kind: 'value', value: bytesOf(value) }) as const;
  return new Comparison(keysOf(keys), { target: CompareTarget.VALUE, union });
}

/** The lease of the key; 0n: none. */
export function leaseOf(keys: Bytes | Keys): Comparison<bigint> {
  const union = (value: bigint) => ({ kind: 'lease', value }) as const;
  return new Comparison(keysOf(keys), { target: CompareTarget.LEASE, union });
}

export function exists(key: Bytes): Compare {
  return createRevisionOf(key).isGreaterThan(0);
}

export function isMissing(key: Bytes): Compare {
  return createRevisionOf(key).equals(0);
}
