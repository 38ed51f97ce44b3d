import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { inspect } from 'node:util';
import { Authenticator } from '../../../server/api/authenticator.ts';
import type { CallContext } from '../../../server/api/call.ts';
import { Gateway } from '../../../server/api/gateway.ts';
import { privileges, tableOf } from '../../../server/api/privileges.ts';
import { type Services, servicesOf } from '../../../server/api/services.ts';
import { noTokens } from '../../../server/auth/tokens.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { descriptors } from '../../../server/proto/gen/descriptors.ts';
import { Election } from '../../../server/proto/gen/election.ts';
import { Health } from '../../../server/proto/gen/health.ts';
import { Lock } from '../../../server/proto/gen/lock.ts';
import {
  Auth,
  Cluster,
  Compare,
  DeleteRangeRequest,
  KV,
  Lease,
  LeaseGrantRequest,
  Maintenance,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
  Watch,
  WatchCreateRequest,
} from '../../../server/proto/gen/rpc.ts';
import { Stamps } from '../../../server/proto/gen/stamps.ts';
import { encodeJson } from '../../../server/proto/json-encode.ts';
import type { Method } from '../../../server/proto/wire.ts';
import { isWhole } from '../../support/whole.ts';
import { enable, permission } from '../auth/support.ts';
import { ApplyingMember, call, type Ending, plainPasswords, streamed } from './applying-member.ts';
import { contextOf } from './fake-member.ts';

// Every kind of user asks for everything, in every form, over every kind of range. What has to come of it is said by an
// oracle that knows nothing of the code: who has which rights, which rights a request needs, and whether every single
// key of a small universe is covered.

// --- who asks ----------------------------------------------------------------------------------

type Grant = readonly [right: 'READ' | 'WRITE' | 'READWRITE', key: string, rangeEnd: string];

interface Who {
  readonly is: 'anonymous' | 'garbage' | 'ghost' | 'root' | 'user';
  /** Of what its token says, to the revision of users and roles now. */
  readonly revisionLag?: number;
  /** One role each. */
  readonly roles?: readonly (readonly Grant[])[];
}

const everything: Grant = ['READWRITE', '\0', '\0'];
const people: Readonly<Record<string, Who>> = {
  anonymous: { is: 'anonymous' },
  garbage: { is: 'garbage' },
  'deleted user': { is: 'ghost' },
  root: { is: 'root' },
  'root of yesterday': { is: 'root', revisionLag: 1 },
  'no role': { is: 'user', roles: [] },
  reader: { is: 'user', roles: [[['READ', 'b', 'd']]] },
  writer: { is: 'user', roles: [[['WRITE', 'b', 'd']]] },
  both: { is: 'user', roles: [[['READWRITE', 'b', 'd']]] },
  'both of yesterday': { is: 'user', revisionLag: 1, roles: [[['READWRITE', 'b', 'd']]] },
  'both of tomorrow': { is: 'user', revisionLag: -1, roles: [[['READWRITE', 'b', 'd']]] },
  'two roles that touch': {
    is: 'user',
    roles: [[['READWRITE', 'b', 'c']], [['READWRITE', 'c', 'e']]],
  },
  'two roles with a gap': {
    is: 'user',
    roles: [[['READWRITE', 'b', 'c']], [['READWRITE', 'c\0', 'e']]],
  },
  'one key to read and the rest to write': {
    is: 'user',
    roles: [
      [
        ['READ', 'a', ''],
        ['WRITE', 'b', '\0'],
      ],
    ],
  },
  'one key': { is: 'user', roles: [[['READWRITE', 'b', '']]] },
  'to the end': { is: 'user', roles: [[['READWRITE', 'c', '\0']]] },
  everything: { is: 'user', roles: [[everything]] },
};

// --- what the oracle knows -----------------------------------------------------------------------

const universe = ['\0', 'a', 'b', 'c', 'd', 'e', 'z']
  .flatMap((key) => [key, `${key}\0`, `${key}b`, `${key}\xff`])
  .toSorted();

