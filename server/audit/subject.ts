import { Buffer } from 'node:buffer';
import { hexId } from '../base/ids.ts';
import { type Permission, PermissionType } from '../proto/gen/auth.ts';
import { Election } from '../proto/gen/election.ts';
import { Health } from '../proto/gen/health.ts';
import { Lock } from '../proto/gen/lock.ts';
import {
  AlarmAction,
  AlarmType,
  Auth,
  Cluster,
  DowngradeAction,
  KV,
  Lease,
  Maintenance,
  type RequestOp,
  type TxnRequest,
  Watch,
} from '../proto/gen/rpc.ts';
import { Stamps } from '../proto/gen/stamps.ts';
import type { Method } from '../proto/wire.ts';

/** What sort of call it is; by this and by keys a rule decides. */
export type AuditKind = 'auth' | 'admin' | 'inspect' | 'lease' | 'read' | 'write';

/** Keys that a call is about. Never their values. */
export interface AuditedRange {
  readonly op: 'read' | 'write' | 'grant' | 'revoke';
  readonly key: Uint8Array;
  /** As etcd's `range_end`; empty: the one key. */
  readonly rangeEnd: Uint8Array;
}

/** What a call asks for, as far as it may be written down. */
export interface Subject {
  readonly kind: AuditKind;
  readonly ranges?: readonly AuditedRange[];
  /** Names, ids and choices; no password, token, hash or value. */
  readonly facts?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

/** When a call is written down: when it has ended, or for each of its requests when that was answered. */
export type AuditTime = 'end' | 'each';

export interface AuditRow<Request> {
  readonly kind: AuditKind;
  readonly time: AuditTime;
  readonly describe: (request: Request) => Omit<Subject, 'kind'> & { readonly kind?: AuditKind };
  /** Who calls, where the request says it. */
  readonly userOf?: (request: Request) => string;
  /** Whose keys a write is about that names none. */
  readonly leaseOf?: (request: Request) => bigint;
}

const none = new Uint8Array(0);

function row<Request>(
  kind: AuditKind,
  describe: AuditRow<Request>['describe'] = () => ({}),
  time: AuditTime = 'end',
): AuditRow<Request> {
  return { kind, describe, time };
}

interface Keyed {
  readonly key: Uint8Array;
  readonly rangeEnd?: Uint8Array;
  /** Of a write: it answers with what was there before. */
  readonly prevKv?: boolean;
}

function reading({ key, rangeEnd = none }: Keyed): Pick<Subject, 'ranges'> {
  return { ranges: [{ op: 'read', key, rangeEnd }] };
}

function writing(keyed: Keyed): Pick<Subject, 'ranges'> {
  return { ranges: written(keyed) };
}

function written({ key, rangeEnd = none, prevKv = false }: Keyed): AuditedRange[] {
  const range = { op: 'write', key, rangeEnd } as const;
  return prevKv ? [range, { ...range, op: 'read' }] : [range];
}

type Rows<S extends { readonly methods: object }> = {
  readonly [Name in keyof S['methods']]: S['methods'][Name] extends Method<infer Request, infer _>
    ? AuditRow<Request>
    : never;
};

const kv: Rows<typeof KV> = {
  range: row('read', reading),
  rangeStream: row('read', reading),
  put: row('write', writing),
  deleteRange: row('write', writing),
  txn: row('write', txnSubject),
  compact: row('admin', ({ revision, physical }) => ({ facts: { revision, physical } })),
};

/** A transaction reads what it compares, and does what either of its branches may do. */
function txnSubject(request: TxnRequest): ReturnType<AuditRow<TxnRequest>['describe']> {
  const ranges: AuditedRange[] = [];
  gather(request, ranges);
  const isWrite = ranges.some(({ op }) => op === 'write');
  return { kind: isWrite ? 'write' : 'read', ranges };
}

/** How deep requests may be nested is bounded where they are decoded. */
function gather({ compare, success, failure }: TxnRequest, ranges: AuditedRange[]): void {
  for (const { key, rangeEnd } of compare) ranges.push({ op: 'read', key, rangeEnd });
  for (const op of [...success, ...failure]) gatherOp(op, ranges);
}

function gatherOp({ request }: RequestOp, ranges: AuditedRange[]): void {
  switch (request?.kind) {
    case 'requestRange':
      ranges.push({ op: 'read', key: request.value.key, rangeEnd: request.value.rangeEnd });
      break;
    case 'requestPut':
    case 'requestDeleteRange':
      ranges.push(...written(request.value));
      break;
    case 'requestTxn':
      gather(request.value, ranges);
      break;
    case undefined:
  }
}

const watch: Rows<typeof Watch> = {
  watch: row(
    'read',
    ({ requestUnion }) =>
      requestUnion?.kind === 'createRequest' ? reading(requestUnion.value) : {},
    'each',
  ),
};

const lease: Rows<typeof Lease> = {
  leaseGrant: row('lease', ({ ID, TTL }) => ({ facts: { lease: hexId(ID), ttl: TTL } })),
  leaseRevoke: {
    ...row('lease', ({ ID }) => ({ facts: { lease: hexId(ID) } })),
    // It deletes them.
    leaseOf: ({ ID }) => ID,
  },
  leaseKeepAlive: row('lease', ({ ID }) => ({ facts: { lease: hexId(ID) } }), 'each'),
  leaseTimeToLive: row('lease', ({ ID, keys }) => ({ facts: { lease: hexId(ID), keys } })),
  leaseLeases: row('lease'),
};

const cluster: Rows<typeof Cluster> = {
  memberAdd: row('admin', ({ peerURLs, isLearner }) => ({
    facts: { peerUrls: peerURLs, isLearner },
  })),
  memberRemove: row('admin', ({ ID }) => ({ facts: { target: hexId(ID) } })),
  memberUpdate: row('admin', ({ ID, peerURLs }) => ({
    facts: { target: hexId(ID), peerUrls: peerURLs },
  })),
  memberPromote: row('admin', ({ ID }) => ({ facts: { target: hexId(ID) } })),
  memberList: row('inspect'),
};

const maintenance: Rows<typeof Maintenance> = {
  alarm: row('admin', ({ action, memberID, alarm }) => ({
    kind: action === AlarmAction.GET ? 'inspect' : 'admin',
    facts: {
      action: nameIn(AlarmAction, action),
      target: hexId(memberID),
      alarm: nameIn(AlarmType, alarm),
    },
  })),
  status: row('inspect'),
  defragment: row('admin'),
  hash: row('admin'),
  hashKV: row('admin', ({ revision }) => ({ facts: { revision } })),
  snapshot: row('admin'),
  moveLeader: row('admin', ({ targetID }) => ({ facts: { target: hexId(targetID) } })),
  downgrade: row('admin', ({ action, version }) => ({
    facts: { action: nameIn(DowngradeAction, action), version },
  })),
};

const auth: Rows<typeof Auth> = {
  authEnable: row('auth'),
  authDisable: row('auth'),
  authStatus: row('auth'),
  authenticate: { ...row('auth'), userOf: ({ name }) => name },
  userAdd: row('auth', ({ name, options }) => ({
    facts: { name, withoutPassword: options?.noPassword === true },
  })),
  userGet: row('auth', ({ name }) => ({ facts: { name } })),
  userList: row('auth'),
  userDelete: row('auth', ({ name }) => ({ facts: { name } })),
  userChangePassword: row('auth', ({ name }) => ({ facts: { name } })),
  userGrantRole: row('auth', ({ user, role }) => ({ facts: { name: user, role } })),
  userRevokeRole: row('auth', ({ name, role }) => ({ facts: { name, role } })),
  roleAdd: row('auth', ({ name }) => ({ facts: { role: name } })),
  roleGet: row('auth', ({ role }) => ({ facts: { role } })),
  roleList: row('auth'),
  roleDelete: row('auth', ({ role }) => ({ facts: { role } })),
  roleGrantPermission: row('auth', ({ name, perm }) => ({
    ranges: perm === undefined ? [] : [permitted('grant', perm)],
    facts: { role: name, permission: nameIn(PermissionType, perm?.permType ?? 0) },
  })),
  roleRevokePermission: row('auth', ({ role, key, rangeEnd }) => ({
    ranges: [permitted('revoke', { key, rangeEnd })],
    facts: { role },
  })),
};

function permitted(
  op: 'grant' | 'revoke',
  { key, rangeEnd }: Pick<Permission, 'key' | 'rangeEnd'>,
): AuditedRange {
  return { op, key, rangeEnd };
}

/** Locks and candidates are keys below a name, behind a slash. */
function below(name: Uint8Array): { key: Uint8Array; rangeEnd: Uint8Array } {
  return { key: Buffer.concat([name, slash]), rangeEnd: Buffer.concat([name, afterSlash]) };
}

const slash = Buffer.from('/');
const afterSlash = Buffer.from('0');

const lock: Rows<typeof Lock> = {
  lock: row('write', ({ name }) => writing(below(name))),
  unlock: row('write', writing),
};
const election: Rows<typeof Election> = {
  campaign: row('write', ({ name }) => writing(below(name))),
  proclaim: row('write', ({ leader }) => writing({ key: leader?.key ?? none })),
  leader: row('read', ({ name }) => reading(below(name))),
  observe: row('read', ({ name }) => reading(below(name))),
  resign: row('write', ({ leader }) => writing({ key: leader?.key ?? none })),
};

const health: Rows<typeof Health> = { check: row('inspect'), watch: row('inspect') };
const stamps: Rows<typeof Stamps> = { list: row('inspect') };

const rowsOf = [
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
] as const;

/** How each call is written down, by its path. */
export const auditRows: ReadonlyMap<string, AuditRow<never>> = new Map(
  rowsOf.flatMap(([{ methods }, rows]) =>
    Object.entries(methods).map(([name, { path }]) => {
      const found = (rows as Readonly<Record<string, AuditRow<never>>>)[name];
      if (found === undefined) throw new Error(`it is not said how ${path} is written down`);
      return [path, found] as const;
    }),
  ),
);

function nameIn(names: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(names).find(([, each]) => each === value)?.[0] ?? String(value);
}
