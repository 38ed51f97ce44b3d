import { Buffer } from 'node:buffer';
import { latin1 } from '../../server/base/bytes.ts';
import {
  Auth,
  AuthUserAddRequest,
  CompactionRequest,
  DeleteRangeRequest,
  KV,
  Lease,
  Maintenance,
  PutRequest,
  RequestOp,
  type TxnRequest,
} from '../../server/proto/gen/rpc.ts';
import type { Method } from '../../server/proto/wire.ts';
import type { GrpcChannel, Headers, Outcome } from '../support/grpc.ts';

/** Everything that a store answers about its keys, leases and users, in a form that can be compared. */
export interface Content {
  readonly revision: number;
  readonly current: readonly object[];
  /** By revision, from the compacted one on. */
  readonly revisions: Readonly<Record<number, unknown>>;
  readonly leases: readonly object[];
  readonly access: object;
}

const all = { key: Buffer.alloc(1), rangeEnd: Buffer.alloc(1) };

export function must<Response>(outcome: Outcome<Response>): Response {
  if (outcome.kind === 'ok') return outcome.response;
  throw new Error(`${outcome.code} ${outcome.message}`);
}

/** As root, where authentication is on. */
export async function contentOf(channel: GrpcChannel): Promise<Content> {
  const asked = new Asked(channel, await tokenOf(channel, 'root', 'root'));
  const { header, hash, compactRevision } = await asked.call(Maintenance.methods.hashKV, {});
  const revision = header?.revision ?? 0;
  const first = Math.max(1, compactRevision);
  const pairs = await Promise.all(
    Array.from({ length: revision - first + 1 }, async (_, later) => {
      const at = first + later;
      const kvs = await keysAt(asked, at);
      const hashed = await asked.call(Maintenance.methods.hashKV, { revision: at });
      // Of the compacted revision itself a store remembers another hash until it is started again.
      return [at, { kvs, hash: at === compactRevision ? undefined : hashed.hash }] as const;
    }),
  );
  return {
    revision,
    current: await keysAt(asked, 0),
    revisions: { 0: { hash }, ...Object.fromEntries(pairs) },
    leases: await leasesOf(asked),
    access: await accessOf(asked),
  };
}

/** Undefined where authentication is off. */
async function tokenOf(
  channel: GrpcChannel,
  name: string,
  password: string,
): Promise<string | undefined> {
  const outcome = await channel.call(Auth.methods.authenticate, { name, password });
  if (outcome.kind === 'ok') return outcome.response.token;
  if (outcome.message.endsWith('authentication is not enabled')) return undefined;
  throw new Error(outcome.message);
}

/** A channel whose calls succeed, each with the token. */
class Asked {
  readonly #channel: GrpcChannel;
  readonly #headers: Headers;

  constructor(channel: GrpcChannel, token: string | undefined) {
    this.#channel = channel;
    this.#headers = token === undefined ? {} : { token };
  }

  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request>,
  ): Promise<Response> {
    return must(await this.#channel.call(method, request, this.#headers));
  }
}

async function accessOf(asked: Asked): Promise<object> {
  const { enabled, authRevision } = await asked.call(Auth.methods.authStatus, {});
  const { users } = await asked.call(Auth.methods.userList, {});
  const { roles } = await asked.call(Auth.methods.roleList, {});
  const rolesOf = async (name: string) => {
    const user = await asked.call(Auth.methods.userGet, { name });
    return [name, user.roles];
  };
  const permissionsOf = async (role: string) => {
    const { perm } = await asked.call(Auth.methods.roleGet, { role });
    return [
      role,
      perm.map((each) => ({ ...each, key: latin1(each.key), rangeEnd: latin1(each.rangeEnd) })),
    ];
  };
  return {
    enabled,
    authRevision,
    users: await Promise.all(users.map(rolesOf)),
    roles: await Promise.all(roles.map(permissionsOf)),
  };
}

async function keysAt(asked: Asked, revision: number): Promise<object[]> {
  const { kvs } = await asked.call(KV.methods.range, { ...all, revision });
  return kvs.map((kv) => ({
    ...kv,
    key: latin1(kv.key),
    value:
      kv.value.length > 64
        ? `${kv.value.length}:${latin1(kv.value.subarray(0, 64))}`
        : latin1(kv.value),
  }));
}

async function leasesOf(asked: Asked): Promise<object[]> {
  const { leases } = await asked.call(Lease.methods.leaseLeases, {});
  const found = await Promise.all(
    leases.map(async ({ ID }) => {
      const lease = await asked.call(Lease.methods.leaseTimeToLive, { ID, keys: true });
      return { ID, grantedTTL: lease.grantedTTL, keys: lease.keys.map(latin1).sort() };
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
  for (let step = 0; step < 60; step++) {
    if (step === 30) await compact(channel);
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

/** Users and roles of every kind, root with its role: ready for authentication to be turned on. */
export async function writeUsers(channel: GrpcChannel): Promise<void> {
  const asked = new Asked(channel, undefined);
  for (const name of ['root', 'reader', 'spéciäl']) {
    await asked.call(Auth.methods.userAdd, AuthUserAddRequest.create({ name, password: name }));
  }
  const options = { noPassword: true };
  await asked.call(Auth.methods.userAdd, AuthUserAddRequest.create({ name: 'certified', options }));
  for (const role of ['root', 'some', 'empty'])
    await asked.call(Auth.methods.roleAdd, { name: role });
  for (const [key, rangeEnd, permType] of [
    ['key 1', '', 0],
    ['key 2', 'key 4', 2],
    ['x', '\0', 1],
  ] as const) {
    const perm = { key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd), permType };
    await asked.call(Auth.methods.roleGrantPermission, { name: 'some', perm });
  }
  for (const [user, role] of [
    ['root', 'root'],
    ['reader', 'some'],
    ['certified', 'empty'],
  ] as const) {
    await asked.call(Auth.methods.userGrantRole, { user, role });
  }
}

/** What the user `reader` is answered: its password still opens what its role allows, and nothing else. */
export async function readerSees(channel: GrpcChannel): Promise<object> {
  const token = await tokenOf(channel, 'reader', 'reader');
  const headers: Headers = token === undefined ? {} : { token };
  const get = async (key: string) => {
    const outcome = await channel.call(KV.methods.range, { key: Buffer.from(key) }, headers);
    return outcome.kind === 'ok' ? 'allowed' : outcome.message;
  };
  const wrong = await channel.call(Auth.methods.authenticate, {
    name: 'reader',
    password: 'wrong',
  });
  return { own: await get('key 1'), other: await get('key 5'), wrong };
}
