import fc from 'fast-check';
import type { AuthOperation, RuleOp, Slot } from './auth-operations.ts';
import type {
  Comparison,
  ComparisonTarget,
  DeleteOp,
  NestedOp,
  Operation,
  PutOp,
  RangeOp,
  RevisionRef,
  TxnOp,
} from './operations.ts';
import type { WatchOp, WatchStep } from './watch-run.ts';

// What random sequences are made of. The spaces are small, so that operations meet: eight keys, four leases, revisions
// around those that a sequence makes itself. Never more than 12 keys: only up to there is Go's sort stable.

/** `--max-txn-ops` and `--max-request-bytes` of the stores compared, low so that sequences get at them. */
export const txnOpsMax = 10;
export const requestBytesMax = 8192;

export const leaseIds: readonly number[] = [1, 2, 3, -4];

/** One of these, each as often as its number says. */
function weighted<T>(...choices: readonly (readonly [number, fc.Arbitrary<T>])[]): fc.Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}

/** A field that is left out in all but one of `n` cases. */
function oneIn<T>(n: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return weighted<T | undefined>([n - 1, fc.constant(undefined)], [1, arbitrary]);
}

/** A field that is left out now and then. */
function usually<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return weighted<T | undefined>([1, fc.constant(undefined)], [4, arbitrary]);
}

function flagOneIn(n: number): fc.Arbitrary<true | undefined> {
  return oneIn(n, fc.constant(true as const));
}

/** An operation of a kind; fields that are undefined are left out, so that it prints short. */
function operation<T extends { kind: string }>(
  kind: T['kind'],
  fields: { [K in Exclude<keyof T, 'kind'>]?: fc.Arbitrary<T[K] | undefined> },
): fc.Arbitrary<T> {
  return fc.record(fields as Record<string, fc.Arbitrary<unknown>>).map((record) => {
    const set = Object.entries(record).filter(([, field]) => field !== undefined);
    return { kind, ...Object.fromEntries(set) } as T;
  });
}

const storedKey = fc.constantFrom('a', 'b', 'b\0', 'ba', 'c', 'd', '\xff', '\xff\xff');
const key = weighted([30, storedKey], [1, fc.constant('')]);
const rangeStart = weighted([8, key], [1, fc.constantFrom('\0', 'bb', 'z')]);
const rangeEnd = oneIn(
  2,
  weighted<string>(
    [3, fc.constantFrom('\0')],
    [5, fc.constantFrom('b', 'b\0', 'bb', 'c', 'd', 'e', '\xff', '\xff\xff\0')],
  ),
);
const value = weighted(
  [60, fc.constantFrom('', 'x', 'y', 'z', '\0\xff')],
  [1, fc.constant('x'.repeat(requestBytesMax + 1000))],
);
const leaseId = fc.constantFrom(...leaseIds);

const revision = weighted<RevisionRef>(
  [6, fc.record({ since: fc.integer({ min: -2, max: 14 }) })],
  [1, fc.record({ plain: fc.constantFrom(0, -1, -2, 1, -(2 ** 53) + 1, 2 ** 53 - 1) })],
);

export const putOp = operation<PutOp>('put', {
  key,
  value: usually(value),
  lease: oneIn(3, leaseId),
  prevKv: flagOneIn(3),
  ignoreValue: flagOneIn(8),
  ignoreLease: flagOneIn(8),
});

export const rangeOp = operation<RangeOp>('range', {
  key: rangeStart,
  rangeEnd,
  limit: oneIn(4, fc.constantFrom(-1, 1, 2, 3, 2 ** 53 - 1)),
  revision: oneIn(3, revision),
  // What is no such option ends the process of etcd 3.5; 3.6 refuses it.
  sortOrder: oneIn(2, fc.constantFrom(0, 1, 2)),
  sortTarget: oneIn(2, fc.constantFrom(0, 1, 2, 3, 4)),
  serializable: flagOneIn(4),
  keysOnly: flagOneIn(5),
  countOnly: flagOneIn(8),
  minModRevision: oneIn(6, revision),
  maxModRevision: oneIn(6, revision),
  minCreateRevision: oneIn(6, revision),
  maxCreateRevision: oneIn(6, revision),
});

export const deleteOp = operation<DeleteOp>('delete', {
  key: rangeStart,
  rangeEnd,
  prevKv: flagOneIn(2),
});

