import { equalBytes } from '../base/bytes.ts';
import { StateDamagedError } from './damage.ts';
import { decodeMarker, type Marker, markerKey, verifyMarkers } from './marker.ts';
import type { OrderedStore, StoreRecord } from './ordered-store.ts';
import { checksumOf, unseal } from './record.ts';
import { formatVersion, prefix } from './schema.ts';
import { StateHash } from './state-hash.ts';

/**
 * Something that keeps a part of the applied state in memory (the key index, the leases ...). While a state is read it
 * gathers the records of its prefixes beside what it has; only when all of the state was verified does it switch over.
 */
export interface StatePart {
  readonly prefixes: readonly number[];
  restoreBegin(): void;
  /** In key order. The bytes may be retained. Throws {@link StateDamagedError} when it cannot be. */
  restoreRecord(key: Uint8Array, value: Uint8Array): void;
  /** The gathered state takes the place of the former. Called for all parts one after the other, nothing in between. */
  restoreEnd(): void;
}

/** The state was written by a newer version. */
export class FormatError extends Error {
  override name = 'FormatError';
}

export interface RestoredState {
  /** Undefined when the store is empty. */
  readonly marker: Marker | undefined;
  /** Of keys and values, the markers left out. */
  readonly sizeBytes: number;
}

/**
 * Reads and verifies all of the state in one pass; every record goes to the part that asked for its prefix. It is looked
 * up by its key as well: a table's restart points and filters, which LevelDB does not verify, can be damaged where the
 * records themselves are not, and then a scan sees what a look-up does not.
 */
export async function restoreState(
  store: OrderedStore,
  parts: readonly StatePart[],
): Promise<RestoredState> {
  const reading = new Reading(parts);
  for await (const chunk of store.scan({})) {
    const looking = store.hasMany(chunk.map(([key]) => key));
    // Waited for below; what `take` throws comes first.
    looking.catch(() => {});
    for (const record of chunk) reading.take(record);
    checkFound(store, chunk, await looking);
  }
  return { marker: reading.end(), sizeBytes: reading.sizeBytes };
}

function checkFound(
  store: OrderedStore,
  chunk: readonly StoreRecord[],
  areThere: readonly boolean[],
): void {
  for (const [at, record] of chunk.entries()) {
    if (isFound(store, record, areThere[at] === true)) continue;
    throw new StateDamagedError('a record that a scan sees is not found by its key');
  }
}

/** A version is written once, so that to be there is to be the right one; other records may have been written over. */
function isFound(store: OrderedStore, [key, sealed]: StoreRecord, isThere: boolean): boolean {
  if (key[0] === prefix.revision) return isThere;
  const found = store.get(key);
  return found !== undefined && equalBytes(found, sealed);
}

const knownPrefixes: ReadonlySet<number> = new Set(Object.values(prefix));

class Reading {
  sizeBytes = 0;
  readonly #partOf = new Map<number, StatePart>();
  readonly #markers: Marker[] = [];
  readonly #stateHash = new StateHash();

  constructor(parts: readonly StatePart[]) {
    for (const part of parts) {
      for (const of of part.prefixes) this.#partOf.set(of, part);
      part.restoreBegin();
    }
  }

  take([key, sealed]: StoreRecord): void {
    const value = unseal(key, sealed);
    if (value === undefined) throw new StateDamagedError('a record does not match its checksum');
    const of = key[0] ?? -1;
    if (of === prefix.marker) {
      this.#takeMarker(key, value);
      return;
    }
    this.#stateHash.add(checksumOf(sealed));
    this.sizeBytes += key.length + sealed.length;
    if (of === prefix.format) checkFormat(value);
    else if (!knownPrefixes.has(of)) throw new StateDamagedError(`a record of unknown kind ${of}`);
    else this.#partOf.get(of)?.restoreRecord(key, value);
  }

  #takeMarker(key: Uint8Array, value: Uint8Array): void {
    const marker = decodeMarker(value);
    if (!equalBytes(markerKey(marker.sequence), key)) {
      throw new StateDamagedError('a batch marker is not where it belongs');
    }
    this.#markers.push(marker);
  }

  end(): Marker | undefined {
    const marker = verifyMarkers(this.#markers);
    const expected = marker?.stateHash ?? new StateHash();
    if (!this.#stateHash.equals(expected)) {
      const difference = `${expected} were written, ${this.#stateHash} are there`;
      throw new StateDamagedError(`records are missing, old or one too many: ${difference}`);
    }
    return marker;
  }
}

function checkFormat(value: Uint8Array): void {
  const version = value[0];
  if (value.length === 1 && version === formatVersion) return;
  throw new FormatError(
    `the state has format ${String(version)}; this version knows ${formatVersion}`,
  );
}