function isWithin(key: string, [start, end]: readonly [string, string]): boolean {
  if (end === '') return key === start;
  return key >= start && (end === '\0' || key < end);
}

function isCovered(grants: readonly Grant[], range: readonly [string, string]): boolean {
  const [start, end] = range;
  const asked = universe.filter((key) => isWithin(key, range));
  const isEmpty = end !== '' && end !== '\0' && start >= end;
  const keys = isEmpty ? [start] : asked;
  const isEach = keys.every((key) => grants.some((grant) => isWithin(key, [grant[1], grant[2]])));
  return isEach && (end !== '\0' || grants.some((grant) => grant[2] === '\0'));
}

type Need =
  | { readonly need: 'user' | 'root' }
  | { readonly need: 'read' | 'write'; readonly range: readonly [string, string] }
  /** What is done by looking at the state must be by the revision of now. */
  | { readonly need: 'currentRevision' }
  | { readonly need: 'leaseWrite' | 'leaseRead'; readonly keys: readonly string[] };

const ok = 'ok';
const noUser = '3 etcdserver: user name is empty';
const invalidToken = '16 etcdserver: invalid auth token';
const oldRevision = '3 etcdserver: revision of auth store is old';
const denied = '7 etcdserver: permission denied';
const notFound = '9 etcdserver: user name not found';

function verdict(who: Who, needs: readonly Need[]): string {
  if (who.is === 'garbage') return invalidToken;
  for (const need of needs) {
    const refusal = refusalOf(who, need);
    if (refusal !== undefined) return refusal;
  }
  return ok;
}

function refusalOf(who: Who, need: Need): string | undefined {
  const lag = who.revisionLag ?? 0;
  switch (need.need) {
    case 'user':
      return who.is === 'anonymous' ? noUser : undefined;
    case 'root':
      if (who.is === 'root') return undefined;
      return who.is === 'anonymous' ? noUser : who.is === 'ghost' ? notFound : denied;
    case 'currentRevision':
      return lag === 0 ? undefined : oldRevision;
    case 'leaseWrite':
    case 'leaseRead': {
      if (who.is === 'root') return undefined;
      const right = need.need === 'leaseWrite' ? 'write' : 'read';
      const refusals = need.keys.map((key) => refusalOf(who, { need: right, range: [key, ''] }));
      return refusals.find((refusal) => refusal !== undefined);
    }
    case 'read':
    case 'write': {
      if (who.is === 'anonymous') return noUser;
      if (lag > 0) return oldRevision;
      if (who.is === 'root') return undefined;
      const other = need.need === 'read' ? 'WRITE' : 'READ';
      const grants = (who.roles ?? []).flat().filter(([right]) => right !== other);
      return isCovered(grants, need.range) ? undefined : denied;
    }
  }
}

// --- what is asked for ---------------------------------------------------------------------------

const ranges: readonly (readonly [string, string])[] = [
  ['b', ''],
  ['c', ''],
  ['d', ''],
  ['bb', ''],
  ['b', 'c'],
  ['b', 'd'],
  ['b', 'e'],
  ['a', 'c'],
  ['c', 'd'],
  ['c', '\0'],
  ['\0', '\0'],
  ['b', 'b\0'],
  ['c', 'b'],
  ['c', 'c'],
  ['z', 'a'],
];

/** Leases with the keys that are attached to them; a key has one lease only. */
const leases: Readonly<Record<string, readonly string[]>> = {
  1: [],
  2: ['b'],
  3: ['e'],
  4: ['bb', 'cb', 'eb'],
};

interface Cell {
  readonly name: string;
  readonly needs: readonly Need[];
  readonly ask: (services: Services, context: CallContext, form: Form) => Promise<string>;
}

/** The gateway hands the same calls a request that came as JSON, and its headers under other names. */
type Form = 'gRPC' | 'gateway';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const asked = ([key, rangeEnd]: readonly [string, string]) => ({
  key: bytes(key),
  rangeEnd: bytes(rangeEnd),
});

