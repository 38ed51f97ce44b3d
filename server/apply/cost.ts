import type { InternalRequestRequest } from '../proto/gen/internal.ts';
import type { PutRequest, RequestOp, TxnRequest } from '../proto/gen/rpc.ts';

/** etcd's estimates of what a request takes beside its key and value (server/storage/quota.go). */
const keyOverheadBytes = 256;
const leaseOverheadBytes = 64;

/** What applying the request may add to the state; 0 when it adds nothing, and is allowed whatever the quota says. */
export function costBytes(request: InternalRequestRequest): number {
  switch (request.kind) {
    case 'put':
      return putCost(request.value);
    case 'txn':
      return txnCost(request.value);
    case 'leaseGrant':
      return leaseOverheadBytes;
    default:
      return 0;
  }
}

function putCost({ key, value }: PutRequest): number {
  return keyOverheadBytes + key.length + value.length;
}

/** Of the dearer branch: which one is taken is not known. */
function txnCost({ success, failure }: TxnRequest): number {
  return Math.max(opsCost(success), opsCost(failure));
}

function opsCost(ops: readonly RequestOp[]): number {
  let sum = 0;
  for (const { request } of ops) {
    if (request?.kind === 'requestPut') sum += putCost(request.value);
    else if (request?.kind === 'requestTxn') sum += txnCost(request.value);
  }
  return sum;
}
