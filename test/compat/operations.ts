import { fromLatin1 } from '../../server/base/bytes.ts';
import {
  type Compare,
  CompareTarget,
  type DeleteRangeRequest,
  KV,
  Lease,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '../../server/proto/gen/rpc.ts';
import type { Method } from '../../server/proto/wire.ts';
import type { GrpcChannel, Headers, Outcome } from '../support/grpc.ts';

// The operations of a random sequence as plain data: small enough to print, to shrink and to replay on another store.
// Keys and values are latin-1 strings; what is left out has the default of the message.

/** A revision: as it is, or counted from the store's revision at the beginning of the sequence. */
export type RevisionRef = { readonly plain: number } | { readonly since: number };

export interface PutOp {
  readonly kind: 'put';
  readonly key: string;
  readonly value?: string;
  readonly lease?: number;
  readonly prevKv?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export interface RangeOp {
  readonly kind: 'range';
  readonly key: string;
  readonly rangeEnd?: string;
  readonly limit?: number;
  readonly revision?: RevisionRef;
  readonly sortOrder?: number;
  readonly sortTarget?: number;
  readonly serializable?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly minModRevision?: RevisionRef;
  readonly maxModRevision?: RevisionRef;
  readonly minCreateRevision?: RevisionRef;
  readonly maxCreateRevision?: RevisionRef;
}

export interface DeleteOp {
  readonly kind: 'delete';
  readonly key: string;
  readonly rangeEnd?: string;
  readonly prevKv?: boolean;
}

export interface Comparison {
  readonly key: string;
  readonly rangeEnd?: string;
  readonly result: number;
  readonly target: ComparisonTarget;
}

export type ComparisonTarget =
  | { readonly kind: 'version'; readonly version: number }
  | { readonly kind: 'createRevision' | 'modRevision'; readonly revision: RevisionRef }
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'lease'; readonly lease: number }
  /** The message announces a target and has no value for it. */
  | { readonly kind: 'unset'; readonly announced: number }
  /** The message announces another target than the one whose value it has. */
  | { readonly kind: 'mislabelled'; readonly announced: number; readonly version: number };

export interface TxnOp {
  readonly kind: 'txn';
  readonly compare?: readonly Comparison[];
  readonly success?: readonly NestedOp[];
  readonly failure?: readonly NestedOp[];
}

export type NestedOp = PutOp | RangeOp | DeleteOp | TxnOp | { readonly kind: 'empty' };

export type Operation =
  | PutOp
  | RangeOp
  | DeleteOp
  | TxnOp
  | { readonly kind: 'compact'; readonly revision: RevisionRef; readonly physical?: boolean }
  | { readonly kind: 'grant'; readonly id: number; readonly ttl: number }
  | { readonly kind: 'revoke' | 'keepAlive'; readonly id: number }
  | { readonly kind: 'timeToLive'; readonly id: number; readonly keys?: boolean }
  | { readonly kind: 'leases' };

/** Performs one operation on a store whose revision was `base` when the sequence began. */
export function perform(
  channel: GrpcChannel,
  operation: Operation,
  base: number,
  headers: Headers = {},
): Promise<Outcome<unknown>> {
  const call = <Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request>,
  ): Promise<Outcome<Response>> => channel.call(method, request, headers);
  switch (operation.kind) {
    case 'put':
      return call(KV.methods.put, putRequest(operation));
    case 'range':
      return call(KV.methods.range, rangeRequest(operation, base));
    case 'delete':
      return call(KV.methods.deleteRange, deleteRequest(operation));
    case 'txn':
      return call(KV.methods.txn, txnRequest(operation, base));
    case 'compact':
      return call(KV.methods.compact, {
        revision: resolve(operation.revision, base),
        physical: operation.physical ?? false,
      });
    case 'grant':
      return call(Lease.methods.leaseGrant, { ID: BigInt(operation.id), TTL: operation.ttl });
    case 'revoke':
      return call(Lease.methods.leaseRevoke, { ID: BigInt(operation.id) });
    case 'keepAlive':
      return keepAlive(channel, BigInt(operation.id), headers);
    case 'timeToLive':
      return call(Lease.methods.leaseTimeToLive, {
        ID: BigInt(operation.id),
        keys: operation.keys ?? false,
      });
    case 'leases':
      return call(Lease.methods.leaseLeases, {});
  }
}

export function resolve(ref: RevisionRef | undefined, base: number): number {
  if (ref === undefined) return 0;
  return 'plain' in ref ? ref.plain : base + ref.since;
}

