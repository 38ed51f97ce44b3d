import { EtcdError } from '../base/errors.ts';
import {
  expensiveKeysMin,
  expensiveWaitingBytesMax,
  expensiveWaitingMax,
  expensiveWaitingOfOneMax,
} from '../config/limits.ts';
import { hasFilters, isKeyOrder } from '../mvcc/range.ts';
import type { DeleteRangeRequest, RangeRequest, TxnRequest } from '../proto/gen/rpc.ts';
import type { CallContext } from './call.ts';
import { StatusError } from './errors.ts';
import { FairQueue } from './fair-queue.ts';
import type { MemberPort } from './member-port.ts';

const retryAfterMs = 1_000;

export interface Expensive {
  /** Who takes turns with the others. */
  readonly owner: string;
  readonly context: CallContext;
  /** Of the request, which is kept while it waits. */
  readonly heldBytes: number;
}

/** Lets a few expensive requests run at once; the others wait apart from small ones, which never wait for them. */
export class ExpensiveRequests {
  /** Since the process began. */
  readonly counters = { queued: 0, refused: 0 };
  readonly #queue: FairQueue;
  /** Of requests that wait. */
  #heldBytes = 0;

  constructor({ atOnceMax }: { readonly atOnceMax: number }) {
    this.#queue = new FairQueue({
      atOnceMax,
      waitingMax: expensiveWaitingMax,
      waitingOfOneMax: expensiveWaitingOfOneMax,
    });
  }

  get running(): number {
    return this.#queue.running;
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  /** Rejects with RESOURCE_EXHAUSTED when too many wait. */
  run<T>({ owner, context, heldBytes }: Expensive, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#heldBytes + heldBytes > expensiveWaitingBytesMax) return reject(this.#refuse());
      this.#heldBytes += heldBytes;
      let isWaiting = true;
      const endWait = (): void => {
        isWaiting = false;
        this.#heldBytes -= heldBytes;
      };
      const isTaken = this.#queue.enter(owner, {
        isOver: () => context.isOver?.() === true,
        start: () => {
          endWait();
          const leave = (): void => this.#queue.leave();
          // What throws at once leaves its place too.
          const running = (async () => work())();
          running.then(leave, leave);
          resolve(running);
        },
        drop: () => {
          endWait();
          reject(new EtcdError('RequestCanceled'));
        },
      });
      if (isTaken) {
        if (isWaiting) this.counters.queued++;
        return;
      }
      endWait();
      reject(this.#refuse());
    });
  }

  #refuse(): StatusError {
    this.counters.refused++;
    return new StatusError(
      'RESOURCE_EXHAUSTED',
      `mainstay: too many requests for many keys wait already; retry in ${retryAfterMs} ms`,
      { retryAfterMs },
    );
  }
}

/** By what the index of keys knows at once: how many keys it would have to read. */
export function isExpensiveRange(port: MemberPort, request: RangeRequest): boolean {
  return keysRead(port, request) > expensiveKeysMin;
}

export function isExpensiveDeletion(port: MemberPort, request: DeleteRangeRequest): boolean {
  return port.keyCount(request.key, request.rangeEnd) > expensiveKeysMin;
}

/** By all that it may read, write or compare in either branch. */
export function isExpensiveTxn(port: MemberPort, request: TxnRequest): boolean {
  return keysOfTxn(port, request) > expensiveKeysMin;
}

function keysRead(port: MemberPort, request: RangeRequest): number {
  const { key, rangeEnd, limit, countOnly } = request;
  if (rangeEnd.length === 0) return 1;
  if (countOnly) return 0;
  const keyCount = port.keyCount(key, rangeEnd);
  const isCut = limit > 0 && isKeyOrder(request) && !hasFilters(request);
  return isCut ? Math.min(limit, keyCount) : keyCount;
}

function keysOfTxn(port: MemberPort, { compare, success, failure }: TxnRequest): number {
  let keys = 0;
  for (const each of compare) {
    keys += each.rangeEnd.length === 0 ? 1 : port.keyCount(each.key, each.rangeEnd);
  }
  for (const { request } of [...success, ...failure]) {
    if (request?.kind === 'requestRange') keys += keysRead(port, request.value);
    else if (request?.kind === 'requestTxn') keys += keysOfTxn(port, request.value);
    else if (request?.kind === 'requestDeleteRange') {
      keys += port.keyCount(request.value.key, request.value.rangeEnd);
    } else keys++;
  }
  return keys;
}
