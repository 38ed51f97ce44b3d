import { latin1 } from '../base/bytes.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import type { Compare, RangeResponse, RequestOp, TxnResponse } from '../proto/gen/rpc.ts';
import { pause } from './abort.ts';
import type { CallOptions } from './calls.ts';
import { modRevisionOf } from './compare.ts';
import type { Headed, KeySpace } from './key-space.ts';
import { type Bytes, bytesOf, oneKey } from './keys.ts';
import { deleteOp, type PutFields, putOp, rangeOp } from './txn.ts';

/**
 * What an attempt is protected from, as in etcd's clientv3/concurrency:
 * - `serializableSnapshot`: all reads are of one revision, and neither what was read nor what is written has changed since;
 * - `serializable`: all reads are of one revision, and what was read has not changed since;
 * - `repeatableReads`: what was read has not changed since it was read;
 * - `readCommitted`: nothing.
 */
export type Isolation =
  | 'serializableSnapshot'
  | 'serializable'
  | 'repeatableReads'
  | 'readCommitted';

export interface StmOptions extends CallOptions {
  /** `serializableSnapshot` by default. */
  readonly isolation?: Isolation | undefined;
}

interface Write {
  readonly key: Uint8Array;
  readonly op: RequestOp;
  readonly value: Uint8Array | undefined;
}

/** What an attempt has read of a key: nothing when it was not there. */
interface Reading {
  readonly key: Uint8Array;
  readonly kv: KeyValue | undefined;
  /** The store's when it was read. */
  readonly revision: number;
}

const pauseMsMax = 20;

/** One attempt of a software transaction: reads are remembered, writes are kept back until it commits. */
export class StmAttempt {
  readonly #space: KeySpace;
  readonly #options: CallOptions;
  readonly #isolation: Isolation;
  readonly #readings = new Map<string, Reading>();
  readonly #writes = new Map<string, Write>();
  /** What the failed commit before has found, which saves reading it again. */
  readonly #fetched: Map<string, Reading>;
  #snapshotRevision = 0;

  constructor(
    space: KeySpace,
    {
      isolation,
      fetched,
      options,
    }: {
      isolation: Isolation;
      fetched: Map<string, Reading>;
      options: CallOptions;
    },
  ) {
    this.#space = space;
    this.#options = options;
    this.#isolation = isolation;
    this.#fetched = fetched;
  }

  /** The value, also as this attempt has put it; undefined when the key is not there. */
  async get(key: Bytes): Promise<Uint8Array | undefined> {
    const written = this.#writes.get(nameOf(key));
    if (written !== undefined) return written.value;
    return (await this.#read(bytesOf(key))).kv?.value;
  }

  /** The revision at which the key was written last, 0 when it is not there; not what this attempt writes. */
  async revisionOf(key: Bytes): Promise<number> {
    return (await this.#read(bytesOf(key))).kv?.modRevision ?? 0;
  }

  put(key: Bytes, value: Bytes, fields: PutFields = {}): void {
    const write = { key: bytesOf(key), op: putOp(key, value, fields), value: bytesOf(value) };
    this.#writes.set(nameOf(key), write);
  }

  delete(key: Bytes): void {
    const write = { key: bytesOf(key), op: deleteOp(key), value: undefined };
    this.#writes.set(nameOf(key), write);
  }

  /** Undefined when something has changed meanwhile: then {@link readings} has what it is now. */
  async commit(): Promise<Headed<TxnResponse> | undefined> {
    const read = [...this.#readings.values()];
    const writes = [...this.#writes.values()];
    const answer = await this.#space
      .when(...this.#guards(read, writes))
      .do(...writes.map(({ op }) => op))
      .otherwise(...read.map(({ key }) => rangeOp(key)))
      .commit(this.#options);
    if (answer.succeeded) return answer;
    for (const [place, { key }] of read.entries()) {
      const response = answer.responses[place]?.response;
      if (response?.kind === 'responseRange') {
        const reading = readingOf(key, response.value, answer.header.revision);
        this.#readings.set(latin1(key), reading);
      }
    }
    return undefined;
  }

  get readings(): Map<string, Reading> {
    return this.#readings;
  }

  async #read(key: Uint8Array): Promise<Reading> {
    const name = latin1(key);
    const known = this.#readings.get(name);
    if (known !== undefined) return known;
    const reading = this.#takeFetched(name) ?? (await this.#fetch(key));
    this.#readings.set(name, reading);
    return reading;
  }

  /** All of the failed commit's readings are of one revision: a snapshot begins there. */
  #takeFetched(name: string): Reading | undefined {
    const reading = this.#fetched.get(name);
    if (reading === undefined || !this.#isSnapshot) return undefined;
    if (this.#snapshotRevision === 0) this.#snapshotRevision = reading.revision;
    return this.#snapshotRevision === reading.revision ? reading : undefined;
  }

  async #fetch(key: Uint8Array): Promise<Reading> {
    const revision = this.#isSnapshot ? this.#snapshotRevision : 0;
    const response = await this.#space.range(oneKey(key), { ...this.#options, revision });
    const reading = readingOf(key, response);
    if (this.#snapshotRevision === 0) this.#snapshotRevision = reading.revision;
    return reading;
  }

  #guards(read: readonly Reading[], writes: readonly Write[]): Compare[] {
    if (this.#isolation === 'readCommitted') return [];
    const guards = read.map(({ key, kv }) => modRevisionOf(key).equals(kv?.modRevision ?? 0));
    if (this.#isolation !== 'serializableSnapshot' || this.#snapshotRevision === 0) return guards;
    const end = this.#snapshotRevision + 1;
    return guards.concat(writes.map(({ key }) => modRevisionOf(key).isLessThan(end)));
  }

  get #isSnapshot(): boolean {
    return this.#isolation === 'serializable' || this.#isolation === 'serializableSnapshot';
  }
}

/** Runs `apply`, again and again, until what it has read was still so when its writes took effect. */
export async function runStm<T>(
  space: KeySpace,
  apply: (attempt: StmAttempt) => Promise<T>,
  { isolation = 'serializableSnapshot', ...options }: StmOptions,
): Promise<{ result: T; response: Headed<TxnResponse> }> {
  let fetched = new Map<string, Reading>();
  for (;;) {
    const attempt = new StmAttempt(space, { isolation, fetched, options });
    const result = await apply(attempt);
    const response = await attempt.commit();
    if (response !== undefined) return { result, response };
    fetched = attempt.readings;
    await pause(pauseMsMax * Math.random(), [options.signal]);
  }
}

function readingOf(
  key: Uint8Array,
  { kvs, header }: RangeResponse,
  revision = header?.revision ?? 0,
): Reading {
  return { key, kv: kvs[0], revision };
}

function nameOf(key: Bytes): string {
  return latin1(bytesOf(key));
}
