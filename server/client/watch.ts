import { setTimeout as pause } from 'node:timers/promises';
import { type ClientDuplexStream, status } from '@grpc/grpc-js';
import type { Event } from '../proto/gen/kv.ts';
import {
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
  Watch as WatchService,
} from '../proto/gen/rpc.ts';
import type { Endpoint } from './endpoint.ts';
import { ClientError, CompactedError } from './errors.ts';
import type { Keys } from './keys.ts';

export interface WatchOptions {
  /** 0, the default: from now on. */
  readonly startRevision?: number;
  readonly prevKv?: boolean;
  /** Also batches without events, now and then, that only say how far the watch is. */
  readonly progressNotify?: boolean;
  readonly signal?: AbortSignal;
}

/** Everything that happened to the watched keys up to `revision`, after the batch before. */
export interface WatchBatch {
  readonly revision: number;
  /** Never part of a revision. Empty: only progress. */
  readonly events: Event[];
}

export interface WatchSource {
  readonly keys: Keys;
  /** The endpoint to ask; after one that failed. */
  next(failed?: Endpoint): Endpoint;
  /** How long connecting may take. */
  readonly timeoutMs: number;
}

const backoffMs = 200;

/**
 * Iterate once. When the connection or the member fails the watch goes on elsewhere, where it left off. Throws a
 * {@link CompactedError} when the history it needs is gone, and ends when it is cancelled.
 */
export class Watch implements AsyncIterable<WatchBatch> {
  readonly #source: WatchSource;
  readonly #options: WatchOptions;
  #startRevision: number;
  #stream: ClientDuplexStream<WatchRequest, WatchResponse> | undefined;
  #isCancelled = false;

  constructor(source: WatchSource, options: WatchOptions) {
    this.#source = source;
    this.#options = options;
    this.#startRevision = options.startRevision ?? 0;
    options.signal?.addEventListener('abort', () => {
      this.cancel();
    });
    if (options.signal?.aborted === true) this.cancel();
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#stream?.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchBatch, void, void> {
    let endpoint = this.#source.next();
    while (!this.#isCancelled) {
      try {
        yield* this.#follow(endpoint);
      } catch (error) {
        if (this.#isOver()) return;
        if (error instanceof CompactedError) throw error;
        const failure = endpoint.failure(error);
        if (!isPassing(failure)) throw failure;
        await pause(backoffMs * Math.random());
      }
      endpoint = this.#source.next(endpoint);
    }
  }

  async *#follow(endpoint: Endpoint): AsyncGenerator<WatchBatch, void, void> {
    const { timeoutMs, keys } = this.#source;
    const options = { timeoutMs, requiresLeader: true };
    const stream = await endpoint.stream(WatchService.methods.watch, options);
    this.#stream = stream;
    try {
      if (this.#isCancelled) return;
      stream.write(createRequest(keys, this.#options, this.#startRevision));
      for await (const response of stream as AsyncIterable<WatchResponse>) {
        const batch = this.#batch(response, endpoint);
        if (batch !== undefined) yield batch;
      }
    } finally {
      // Late errors of a stream that no one reads any more.
      stream.on('error', () => {});
      stream.cancel();
    }
  }

  #batch(response: WatchResponse, endpoint: Endpoint): WatchBatch | undefined {
    const { header, events, created, canceled, compactRevision, cancelReason } = response;
    if (canceled) {
      if (compactRevision > 0) throw new CompactedError(compactRevision);
      throw refused(cancelReason, endpoint);
    }
    const headerRevision = header?.revision ?? 0;
    if (created) {
      if (this.#startRevision === 0) this.#startRevision = headerRevision + 1;
      return undefined;
    }
    // While catching up the header is ahead of the events.
    const revision = events.at(-1)?.kv?.modRevision ?? headerRevision;
    if (revision < this.#startRevision) return undefined;
    this.#startRevision = revision + 1;
    return { revision, events };
  }

  #isOver(): boolean {
    return this.#isCancelled;
  }
}

function createRequest(keys: Keys, options: WatchOptions, startRevision: number): WatchRequest {
  const { prevKv = false, progressNotify = false } = options;
  const value = WatchCreateRequest.create({ ...keys, startRevision, prevKv, progressNotify });
  return { requestUnion: { kind: 'createRequest', value } };
}

function refused(reason: string, { url }: Endpoint): ClientError {
  const text = reason === '' ? 'the server cancelled the watch' : reason;
  return new ClientError({
    code: status.FAILED_PRECONDITION,
    text,
    endpoint: url,
    isUncertain: false,
  });
}

/** Failures of this member rather than of this watch. */
function isPassing({ code, text }: ClientError): boolean {
  return (
    code === status.UNAVAILABLE ||
    code === status.CANCELLED ||
    code === status.DEADLINE_EXCEEDED ||
    code === status.INTERNAL ||
    text === 'etcdserver: rpc not supported for learner'
  );
}
