import type { LookupAddress } from 'node:dns';
import type { EventEmitter } from 'node:events';
import { isIP, type LookupFunction } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { asBuffer } from '../base/bytes.ts';
import { Health, ServingStatus } from '../proto/gen/health.ts';
import type { Method } from '../proto/wire.ts';
import { type Stop, whenAborted } from './abort.ts';
import { ClientError, failureOf } from './errors.ts';

/** Well above the server's minimum of 5 s between pings. */
const keepaliveMs = 10_000;
const keepaliveTimeoutMs = 5_000;
const dialMsMax = 2_000;
const whyNotMsMax = 500;

/** Certificates and keys are PEM. */
export interface TlsOptions {
  /** Of the authorities that the server's certificate is checked against; those of Node by default. */
  readonly ca?: string | Uint8Array | undefined;
  /** The client's own certificate, with `key`. */
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  /** The name that the server's certificate must have, by default the endpoint's host. */
  readonly serverName?: string | undefined;
  /** Believe any certificate: for tests only. */
  readonly insecureSkipVerify?: boolean | undefined;
}

/** Asked for each new connection, so that certificates can be replaced while the client runs. */
export type TlsSource = () => TlsOptions | Promise<TlsOptions>;

export interface SendOptions {
  readonly timeoutMs: number;
  readonly signal?: Stop;
  /** Fail at once when the member sees no leader. */
  readonly requiresLeader?: boolean | undefined;
  /** Of the user that asks. */
  readonly token?: string | undefined;
}

export interface EndpointOptions {
  readonly lookup: LookupFunction;
  /** For `https://` and for URLs without a scheme. */
  readonly tls?: TlsOptions | TlsSource | undefined;
  /** How long one attempt to connect may take; 2 s by default. */
  readonly dialTimeoutMs?: number | undefined;
}

/** What a call in flight can be ended by. */
interface Cancellable {
  cancel(): void;
}

/** One member's client URL and the connection to it. Names are resolved for each connection, by our own lookup. */
export class Endpoint {
  readonly url: string;
  readonly #options: EndpointOptions;
  readonly #inFlight = new Set<Cancellable>();
  #connecting: Promise<grpc.Client> | undefined;
  /** The connection, or one that is being made. */
  #client: grpc.Client | undefined;
  /** What the last attempt to connect failed with. */
  #whyNot = '';
  #isClosed = false;

  /** `url`: `http://host:port`, `https://host:port` or `host:port`. */
  constructor(url: string, options: EndpointOptions) {
    const scheme = options.tls === undefined ? 'http' : 'https';
    this.url = url.includes('://') ? url : `${scheme}://${url}`;
    this.#options = options;
    const { protocol } = new URL(this.url);
    if (protocol !== 'http:' && protocol !== 'https:') {
      throw new TypeError(`an endpoint is a URL of http or https, not ${url}`);
    }
  }

  get isConnected(): boolean {
    return this.#client !== undefined && isReady(this.#client);
  }

