import { fromLatin1 } from '../../../server/base/bytes.ts';
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  KV,
  Lease,
  PutRequest,
  RequestOp,
} from '../../../server/proto/gen/rpc.ts';
import { SeededRandom } from '../../sim/random.ts';
import type { GrpcChannel, Outcome } from '../../support/grpc.ts';
import type { View } from './view.ts';

// A fixed script of operations by one client, and what the store must hold after any number of them.

export type Op =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly lease: bigint }
  | { readonly kind: 'delete'; readonly from: string; readonly to: string }
  /** Where `guard` is: puts `keys` and deletes it. Where it is not: puts it. */
  | {
      readonly kind: 'txn';
      readonly guard: string;
      readonly keys: readonly string[];
      readonly value: string;
    }
  | { readonly kind: 'grant'; readonly lease: bigint }
  | { readonly kind: 'revoke'; readonly lease: bigint }
  | { readonly kind: 'compact'; readonly revision: number };

const keyCount = 24;
const valueLengthMin = 100;
const valueLengthMax = 600;
/** No lease of the script expires in a test. */
export const leaseTtl = 36_000;

export function makeScript(seed: number, length: number): Op[] {
  const random = new SeededRandom(seed);
  const model = new Model();
  return Array.from({ length }, (_, at) => {
    const op = makeOp(random, model, at);
    model.apply(op);
    return op;
  });
}

function makeOp(random: SeededRandom, model: Model, at: number): Op {
  const key = (): string => `key-${random.below(keyCount).toString().padStart(2, '0')}`;
  const value = (): string =>
    `${at}-`.padEnd(valueLengthMin + random.below(valueLengthMax - valueLengthMin), 'x');
  const lease = (): bigint => (model.leases.length === 0 ? 0n : random.pick(model.leases));
  const kinds = { put: 12, delete: 2, txn: 4, grant: 1, revoke: 0.5, compact: 1 };
  const kind = random.weighted(kinds);
  if (kind === 'delete') {
    const from = key();
    return { kind, from, to: `${from}~` };
  }
  if (kind === 'txn') {
    const keys = [...new Set([key(), key()])];
    const guard = key();
    return { kind, guard, keys: keys.filter((other) => other !== guard), value: value() };
  }
  if (kind === 'grant') return { kind, lease: BigInt(1000 + at) };
  if (kind === 'revoke' && model.leases.length > 0) return { kind, lease: lease() };
  const oldest = Math.max(model.compactRevision, 1);
  if (kind === 'compact' && model.revision > oldest + 2) {
    return { kind, revision: oldest + 1 + random.below(model.revision - oldest - 1) };
  }
  return { kind: 'put', key: key(), value: value(), lease: random.chance(0.3) ? lease() : 0n };
}

interface Version {
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
}

/** The store as the script's client knows it. */
export class Model {
  revision = 1;
  compactRevision = -1;
  readonly #keys = new Map<string, Version>();
  readonly #leases = new Set<bigint>();
  readonly #events: Array<{ readonly revision: number; readonly text: string }> = [];

  static after(ops: readonly Op[]): Model {
    const model = new Model();
    for (const op of ops) model.apply(op);
    return model;
  }

  get leases(): bigint[] {
    return [...this.#leases];
  }

  apply(op: Op): void {
    const revision = this.revision + 1;
    switch (op.kind) {
      case 'put':
        this.#put(op.key, op, revision);
        break;
      case 'delete':
        this.#delete((key) => key >= op.from && key < op.to, revision);
        break;
      case 'txn':
        this.#txn(op, revision);
        break;
      case 'grant':
        this.#leases.add(op.lease);
        break;
      case 'revoke':
        this.#delete((_key, { lease }) => lease === op.lease, revision);
        this.#leases.delete(op.lease);
        break;
      case 'compact':
        this.compactRevision = op.revision;
        break;
    }
    if (this.#events.at(-1)?.revision === revision) this.revision = revision;
  }

  #txn(op: Op & { kind: 'txn' }, revision: number): void {
    const put = { value: op.value, lease: 0n };
    if (!this.#keys.has(op.guard)) {
      this.#put(op.guard, put, revision);
      return;
    }
    for (const key of op.keys) this.#put(key, put, revision);
    this.#delete((key) => key === op.guard, revision);
  }

  #put(key: string, { value, lease }: { value: string; lease: bigint }, mod: number): void {
    const before = this.#keys.get(key);
    const create = before?.create ?? mod;
    const version = { value, create, mod, version: (before?.version ?? 0) + 1, lease };
    this.#keys.set(key, version);
    this.#events.push({ revision: mod, text: `${mod} put ${textOf(key, version)}` });
  }

