import { Buffer } from 'node:buffer';
import { latin1 } from '../../server/base/bytes.ts';
import {
  CompactionRequest,
  DeleteRangeRequest,
  KV,
  Lease,
  Maintenance,
  PutRequest,
  RequestOp,
  type TxnRequest,
} from '../../server/proto/gen/rpc.ts';
import type { GrpcChannel, Outcome } from '../support/grpc.ts';

/** Everything that a store answers about its keys and leases, in a form that can be compared. */
export interface Content {
  readonly revision: number;
  readonly current: readonly object[];
  /** By revision, from the compacted one on. */
  readonly revisions: Readonly<Record<number, unknown>>;
  readonly leases: readonly object[];
}

const all = { key: Buffer.alloc(1), rangeEnd: Buffer.alloc(1) };

function must<Response>(outcome: Outcome<Response>): Response {
  if (outcome.kind === 'ok') return outcome.response;
  throw new Error(`${outcome.code} ${outcome.message}`);
}

export async function contentOf(channel: GrpcChannel): Promise<Content> {
  const { header, hash, compactRevision } = must(
    await channel.call(Maintenance.methods.hashKV, { revision: 0 }),
  );
  const revision = header?.revision ?? 0;
  const revisions: Record<number, unknown> = { 0: { hash } };
  for (let at = Math.max(1, compactRevision); at <= revision; at++) {
    const kvs = await keysAt(channel, at);
    // Of the compacted revision itself etcd remembers another hash until it is started again.
    const isCompacted = at === compactRevision;
    const hashed = await channel.call(Maintenance.methods.hashKV, { revision: at });
    revisions[at] = { kvs, hash: isCompacted ? undefined : must(hashed).hash };
  }
  return {
    revision,
    current: await keysAt(channel, 0),
    revisions,
    leases: await leasesOf(channel),
  };
}

async function keysAt(channel: GrpcChannel, revision: number): Promise<object[]> {
  const { kvs } = must(await channel.call(KV.methods.range, { ...all, revision }));
  return kvs.map((kv) => ({
    ...kv,
    key: latin1(kv.key),
    value:
      kv.value.length > 64
        ? `${kv.value.length}:${latin1(kv.value.subarray(0, 64))}`
        : latin1(kv.value),
  }));
}

async function leasesOf(channel: GrpcChannel): Promise<object[]> {
  const { leases } = must(await channel.call(Lease.methods.leaseLeases, {}));
  const found = await Promise.all(
    leases.map(async ({ ID }) => {
      const answer = await channel.call(Lease.methods.leaseTimeToLive, { ID, keys: true });
      const { grantedTTL, keys } = must(answer);
      return { ID, grantedTTL, keys: keys.map(latin1).sort() };
    }),
  );
  return found.sort((a, b) => (a.ID < b.ID ? -1 : 1));
}

/** A small linear congruential generator: the same history for the same seed. */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(bound: number): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((this.#state / 0x8000_0000) * bound);
  }
}

const leaseIds = [7n, 0x694d_77aa_9e38_260fn, -5n];

/** Some hundred revisions: keys of any bytes, values of any size, deletions, transactions, leases and a compaction. */
export async function writeHistory(channel: GrpcChannel, seed: number): Promise<void> {
  const chance = new Chance(seed);
  for (const [at, ID] of leaseIds.entries()) {
    must(await channel.call(Lease.methods.leaseGrant, { ID, TTL: 1_000 + at }));
  }
  for (let step = 0; step < 120; step++) {
    if (step === 60) await compact(channel);
    must(await channel.call(KV.methods.txn, transaction(chance)));
  }
  must(await channel.call(Lease.methods.leaseRevoke, { ID: leaseIds[0] ?? 0n }));
}

async function compact(channel: GrpcChannel): Promise<void> {
  const { header } = must(await channel.call(KV.methods.range, all));
  const revision = (header?.revision ?? 0) - 5;
  must(
    await channel.call(KV.methods.compact, CompactionRequest.create({ revision, physical: true })),
  );
}

/** Of one to four changes of different keys. */
function transaction(chance: Chance): Partial<TxnRequest> {
  const first = chance.below(40);
  const success = Array.from({ length: 1 + chance.below(4) }, (_, at) => {
    const key = keyOf(first + 10 * at);
    if (chance.below(4) === 0) {
      const request = {
        kind: 'requestDeleteRange',
        value: DeleteRangeRequest.create({ key }),
      } as const;
      return RequestOp.create({ request });
    }
    const lease = chance.below(3) === 0 ? (leaseIds[chance.below(leaseIds.length)] ?? 0n) : 0n;
    const value = Buffer.alloc(sizeOf(chance), chance.below(256));
    return RequestOp.create({
      request: { kind: 'requestPut', value: PutRequest.create({ key, value, lease }) },
    });
  });
  return { success };
}

function keyOf(number: number): Buffer {
  return number % 7 === 0 ? Buffer.from([255 - number, 0, number]) : Buffer.from(`key ${number}`);
}

/** Most are small; some are larger than a page of a database, and some than many of them. */
function sizeOf(chance: Chance): number {
  const kind = chance.below(10);
  if (kind === 0) return chance.below(40_000);
  return kind < 3 ? chance.below(5_000) : chance.below(50);
}
