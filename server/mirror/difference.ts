import { compareBytes, equalBytes } from '../base/bytes.ts';
import { hexId, type LeaseId, type Revision } from '../base/ids.ts';
import type { Client } from '../client/client.ts';
import { ClientError } from '../client/errors.ts';
import { etcdTexts } from '../client/etcd-texts.ts';
import { oneKey } from '../client/keys.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import { type Checkpoint, checkpointOf, checkpointPlace } from './checkpoint.ts';
import { MirrorError } from './failure.ts';
import { parsedState } from './guarded-writer.ts';
import type { KeyMapping } from './key-mapping.ts';
import { recordedLeases } from './lease-map.ts';
import { Patience } from './patience.ts';
import { readRange } from './range-reading.ts';
import { Source } from './source.ts';

/** What is not as it should be. */
export interface Difference {
  readonly kind: 'missing' | 'extra' | 'value' | 'lease' | 'ttl';
  /** At the destination; empty for a lease's TTL. */
  readonly key: Uint8Array;
  /** What each side has, for people. */
  readonly text: string;
}

export interface Comparison {
  /** Of the source. */
  readonly revision: Revision;
  readonly destinationRevision: Revision;
  /** Whether a mirror's checkpoint has said which two revisions belong together. */
  readonly isMirror: boolean;
  readonly keys: number;
  readonly leases: number;
  /** The first ones. */
  readonly differences: readonly Difference[];
}

export interface ComparisonOptions {
  readonly mapping: KeyMapping;
  readonly reserved: string;
  readonly differencesMax: number;
  /** How long to wait for a mirror that is in the middle of something. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/**
 * Compares keys, values and leases of both sides, each at one revision: those that belong together by the checkpoint that
 * stands at the destination, so that a mirror may go on meanwhile. Without one, the newest of both.
 */
export async function compareSides(
  sides: { readonly source: Client; readonly destination: Client },
  options: ComparisonOptions,
): Promise<Comparison> {
  const patience = new Patience('source', options.signal);
  const source = new Source({ client: sides.source, patience }, options.mapping.source);
  const deadline = performance.now() + options.patienceMs;
  for (;;) {
    try {
      const at = await revisionsOf(sides.destination, source, options);
      if (typeof at !== 'string') {
        return await compareAt(at, { ...sides, source }, options);
      }
      if (performance.now() > deadline) throw new MirrorError(at);
    } catch (error) {
      const isCompacted = error instanceof ClientError && error.text === etcdTexts.compacted;
      if (!isCompacted || performance.now() > deadline) throw error;
    }
    await patience.pause();
  }
}

/** Compares both sides at these revisions. */
export function compareAt(
  pair: Pair,
  sides: { readonly source: Source; readonly destination: Client },
  options: ComparisonOptions,
): Promise<Comparison> {
  return new SideBySide(sides.source, sides.destination, options).compare(pair);
}

/** Which revisions belong together. */
export interface Pair {
  readonly revision: Revision;
  readonly destinationRevision: Revision;
  readonly isMirror: boolean;
  /** Of the destination, by those of the source. */
  readonly leases: ReadonlyMap<LeaseId, LeaseId>;
}

/** Or why none do. */
export async function revisionsOf(
  destination: Client,
  source: Source,
  { mapping, reserved }: ComparisonOptions,
): Promise<Pair | string> {
  const { clusterId, revision: newest } = await source.identity();
  const place = checkpointPlace(reserved, mapping);
  const { kvs, header } = await destination.range(oneKey(place.checkpoint));
  const state = kvs[0] && parsedState(kvs[0]);
  const found: Checkpoint | string | undefined =
    state && checkpointOf(state, { clusterId, mapping, term: source.term });
  if (typeof found === 'string') throw new MirrorError(found);
  const destinationRevision = header.revision;
  const leases = new Map<LeaseId, LeaseId>();
  const recorded = await recordedLeases(destination, place.leases, destinationRevision);
  for (const { source: id, lease } of recorded) leases.set(id, lease.id);
  if (found === undefined) {
    return { revision: newest, destinationRevision, isMirror: false, leases };
  }
  if (found.kind === 'copying') return 'the mirror has not copied everything yet';
  if (found.done > 0) return 'the mirror stands in the middle of a revision';
  return { revision: found.revision, destinationRevision, isMirror: true, leases };
}

class SideBySide {
  readonly #source: Source;
  readonly #destination: Client;
  readonly #options: ComparisonOptions;
  readonly #differences: Difference[] = [];
  /** Leases of the destination, by those of the source that were met. */
  readonly #met = new Map<LeaseId, { readonly id: LeaseId; readonly usedAt: Revision }>();
  #keys = 0;