function unary<Request, Response>(
  name: string,
  needs: readonly Need[],
  method: Method<Request, Response>,
  request: Partial<Request>,
): Cell {
  const ask: Cell['ask'] = async (services, context, form) =>
    outcome(await call(services, method, as(form, services, method, request), context));
  return { name, needs, ask };
}

const byName = new Map(descriptors.map((each) => [each.fullName, each]));

/** The request as it reaches the service. */
function as<Request>(
  form: Form,
  services: Services,
  { path, request: type }: Method<Request, unknown>,
  partial: Partial<Request>,
): Request {
  const request = type.create(partial);
  if (form === 'gRPC' || services.find(path) === undefined) return request;
  const gateway = new Gateway(services);
  const [route] = [...gateway.paths].find(([, of]) => of === path) ?? [];
  const found = gateway.find(route ?? '');
  const descriptor = descriptors.find((each) => each.type === type);
  // Health and Stamps are not served there.
  if (found === undefined || descriptor === undefined) return request;
  return found.decode(Buffer.concat(encodeJson(byName, descriptor, request as object))) as Request;
}

function outcome(ending: Ending<unknown>): string {
  return 'refusal' in ending ? ending.refusal : ok;
}

/** Each operation of a transaction, with what it needs. */
function opsOver(
  range: readonly [string, string],
): readonly (readonly [string, RequestOp, Need[]])[] {
  const point: readonly [string, string] = [range[0], ''];
  const read: Need = { need: 'read', range };
  const write: Need = { need: 'write', range };
  const put = (options: Partial<PutRequest>): RequestOp => ({
    request: { kind: 'requestPut', value: PutRequest.create({ key: bytes(range[0]), ...options }) },
  });
  const del = (prevKv: boolean): RequestOp => ({
    request: {
      kind: 'requestDeleteRange',
      value: DeleteRangeRequest.create({ ...asked(range), prevKv }),
    },
  });
  const ranged: RequestOp = {
    request: { kind: 'requestRange', value: RangeRequest.create(asked(range)) },
  };
  const putNeeds: Need[] = [{ need: 'write', range: point }];
  return [
    ['range', ranged, [read]],
    ['delete', del(false), [write]],
    ['delete with prev_kv', del(true), [read, write]],
    ['put', put({}), putNeeds],
    ['put with prev_kv', put({ prevKv: true }), [...putNeeds, { need: 'read', range: point }]],
    ...Object.entries(leases).map(
      ([id, keys]) =>
        [
          `put with lease ${id}`,
          put({ lease: BigInt(id) }),
          [...putNeeds, { need: 'leaseWrite' as const, keys }],
        ] as const,
    ),
  ] as const as readonly (readonly [string, RequestOp, Need[]])[];
}

function cellsOver(range: readonly [string, string]): Cell[] {
  const read: Need = { need: 'read', range };
  const write: Need = { need: 'write', range };
  const current: Need = { need: 'currentRevision' };
  const label = JSON.stringify(range);
  const compare = Compare.create(asked(range));
  const cells: Cell[] = [
    unary(`Range ${label}`, [read, current], KV.methods.range, asked(range)),
    unary(`serializable Range ${label}`, [read, current], KV.methods.range, {
      ...asked(range),
      serializable: true,
    }),
    unary(`DeleteRange ${label}`, [write], KV.methods.deleteRange, asked(range)),
    unary(`DeleteRange with prev_kv ${label}`, [write, read], KV.methods.deleteRange, {
      ...asked(range),
      prevKv: true,
    }),
    unary(`Txn that compares ${label}`, [read, current], KV.methods.txn, { compare: [compare] }),
    ...watchCells(range),
  ];
  for (const [name, op, needs] of opsOver(range)) {
    const isWrite = op.request?.kind !== 'requestRange';
    const all = isWrite ? needs : [...needs, current];
    if (op.request?.kind === 'requestPut') {
      cells.push(unary(`Put: ${name} ${label}`, needs, KV.methods.put, op.request.value));
    }
    const nested: RequestOp = {
      request: { kind: 'requestTxn', value: TxnRequest.create({ failure: [op] }) },
    };
    const twice: RequestOp = {
      request: { kind: 'requestTxn', value: TxnRequest.create({ success: [nested] }) },
    };
    cells.push(
      unary(`Txn that does ${name} ${label}`, all, KV.methods.txn, { success: [op] }),
      unary(`Txn that would do ${name} ${label}`, all, KV.methods.txn, { failure: [op] }),
      unary(`Txn with a nested ${name} ${label}`, needs, KV.methods.txn, { success: [nested] }),
      unary(`Txn with a twice nested ${name} ${label}`, needs, KV.methods.txn, {
        failure: [twice],
      }),
    );
  }
  return cells;
}