const target = fc.oneof<fc.Arbitrary<ComparisonTarget>[]>(
  fc.record({
    kind: fc.constant('version' as const),
    version: fc.constantFrom(0, 1, 2, 3, -1),
  }),
  fc.record({ kind: fc.constantFrom('createRevision', 'modRevision'), revision }),
  fc.record({ kind: fc.constant('value' as const), value: fc.constantFrom('', 'x', 'y', 'z') }),
  fc.record({ kind: fc.constant('lease' as const), lease: fc.constantFrom(0, ...leaseIds) }),
  // Messages that no client writes, but that a store must answer all the same.
  fc.record({ kind: fc.constant('unset' as const), announced: fc.integer({ min: 0, max: 5 }) }),
  fc.record({
    kind: fc.constant('mislabelled' as const),
    announced: fc.integer({ min: 1, max: 5 }),
    version: fc.constantFrom(0, 1),
  }),
);

const comparison: fc.Arbitrary<Comparison> = fc
  .record({
    key: weighted([6, key], [1, fc.constantFrom('\0', 'bb')]),
    rangeEnd: oneIn(4, fc.constantFrom('\0', 'bb', 'd', 'e')),
    result: weighted([30, fc.constantFrom(0, 1, 2, 3)], [1, fc.constantFrom(4, -1)]),
    target,
  })
  .map(({ rangeEnd: end, ...rest }) => (end === undefined ? rest : { ...rest, rangeEnd: end }));

const { txn } = fc.letrec<{ txn: TxnOp; nested: NestedOp }>((tie) => ({
  nested: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 6, arbitrary: putOp },
    { weight: 5, arbitrary: rangeOp },
    { weight: 3, arbitrary: deleteOp },
    { weight: 2, arbitrary: tie('txn') },
  ),
  txn: operation<TxnOp>('txn', {
    compare: oneIn(2, fc.array(comparison, { minLength: 1, maxLength: 3 })),
    success: usually(ops(tie('nested'))),
    failure: oneIn(2, ops(tie('nested'))),
  }),
}));

/** Mostly a few; sometimes more than are allowed, or one that is empty. */
function ops(nested: fc.Arbitrary<NestedOp>): fc.Arbitrary<NestedOp[]> {
  return weighted<NestedOp[]>(
    [20, fc.array(nested, { minLength: 1, maxLength: 4 })],
    [1, fc.array(nested, { minLength: txnOpsMax - 2, maxLength: txnOpsMax + 1, size: 'max' })],
    [1, fc.constant([{ kind: 'empty' as const }])],
  );
}

/**
 * etcd 3.5 does not see that a range with an open end covers a key. A transaction that deletes a key so and puts it with
 * `ignore_value` or `ignore_lease` passes its checks and ends the process ("unexpected error during txn").
 */
function withoutFatalPuts(root: TxnOp): TxnOp {
  return deletesToTheEnd(root) ? mapPuts(root, plainPut) : root;
}

function deletesToTheEnd(op: NestedOp): boolean {
  if (op.kind === 'delete') return op.rangeEnd === '\0';
  return op.kind === 'txn' && [...(op.success ?? []), ...(op.failure ?? [])].some(deletesToTheEnd);
}

function mapPuts(op: TxnOp, change: (put: PutOp) => PutOp): TxnOp {
  const map = (nested: NestedOp): NestedOp => {
    if (nested.kind === 'put') return change(nested);
    return nested.kind === 'txn' ? mapPuts(nested, change) : nested;
  };
  return {
    ...op,
    ...(op.success === undefined ? {} : { success: op.success.map(map) }),
    ...(op.failure === undefined ? {} : { failure: op.failure.map(map) }),
  };
}

function plainPut({ ignoreValue: _value, ignoreLease: _lease, ...put }: PutOp): PutOp {
  return put;
}

export const txnOp = txn.map(withoutFatalPuts);

export const compactOp = operation<Extract<Operation, { kind: 'compact' }>>('compact', {
  revision: weighted<RevisionRef>(
    [8, fc.record({ since: fc.integer({ min: -1, max: 12 }) })],
    [1, revision],
  ),
  physical: flagOneIn(3),
});

/** A TTL long enough that nothing expires while a sequence runs; too long ones are refused. */
const longTtl = weighted(
  [12, fc.constantFrom(60, 600, 9_000_000_000)],
  [1, fc.constantFrom(9_000_000_001, 2 ** 53 - 1)],
);

export const grantOp = operation<Extract<Operation, { kind: 'grant' }>>('grant', {
  id: leaseId,
  ttl: longTtl,
});

const leaseOp = fc.oneof<fc.Arbitrary<Operation>[]>(
  operation<Extract<Operation, { kind: 'revoke' | 'keepAlive' }>>('revoke', { id: leaseId }),
  operation<Extract<Operation, { kind: 'revoke' | 'keepAlive' }>>('keepAlive', { id: leaseId }),
  operation<Extract<Operation, { kind: 'timeToLive' }>>('timeToLive', {
    id: weighted([8, leaseId], [1, fc.constant(0)]),
    keys: flagOneIn(2),
  }),
  fc.constant({ kind: 'leases' as const }),
);