  constructor(source: Source, destination: Client, options: ComparisonOptions) {
    this.#source = source;
    this.#destination = destination;
    this.#options = options;
  }

  async compare({ leases, ...pair }: Pair): Promise<Comparison> {
    const { mapping, signal } = this.#options;
    const { client, patience, keys } = this.#source;
    const there = readRange(mapping.destination, {
      client: this.#destination,
      patience: new Patience('destination', signal),
      revision: pair.destinationRevision,
    });
    try {
      let next = await there.next();
      for await (const kv of readRange(keys, { client, patience, revision: pair.revision })) {
        const key = mapping.toDestination(kv.key);
        if (key === undefined) continue;
        this.#keys++;
        for (
          ;
          next.done !== true && compareBytes(next.value.key, key) < 0;
          next = await there.next()
        )
          this.#extra(next.value);
        if (next.done !== true && equalBytes(next.value.key, key)) {
          await this.#compareOne(kv, next.value, leases);
          next = await there.next();
        } else this.#add('missing', key, 'only the source has it');
        if (this.#isEnough) break;
      }
      for (; next.done !== true && !this.#isEnough; next = await there.next())
        this.#extra(next.value);
    } finally {
      await there.return();
    }
    await this.#compareLeases();
    return {
      ...pair,
      keys: this.#keys,
      leases: this.#met.size,
      differences: this.#differences,
    };
  }

  get #isEnough(): boolean {
    return this.#differences.length >= this.#options.differencesMax;
  }

  #add(kind: Difference['kind'], key: Uint8Array, text: string): void {
    if (!this.#isEnough) this.#differences.push({ kind, key, text });
  }

  #extra({ key }: KeyValue): void {
    if (!this.#options.mapping.isReserved(key))
      this.#add('extra', key, 'only the destination has it');
  }

  async #compareOne(
    kv: KeyValue,
    found: KeyValue,
    leases: ReadonlyMap<LeaseId, LeaseId>,
  ): Promise<void> {
    if (!equalBytes(kv.value, found.value)) {
      const sizes = `${kv.value.length} bytes at the source, ${found.value.length} at the destination`;
      this.#add('value', found.key, `the values differ: ${sizes}`);
      return;
    }
    const expected = kv.lease === 0n ? 0n : (leases.get(kv.lease) ?? kv.lease);
    if (found.lease === expected) {
      if (kv.lease !== 0n) this.#met.set(kv.lease, { id: expected, usedAt: kv.modRevision });
      return;
    }
    // One that had ended at the source when the key was copied is not granted any more.
    const hadEnded =
      found.lease === 0n && (await this.#source.ttlOf(kv.lease, kv.modRevision)) === undefined;
    if (hadEnded) return;
    const ids = `${hexId(kv.lease)} at the source, ${hexId(found.lease)} at the destination`;
    this.#add('lease', found.key, `the leases differ: ${ids}`);
  }

  async #compareLeases(): Promise<void> {
    for (const [source, { id, usedAt }] of this.#met) {
      // In this order: one that ends at the source ends at the destination after that.
      const { grantedTTL, TTL } = await this.#destination.leaseTimeToLive(id);
      const wanted = await this.#source.ttlOf(source, usedAt);
      if (wanted === undefined) continue;
      const has = TTL < 0 ? 'no such lease' : `${grantedTTL} s`;
      if (TTL < 0 || grantedTTL !== wanted) {
        this.#add(
          'ttl',
          new Uint8Array(),
          `lease ${hexId(source)}: ${wanted} s at the source, ${has} at the destination`,
        );
      }
    }
  }
}
