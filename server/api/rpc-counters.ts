import { exponentialBounds, Histogram } from '../base/histogram.ts';
import { Maintenance } from '../proto/gen/rpc.ts';
import type { Method } from '../proto/wire.ts';
import type { Call, Requests, Responses, StreamCall, UnaryCall } from './call.ts';
import { GrpcCode, toStatus } from './errors.ts';

/** Of one RPC, as go-grpc-prometheus counts them; the gateway's calls are among them, as in etcd. */
export interface RpcCounter {
  readonly method: Method<unknown, unknown>;
  started: number;
  received: number;
  sent: number;
  /** By code. */
  readonly handled: number[];
  /** Seconds; undefined unless wanted. */
  readonly seconds: Histogram | undefined;
  /** Seconds of those that ended well, of the long calls that etcd times by names of their own. */
  readonly longSeconds: Histogram | undefined;
}

/** With etcd's own bounds, in seconds. */
const longCalls: ReadonlyMap<string, readonly number[]> = new Map([
  [Maintenance.methods.snapshot.path, exponentialBounds(0.01, 2, 17)],
  [Maintenance.methods.defragment.path, exponentialBounds(0.1, 2, 13)],
  [Maintenance.methods.hash.path, exponentialBounds(0.01, 2, 15)],
  [Maintenance.methods.hashKV.path, exponentialBounds(0.01, 2, 15)],
]);

/** Clients choose the text: so many are told apart, the others are counted together. */
const clientVersionsMax = 100;
/** prometheus' own default buckets, in seconds. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Counts what goes through calls: plain numbers, read when someone asks for the metrics. */
export class RpcCounters {
  readonly #nowMs: () => number;
  readonly #hasSeconds: boolean;
  readonly #counters: RpcCounter[] = [];
  readonly #requests = {
    unary: new Map<string, number>(),
    stream: new Map<string, number>(),
  } as const;

  constructor(modules: { nowMs: () => number }, options: { hasSeconds: boolean }) {
    this.#nowMs = modules.nowMs;
    this.#hasSeconds = options.hasSeconds;
  }

  get counters(): readonly RpcCounter[] {
    return this.#counters;
  }

  /** How many requests came, by the API version that clients said; `unknown` where they said none. */
  get requests(): Readonly<Record<'unary' | 'stream', ReadonlyMap<string, number>>> {
    return this.#requests;
  }

  requested(kind: 'unary' | 'stream', version = 'unknown'): void {
    const requests = this.#requests[kind];
    const isTold = requests.size < clientVersionsMax || requests.has(version);
    const name = isTold ? version : 'other';
    requests.set(name, (requests.get(name) ?? 0) + 1);
  }

  /** The same call, counted. */
  count(call: Call): Call {
    const ownBounds = longCalls.get(call.method.path);
    const counter: RpcCounter = {
      method: call.method,
      started: 0,
      received: 0,
      sent: 0,
      handled: Array.from({ length: GrpcCode.UNAUTHENTICATED + 1 }, () => 0),
      seconds: this.#hasSeconds ? new Histogram(bounds) : undefined,
      longSeconds: ownBounds === undefined ? undefined : new Histogram(ownBounds),
    };
    this.#counters.push(counter);
    return call.kind === 'unary' ? this.#unary(call, counter) : this.#stream(call, counter);
  }

  #unary(call: UnaryCall, counter: RpcCounter): UnaryCall {
    return {
      ...call,
      run: (request, context) => {
        const startedMs = this.#begin(counter);
        counter.received++;
        const over = (error: unknown): void => this.#over(counter, startedMs, toStatus(error).code);
        let answered: Promise<unknown>;
        try {
          answered = call.run(request, context);
        } catch (error) {
          over(error);
          throw error;
        }
        answered.then(() => {
          counter.sent++;
          this.#over(counter, startedMs, GrpcCode.OK);
        }, over);
        return answered;
      },
    };
  }

  #stream(call: StreamCall, counter: RpcCounter): StreamCall {
    return {
      ...call,
      open: (responses, context) => {
        const startedMs = this.#begin(counter);
        const over = once((code) => this.#over(counter, startedMs, code));
        try {
          const counted = countedResponses(responses, { counter, over });
          return countedRequests(call.open(counted, context), { counter, over });
        } catch (error) {
          over(toStatus(error).code);
          throw error;
        }
      },
    };
  }

  /** Returns when it was, where that matters. */
  #begin(counter: RpcCounter): number {
    counter.started++;
    const isTimed = counter.seconds !== undefined || counter.longSeconds !== undefined;
    return isTimed ? this.#nowMs() : 0;
  }

  #over({ handled, seconds, longSeconds }: RpcCounter, startedMs: number, code: GrpcCode): void {
    handled[code] = (handled[code] ?? 0) + 1;
    seconds?.observe((this.#nowMs() - startedMs) / 1000);
    if (code === GrpcCode.OK) longSeconds?.observe((this.#nowMs() - startedMs) / 1000);
  }
}

interface Counting {
  readonly counter: RpcCounter;
  readonly over: (code: GrpcCode) => void;
}

function countedResponses(
  responses: Responses<unknown>,
  { counter, over }: Counting,
): Responses<unknown> {
  return {
    send: (response) => {
      counter.sent++;
      return responses.send(response);
    },
    end: () => {
      over(GrpcCode.OK);
      responses.end();
    },
    fail: (error) => {
      over(toStatus(error).code);
      responses.fail(error);
    },
  };
}

function countedRequests(
  requests: Requests<unknown>,
  { counter, over }: Counting,
): Requests<unknown> {
  return {
    next: (request) => {
      counter.received++;
      try {
        const done = requests.next(request);
        done?.catch((error: unknown) => over(toStatus(error).code));
        return done;
      } catch (error) {
        over(toStatus(error).code);
        throw error;
      }
    },
    halfClosed: () => requests.halfClosed(),
    drained: () => requests.drained(),
    closed: () => {
      // Nobody has ended it: the client went away.
      over(GrpcCode.CANCELLED);
      requests.closed();
    },
  };
}

function once(over: (code: GrpcCode) => void): (code: GrpcCode) => void {
  let isOver = false;
  return (code) => {
    if (isOver) return;
    isOver = true;
    over(code);
  };
}