const watchRefusals: Readonly<Record<string, string>> = {
  'rpc error: code = InvalidArgument desc = etcdserver: user name is empty': noUser,
  'rpc error: code = Unauthenticated desc = etcdserver: invalid auth token': invalidToken,
  'rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old': oldRevision,
  'rpc error: code = PermissionDenied desc = etcdserver: permission denied': denied,
  'mvcc: watcher range is empty': ok,
  '': ok,
};

function watchCells(range: readonly [string, string]): Cell[] {
  return [false, true].map((prevKv) => ({
    name: `Watch ${JSON.stringify(range)}${prevKv ? ' with prev_kv' : ''}`,
    needs: [{ need: 'read', range }],
    ask: async (services, context, form) => {
      const value = WatchCreateRequest.create({ ...asked(range), prevKv });
      const create = { requestUnion: { kind: 'createRequest' as const, value } };
      const request = as(form, services, Watch.methods.watch, create);
      const ending = await streamed(services, Watch.methods.watch, request, context);
      if ('refusal' in ending) return ending.refusal;
      return watchRefusals[ending.response.cancelReason] ?? ending.response.cancelReason;
    },
  }));
}

function leaseCells(): Cell[] {
  const user: Need = { need: 'user' };
  const cells = Object.entries(leases).flatMap(([text, keys]): Cell[] => {
    const ID = BigInt(text);
    const write: Need = { need: 'leaseWrite', keys };
    return [
      unary(`LeaseRevoke ${ID}`, [user, write], Lease.methods.leaseRevoke, { ID }),
      unary(`LeaseTimeToLive ${ID}`, [user], Lease.methods.leaseTimeToLive, { ID }),
      unary(
        `LeaseTimeToLive ${ID} with keys`,
        [user, { need: 'leaseRead', keys }],
        Lease.methods.leaseTimeToLive,
        { ID, keys: true },
      ),
      {
        name: `LeaseKeepAlive ${ID}`,
        needs: [user, write],
        ask: async (services, context, form) => {
          const method = Lease.methods.leaseKeepAlive;
          const request = as(form, services, method, { ID });
          return outcome(await streamed(services, method, request, context));
        },
      },
    ];
  });
  const all = Object.values(leases).flat();
  return [
    ...cells,
    unary('LeaseLeases', [user, { need: 'leaseRead', keys: all }], Lease.methods.leaseLeases, {}),
    unary('LeaseGrant', [user], Lease.methods.leaseGrant, { TTL: 60 }),
  ];
}

