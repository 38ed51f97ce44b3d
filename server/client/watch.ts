import { type ClientDuplexStream, status } from '@grpc/grpc-js';
import type { Event, KeyValue } from '../proto/gen/kv.ts';
import {
  FilterType,
  ResponseHeader,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
  Watch as WatchService,
} from '../proto/gen/rpc.ts';
import { pause, whenAborted } from './abort.ts';
import type { Calls } from './calls.ts';
import type { Endpoint } from './endpoint.ts';
import { type ClientError, CompactedError, failureOf } from './errors.ts';
import type { Keys } from './keys.ts';
import type { Prefix } from './prefix.ts';
import { isPassing } from './retry.ts';

export interface WatchOptions {
  /** 0, the default: from now on. */
  readonly startRevision?: number | undefined;
  /** Each event also has the key as it was before. */
  readonly prevKv?: boolean | undefined;
  /** Also batches without events, now and then, that only say how far the watch is. */
  readonly progressNotify?: boolean | undefined;
  /** Leave out what puts, or deletes, do. */
  readonly without?: 'puts' | 'deletes' | undefined;
  /**
   * Whether a large response comes in parts, true by default. A batch never ends within a revision all the same, and no
   * more than one revision is held back.
   */
  readonly fragment?: boolean | undefined;
  /** Whether a member that sees no leader is left for another one, true by default. */
  readonly requiresLeader?: boolean | undefined;
  /** Ends the watch. */
  readonly signal?: AbortSignal | undefined;
}

/** A put or a delete. `kv` of a delete has only the key and, as `modRevision`, when it was deleted. */
export type WatchEvent = Event & { kv: KeyValue };

/** Everything that happened to the watched keys up to `revision`, after the batch before. */
export interface WatchBatch {
  readonly revision: number;
  /** Of the answer that brought it; of the last one, where it took several. */
  readonly header: ResponseHeader;
  /** Never part of a revision. Empty: only progress. */
  readonly events: WatchEvent[];
}

export interface WatchTarget {
  readonly keys: Keys;
  /** Taken off the keys of the events. */
  readonly prefix: Prefix;
}

/** One Watch call that the server has confirmed. */
interface Feed {
  readonly endpoint: Endpoint;
  readonly stream: ClientDuplexStream<WatchRequest, WatchResponse>;
  readonly responses: AsyncIterator<WatchResponse>;
}

const backoffMsMin = 50;
const backoffMsMax = 2_000;

/**
 * Iterate once. When the connection or the member fails the watch goes on elsewhere, where it left off, for as long as it
 * takes. Throws a {@link CompactedError} when the history it needs is gone, and ends when it is cancelled or the client
 * closed. While the reader is slow nothing is read from the connection beyond a few responses: the server waits.
 */
