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
import { checkOverlaps } from './overlaps.ts';

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