/** What every method of the protos needs that has nothing to do with keys; `keys`: its cells are above. */
const methodNeeds: Readonly<Record<string, 'open' | 'user' | 'root' | 'keys' | 'parts'>> = {
  '/etcdserverpb.KV/Range': 'keys',
  '/etcdserverpb.KV/RangeStream': 'keys',
  '/etcdserverpb.KV/Put': 'keys',
  '/etcdserverpb.KV/DeleteRange': 'keys',
  '/etcdserverpb.KV/Txn': 'keys',
  '/etcdserverpb.KV/Compact': 'root',
  '/etcdserverpb.Watch/Watch': 'keys',
  '/etcdserverpb.Lease/LeaseGrant': 'user',
  '/etcdserverpb.Lease/LeaseRevoke': 'keys',
  '/etcdserverpb.Lease/LeaseKeepAlive': 'keys',
  '/etcdserverpb.Lease/LeaseTimeToLive': 'keys',
  '/etcdserverpb.Lease/LeaseLeases': 'keys',
  '/etcdserverpb.Cluster/MemberAdd': 'root',
  '/etcdserverpb.Cluster/MemberRemove': 'root',
  '/etcdserverpb.Cluster/MemberUpdate': 'root',
  '/etcdserverpb.Cluster/MemberPromote': 'root',
  '/etcdserverpb.Cluster/MemberList': 'user',
  '/etcdserverpb.Maintenance/Alarm': 'user',
  '/etcdserverpb.Maintenance/Status': 'user',
  '/etcdserverpb.Maintenance/Defragment': 'root',
  '/etcdserverpb.Maintenance/Hash': 'root',
  '/etcdserverpb.Maintenance/HashKV': 'root',
  '/etcdserverpb.Maintenance/Snapshot': 'root',
  '/etcdserverpb.Maintenance/MoveLeader': 'root',
  '/etcdserverpb.Maintenance/Downgrade': 'root',
  '/etcdserverpb.Auth/AuthEnable': 'root',
  '/etcdserverpb.Auth/AuthDisable': 'root',
  '/etcdserverpb.Auth/AuthStatus': 'root',
  '/etcdserverpb.Auth/Authenticate': 'open',
  '/etcdserverpb.Auth/UserAdd': 'root',
  '/etcdserverpb.Auth/UserGet': 'root',
  '/etcdserverpb.Auth/UserList': 'root',
  '/etcdserverpb.Auth/UserDelete': 'root',
  '/etcdserverpb.Auth/UserChangePassword': 'root',
  '/etcdserverpb.Auth/UserGrantRole': 'root',
  '/etcdserverpb.Auth/UserRevokeRole': 'root',
  '/etcdserverpb.Auth/RoleAdd': 'root',
  '/etcdserverpb.Auth/RoleGet': 'root',
  '/etcdserverpb.Auth/RoleList': 'root',
  '/etcdserverpb.Auth/RoleDelete': 'root',
  '/etcdserverpb.Auth/RoleGrantPermission': 'root',
  '/etcdserverpb.Auth/RoleRevokePermission': 'root',
  '/v3lockpb.Lock/Lock': 'parts',
  '/v3lockpb.Lock/Unlock': 'parts',
  '/v3electionpb.Election/Campaign': 'parts',
  '/v3electionpb.Election/Proclaim': 'parts',
  '/v3electionpb.Election/Leader': 'parts',
  '/v3electionpb.Election/Observe': 'parts',
  '/v3electionpb.Election/Resign': 'parts',
  '/grpc.health.v1.Health/Check': 'open',
  '/grpc.health.v1.Health/Watch': 'open',
  '/mainstaypb.Stamps/List': 'keys',
};

/** Where an empty request would be refused for another reason, in the words of a want of rights. */
const requestsOf: Readonly<Record<string, object>> = {
  '/etcdserverpb.Cluster/MemberAdd': { peerURLs: ['http://x:1'] },
  '/etcdserverpb.Cluster/MemberUpdate': { peerURLs: ['http://x:1'] },
  '/etcdserverpb.Auth/UserAdd': { name: 'root' },
  '/etcdserverpb.Auth/UserGet': { name: 'root' },
  '/etcdserverpb.Auth/UserDelete': { name: 'root' },
  '/etcdserverpb.Auth/UserChangePassword': { name: 'root' },
  '/etcdserverpb.Auth/UserGrantRole': { user: 'root' },
  '/etcdserverpb.Auth/UserRevokeRole': { name: 'root' },
};

