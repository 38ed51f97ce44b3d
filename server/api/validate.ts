import { latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from '../proto/gen/rpc.ts';
import { KeySpans, type Span } from './key-spans.ts';

// The checks of etcd's v3rpc/key.go, in its order: of two faults a client is told the one that etcd would tell.

const sortOrders: ReadonlySet<number> = new Set(Object.values(SortOrder));
const sortTargets: ReadonlySet<number> = new Set(Object.values(SortTarget));

export function checkRange(request: RangeRequest): void {
  if (request.key.length === 0) throw new EtcdError('EmptyKey');
  if (!sortOrders.has(request.sortOrder) || !sortTargets.has(request.sortTarget)) {
    throw new EtcdError('InvalidSortOption');
  }
}

export function checkPut(request: PutRequest): void {
  if (request.key.length === 0) throw new EtcdError('EmptyKey');
  if (request.ignoreValue && request.value.length !== 0) throw new EtcdError('ValueProvided');
  if (request.ignoreLease && request.lease !== 0n) throw new EtcdError('LeaseProvided');
}

export function checkDeleteRange(request: DeleteRangeRequest): void {
  if (request.key.length === 0) throw new EtcdError('EmptyKey');
}

/** `opsMax` bounds the longest of the three lists; a nested transaction gets what its parent leaves. */
export function checkTxn(request: TxnRequest, opsMax: number): void {
  checkOps(request, opsMax);
  // After the count, so that the work stays bounded.
  checkOverlaps(request.success);
  checkOverlaps(request.failure);
}

function checkOps({ compare, success, failure }: TxnRequest, opsMax: number): void {
  const count = Math.max(compare.length, success.length, failure.length);
  if (count > opsMax) throw new EtcdError('TooManyOps');
  for (const { key } of compare) if (key.length === 0) throw new EtcdError('EmptyKey');
  for (const op of success) checkOp(op, opsMax - count);
  for (const op of failure) checkOp(op, opsMax - count);
}

function checkOp({ request }: RequestOp, opsLeft: number): void {
  switch (request?.kind) {
    case 'requestRange':
      return checkRange(request.value);
    case 'requestPut':
      return checkPut(request.value);
    case 'requestDeleteRange':
      return checkDeleteRange(request.value);
    case 'requestTxn':
      return checkOps(request.value, opsLeft);
    case undefined:
      throw new EtcdError('KeyNotFound');
  }
}

interface Written {
  readonly puts: Set<string>;
  readonly deletes: KeySpans;
}

/**
 * Refuses two puts to one key, and a put to a key that an operation beside or above it deletes (etcd's checkIntervals).
 * The two branches of a nested transaction may share keys, since only one of them runs.
 */
function checkOverlaps(ops: readonly RequestOp[]): Written {
  const written: Written = { puts: new Set(), deletes: new KeySpans(deletesOf(ops)) };
  for (const { request } of ops) {
    if (request?.kind === 'requestTxn') addNested(written, request.value);
  }
  for (const { request } of ops) {
    if (request?.kind === 'requestPut') addPut(written, latin1(request.value.key), undefined);
  }
  return written;
}

function addNested(written: Written, txn: TxnRequest): void {
  const success = checkOverlaps(txn.success);
  const failure = checkOverlaps(txn.failure);
  for (const key of success.puts) addPut(written, key, undefined);
  for (const key of failure.puts) addPut(written, key, success.puts);
  written.deletes.add(success.deletes);
  written.deletes.add(failure.deletes);
}

function addPut(written: Written, key: string, otherBranch: Set<string> | undefined): void {
  const isTwice = written.puts.has(key) && otherBranch?.has(key) !== true;
  if (isTwice || written.deletes.has(key)) throw new EtcdError('DuplicateKey');
  written.puts.add(key);
}

/** As in etcd, an open-ended range ("\0") holds no key here: put and delete of it are applied in their order. */
function deletesOf(ops: readonly RequestOp[]): Span[] {
  const spans: Span[] = [];
  for (const { request } of ops) {
    if (request?.kind !== 'requestDeleteRange') continue;
    const start = latin1(request.value.key);
    const end = latin1(request.value.rangeEnd);
    spans.push({ start, end: end === '' ? `${start}\0` : end });
  }
  return spans;
}
