import { setImmediate as othersTurn } from 'node:timers/promises';
import {
  type CompactionRequest,
  type CompactionResponse,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  KV,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type TxnRequest,
  type TxnResponse,
} from '../proto/gen/rpc.ts';
import type { Call } from './call.ts';
import type { Gate } from './gate.ts';
import { answered, headed } from './header.ts';
import type { MemberPort } from './member-port.ts';
import { checkDeleteRange, checkPut, checkRange, checkTxn } from './validate.ts';

export function kvCalls(
  modules: { port: MemberPort; gate: Gate },
  options: { txnOpsMax: number },
): Call[] {
  const { port, gate } = modules;
  const { txnOpsMax } = options;
  const { methods } = KV;
  return [
    gate.unary(methods.range, isSerializable, (request) => range(port, request)),
    gate.unary(methods.put, 'refuses', (request) => put(port, request)),
    gate.unary(methods.deleteRange, 'refuses', (request) => deleteRange(port, request)),
    gate.unary(methods.txn, 'refuses', (request) => txn(port, request, txnOpsMax)),
    gate.unary(methods.compact, 'refuses', (request) => compact(port, request)),
  ];
}

async function range(port: MemberPort, request: RangeRequest): Promise<RangeResponse> {
  checkRange(request);
  if (!request.serializable) await port.linearizableRead();
  return headed(port, await read(port, request));
}

/** A large range is read in steps: others are served in between. */
async function read(port: MemberPort, request: RangeRequest): Promise<RangeResponse> {
  const steps = port.rangeSteps(request);
  let step = steps.next();
  while (step.done !== true) {
    await othersTurn();
    step = steps.next();
  }
  return step.value;
}

async function put(port: MemberPort, request: PutRequest): Promise<PutResponse> {
  checkPut(request);
  return answered(port, await port.propose({ kind: 'put', value: request }));
}

async function deleteRange(
  port: MemberPort,
  request: DeleteRangeRequest,
): Promise<DeleteRangeResponse> {
  checkDeleteRange(request);
  return answered(port, await port.propose({ kind: 'deleteRange', value: request }));
}

async function txn(port: MemberPort, request: TxnRequest, opsMax: number): Promise<TxnResponse> {
  checkTxn(request, opsMax);
  if (!isReadOnly(request)) {
    return answered(port, await port.propose({ kind: 'txn', value: request }));
  }
  if (!isSerializableTxn(request)) await port.linearizableRead();
  return headed(port, port.readTxn(request));
}

async function compact(port: MemberPort, request: CompactionRequest): Promise<CompactionResponse> {
  const applied = await port.propose({ kind: 'compaction', value: request });
  const response = answered<CompactionResponse>(port, applied);
  if (request.physical) await port.compactionDone();
  return response;
}

function isSerializable(request: RangeRequest): boolean {
  return request.serializable;
}

/** As for etcd, a nested transaction makes it one that writes. */
function isReadOnly({ success, failure }: TxnRequest): boolean {
  return success.every(isRange) && failure.every(isRange);
}

function isRange({ request }: RequestOp): boolean {
  return request?.kind === 'requestRange';
}

/** Without operations it is not: its compares are all that it reads, and nothing says that they may be stale. */
function isSerializableTxn({ success, failure }: TxnRequest): boolean {
  const ops = [...success, ...failure];
  return ops.length > 0 && ops.every(isSerializableRange);
}

function isSerializableRange({ request }: RequestOp): boolean {
  return request?.kind === 'requestRange' && request.value.serializable;
}