type AnyMethod = Method<object, object>;
const methods: readonly AnyMethod[] = [
  KV,
  Watch,
  Lease,
  Cluster,
  Maintenance,
  Auth,
  Lock,
  Election,
  Health,
  Stamps,
].flatMap((service) => Object.values(service.methods) as unknown as AnyMethod[]);

// AuthDisable would end the test, and what needs keys or is made of other calls has its own.
const notAsked = new Set(['/etcdserverpb.Auth/AuthDisable']);

function methodCells(): Cell[] {
  return methods.flatMap((method): Cell[] => {
    const need = methodNeeds[method.path];
    if (need === undefined || need === 'keys' || need === 'parts' || notAsked.has(method.path)) {
      return [];
    }
    const partial = requestsOf[method.path] ?? {};
    const ask: Cell['ask'] = async (services, context, form) => {
      const request = as(form, services, method, partial);
      return outcome(
        method.requestStream || method.responseStream
          ? await streamed(services, method, request, context)
          : await call(services, method, request, context),
      );
    };
    return [{ name: method.path, needs: need === 'open' ? [] : [{ need }], ask }];
  });
}

// --- the tests -----------------------------------------------------------------------------------

/** Tokens are `name@lag`. */
async function served(): Promise<{ member: ApplyingMember; services: Services }> {
  const member = await ApplyingMember.open();
  member.pin = () => {
    throw new EtcdError('Stopped');
  };
  const { auth } = member;
  const tokens = {
    ...noTokens,
    madeAt: () => 0n,
    callerOf: (token: string, revision: number) => {
      const [username = '', lag] = token.split('@');
      if (lag === undefined) return undefined;
      return { username, authRevision: revision - Number(lag) };
    },
  };
  const modules = { port: member, tokens, passwords: plainPasswords, logger: silentLogger };
  const authenticator = new Authenticator(modules, { clientCertAuth: true });
  for (const [name, { is, roles = [] }] of Object.entries(people)) {
    if (is !== 'user' && name !== 'root of yesterday') continue;
    auth.addUser({ name, password: '', hashedPassword: '', options: undefined });
    if (is === 'root') auth.grantRole(name, 'root');
    for (const [i, grants] of roles.entries()) {
      auth.addRole(`${name} ${i}`);
      for (const [right, key, end] of grants) {
        auth.grantPermission({ name: `${name} ${i}`, perm: permission(right, key, end) });
      }
      auth.grantRole(name, `${name} ${i}`);
    }
  }
  enable(auth);
  const options = { txnOpsMax: 128, messageBytesMax: 1_000_000 };
  return { member, services: servicesOf(member, options, authenticator) };
}

function contextFor(name: string, form: Form = 'gRPC'): CallContext {
  const { is, revisionLag = 0 } = people[name] ?? { is: 'anonymous' };
  // Of a call through the gateway, a certificate would be the gateway's.
  const gateway = { ...contextOf({ 'grpcgateway-accept': '*/*' }), commonName: 'root' };
  if (is === 'anonymous') return form === 'gRPC' ? contextOf() : gateway;
  const token = is === 'garbage' ? 'garbage' : `${name}@${revisionLag}`;
  if (form === 'gRPC') return contextOf({ token });
  return contextOf({ 'grpcgateway-accept': '*/*', authorization: token });
}

/** The keys and leases that every request meets. */
function restore({ applying }: ApplyingMember): void {
  const root = { username: 'root', authRevision: applying.auth.revision };
  for (const [text, keys] of Object.entries(leases)) {
    const ID = BigInt(text);
    for (const key of applying.lessor.keysOf(ID)) {
      const value = PutRequest.create({ key: bytes(key) });
      assert.equal(applying.apply({ kind: 'put', value }, root).error, undefined);
    }
    const grant = LeaseGrantRequest.create({ ID, TTL: 60 });
    if (!applying.lessor.has(ID)) applying.apply({ kind: 'leaseGrant', value: grant }, root);
    for (const key of keys) {
      const value = PutRequest.create({ key: bytes(key), lease: ID });
      assert.equal(applying.apply({ kind: 'put', value }, root).error, undefined);
    }
  }
}

