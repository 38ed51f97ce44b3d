import { type ClientDuplexStream, type ClientReadableStream, status } from '@grpc/grpc-js';
import type { Method } from '../proto/wire.ts';
import { orAborted, pause, throwIfAborted } from './abort.ts';
import type { Endpoint, SendOptions } from './endpoint.ts';
import type { Endpoints } from './endpoints.ts';
import { ClientError } from './errors.ts';
import { etcdTexts } from './etcd-texts.ts';
import { blamesMember, mayRetry, needsNewToken, type Repeat } from './retry.ts';
import type { Tokens } from './tokens.ts';

/** What every call takes. */
export interface CallOptions {
  /** How long the call may take, every attempt included; the client's `timeoutMs` by default. */
  readonly timeoutMs?: number | undefined;
  /** Ends the call, which then rejects with the signal's reason. A write may have taken effect all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** How a call is made. */
export interface Attempt {
  readonly repeat: Repeat;
  /** A member without a leader is to refuse at once, which is a safe refusal: another one is asked. */
  readonly requiresLeader?: boolean;
  /** Only this one is asked. */
  readonly endpoint?: Endpoint | undefined;
}

export const read: Attempt = { repeat: 'harmless', requiresLeader: true };
/** Answered by the member that is asked, from what it has. */
export const localRead: Attempt = { repeat: 'harmless' };
export const write: Attempt = { repeat: 'never', requiresLeader: true };
/** A write that may be done twice. */
export const idempotentWrite: Attempt = { repeat: 'harmless', requiresLeader: true };

export interface CallsOptions {
  readonly timeoutMs: number;
  readonly tokens?: Tokens | undefined;
}

/** Something that ends with the client. */
interface Closable {
  close(): void;
}

const backoffMsMin = 25;
const backoffMsMax = 500;
/** What a call that may be repeated waits for one member, before it asks the next. */
const attemptMsMin = 1_000;
/** Tokens in a row that one call lets a server refuse. */
const tokensRefusedMax = 3;

/** Makes calls: picks the member, sends the user's token, fails over and repeats where that is safe. */
export class Calls {
  readonly endpoints: Endpoints;
  readonly timeoutMs: number;
  readonly #tokens: Tokens | undefined;
  readonly #closed = new AbortController();
  readonly #closables = new Set<Closable>();

  constructor(endpoints: Endpoints, { timeoutMs, tokens }: CallsOptions) {
    this.endpoints = endpoints;
    this.timeoutMs = timeoutMs;
    this.#tokens = tokens;
  }

  /** Aborted when the client is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** `closable` is closed with the client, unless it ends before: then call the result. */
  closeWithClient(closable: Closable): () => void {
    this.closed.throwIfAborted();
    this.#closables.add(closable);
    return () => {
      this.#closables.delete(closable);
    };
  }

  close(): void {
    const text = 'the client is closed';
    const reason = { code: status.CANCELLED, text, endpoint: '', isUncertain: true };
    this.#closed.abort(new ClientError(reason));
    for (const closable of this.#closables) closable.close();
    this.endpoints.close();
  }

  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    attempt: Attempt,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.attempt(attempt, options, (endpoint, how) => endpoint.unary(method, request, how));
  }