  async unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: SendOptions,
  ): Promise<Response> {
    const deadline = Date.now() + options.timeoutMs;
    const client = await this.#connected(options);
    return new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(
        method.path,
        encoderOf(method),
        (bytes) => method.response.decode(bytes),
        request,
        metadataOf(options),
        { deadline },
        (error, response) => {
          settled();
          if (error === null && response !== undefined) resolve(response);
          else reject(this.#failed(error));
        },
      );
      const settled = this.#track(call, options.signal);
    });
  }

  /** `timeoutMs` is for connecting; the stream itself ends with `deadline`, in milliseconds of the wall clock. */
  async stream<Request, Response>(
    method: Method<Request, Response>,
    options: SendOptions & { deadline?: number },
  ): Promise<grpc.ClientDuplexStream<Request, Response>> {
    const client = await this.#connected(options);
    const stream = client.makeBidiStreamRequest(
      method.path,
      encoderOf(method),
      (bytes) => method.response.decode(bytes),
      metadataOf(options),
      options.deadline === undefined ? {} : { deadline: options.deadline },
    );
    this.#follow(stream, options.signal);
    return stream;
  }

  /** One request, many responses. `timeoutMs` is for connecting. */
  async serverStream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: SendOptions,
  ): Promise<grpc.ClientReadableStream<Response>> {
    const client = await this.#connected(options);
    const stream = client.makeServerStreamRequest(
      method.path,
      encoderOf(method),
      (bytes) => method.response.decode(bytes),
      request,
      metadataOf(options),
    );
    this.#follow(stream, options.signal);
    return stream;
  }

  /** Resolves when the member can be reached and answers; does not say that it has a leader. */
  async probe(timeoutMs: number): Promise<void> {
    const { status } = await this.unary(Health.methods.check, { service: '' }, { timeoutMs });
    if (status !== ServingStatus.SERVING) throw this.#unreachable('the member does not serve');
  }

  /** What ended a call, in our words. Connections that failed are made anew, since names may have moved. */
  failure(error: unknown): ClientError {
    return error instanceof ClientError ? error : this.#failed(error as grpc.ServiceError);
  }

  /** Ends what is in flight. */
  close(): void {
    this.#isClosed = true;
    for (const call of this.#inFlight) call.cancel();
    this.#drop();
  }

  #drop(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** Cancels the call when the signal is aborted or the endpoint closed; call the result when it has ended. */
  #track(call: Cancellable, signal: Stop): () => void {
    const cancel = () => {
      call.cancel();
    };
    this.#inFlight.add(call);
    if (signal !== undefined) whenAborted(signal, cancel);
    return () => {
      this.#inFlight.delete(call);
      signal?.removeEventListener('abort', cancel);
    };
  }

  #follow(stream: EventEmitter & Cancellable, signal: Stop): void {
    stream.on('status', this.#track(stream, signal));
    // Whoever reads is told; an error that comes when nobody does any more must not end the process.
    stream.on('error', () => {});
  }

  #failed(error: grpc.ServiceError | null): ClientError {
    const code = error?.code ?? grpc.status.UNKNOWN;
    const text = error?.details || error?.message || 'no response';
    const isConnection = code === grpc.status.UNAVAILABLE && !text.startsWith('etcdserver: ');
    if (isConnection && !this.isConnected) this.#drop();
    if (unsent.test(text)) return this.#unreachable(text, error);
    const [, httpStatus] = notGrpc.exec(text) ?? [];
    if (httpStatus !== undefined) return this.#notAStore(Number(httpStatus), error);
    return failureOf({ code, text }, this.url, error);
  }

  /** A connection that is ready. Until there is one nothing has been sent. */
  async #connected({ timeoutMs, signal }: SendOptions): Promise<grpc.Client> {
    if (!this.isConnected) {
      this.#connecting ??= this.#connect().finally(() => {
        this.#connecting = undefined;
      });
      await this.#inTime(this.#connecting, timeoutMs);
    }
    if (signal?.aborted === true) throw this.#unreachable('not sent', signal.reason);
    if (this.#client === undefined) throw this.#unreachable('the client is closed');
    return this.#client;
  }

  async #inTime<T>(connecting: Promise<T>, timeoutMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(this.#unreachable(`cannot connect in time${this.#whyNot}`));
      }, timeoutMs);
    });
    try {
      return await Promise.race([connecting, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #connect(): Promise<grpc.Client> {
    this.#drop();
    const { hostname, protocol, port, host } = new URL(this.url);
    const name = hostname.replace(/^\[|\]$/g, '');
    const { address, family } = await this.#resolve(name);
    const target = `ipv${family}:${family === 6 ? `[${address}]` : address}`;
    const isTls = protocol === 'https:';
    const { credentials, options } = isTls ? tlsOf(name, await this.#tls()) : plain;
    if (this.#isClosed) throw this.#unreachable('the client is closed');
    const client = new grpc.Client(`${target}:${port || (isTls ? '443' : '80')}`, credentials, {
      ...options,
      'grpc.default_authority': host,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
    });
    this.#client = client;
    try {
      await ready(client, this.#options.dialTimeoutMs ?? dialMsMax);
    } catch (error) {
      if (this.#client === client) this.#drop();
      this.#whyNot = `: ${error instanceof Error ? error.message : String(error)}`;
      throw this.#unreachable(`cannot connect${this.#whyNot}`, error);
    }
    this.#whyNot = '';
    return client;
  }

  async #tls(): Promise<TlsOptions> {
    const { tls = {} } = this.#options;
    if (typeof tls !== 'function') return tls;
    try {
      return await tls();
    } catch (error) {
      throw this.#unreachable(`no certificates: ${String(error)}`, error);
    }
  }

  #resolve(hostname: string): Promise<LookupAddress> {
    return new Promise((resolve, reject) => {
      this.#options.lookup(hostname, {}, (error, address, family) => {
        if (error !== null) reject(this.#unreachable(`cannot resolve ${hostname}`, error));
        else resolve({ address: String(address), family: family ?? 4 });
      });
    });
  }

  /** A proxy, or whoever has the address now: the connection is of no use, another one may lead to the store. */
  #notAStore(httpStatus: number, cause: unknown): ClientError {
    this.#drop();
    const text = `no store answers, but HTTP status ${httpStatus}`;
    if (httpStatus < 500) return this.#unreachable(text, cause);
    return failureOf({ code: grpc.status.UNAVAILABLE, text }, this.url, cause);
  }

  #unreachable(text: string, cause?: unknown): ClientError {
    const what = { code: grpc.status.UNAVAILABLE, text, endpoint: this.url, isUncertain: false };
    return new ClientError(what, { cause });
  }
}

