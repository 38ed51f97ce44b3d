import { latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { Lessor } from '../lease/lessor.ts';
import { keyRange } from '../mvcc/key-range.ts';
import type { Store } from '../mvcc/store.ts';
import type { WriteTxn } from '../mvcc/write-txn.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import type {
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
} from '../proto/gen/rpc.ts';
import { revisionHeader } from './header.ts';

/** What can be read before a transaction: the store. */
export interface Checked {
  readonly store: Pick<Store, 'get'>;
  readonly lessor: Pick<Lessor, 'has'>;
}

/** What is written to: the one transaction, and the leases that follow it. */
export interface Writing {
  readonly txn: WriteTxn;
  readonly lessor: Lessor;
}

/** Throws EtcdError LeaseNotFound. */
export function checkLease({ lessor }: Checked, request: PutRequest): void {
  if (request.lease !== 0n && !lessor.has(request.lease)) throw new EtcdError('LeaseNotFound');
}

/** Throws EtcdError KeyNotFound when the request keeps something of a key that is not there. */
export function checkKept({ store }: Checked, request: PutRequest): void {
  if (!request.ignoreValue && !request.ignoreLease) return;
  if (store.get(latin1(request.key)) === undefined) throw new EtcdError('KeyNotFound');
}

/** A put that was checked. */
export function put({ txn, lessor }: Writing, request: PutRequest): PutResponse {
  const key = latin1(request.key);
  const previous = needsPrevious(request) ? txn.get(key) : undefined;
  const value = keptValue(request, previous) ?? request.value;
  const lease = keptLease(request, previous) ?? request.lease;
  txn.put(key, value, lease);
  if (lease === 0n) lessor.detach(key);
  else lessor.attach(key, lease);
  const prevKv = request.prevKv ? previous : undefined;
  return { header: revisionHeader(txn.revision), prevKv };
}

function needsPrevious({ prevKv, ignoreValue, ignoreLease }: PutRequest): boolean {
  return prevKv || ignoreValue || ignoreLease;
}

function keptValue(request: PutRequest, previous: KeyValue | undefined): Uint8Array | undefined {
  return request.ignoreValue ? previous?.value : undefined;
}

function keptLease(request: PutRequest, previous: KeyValue | undefined): bigint | undefined {
  return request.ignoreLease ? previous?.lease : undefined;
}

export function deleteRange(
  { txn, lessor }: Writing,
  request: DeleteRangeRequest,
): DeleteRangeResponse {
  const range = keyRange(request.key, request.rangeEnd);
  const prevKvs = request.prevKv ? [...txn.range({ range }).kvs] : [];
  const keys = txn.deleteRange(range);
  for (const key of keys) lessor.detach(key);
  return { header: revisionHeader(txn.revision), deleted: keys.length, prevKvs };
}
