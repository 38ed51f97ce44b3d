import { emptyBytes } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import {
  Lock,
  type LockRequest,
  type LockResponse,
  type UnlockRequest,
} from '../proto/gen/lock.ts';
import type { Call } from './call.ts';
import { contenderKey, contenders, firstOf, waitForTurn } from './contenders.ts';
import { StatusError } from './errors.ts';
import type { Gate } from './gate.ts';
import { createdAt, InnerCalls, putOp, rangeOp } from './inner-calls.ts';
import { answersOne, type StreamEnd } from './stream-calls.ts';

/** etcd's lock service: what its client library does with keys and leases, done here. `calls` are the services below. */
export function lockCalls({ gate, calls }: { gate: Gate; calls: readonly Call[] }): Call[] {
  const { methods } = Lock;
  return [
    // Not a unary call: one that waits has to learn that its client is gone.
    gate.stream(methods.lock, 'refuses', (responses, context) =>
      answersOne(responses, async (request: LockRequest, end) => {
        responses.send(await lock(new InnerCalls(calls, context), request, end));
      }),
    ),
    gate.unary(methods.unlock, 'refuses', async ({ key }: UnlockRequest, context) => ({
      header: await new InnerCalls(calls, context).delete(key),
    })),
  ];
}

async function lock(
  calls: InnerCalls,
  { name, lease }: LockRequest,
  end: StreamEnd,
): Promise<LockResponse> {
  const session = await calls.session(lease);
  const key = contenderKey(name, session);
  const mine = rangeOp({ key });
  const owner = rangeOp(firstOf(contenders(name)));
  const { header, succeeded, responses } = await calls.txn({
    compare: [createdAt({ key, createRevision: 0 })],
    success: [putOp(key, emptyBytes, session), owner],
    failure: [mine, owner],
  });
  const [first, second] = responses.map(({ response }) =>
    response?.kind === 'responseRange' ? response.value.kvs[0] : undefined,
  );
  const createRevision = succeeded ? (header?.revision ?? 0) : (first?.createRevision ?? 0);
  if (second === undefined || second.createRevision === createRevision) return { header, key };
  try {
    await waitForTurn(calls, name, { createRevision, end });
    const still = await calls.range({ key });
    if (still.kvs.length > 0) return { header: still.header, key };
  } catch (error) {
    await release(calls, key);
    throw error;
  }
  throw new StatusError('UNKNOWN', 'mutex: session is expired');
}

/** The next one's turn; where that fails, it comes with the end of the lease. */
async function release(calls: InnerCalls, key: Uint8Array): Promise<void> {
  try {
    await calls.delete(key);
  } catch (error) {
    if (!(error instanceof StatusError || error instanceof EtcdError)) throw error;
  }
}