async function keepAlive(
  channel: GrpcChannel,
  id: bigint,
  headers: Headers,
): Promise<Outcome<unknown>> {
  const stream = channel.stream(Lease.methods.leaseKeepAlive, headers);
  stream.send({ ID: id });
  try {
    const { response } = await stream.find(0, () => true);
    return { kind: 'ok', response };
  } catch (error) {
    if (stream.end === undefined) throw error;
    return stream.end;
  } finally {
    stream.cancel();
  }
}

function putRequest(op: PutOp): Partial<PutRequest> {
  return {
    key: fromLatin1(op.key),
    value: fromLatin1(op.value ?? ''),
    lease: BigInt(op.lease ?? 0),
    prevKv: op.prevKv ?? false,
    ignoreValue: op.ignoreValue ?? false,
    ignoreLease: op.ignoreLease ?? false,
  };
}

function rangeRequest(op: RangeOp, base: number): Partial<RangeRequest> {
  return {
    key: fromLatin1(op.key),
    rangeEnd: fromLatin1(op.rangeEnd ?? ''),
    limit: op.limit ?? 0,
    revision: resolve(op.revision, base),
    // Enumerations are open on the wire: a test may send what no client would.
    sortOrder: (op.sortOrder ?? 0) as RangeRequest['sortOrder'],
    sortTarget: (op.sortTarget ?? 0) as RangeRequest['sortTarget'],
    serializable: op.serializable ?? false,
    keysOnly: op.keysOnly ?? false,
    countOnly: op.countOnly ?? false,
    minModRevision: resolve(op.minModRevision, base),
    maxModRevision: resolve(op.maxModRevision, base),
    minCreateRevision: resolve(op.minCreateRevision, base),
    maxCreateRevision: resolve(op.maxCreateRevision, base),
  };
}

function deleteRequest(op: DeleteOp): Partial<DeleteRangeRequest> {
  return {
    key: fromLatin1(op.key),
    rangeEnd: fromLatin1(op.rangeEnd ?? ''),
    prevKv: op.prevKv ?? false,
  };
}

function txnRequest(op: TxnOp, base: number): Partial<TxnRequest> {
  return {
    compare: (op.compare ?? []).map((comparison) => compareMessage(comparison, base)),
    success: (op.success ?? []).map((nested) => requestOp(nested, base)),
    failure: (op.failure ?? []).map((nested) => requestOp(nested, base)),
  };
}

function requestOp(op: NestedOp, base: number): RequestOp {
  switch (op.kind) {
    case 'put':
      return {
        request: { kind: 'requestPut', value: KV.methods.put.request.create(putRequest(op)) },
      };
    case 'range':
      return {
        request: {
          kind: 'requestRange',
          value: KV.methods.range.request.create(rangeRequest(op, base)),
        },
      };
    case 'delete':
      return {
        request: {
          kind: 'requestDeleteRange',
          value: KV.methods.deleteRange.request.create(deleteRequest(op)),
        },
      };
    case 'txn':
      return {
        request: { kind: 'requestTxn', value: KV.methods.txn.request.create(txnRequest(op, base)) },
      };
    case 'empty':
      return { request: undefined };
  }
}

function compareMessage({ key, rangeEnd, result, target }: Comparison, base: number): Compare {
  return {
    key: fromLatin1(key),
    rangeEnd: fromLatin1(rangeEnd ?? ''),
    result: result as Compare['result'],
    target: compareTarget(target) as CompareTarget,
    targetUnion: targetUnion(target, base),
  };
}

function compareTarget(target: ComparisonTarget): number {
  switch (target.kind) {
    case 'version':
      return CompareTarget.VERSION;
    case 'createRevision':
      return CompareTarget.CREATE;
    case 'modRevision':
      return CompareTarget.MOD;
    case 'value':
      return CompareTarget.VALUE;
    case 'lease':
      return CompareTarget.LEASE;
    case 'unset':
    case 'mislabelled':
      return target.announced;
  }
}

function targetUnion(target: ComparisonTarget, base: number): Compare['targetUnion'] {
  switch (target.kind) {
    case 'version':
    case 'mislabelled':
      return { kind: 'version', value: target.version };
    case 'createRevision':
    case 'modRevision':
      return { kind: target.kind, value: resolve(target.revision, base) };
    case 'value':
      return { kind: 'value', value: fromLatin1(target.value) };
    case 'lease':
      return { kind: 'lease', value: BigInt(target.lease) };
    case 'unset':
      return undefined;
  }
}
