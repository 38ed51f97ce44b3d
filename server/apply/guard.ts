import { EtcdError } from '../base/errors.ts';
import type { InternalRequestRequest } from '../proto/gen/internal.ts';
import { AlarmType, type RequestOp, type TxnRequest } from '../proto/gen/rpc.ts';
import type { Alarms } from './alarms.ts';

/**
 * Throws what a raised alarm forbids, the same on every member: EtcdError Corrupt, then NoSpace. etcd's chain of
 * appliers (server/etcdserver/apply/corrupt.go, capped.go).
 */
export function guard(alarms: Pick<Alarms, 'has'>, request: InternalRequestRequest): void {
  if (alarms.has(AlarmType.CORRUPT) && touchesKeys(request)) throw new EtcdError('Corrupt');
  if (alarms.has(AlarmType.NOSPACE) && takesSpace(request)) throw new EtcdError('NoSpace');
}

function touchesKeys({ kind }: InternalRequestRequest): boolean {
  switch (kind) {
    case 'put':
    case 'deleteRange':
    case 'txn':
    case 'compaction':
    case 'leaseGrant':
    case 'leaseRevoke':
      return true;
    default:
      return false;
  }
}

/** Deleting makes room, so it stays allowed. */
function takesSpace(request: InternalRequestRequest): boolean {
  switch (request.kind) {
    case 'put':
    case 'leaseGrant':
      return true;
    case 'txn':
      return hasPut(request.value);
    default:
      return false;
  }
}

/** In either branch: which one is taken does not matter. */
function hasPut({ success, failure }: TxnRequest): boolean {
  return success.some(isPut) || failure.some(isPut);
}

function isPut({ request }: RequestOp): boolean {
  if (request?.kind === 'requestTxn') return hasPut(request.value);
  return request?.kind === 'requestPut';
}