/** Raised to the shortest allowed. Only at the end of a sequence: it could expire there, and here it does not matter. */
const shortGrant = operation<Extract<Operation, { kind: 'grant' }>>('grant', {
  id: leaseId,
  ttl: fc.constantFrom(-1, 0, 1, 2),
});

const anyOperation = weighted<Operation>(
  [8, putOp],
  [7, rangeOp],
  [3, deleteOp],
  [7, txnOp],
  [1, compactOp],
  [2, grantOp],
  [2, leaseOp],
);

export const sequence: fc.Arbitrary<Operation[]> = fc
  .tuple(fc.array(anyOperation, { minLength: 1, maxLength: 20, size: 'max' }), oneIn(8, shortGrant))
  .map(([operations, last]) => (last === undefined ? operations : [...operations, last]));

/** For stores that start with it: hundreds of operations, of which only the last compact. */
export const longHistory: fc.Arbitrary<Operation[]> = fc
  .tuple(
    fc.array(
      weighted<Operation>([8, putOp], [7, rangeOp], [3, deleteOp], [7, txnOp], [3, grantOp]),
      {
        minLength: 1,
        maxLength: 300,
        size: 'max',
      },
    ),
    fc.array(anyOperation, { minLength: 1, maxLength: 100, size: 'max' }),
  )
  .map(([uncompacted, rest]) => [...uncompacted, ...rest]);

const streamPlace = fc.constantFrom(0, 1);
const watchId = fc.constantFrom(0, 1, 2, 7);

const watchOp = operation<WatchOp>('watch', {
  stream: streamPlace,
  id: oneIn(3, fc.constantFrom(1, 2, 7, -1)),
  key: rangeStart,
  rangeEnd,
  start: oneIn(
    2,
    weighted<RevisionRef>(
      [10, fc.record({ since: fc.integer({ min: -1, max: 10 }) })],
      [1, fc.record({ plain: fc.constantFrom(-1, 1) })],
    ),
  ),
  prevKv: flagOneIn(3),
  progressNotify: flagOneIn(8),
  fragment: flagOneIn(8),
  filters: oneIn(4, fc.array(fc.constantFrom(0, 1, 5), { minLength: 1, maxLength: 2 })),
});

/** Watchers beside operations that write. */
export const watchedSequence: fc.Arbitrary<WatchStep[]> = fc.array(
  weighted<WatchStep>(
    [5, watchOp],
    [9, putOp],
    [3, deleteOp],
    [3, txnOp],
    [1, compactOp],
    [1, grantOp],
    [1, operation<Extract<Operation, { kind: 'revoke' | 'keepAlive' }>>('revoke', { id: leaseId })],
    [1, fc.record({ kind: fc.constant('cancel' as const), stream: streamPlace, id: watchId })],
    [1, fc.record({ kind: fc.constantFrom('settle', 'empty'), stream: streamPlace })],
  ),
  { minLength: 1, maxLength: 30, size: 'max' },
);

const numberedKey = fc.integer({ min: 0, max: 1999 }).map((n) => `k${String(n).padStart(4, '0')}`);
const manyKeys = {
  key: weighted([3, numberedKey], [1, fc.constant('k')]),
  rangeEnd: usually(weighted([3, numberedKey], [1, fc.constant('l')])),
};

/** A hundred puts at once, to keys at equal distances. */
const fill: fc.Arbitrary<TxnOp> = fc
  .record({
    start: fc.nat(1999),
    step: fc.integer({ min: 1, max: 40 }),
    value: fc.constantFrom('x', 'y'),
  })
  .map(({ start, step, value: written }) => ({
    kind: 'txn' as const,
    success: Array.from({ length: 100 }, (_, i) => ({
      kind: 'put' as const,
      key: `k${String((start + i * step) % 2000).padStart(4, '0')}`,
      value: written,
    })),
  }));

/** Many keys. Sorted by nothing in which two of them could be equal. */
export const largeSequence: fc.Arbitrary<Operation[]> = fc.array(
  weighted<Operation>(
    [6, fill],
    [
      6,
      operation<RangeOp>('range', {
        ...manyKeys,
        limit: oneIn(2, fc.constantFrom(1, 7, 100, 500, 5000)),
        revision: oneIn(2, fc.record({ since: fc.integer({ min: 0, max: 40 }) })),
        sortOrder: oneIn(3, fc.constantFrom(1, 2)),
        serializable: flagOneIn(4),
        keysOnly: flagOneIn(4),
        countOnly: flagOneIn(6),
        minModRevision: oneIn(5, revision),
        maxModRevision: oneIn(5, revision),
        minCreateRevision: oneIn(5, revision),
        maxCreateRevision: oneIn(5, revision),
      }),
    ],
    [2, operation<DeleteOp>('delete', { ...manyKeys, prevKv: flagOneIn(4) })],
    [1, operation<PutOp>('put', { key: numberedKey, value, prevKv: flagOneIn(2) })],
    [1, compactOp],
  ),
  { minLength: 20, maxLength: 60, size: 'max' },
);

