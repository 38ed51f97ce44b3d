import type { Caller } from '../auth/access.ts';
import { EtcdError } from '../base/errors.ts';
import type { InternalRequestRequest } from '../proto/gen/internal.ts';
import {
  type CompactionRequest,
  type CompactionResponse,
  type DeleteRangeResponse,
  KV,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseHeader,
  type TxnRequest,
  type TxnResponse,
} from '../proto/gen/rpc.ts';
import type { Call, CallContext } from './call.ts';
import { isExpensiveDeletion, isExpensiveRange, isExpensiveTxn } from './expensive-requests.ts';
import type { Gate } from './gate.ts';
import { answered, headed } from './header.ts';
import type { MemberPort } from './member-port.ts';
import type { PrefixQuotas } from './prefix-quotas.ts';
import { isReadOnly } from './privileges.ts';
import { needSpace } from './space.ts';
import { inSlices } from './turns.ts';
import { checkDeleteRange, checkPut, checkRange, checkTxn } from './validate.ts';

export function kvCalls(
  modules: { port: MemberPort; gate: Gate },
  options: { txnOpsMax: number; quotas?: PrefixQuotas | undefined },
): Call[] {
  const { port, gate } = modules;
  const { txnOpsMax, quotas } = options;
  const { methods } = KV;
  return [
    gate.unary(methods.range, isSerializable, (request, context) => range(port, request, context), {
      first: (request) => {
        checkRange(request);
        return request.serializable ? undefined : port.linearizableRead();
      },
      isExpensive: (request) => isExpensiveRange(port, request),
    }),
    gate.unary(
      methods.put,
      'refuses',
      (request, _, caller) => {
        const put = () => propose<PutResponse>(port, { kind: 'put', value: request }, caller);
        return quotas === undefined ? put() : quotas.put(request, put);
      },
      {
        first: (request) => needSpace(port, { kind: 'put', value: request }) ?? checkPut(request),
      },
    ),
    gate.unary(
      methods.deleteRange,
      'refuses',
      (request, _, caller) =>
        propose<DeleteRangeResponse>(port, { kind: 'deleteRange', value: request }, caller),
      {
        first: checkDeleteRange,
        isExpensive: (request) => isExpensiveDeletion(port, request),
      },
    ),
    gate.unary(
      methods.txn,
      'refuses',
      (request, context, caller) => txn({ port, quotas, context }, request, caller),
      {
        first: (request) => {
          const refusal = needSpace(port, { kind: 'txn', value: request });
          if (refusal !== undefined) return refusal;
          checkTxn(request, txnOpsMax);
          const isLocal = !isReadOnly(request) || isSerializableTxn(request);
          return isLocal ? undefined : port.linearizableRead();
        },
        isExpensive: (request) => isExpensiveTxn(port, request),
      },
    ),
    gate.unary(methods.compact, 'refuses', (request, _, caller) => compact(port, request, caller)),
  ];
}

async function range(
  port: MemberPort,
  request: RangeRequest,
  context: CallContext,
): Promise<RangeResponse> {
  return headed(port, await read(port, request, context));
}

/** A large range is read in steps: others are served in between. */
async function read(
  port: MemberPort,
  request: RangeRequest,
  context: CallContext,
): Promise<RangeResponse> {
  if (request.rangeEnd.length === 0) return port.range(request);
  return whileWanted(port.rangeSteps(request), context);
}

/** What nobody waits for any more is not read to its end. */
async function whileWanted<T>(steps: Generator<void, T>, context: CallContext): Promise<T> {
  const answer = await inSlices(steps, () => context.isOver?.() === true);
  if (answer === undefined) throw new EtcdError('RequestCanceled');
  return answer;
}

/** Keeps nothing of the request while it waits: what was proposed is in memory already. */
function propose<Response extends { header: ResponseHeader | undefined }>(
  port: MemberPort,
  request: InternalRequestRequest,
  caller: Caller,
): Promise<Response> {
  return port.propose(request, caller).then((applied) => answered<Response>(port, applied));
}

function txn(
  modules: { port: MemberPort; quotas: PrefixQuotas | undefined; context: CallContext },
  request: TxnRequest,
  caller: Caller,
): Promise<TxnResponse> {
  const { port, quotas, context } = modules;
  if (isReadOnly(request)) return readTxn(port, request, context);
  const write = () => propose<TxnResponse>(port, { kind: 'txn', value: request }, caller);
  return quotas === undefined ? write() : quotas.txn(request, write);
}

async function readTxn(
  port: MemberPort,
  request: TxnRequest,
  context: CallContext,
): Promise<TxnResponse> {
  return headed(port, await whileWanted(port.readTxnSteps(request), context));
}

async function compact(
  port: MemberPort,
  request: CompactionRequest,
  caller: Caller,
): Promise<CompactionResponse> {
  const proposal = { kind: 'compaction', value: request } as const;
  const response = await propose<CompactionResponse>(port, proposal, caller);
  if (request.physical) await port.compactionDone();
  return response;
}

function isSerializable(request: RangeRequest): boolean {
  return request.serializable;
}

/** Without operations it is not: its compares are all that it reads, and nothing says that they may be stale. */
function isSerializableTxn({ success, failure }: TxnRequest): boolean {
  const ops = [...success, ...failure];
  return ops.length > 0 && ops.every(isSerializableRange);
}

function isSerializableRange({ request }: RequestOp): boolean {
  return request?.kind === 'requestRange' && request.value.serializable;
}