  #delete(fits: (key: string, version: Version) => boolean, revision: number): void {
    for (const key of [...this.#keys.keys()].toSorted()) {
      const version = this.#keys.get(key);
      if (version === undefined || !fits(key, version)) continue;
      this.#keys.delete(key);
      this.#events.push({ revision, text: `${revision} delete ${key}` });
    }
  }

  /** What a reader must see. */
  view(): View {
    const keys = [...this.#keys].toSorted(([a], [b]) => (a < b ? -1 : 1));
    const leases = this.leases.toSorted((a, b) => (a < b ? -1 : 1));
    const keysOf = (id: bigint): string[] =>
      keys.filter(([, { lease }]) => lease === id).map(([key]) => key);
    return {
      revision: this.revision,
      compactRevision: this.compactRevision,
      keys: keys.map(([key, version]) => textOf(key, version)),
      events: this.#events
        .filter(({ revision }) => revision > this.compactRevision)
        .map(({ text }) => text),
      leases: leases.map((id) => `${id} ttl ${leaseTtl} ${keysOf(id).join()}`),
    };
  }
}

function textOf(key: string, { value, create, mod, version, lease }: Version): string {
  return `${key}=${value} create ${create} mod ${mod} version ${version} lease ${lease}`;
}

/** One operation, as a request to a member. */
export function perform(channel: GrpcChannel, op: Op): Promise<Outcome<unknown>> {
  switch (op.kind) {
    case 'put':
      return channel.call(KV.methods.put, putOf(op.key, op));
    case 'delete':
      return channel.call(KV.methods.deleteRange, {
        key: fromLatin1(op.from),
        rangeEnd: fromLatin1(op.to),
      });
    case 'txn':
      return channel.call(KV.methods.txn, txnOf(op));
    case 'grant':
      return channel.call(Lease.methods.leaseGrant, { ID: op.lease, TTL: leaseTtl });
    case 'revoke':
      return channel.call(Lease.methods.leaseRevoke, { ID: op.lease });
    case 'compact':
      return channel.call(KV.methods.compact, { revision: op.revision });
  }
}

function putOf(key: string, put: { value: string; lease?: bigint }): PutRequest {
  const { value, lease = 0n } = put;
  return PutRequest.create({ key: fromLatin1(key), value: fromLatin1(value), lease });
}

function txnOf({ guard, keys, value }: Op & { kind: 'txn' }) {
  const key = fromLatin1(guard);
  const compare = Compare.create({
    key,
    result: CompareResult.GREATER,
    target: CompareTarget.VERSION,
    targetUnion: { kind: 'version', value: 0 },
  });
  const put = (name: string): RequestOp =>
    RequestOp.create({ request: { kind: 'requestPut', value: putOf(name, { value }) } });
  const remove = DeleteRangeRequest.create({ key });
  const success = [
    ...keys.map(put),
    RequestOp.create({ request: { kind: 'requestDeleteRange', value: remove } }),
  ];
  return { compare: [compare], success, failure: [put(guard)] };
}

export interface Progress {
  /** Operations that the store has acknowledged, in the script's order. */
  acknowledged: number;
}

/** Plays the script as long as the member answers. An answer that is an error other than the member's end throws. */
export async function play(channel: GrpcChannel, script: readonly Op[]): Promise<Progress> {
  const progress = { acknowledged: 0 };
  for (const op of script) {
    const outcome = await perform(channel, op);
    if (outcome.kind === 'error') {
      if (outcome.code === 14) return progress;
      throw new Error(`${op.kind} ${progress.acknowledged}: ${outcome.code} ${outcome.message}`);
    }
    progress.acknowledged += 1;
  }
  return progress;
}
