// [io] Requests to the API server: JSON in and out, nothing cached.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https';
import type { KubeObject } from '../api/objects.ts';
import { fieldManager } from '../api/schema.ts';
import { KubeError } from './errors.ts';

export type Query = Readonly<Record<string, string>>;

/** What may not have changed since it was read, or the request is refused with a conflict. */
export interface Preconditions {
  readonly uid: string;
  readonly resourceVersion: string;
}

/** The verbs that the operator uses. Paths are those of `paths.ts`. */
export interface KubeClient {
  /** undefined when there is none. */
  get<T>(path: string): Promise<T | undefined>;
  list<T>(path: string, query?: Query): Promise<T>;
  /** Fails when it exists: pods and volumes are never upserted, that could resurrect a deleted one. */
  create<T extends KubeObject>(path: string, object: T): Promise<T>;
  /**
   * Server-side apply. Of an object that was seen, which says so by its `metadata.resourceVersion`, we own these fields whoever
   * wrote them last; refused with a conflict when it is another one by now. What was not seen is made; where it is there
   * all the same, fields that another has written are left to them, and that is a conflict too.
   */
  apply<T extends KubeObject>(path: string, object: T): Promise<T>;
  /** PUT: refused when `metadata.resourceVersion` is not the present one. */
  replace<T extends KubeObject>(path: string, object: T): Promise<T>;
  /** JSON merge patch. */
  patch<T>(path: string, patch: unknown): Promise<T>;
  remove(path: string, preconditions: Preconditions): Promise<void>;
}

/** A stream of JSON lines: the answer to `?watch=true`. */
export interface WatchSource {
  watch(path: string, query: Query, signal: AbortSignal): AsyncIterable<unknown>;
}

/** Where the API server is, and how to show who we are. */
export interface Connection {
  readonly server: string;
  /** Adds credentials and TLS options; asked for each request, since tokens expire. */
  authorize(options: RequestOptions): Promise<void>;
}

export interface KubeClientOptions {
  /** Owner of the fields that are written, and the user agent. */
  readonly fieldManager?: string;
  /** Called right before a write leaves, after whatever it takes to log in; throws when it may not. */
  readonly fence?: () => void;
  /** Told of each answer: the HTTP status, 0 when there was none. */
  readonly onAnswer?: (method: string, code: number) => void;
}

/** A request as it is sent; `body` becomes JSON. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

export const requestTimeoutMs = 15_000;
/** A response larger than this is refused: a list of that size is not ours. */
const responseBytesMax = 64 * 1024 * 1024;

export class HttpKubeClient implements KubeClient, WatchSource {
  readonly #connection: Connection;
  readonly #agent: HttpAgent;
  readonly #send: typeof httpsRequest;
  readonly #options: Required<KubeClientOptions>;

  constructor(connection: Connection, options: KubeClientOptions = {}) {
    this.#connection = connection;
    this.#options = { fieldManager, fence() {}, onAnswer() {}, ...options };
    const secure = connection.server.startsWith('https:');
    this.#agent = secure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
    this.#send = secure ? httpsRequest : httpRequest;
  }

  async get<T>(path: string): Promise<T | undefined> {
    try {
      return (await this.#call({ method: 'GET', path })) as T;
    } catch (error) {
      if (error instanceof KubeError && error.code === 404) return undefined;
      throw error;
    }
  }

  async list<T>(path: string, query: Query = {}): Promise<T> {
    return (await this.#call({ method: 'GET', path, query })) as T;
  }

  async create<T extends KubeObject>(path: string, object: T): Promise<T> {
    return (await this.#call({ method: 'POST', path, query: this.#asManager, body: object })) as T;
  }

  async apply<T extends KubeObject>(path: string, object: T): Promise<T> {
    const contentType = 'application/apply-patch+yaml';
    const isSeen = object.metadata.resourceVersion !== undefined;
    const query = { ...this.#asManager, force: String(isSeen) };
    return (await this.#call({ method: 'PATCH', path, query, body: object, contentType })) as T;
  }

  async replace<T extends KubeObject>(path: string, object: T): Promise<T> {
    return (await this.#call({ method: 'PUT', path, query: this.#asManager, body: object })) as T;
  }

  async patch<T>(path: string, patch: unknown): Promise<T> {
    const contentType = 'application/merge-patch+json';
    const query = this.#asManager;
    return (await this.#call({ method: 'PATCH', path, query, body: patch, contentType })) as T;
  }

  async remove(path: string, preconditions: Preconditions): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions };
    await this.#call({ method: 'DELETE', path, body });
  }

  get #asManager(): Query {
    return { fieldManager: this.#options.fieldManager };
  }

  async *watch(path: string, query: Query, signal: AbortSignal): AsyncIterable<unknown> {
    const response = await this.#open({ method: 'GET', path, query, signal });
    response.setEncoding('utf8');
    let rest = '';
    for await (const chunk of response) {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') yield JSON.parse(line);
    }
  }

  /** The answer's text, for what the other verbs do not say: logs, dry runs, what is behind a proxy. */
  async request(call: Omit<Call, 'signal'>): Promise<string> {
    const signal = AbortSignal.timeout(requestTimeoutMs);
    return readAll(await this.#open({ ...call, signal }));
  }

  close(): void {
    this.#agent.destroy();
  }

  async #call(call: Call): Promise<unknown> {
    const response = await this.#open({ ...call, signal: AbortSignal.timeout(requestTimeoutMs) });
    return JSON.parse(await readAll(response));
  }

  /** The response once its status is known to be a good one. */
  async #open(call: Call): Promise<IncomingMessage> {
    const url = new URL(this.#connection.server);
    const query = new URLSearchParams(call.query).toString();
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const options: RequestOptions = {
      method: call.method,
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
      path: url.pathname.replace(/\/$/, '') + call.path + (query === '' ? '' : `?${query}`),
      headers: {
        'User-Agent': this.#options.fieldManager,
        ...headersFor(body, call.contentType),
        ...call.headers,
      },
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    };
    await this.#connection.authorize(options);
    options.agent = this.#agent;
    if (call.method !== 'GET') this.#options.fence();
    const response = await this.#exchange(options, body);
    const code = response.statusCode ?? 0;
    this.#options.onAnswer(call.method, code);
    if (code >= 200 && code < 300) return response;
    throw KubeError.fromAnswer(code, `${call.method} ${call.path}`, await readAll(response));
  }

  #exchange(options: RequestOptions, body: string | undefined): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = this.#send(options, resolve);
      request.on('error', (error) => {
        this.#options.onAnswer(options.method ?? '', 0);
        reject(error);
      });
      request.end(body);
    });
  }
}

function headersFor(body: string | undefined, contentType = 'application/json') {
  const accept = { Accept: 'application/json' };
  if (body === undefined) return accept;
  return { ...accept, 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) };
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > responseBytesMax)
      throw new Error('the API server answered with too many bytes');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