const authRefusals = new Set([noUser, invalidToken, oldRevision, denied, notFound]);

const counts: Record<Form, number> = { gRPC: 0, gateway: 0 };

/** Asks for everything as everybody; where a cell has nothing to refuse, any other answer will do. */
async function check(cells: readonly Cell[]): Promise<void> {
  const { member, services } = await served();
  const wrong: string[] = [];
  const found = (what: string): void => void wrong.push(what);
  for (const [name, who] of Object.entries(people)) {
    for (const [at, cell] of cells.entries()) {
      await checkCell({ member, services }, { name, who, cell, form: 'gRPC' }, found);
      // Another part of the cells for each kind of user.
      const isSampled = isWhole || (at + name.length) % 3 === 0;
      if (isSampled) {
        await checkCell({ member, services }, { name, who, cell, form: 'gateway' }, found);
      }
    }
  }
  assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} cells are wrong`);
}

interface Asked {
  readonly name: string;
  readonly who: Who;
  readonly cell: Cell;
  readonly form: Form;
}

async function checkCell(
  { member, services }: { readonly member: ApplyingMember; readonly services: Services },
  { name, who, cell, form }: Asked,
  found: (what: string) => void,
): Promise<void> {
  restore(member);
  const before = member.revision();
  const answer = await cell.ask(services, contextFor(name, form), form);
  if (answer === 'not served') return;
  counts[form] += 1;
  const expected = cell.needs.length === 0 ? ok : verdict(who, cell.needs);
  const told = authRefusals.has(answer) ? answer : ok;
  const label = `${name}: ${form}: ${cell.name}`;
  if (told !== expected) found(`${label}: ${answer}, not ${expected}`);
  if (expected !== ok && member.revision() !== before) {
    found(`${label}: refused, but something was written`);
  }
}

suite('privileges', () => {
  for (const range of ranges) {
    test(`over ${JSON.stringify(range)}`, () => check(cellsOver(range)));
  }

  test('of leases', () => check(leaseCells()));

  test('of stamps, for whoever may read all', () => {
    const needs: Need[] = [{ need: 'read', range: ['\0', '\0'] }, { need: 'currentRevision' }];
    return check([unary('stamps', needs, Stamps.methods.list, {})]);
  });

  test('of methods without keys', () => check(methodCells()));

  test('of what a user may know of itself', async () => {
    const { services } = await served();
    const both = contextFor('both');
    const self = await call(services, Auth.methods.userGet, { name: 'both' }, both);
    assert.equal(outcome(self), ok);
    const own = await call(services, Auth.methods.roleGet, { role: 'both 0' }, both);
    assert.equal(outcome(own), ok);
    const other = await call(services, Auth.methods.roleGet, { role: 'reader 0' }, both);
    assert.equal(outcome(other), denied);
  });

  test('are at least 5,000', () => {
    assert.ok(counts.gRPC >= 5_000 && counts.gateway >= 2_000, inspect(counts));
  });

  after(() => console.log(`cells: ${inspect(counts)}`));
});

test('every method of the protos has a privilege, and a rule here', () => {
  const paths = methods.map(({ path }) => path).toSorted();
  assert.deepEqual([...privileges.keys()].toSorted(), paths);
  assert.deepEqual(Object.keys(methodNeeds).toSorted(), paths);
});

test('a method without one does not start the server', () => {
  const service = {
    name: 'etcdserverpb.KV',
    methods: { range: { path: '/a' }, more: { path: '/b' } },
  };
  assert.throws(
    () => tableOf([[service, { range: { kind: 'open' } }]]),
    /no privilege is set for etcdserverpb\.KV\/more/,
  );
});