export class Watch implements AsyncIterable<WatchBatch> {
  readonly #calls: Calls;
  readonly #target: WatchTarget;
  readonly #options: WatchOptions;
  readonly #stop = new AbortController();
  readonly #cancel = () => {
    this.cancel();
  };
  /** The first revision that was not delivered; 0: from now on. */
  #startRevision: number;
  #opening: Promise<Feed> | undefined;
  /** Events of a revision of which more may come in the next fragment. */
  #held: Event[] = [];
  #backoffMs = backoffMsMin;
  #release: (() => void) | undefined;

  constructor(calls: Calls, target: WatchTarget, options: WatchOptions) {
    this.#calls = calls;
    this.#target = target;
    this.#options = options;
    this.#startRevision = options.startRevision ?? 0;
    if (options.signal?.aborted === true) this.cancel();
  }

  /** Ends the iteration, and the call at the server. */
  cancel(): void {
    this.#stop.abort();
  }

  /**
   * Resolves when the server has the watch, with the first revision that it can deliver: what is written from then on is
   * not missed. The watch begins with this or with the iteration.
   */
  async started(): Promise<number> {
    await this.#feed();
    return this.#startRevision;
  }

  /**
   * Asks the server to say how far the watch is, in a batch without events: every event up to its revision came before.
   * The server keeps silent while it is catching up, and nothing is asked while the watch is changing members: ask again.
   */
  async requestProgress(): Promise<void> {
    const { stream } = await this.#feed();
    const value = {};
    stream.write({ requestUnion: { kind: 'progressRequest', value } });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchBatch, void, void> {
    try {
      while (!this.#isOver()) yield* this.#follow();
    } catch (error) {
      if (!this.#isOver()) throw error;
    } finally {
      this.cancel();
      this.#release?.();
    }
  }

  /** From one confirmed call until it fails. */
  async *#follow(): AsyncGenerator<WatchBatch, void, void> {
    const feed = await this.#feed();
    try {
      for (;;) {
        const { value, done } = await feed.responses.next();
        if (done === true) throw ended(feed.endpoint);
        const batch = this.#batch(value, feed.endpoint);
        if (batch !== undefined) yield batch;
      }
    } catch (error) {
      await this.#passed(error, feed.endpoint);
    } finally {
      this.#opening = undefined;
      this.#held = [];
      feed.stream.cancel();
    }
  }

  #feed(): Promise<Feed> {
    this.#begin();
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Until then the client knows nothing of the watch, so that one that is never used leaves nothing behind. */
  #begin(): void {
    if (this.#release !== undefined) return;
    const { signal } = this.#options;
    const forget = this.#calls.closeWithClient({ close: this.#cancel });
    if (signal !== undefined) whenAborted(signal, this.#cancel);
    this.#release = () => {
      forget();
      signal?.removeEventListener('abort', this.#cancel);
    };
  }

  async #open(): Promise<Feed> {
    for (;;) {
      this.#stop.signal.throwIfAborted();
      const endpoint = this.#calls.endpoints.next();
      try {
        return await this.#openAt(endpoint);
      } catch (error) {
        await this.#passed(error, endpoint);
      }
    }
  }

  async #openAt(endpoint: Endpoint): Promise<Feed> {
    const { requiresLeader = true } = this.#options;
    const { timeoutMs } = this.#calls;
    const how = { timeoutMs, requiresLeader, signal: this.#stop.signal };
    const stream = await this.#calls.stream(WatchService.methods.watch, endpoint, how);
    try {
      stream.write(this.#createRequest());
      const responses = (stream as AsyncIterable<WatchResponse>)[Symbol.asyncIterator]();
      const { value, done } = await responses.next();
      if (done === true) throw ended(endpoint);
      throwIfCancelled(value, endpoint);
      if (this.#startRevision === 0) this.#startRevision = (value.header?.revision ?? 0) + 1;
      this.#calls.endpoints.succeeded(endpoint);
      this.#backoffMs = backoffMsMin;
      return { endpoint, stream, responses };
    } catch (error) {
      stream.cancel();
      throw error;
    }
  }

  /** Waits a while after a failure that goes by; throws it when it does not. */
  async #passed(error: unknown, endpoint: Endpoint): Promise<void> {
    this.#stop.signal.throwIfAborted();
    if (error instanceof CompactedError) throw error;
    const failure = endpoint.failure(error);
    const isNewToken = this.#calls.streamFailed(endpoint, failure);
    if (!isNewToken && !goesBy(failure)) throw failure;
    await pause(this.#backoffMs * (0.5 + Math.random() / 2), [this.#stop.signal]);
    this.#backoffMs = Math.min(2 * this.#backoffMs, backoffMsMax);
  }

  #batch(response: WatchResponse, endpoint: Endpoint): WatchBatch | undefined {
    throwIfCancelled(response, endpoint);
    if (response.created) return undefined;
    if (response.events.length === 0 && this.#held.length === 0) return this.#progress(response);
    const isNew = (event: Event): event is WatchEvent =>
      (event.kv?.modRevision ?? 0) >= this.#startRevision;
    const events = this.#whole(response).filter(isNew);
    const header = response.header ?? ResponseHeader.create();
    const revision = events.at(-1)?.kv.modRevision;
    if (revision === undefined) return undefined;
    this.#startRevision = revision + 1;
    this.#target.prefix.ofEvents(events);
    return { revision, header, events };
  }

  /** Also that nothing is new, for those who have asked. */
  #progress({ header }: WatchResponse): WatchBatch | undefined {
    if (header === undefined) return undefined;
    const { revision } = header;
    if (revision < this.#startRevision - 1) return undefined;
    this.#startRevision = revision + 1;
    return { revision, header, events: [] };
  }

  /** The events of revisions that are complete; what else there is waits for the next fragment. */
  #whole({ events: received, fragment }: WatchResponse): Event[] {
    const events = this.#held.length === 0 ? received : [...this.#held, ...received];
    this.#held = [];
    if (!fragment) return events;
    const last = events.at(-1)?.kv?.modRevision;
    const cut = events.findIndex(({ kv }) => kv?.modRevision === last);
    this.#held = events.slice(cut);
    return events.slice(0, cut);
  }

  #createRequest(): WatchRequest {
    const { prevKv = false, progressNotify = false, fragment = true, without } = this.#options;
    const filters =
      without === undefined ? [] : [without === 'puts' ? FilterType.NOPUT : FilterType.NODELETE];
    const value = WatchCreateRequest.create({
      ...this.#target.keys,
      startRevision: this.#startRevision,
      prevKv,
      progressNotify,
      fragment,
      filters,
    });
    return { requestUnion: { kind: 'createRequest', value } };
  }

  #isOver(): boolean {
    return this.#stop.signal.aborted;
  }
}

function throwIfCancelled(response: WatchResponse, { url }: Endpoint): void {
  const { canceled, compactRevision, cancelReason } = response;
  if (!canceled) return;
  if (compactRevision > 0) throw new CompactedError(compactRevision);
  throw failureOf(endingOf(cancelReason), url);
}

/** A reason is a text of etcd's, or a whole gRPC status as Go prints it. */
function endingOf(reason: string): { code: number; text: string } {
  const [, name = '', described] = /^rpc error: code = (\w+) desc = (.*)$/s.exec(reason) ?? [];
  if (described !== undefined) return { code: codeOf(name), text: described };
  const text = reason === '' ? 'the server cancelled the watch' : reason;
  return { code: status.FAILED_PRECONDITION, text };
}

/** grpc-go writes `PermissionDenied` where the specification has PERMISSION_DENIED. */
function codeOf(goName: string): number {
  const name = goName.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();
  return (Object.entries(status).find(([each]) => each === name)?.[1] as number) ?? status.UNKNOWN;
}

/** The server has ended the call as if all were done: it is going away. */
function ended({ url }: Endpoint): ClientError {
  return failureOf({ code: status.UNAVAILABLE, text: 'the server ended the watch' }, url);
}

/** Failures of this member rather than of this watch. */
function goesBy(failure: ClientError): boolean {
  const { code } = failure;
  return isPassing(failure) || code === status.CANCELLED || code === status.INTERNAL;
}