/** grpc-js on calls that no server has begun to process; of a refused stream HTTP/2 says so (RFC 9113, section 8.7). */
const unsent =
  /^(No connection established|Channel closed before call started|Failed to start HTTP\/2 stream|Stream refused by server)/;

/** grpc-js on an answer that is none of gRPC. */
const notGrpc = /^Received HTTP status code (\d+)/;

const plain = { credentials: grpc.credentials.createInsecure(), options: {} };

function tlsOf(host: string, options: TlsOptions) {
  const { ca, cert, key, insecureSkipVerify } = options;
  const checked = options.serverName ?? host;
  const credentials = grpc.credentials.createSsl(pem(ca), pem(key), pem(cert), {
    checkServerIdentity: (_name, certificate) => checkServerIdentity(checked, certificate),
    rejectUnauthorized: insecureSkipVerify !== true,
  });
  // The name in the handshake cannot be an IP address (RFC 6066); grpc-js cannot leave it out.
  const sni = isIP(checked) === 0 ? checked : 'localhost';
  return { credentials, options: { 'grpc.ssl_target_name_override': sni } };
}

function pem(text: string | Uint8Array | undefined): Buffer | null {
  if (text === undefined) return null;
  return typeof text === 'string' ? Buffer.from(text) : asBuffer(text);
}

function isReady(client: grpc.Client): boolean {
  return client.getChannel().getConnectivityState(false) === grpc.connectivityState.READY;
}

/** Fails as soon as the first attempt to connect has, which grpc-js itself would repeat until the deadline. */
function ready(client: grpc.Client, timeoutMs: number): Promise<void> {
  const channel = client.getChannel();
  const deadline = Date.now() + timeoutMs;
  return new Promise((resolve, reject) => {
    const check = () => {
      const state = channel.getConnectivityState(true);
      if (state === grpc.connectivityState.READY) return resolve();
      if (state === grpc.connectivityState.TRANSIENT_FAILURE) {
        void whyNot(client).then(reject);
        return;
      }
      if (state === grpc.connectivityState.SHUTDOWN) return reject(new Error('closed'));
      channel.watchConnectivityState(state, deadline, (error) => {
        if (error === undefined) check();
        else reject(error);
      });
    };
    check();
  });
}

/** Only a call is told why its connection could not be made. */
function whyNot(client: grpc.Client): Promise<Error> {
  const { check } = Health.methods;
  const deadline = Date.now() + whyNotMsMax;
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      check.path,
      encoderOf(check),
      (bytes) => check.response.decode(bytes),
      { service: '' },
      { deadline },
      (error) => {
        const [, why] =
          /Last error: (?:Error: )?(.*?)(?:\. Resolution note|\n|$)/.exec(error?.details ?? '') ??
          [];
        resolve(new Error(why ?? 'connection refused'));
      },
    );
  });
}

function encoderOf<Request>({ request }: Method<Request, unknown>): (message: Request) => Buffer {
  return (message) => request.encode(message);
}

function metadataOf({ requiresLeader, token }: SendOptions): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (requiresLeader === true) metadata.set('hasleader', 'true');
  if (token !== undefined && token !== '') metadata.set('token', token);
  return metadata;
}
