import { toBase64 } from './bytes.ts';

// The JSON gateway, etcd's or ours: all that this page knows of a store comes from here and from /metrics.

/** Numbers of 64 bits come as strings; what is 0, false or empty is left out. */
export interface Header {
  readonly cluster_id?: string;
  readonly member_id?: string;
  readonly revision?: string;
  readonly raft_term?: string;
}

export interface KeyValue {
  readonly key?: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly version?: string;
  readonly lease?: string;
}

export interface RangeAnswer {
  readonly header?: Header;
  readonly kvs?: readonly KeyValue[];
  readonly more?: boolean;
  readonly count?: string;
}

export interface WatchEvent {
  /** Left out: a put. */
  readonly type?: 'PUT' | 'DELETE';
  readonly kv?: KeyValue;
}

export interface WatchAnswer {
  readonly header?: Header;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compact_revision?: string;
  readonly cancel_reason?: string;
  readonly events?: readonly WatchEvent[];
}

export interface KeyRange {
  readonly key: Uint8Array;
  /** Left out: the one key. */
  readonly end?: Uint8Array;
}

/** What the store answered in place of what was asked for; `code` is that of gRPC, -1 where there is none. */
export class GatewayError extends Error {
  override name = 'GatewayError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }

  get isDenied(): boolean {
    return this.code === denied;
  }

  get isCompacted(): boolean {
    return this.message.includes('has been compacted');
  }

  /** The store does not know who asks, or not any more. */
  get needsLogin(): boolean {
    return this.code === unauthenticated || loginTexts.some((text) => this.message.includes(text));
  }
}

const denied = 7;
const unauthenticated = 16;
const loginTexts = ['user name is empty', 'revision of auth store is old'];
const callMsMax = 15_000;

export class Gateway {
  readonly #base: URL;
  /** Kept here alone: it is gone with the page. */
  #token: string | undefined;
  #user: string | undefined;
  /** Called when the store asks who we are. */
  onLoginNeeded: (isOver: boolean) => void = () => undefined;

  /** `base` is where `v3/` and `metrics` are. */
  constructor(base: URL) {
    this.#base = base;
  }

  get user(): string | undefined {
    return this.#user;
  }

  async call<Answer>(path: string, request: object = {}): Promise<Answer> {
    const response = await this.#post(path, request, AbortSignal.timeout(callMsMax));
    const answer = (await response.json()) as Answer;
    return answer;
  }

  range(
    { key, end }: KeyRange,
    options: Readonly<Record<string, unknown>> = {},
  ): Promise<RangeAnswer> {
    return this.call('kv/range', { ...rangeFields({ key, ...(end && { end }) }), ...options });
  }

  async login(name: string, password: string): Promise<void> {
    this.logout();
    const { token } = await this.call<{ token?: string }>('auth/authenticate', { name, password });
    this.#token = token;
    this.#user = name;
  }

  logout(): void {
    this.#token = undefined;
    this.#user = undefined;
  }

  /** Prometheus' text. */
  async metrics(): Promise<string> {
    const url = new URL('metrics', this.#base);
    const response = await fetch(url, { signal: AbortSignal.timeout(callMsMax) });
    if (!response.ok) throw new GatewayError(-1, `/metrics answers ${response.status}`);
    return response.text();
  }

  /** Every answer of one watch, until the signal or the store ends it. */
  async *watch(
    range: KeyRange,
    options: { readonly startRevision?: number | undefined; readonly signal: AbortSignal },
  ): AsyncGenerator<WatchAnswer, void, undefined> {
    const { startRevision = 0, signal } = options;
    const create_request = { ...rangeFields(range), start_revision: String(startRevision) };
    const response = await this.#post('watch', { create_request }, signal);
    for await (const line of linesOf(response)) {
      const { result, error } = JSON.parse(line) as { result?: WatchAnswer; error?: ErrorBody };
      if (error !== undefined) throw this.#failure(error, this.#token);
      if (result !== undefined) yield result;
    }
  }

  async #post(path: string, request: object, signal: AbortSignal): Promise<Response> {
    const token = this.#token;
    let response: Response;
    try {
      response = await fetch(new URL(`v3/${path}`, this.#base), {
        method: 'POST',
        body: JSON.stringify(request),
        headers: token === undefined ? {} : { Authorization: token },
        signal,
      });
    } catch (error) {
      if (
        signal.aborted &&
        signal.reason instanceof DOMException &&
        signal.reason.name === 'TimeoutError'
      ) {
        throw new GatewayError(-1, `no answer within ${callMsMax / 1000} s`);
      }
      if (signal.aborted) throw error;
      throw new GatewayError(-1, 'the store cannot be reached');
    }
    if (response.ok) return response;
    const text = await response.text();
    throw this.#failure(
      parsedError(text) ?? { message: text.trim() || `HTTP ${response.status}` },
      token,
    );
  }

  #failure(body: ErrorBody, token: string | undefined): GatewayError {
    const error = new GatewayError(
      body.code ?? body.grpc_code ?? -1,
      body.message ?? body.error ?? 'an error without a text',
    );
    // An answer to an old token says nothing about the present one.
    if (error.needsLogin && token === this.#token) {
      this.logout();
      this.onLoginNeeded(token !== undefined);
    }
    return error;
  }
}

/** Of a call, and of a stream. */
interface ErrorBody {
  readonly code?: number;
  readonly grpc_code?: number;
  readonly message?: string;
  readonly error?: string;
}

function parsedError(text: string): ErrorBody | undefined {
  try {
    return JSON.parse(text) as ErrorBody;
  } catch {
    return undefined;
  }
}

function rangeFields({ key, end }: KeyRange): Readonly<Record<string, string>> {
  return { key: toBase64(key), ...(end === undefined ? {} : { range_end: toBase64(end) }) };
}

async function* linesOf(response: Response): AsyncGenerator<string, void, undefined> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split('\n');
      rest = lines.pop() ?? '';
      yield* lines.filter((line) => line !== '');
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** What a person is told. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
