import { compareBytes } from '../base/bytes.ts';
import { bytesOf, joined, type Keys, keysUnder } from '../client/keys.ts';

export interface MappingOptions {
  readonly prefix: string;
  readonly destPrefix: string;
  /** Keys that begin so are nobody's but ours: they are neither copied nor deleted. */
  readonly reserved: string;
}

/** Which keys are copied, and what they are called at the destination. */
export class KeyMapping {
  readonly prefix: Uint8Array;
  readonly destPrefix: Uint8Array;
  readonly source: Keys;
  readonly destination: Keys;
  readonly #reserved: Uint8Array;

  constructor({ prefix, destPrefix, reserved }: MappingOptions) {
    this.prefix = bytesOf(prefix);
    this.destPrefix = bytesOf(destPrefix);
    this.source = keysUnder(prefix);
    this.destination = keysUnder(destPrefix);
    this.#reserved = bytesOf(reserved);
  }

  /** Undefined for a key that is not copied. */
  toDestination(key: Uint8Array): Uint8Array | undefined {
    if (!beginsWith(key, this.prefix) || beginsWith(key, this.#reserved)) return undefined;
    const mapped = joined(this.destPrefix, key.subarray(this.prefix.length));
    return mapped.length === 0 || this.isReserved(mapped) ? undefined : mapped;
  }

  isReserved(key: Uint8Array): boolean {
    return beginsWith(key, this.#reserved);
  }

  /** Whether keys that are ours stand in the destination's range. */
  get reservedIsInside(): boolean {
    return beginsWith(this.#reserved, this.destPrefix);
  }

  /** Whether what is written would be read again, were both sides one cluster. */
  get overlaps(): boolean {
    return beginsWith(this.prefix, this.destPrefix) || beginsWith(this.destPrefix, this.prefix);
  }
}

function beginsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length >= prefix.length && compareBytes(key.subarray(0, prefix.length), prefix) === 0;
}