const slot = weighted<Slot>(
  [6, fc.constant('u')],
  [3, fc.constant('v')],
  [3, fc.constant('root')],
  [1, fc.constantFrom('nobody', 'garbage')],
);
const userName = weighted(
  [5, fc.constant('u')],
  [3, fc.constant('v')],
  [1, fc.constant('root')],
  [1, fc.constantFrom('w', '')],
);
const roleName = weighted(
  [5, fc.constant('r')],
  [3, fc.constant('s')],
  [1, fc.constantFrom('root', 't', '')],
);
const password = weighted([4, fc.constant('p')], [1, fc.constant('q')]);

const permitted = { role: roleName, key: rangeStart, rangeEnd };
const ruleOp = weighted<RuleOp>(
  [
    6,
    operation<RuleOp & { kind: 'permit' }>('permit', {
      ...permitted,
      right: oneIn(2, fc.constantFrom(1, 2)),
    }),
  ],
  [3, operation<RuleOp & { kind: 'forbid' }>('forbid', permitted)],
  [
    2,
    fc.record({ kind: fc.constantFrom('grantRole', 'revokeRole'), user: userName, role: roleName }),
  ],
  [1, fc.record({ kind: fc.constantFrom('addRole', 'deleteRole', 'getRole'), role: roleName })],
  [1, fc.record({ kind: fc.constantFrom('deleteUser', 'getUser'), user: userName })],
  [
    1,
    operation<RuleOp & { kind: 'addUser' }>('addUser', {
      user: userName,
      password: usually(password),
      // A root without password would lock everybody out.
    }).map((op) => (op.user === 'root' ? { password: 'p', ...op } : op)),
  ],
  [1, fc.record({ kind: fc.constant('passwd' as const), user: userName, password })],
  [1, fc.record({ kind: fc.constantFrom('status', 'users', 'roles', 'enable', 'disable') })],
);

/** Two users with a role each, and mostly authentication on: then operations mean something. */
const settled: readonly AuthOperation[] = (
  [
    { kind: 'addUser', user: 'root', password: 'p' },
    { kind: 'grantRole', user: 'root', role: 'root' },
    { kind: 'addUser', user: 'u', password: 'p' },
    { kind: 'addUser', user: 'v', password: 'p' },
    { kind: 'addRole', role: 'r' },
    { kind: 'addRole', role: 's' },
    { kind: 'permit', role: 'r', key: 'b', rangeEnd: 'd', right: 2 },
    { kind: 'permit', role: 's', key: 'c', rangeEnd: '\0' },
    { kind: 'grantRole', user: 'u', role: 'r' },
    { kind: 'grantRole', user: 'v', role: 's' },
    { kind: 'enable' },
  ] satisfies RuleOp[]
).map((rule) => ({ kind: 'as', slot: 'nobody', operation: rule }));

const logins: readonly AuthOperation[] = (['root', 'u', 'v'] as const).map((user) => ({
  kind: 'login',
  user,
  password: 'p',
  slot: user,
}));

const byRoot = weighted<Slot>([6, fc.constant('root')], [1, slot]);

/** Users who come and go, whose rights change, and what they may do meanwhile. */
export const ruledSequence: fc.Arbitrary<AuthOperation[]> = fc
  .array(
    weighted<AuthOperation>(
      [12, fc.record({ kind: fc.constant('as' as const), slot, operation: anyOperation })],
      [5, fc.record({ kind: fc.constant('as' as const), slot: byRoot, operation: ruleOp })],
      [2, fc.record({ kind: fc.constant('login' as const), user: userName, password, slot })],
    ),
    { minLength: 1, maxLength: 40, size: 'max' },
  )
  .map((steps) => [...settled, ...logins, ...steps.map(withoutEmptyRanges)]);

/** Whether a range that holds no key is allowed depends in etcd on the shape that its interval tree happens to have. */
function withoutEmptyRanges(step: AuthOperation): AuthOperation {
  if (step.kind === 'login' || step.operation.kind === 'permit') return step;
  return mapObjects(step) as AuthOperation;
}

function mapObjects(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mapObjects);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => [name, mapObjects(field)] as const);
  const { key: start, rangeEnd: end } = value as { key?: unknown; rangeEnd?: unknown };
  const isEmpty =
    typeof start === 'string' && typeof end === 'string' && end !== '\0' && start >= end;
  return Object.fromEntries(isEmpty ? fields.filter(([name]) => name !== 'rangeEnd') : fields);
}
