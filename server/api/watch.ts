import { EtcdError } from '../base/errors.ts';
import { timerMsMax } from '../config/limits.ts';
import {
  Watch,
  type WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../proto/gen/rpc.ts';
import type { Call, CallContext, Requests, Responses } from './call.ts';
import { goText, statusOf } from './errors.ts';
import type { Gate } from './gate.ts';
import type { MemberPort, WatchSink, WatchStream } from './member-port.ts';
import { fragments } from './watch-fragments.ts';

export interface WatchOptions {
  readonly watchersPerStreamMax: number;
  /** A response that is not smaller is split for a watcher that asked for fragments. */
  readonly fragmentBytesMax: number;
  readonly progressNotifyMs: number;
}

export function watchCalls(
  modules: { port: MemberPort; gate: Gate },
  options: WatchOptions,
): Call[] {
  const { gate } = modules;
  return [
    gate.stream(
      Watch.methods.watch,
      'observes',
      (responses, context) => new WatchSession(modules, { responses, context, options }),
      { authorizes: 'service' },
    ),
  ];
}

interface WatchCall {
  readonly responses: Responses<WatchResponse>;
  readonly context: CallContext;
  readonly options: WatchOptions;
}

/** One Watch call: the member's watchers on one side, the client's requests and responses on the other. */
class WatchSession implements Requests<WatchRequest>, WatchSink {
  readonly #port: MemberPort;
  readonly #gate: Gate;
  readonly #call: WatchCall;
  readonly #stream: WatchStream;
  /** Watchers that asked for fragments. */
  readonly #fragmented = new Set<bigint>();
  #wantsFragments = false;
  #isClosed = false;
  #isFull = false;
  #readNext: (() => void) | undefined;
  #progressTimer: NodeJS.Timeout | undefined;

  constructor(modules: { port: MemberPort; gate: Gate }, call: WatchCall) {
    this.#port = modules.port;
    this.#gate = modules.gate;
    this.#call = call;
    this.#stream = this.#port.openWatchStream(this);
  }

  /** While the client does not read, its requests, each of which has an answer, wait too. */
  next(request: WatchRequest): void | Promise<void> {
    const obeyed = this.#obey(request);
    if (obeyed !== undefined) return obeyed.then(() => this.#roomForAnswers());
    return this.#roomForAnswers();
  }

  #roomForAnswers(): void | Promise<void> {
    if (!this.#isFull) return;
    return new Promise((resolve) => {
      this.#readNext = resolve;
    });
  }

  send(response: WatchResponse): boolean {
    this.#fillHeader(response);
    if (response.created) this.#created(response);
    else if (response.canceled) this.#fragmented.delete(response.watchId);
    if (this.#fragmented.size > 0 && this.#fragmented.has(response.watchId)) {
      for (const part of fragments(response, this.#call.options.fragmentBytesMax)) this.#emit(part);
    } else {
      this.#emit(response);
    }
    return !this.#isFull;
  }

  /** A client that has sent all its requests goes on receiving events, as with etcd. */
  halfClosed(): void {}

  drained(): void {
    this.#isFull = false;
    this.#stream.drained();
    const readNext = this.#readNext;
    this.#readNext = undefined;
    readNext?.();
  }

  closed(): void {
    this.#isClosed = true;
    clearInterval(this.#progressTimer);
    this.#stream.close();
  }

  #emit(response: WatchResponse): void {
    if (!this.#call.responses.send(response)) this.#isFull = true;
  }

  /** Only creating a watcher asks for a right; until that is clear, the next request waits. */
  #obey(request: WatchRequest): void | Promise<void> {
    const { requestUnion } = request;
    switch (requestUnion?.kind) {
      case 'createRequest':
        return this.#create(request, requestUnion.value);
      case 'cancelRequest':
        return this.#stream.cancel(requestUnion.value.watchId);
      case 'progressRequest':
        return this.#stream.progress();
      case undefined:
    }
  }

  #create(request: WatchRequest, wanted: WatchCreateRequest): void | Promise<void> {
    if (this.#stream.size >= this.#call.options.watchersPerStreamMax) {
      return this.#stream.refuse(statusOf('TooManyRequests').message);
    }
    // A revision that no watcher can have is told before anything else.
    const isPossible = wanted.startRevision >= 0;
    const permission = isPossible
      ? this.#gate.authorize(Watch.methods.watch, request, this.#call.context)
      : undefined;
    if (permission === undefined) return this.#createPermitted(wanted);
    return permission.then(
      () => {
        if (!this.#isClosed) this.#createPermitted(wanted);
      },
      (error: unknown) => {
        if (!this.#isClosed) this.#stream.refuse(refusal(error));
      },
    );
  }

  #createPermitted(wanted: WatchCreateRequest): void {
    if (wanted.progressNotify) this.#notifyProgress();
    this.#wantsFragments = wanted.fragment;
    this.#stream.create(wanted);
    this.#wantsFragments = false;
  }

  /** A tenth later at random, so that a server's streams do not all speak at once. */
  #notifyProgress(): void {
    const { progressNotifyMs } = this.#call.options;
    const intervalMs = Math.min(timerMsMax, progressNotifyMs * (1 + Math.random() / 10));
    this.#progressTimer ??= setInterval(() => this.#stream.notifyProgress(), intervalMs);
  }

  #created(response: WatchResponse): void {
    if (this.#wantsFragments && !response.canceled) this.#fragmented.add(response.watchId);
  }

  /** The revision, 0 included, is the member's to say. */
  #fillHeader(response: WatchResponse): void {
    const { clusterId, memberId } = this.#port;
    const revision = response.header?.revision ?? 0;
    const raftTerm = this.#port.raftStatus().term;
    response.header = { clusterId, memberId, revision, raftTerm };
  }
}

/** What ends the creation of a watcher; what has nothing to do with rights ends the stream. */
function refusal(error: unknown): string {
  if (!(error instanceof EtcdError)) throw error;
  switch (error.error) {
    case 'InvalidAuthToken':
    case 'AuthOldRevision':
    case 'UserEmpty':
    case 'PermissionDenied':
      return goText(statusOf(error.error));
    default:
      throw error;
  }
}
