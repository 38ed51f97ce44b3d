import { EtcdError } from '../base/errors.ts';
import type { Revision } from '../base/ids.ts';
import { rangeStepKeysMax } from '../config/limits.ts';
import type { Store } from '../mvcc/store.ts';
import type {
  PutRequest,
  RangeRequest,
  RequestOp,
  ResponseOp,
  ResponseOpResponse,
  TxnRequest,
  TxnResponse,
} from '../proto/gen/rpc.ts';
import { ResponseHeader } from '../proto/gen/rpc.ts';
import { type Comparable, holds } from './compare.ts';
import { revisionHeader } from './header.ts';
import { type Readable, range, rangeSteps } from './range.ts';
import { type Checked, checkKept, checkLease, deleteRange, put, type Writing } from './write.ts';

// As etcd does it (server/etcdserver/txn/txn.go): first every compare, those of nested transactions too, decides on the
// state before; then all operations of the chosen branches are checked, so that a bad one stops all of them; then they
// run in order, each seeing what the ones before have written.

/** The branch that a transaction takes, and those that the transactions nested in it take, in their order. */
export interface Path {
  readonly succeeded: boolean;
  readonly ops: readonly RequestOp[];
  readonly nested: readonly Path[];
}

/** What a transaction without writes reads. */
export interface ReadOnly extends Comparable, Readable {
  readonly compactRevision: Revision;
}

export function choosePath(view: Comparable, request: TxnRequest): Path {
  const succeeded = request.compare.every((compare) => holds(view, compare));
  const ops = succeeded ? request.success : request.failure;
  const nested: Path[] = [];
  for (const { request } of ops) {
    if (request?.kind === 'requestTxn') nested.push(choosePath(view, request.value));
  }
  return { succeeded, ops, nested };
}

/**
 * Throws what a client is told of the first bad operation: EtcdError KeyNotFound, LeaseNotFound, FutureRevision or
 * Compacted. All puts come before all ranges, as in etcd 3.5 (3.6 takes them as they come).
 */
export function checkPath(before: Checked & { readonly store: ReadOnly }, path: Path): void {
  forEachOp(path, ({ request }) => {
    if (request?.kind === 'requestPut') checkPut(before, request.value);
  });
  forEachOp(path, ({ request }) => {
    if (request?.kind === 'requestRange') checkRange(before.store, request.value);
  });
}

/** Runs what {@link checkPath} has passed. */
export function runPath(writing: Writing, path: Path): TxnResponse {
  const responses = responsesOf(path, (op) => run(writing, op));
  return { header: revisionHeader(writing.txn.revision), succeeded: path.succeeded, responses };
}

/**
 * A transaction that only reads and has no other in it, on the state as it is, in steps as those of a long range. Throws
 * EtcdError FutureRevision or Compacted.
 */
export function* readTxnSteps(
  view: ReadOnly & Pick<Store, 'rangeSteps'>,
  request: TxnRequest,
): Generator<void, TxnResponse> {
  const { revision } = view;
  const { succeeded, ops } = choosePath(view, request);
  const ranges = ops.flatMap(({ request }) =>
    request?.kind === 'requestRange' ? [request.value] : [],
  );
  for (const each of ranges) checkRange(view, each);
  const responses: ResponseOp[] = [];
  let sinceYield = 0;
  for (const each of ranges) {
    // The same revision for all, whatever is written between two steps.
    const pinned = { ...each, revision: each.revision > 0 ? each.revision : revision };
    const value = yield* rangeSteps(view, pinned);
    value.header = revisionHeader(revision);
    responses.push({ response: { kind: 'responseRange', value } });
    sinceYield += value.kvs.length;
    if (sinceYield < rangeStepKeysMax) continue;
    sinceYield = 0;
    yield;
  }
  return { header: revisionHeader(revision), succeeded, responses };
}

function forEachOp({ ops, nested }: Path, visit: (op: RequestOp) => void): void {
  let next = 0;
  for (const op of ops) {
    const inner = op.request?.kind === 'requestTxn' ? nested[next++] : undefined;
    if (inner === undefined) visit(op);
    else forEachOp(inner, visit);
  }
}

/** In a transaction the key is looked at before the lease, in a put of its own after it. */
function checkPut(before: Checked, request: PutRequest): void {
  checkKept(before, request);
  checkLease(before, request);
}

/** 0 is the current revision, and so is -1 as long as nothing is compacted: then it is the compact revision. */
function checkRange(view: ReadOnly, { revision }: RangeRequest): void {
  if (revision === 0) return;
  if (revision > view.revision) throw new EtcdError('FutureRevision');
  if (revision < view.compactRevision) throw new EtcdError('Compacted');
}

type Run = (op: RequestOp) => ResponseOpResponse | undefined;

function responsesOf({ ops, nested }: Path, run: Run): ResponseOp[] {
  let next = 0;
  return ops.map((op) => {
    const inner = op.request?.kind === 'requestTxn' ? nested[next++] : undefined;
    return { response: inner === undefined ? run(op) : nestedOp(inner, run) };
  });
}

/** The header of a nested transaction is there, and empty. */
function nestedOp(path: Path, run: Run): ResponseOpResponse {
  const { succeeded } = path;
  const responses = responsesOf(path, run);
  return { kind: 'responseTxn', value: { header: ResponseHeader.create(), succeeded, responses } };
}

function run(writing: Writing, { request }: RequestOp): ResponseOpResponse | undefined {
  switch (request?.kind) {
    case 'requestRange':
      return rangeOp(writing.txn, request.value);
    case 'requestPut':
      return { kind: 'responsePut', value: put(writing, request.value) };
    case 'requestDeleteRange':
      return { kind: 'responseDeleteRange', value: deleteRange(writing, request.value) };
    case 'requestTxn':
    case undefined:
      return undefined;
  }
}

function rangeOp(view: Readable, request: RangeRequest): ResponseOpResponse {
  return { kind: 'responseRange', value: range(view, request) };
}
