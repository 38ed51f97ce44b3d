import { type Access, type Caller, type Keys, noCaller } from '../auth/access.ts';
import { assert } from '../base/assert.ts';
import { Election } from '../proto/gen/election.ts';
import { Health } from '../proto/gen/health.ts';
import { Lock } from '../proto/gen/lock.ts';
import {
  AlarmAction,
  Auth,
  Cluster,
  KV,
  Lease,
  Maintenance,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
  Watch,
} from '../proto/gen/rpc.ts';
import { Stamps } from '../proto/gen/stamps.ts';
import type { Method } from '../proto/wire.ts';

/** What a call needs once authentication is on. */
export type Privilege<Request = unknown> =
  /** Nothing, not even a token that is good. */
  | { readonly kind: 'open' }
  /** What applying its request asks for (apply/auth.ts). A token that is sent has to be good. */
  | { readonly kind: 'applied' }
  /** What `check` asks for, before it runs. */
  | { readonly kind: 'checked'; readonly check: Check<Request> }
  /** The same, and again when the answer is there: it is not told when rights have changed meanwhile. */
  | {
      readonly kind: 'read';
      readonly check: Check<Request>;
      /** All are, unless this says otherwise. */
      readonly isRead?: (request: Request) => boolean;
    };

/** Throws the EtcdError that says why the caller may not. */
export type Check<Request> = (access: Access, caller: Caller, request: Request) => void;

interface Service {
  readonly name: string;
  readonly methods: Readonly<Record<string, { readonly path: string }>>;
}

/** A row for every method of the proto. */
type Rows<S extends { readonly methods: object }> = {
  readonly [Name in keyof S['methods']]: S['methods'][Name] extends Method<infer Request, infer _>
    ? Privilege<Request>
    : never;
};

const allKeys: Keys = { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) };

const open = { kind: 'open' } as const;
const applied = { kind: 'applied' } as const;
/** Any user. */
const user = { kind: 'checked', check: checkUser } as const;
const root = {
  kind: 'checked',
  check: (access: Access, caller: Caller) => access.root(caller),
} as const;

function checkUser(access: Access, caller: Caller): void {
  access.user(caller === noCaller ? undefined : caller);
}

const range = {
  kind: 'read',
  check: (access: Access, caller: Caller, request: RangeRequest) => {
    access.read(caller, request);
    access.current(caller);
  },
} as const;

const kv: Rows<typeof KV> = {
  range,
  rangeStream: range,
  put: applied,
  deleteRange: applied,
  txn: {
    kind: 'read',
    isRead: isReadOnly,
    check: (access, caller, request) => {
      if (!isReadOnly(request)) return;
      access.txn(caller, request);
      access.current(caller);
    },
  },
  compact: root,
};

const watch: Rows<typeof Watch> = {
  watch: {
    kind: 'checked',
    check: (access, caller, { requestUnion }) => {
      if (requestUnion?.kind === 'createRequest') access.watch(caller, requestUnion.value);
    },
  },
};

const lease: Rows<typeof Lease> = {
  leaseGrant: user,
  leaseRevoke: user,
  leaseKeepAlive: {
    kind: 'checked',
    check: (access, caller, { ID }) => {
      checkUser(access, caller);
      access.leaseWrite(caller, ID);
    },
  },
  leaseTimeToLive: {
    kind: 'read',
    isRead: ({ keys }) => keys,
    check: (access, caller, { ID, keys }) => {
      checkUser(access, caller);
      if (keys) access.leaseRead(caller, ID);
    },
  },
  leaseLeases: {
    kind: 'read',
    check: (access, caller) => {
      checkUser(access, caller);
      access.leasesRead(caller);
    },
  },
};

const cluster: Rows<typeof Cluster> = {
  memberAdd: root,
  memberRemove: root,
  memberUpdate: root,
  memberPromote: root,
  memberList: user,
};

const maintenance: Rows<typeof Maintenance> = {
  alarm: {
    kind: 'checked',
    check: (access, caller, { action }) => {
      if (action === AlarmAction.GET) checkUser(access, caller);
      else access.root(caller);
    },
  },
  status: user,
  defragment: root,
  hash: root,
  hashKV: root,
  snapshot: root,
  moveLeader: root,
  downgrade: root,
};

const auth: Rows<typeof Auth> = {
  authEnable: applied,
  authDisable: applied,
  authStatus: root,
  authenticate: open,
  // Not only as it is applied: hashing a password is work that nobody else may ask for.
  userAdd: root,
  userChangePassword: root,
  userGet: {
    kind: 'checked',
    check: (access, caller, { name }) => access.userGet(caller, name),
  },
  userList: root,
  userDelete: applied,
  userGrantRole: applied,
  userRevokeRole: applied,
  roleAdd: applied,
  roleGet: {
    kind: 'checked',
    check: (access, caller, { role }) => access.roleGet(caller, role),
  },
  roleList: root,
  roleDelete: applied,
  roleGrantPermission: applied,
  roleRevokePermission: applied,
};

/** Each of the calls that these are made of is checked on its own, and a refusal is told in their way. */
const lock: Rows<typeof Lock> = { lock: open, unlock: open };
const election: Rows<typeof Election> = {
  campaign: open,
  proclaim: open,
  leader: open,
  observe: open,
  resign: open,
};

const health: Rows<typeof Health> = { check: open, watch: open };

/** For whoever may read, and so archive, every key. */
const stamps: Rows<typeof Stamps> = {
  list: {
    kind: 'read',
    check: (access, caller) => {
      access.read(caller, allKeys);
      access.current(caller);
    },
  },
};

const rowsOf: ReadonlyArray<readonly [Service, Readonly<Record<string, unknown>>]> = [
  [KV, kv],
  [Watch, watch],
  [Lease, lease],
  [Cluster, cluster],
  [Maintenance, maintenance],
  [Auth, auth],
  [Lock, lock],
  [Election, election],
  [Health, health],
  [Stamps, stamps],
];

export type PrivilegeTable = ReadonlyMap<string, Privilege<never>>;

/** By path. Throws when a method of one of the services has no row: nothing is served then. */
export function tableOf(services: typeof rowsOf): PrivilegeTable {
  const table = new Map<string, Privilege<never>>();
  for (const [{ name, methods }, rows] of services) {
    for (const [key, { path }] of Object.entries(methods)) {
      const row = rows[key];
      assert(row !== undefined, `no privilege is set for ${name}/${key}`);
      table.set(path, row as Privilege<never>);
    }
  }
  return table;
}

export const privileges: PrivilegeTable = tableOf(rowsOf);

/** As for etcd, a nested transaction makes it one that writes. */
export function isReadOnly({ success, failure }: TxnRequest): boolean {
  return success.every(isRange) && failure.every(isRange);
}

function isRange({ request }: RequestOp): boolean {
  return request?.kind === 'requestRange';
}