  /** Tries one endpoint after the other, as long as there is time and another try is safe. */
  async attempt<T>(
    { repeat, endpoint, requiresLeader }: Attempt,
    { timeoutMs = this.timeoutMs, signal }: CallOptions,
    run: (endpoint: Endpoint, how: SendOptions) => Promise<T>,
  ): Promise<T> {
    const stops = [signal, this.closed];
    const deadline = performance.now() + timeoutMs;
    let backoffMs = backoffMsMin;
    let tokensRefused = 0;
    for (let tries = 1; ; tries++) {
      throwIfAborted(stops);
      const asked = endpoint ?? this.endpoints.next();
      const leftMs = deadline - performance.now();
      const attemptMs = repeat === 'harmless' ? this.#attemptMs(leftMs, timeoutMs) : leftMs;
      const how = { timeoutMs: attemptMs, signal, requiresLeader };
      try {
        const result = await orAborted(this.#withToken(asked, how, run), [signal]);
        this.endpoints.succeeded(asked);
        return result;
      } catch (error) {
        throwIfAborted(stops);
        const failure = asked.failure(error);
        if (blamesMember(failure) && failure.endpoint === asked.url) this.endpoints.failed(asked);
        const isNewToken = this.#tokens !== undefined && needsNewToken(failure);
        if (isNewToken && tokensRefused++ === 0) continue;
        const isOver =
          performance.now() + backoffMs >= deadline || tokensRefused > tokensRefusedMax;
        if (isOver || !(isNewToken || mayRetry(failure, repeat))) throw failure;
      }
      if (endpoint === undefined && tries % this.endpoints.all.length !== 0) continue;
      await pause(backoffMs * (0.5 + Math.random() / 2), stops);
      backoffMs = Math.min(2 * backoffMs, backoffMsMax);
    }
  }

  /** Opens a stream at one endpoint. `timeoutMs` is for connecting. */
  stream<Request, Response>(
    method: Method<Request, Response>,
    endpoint: Endpoint,
    options: SendOptions,
  ): Promise<ClientDuplexStream<Request, Response>> {
    const open = (at: Endpoint, how: SendOptions) => at.stream(method, how);
    return orAborted(this.#withToken(endpoint, options, open), [options.signal]);
  }

  serverStream<Request, Response>(
    method: Method<Request, Response>,
    { request, endpoint }: { request: Request; endpoint: Endpoint },
    options: SendOptions,
  ): Promise<ClientReadableStream<Response>> {
    const open = (at: Endpoint, how: SendOptions) => at.serverStream(method, request, how);
    return orAborted(this.#withToken(endpoint, options, open), [options.signal]);
  }

  /** Runs with the user's token, which is forgotten when it is refused. */
  async #withToken<T>(
    endpoint: Endpoint,
    how: SendOptions,
    run: (endpoint: Endpoint, how: SendOptions) => Promise<T>,
  ): Promise<T> {
    if (this.#tokens === undefined) return run(endpoint, how);
    const start = performance.now();
    const token = await this.#token(this.#tokens, endpoint, how);
    const timeoutMs = Math.max(1, how.timeoutMs - (performance.now() - start));
    try {
      return await run(endpoint, { ...how, timeoutMs, token });
    } catch (error) {
      if (needsNewToken(endpoint.failure(error))) this.#tokens.forget(token);
      throw error;
    }
  }

  /** A learner takes the tokens of others and gives none: another member is asked for one. */
  async #token(tokens: Tokens, endpoint: Endpoint, how: SendOptions): Promise<string> {
    try {
      return await tokens.current(endpoint, how);
    } catch (error) {
      const isLearner = endpoint.failure(error).text === etcdTexts.notSupportedForLearner;
      const others = isLearner ? this.endpoints.all.filter((each) => each !== endpoint) : [];
      for (const other of others) {
        try {
          return await tokens.current(other, how);
        } catch {
          // The next may; if none does, what the learner said is the answer.
        }
      }
      throw error;
    }
  }

  /** Takes note of how a stream ended. Whether a new token may help, which is then asked for. */
  streamFailed(endpoint: Endpoint, failure: ClientError): boolean {
    if (blamesMember(failure)) this.endpoints.failed(endpoint);
    if (this.#tokens === undefined || !needsNewToken(failure)) return false;
    this.#tokens.forget();
    return true;
  }

  /** A member that hangs must not use up the time that others could answer in. */
  #attemptMs(leftMs: number, timeoutMs: number): number {
    return Math.min(leftMs, Math.max(attemptMsMin, timeoutMs / this.endpoints.all.length));
  }
}
