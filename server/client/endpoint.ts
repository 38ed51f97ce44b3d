import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { asBuffer } from '../base/bytes.ts';
import type { Method } from '../proto/wire.ts';
import { ClientError } from './errors.ts';

/** Well above the server's minimum of 5 s between pings. */
const keepaliveMs = 10_000;
const keepaliveTimeoutMs = 5_000;
const dialMsMax = 2_000;

export interface CallOptions {
  readonly timeoutMs: number;
  /** Fail at once when the member sees no leader. */
  readonly requiresLeader?: boolean;
}

/** How to connect to endpoints of https. */
export interface TlsOptions {
  /** Who may have signed the members' certificates, PEM; by default the public authorities. */
  readonly ca?: string | Uint8Array;
  /** Our own certificate and its key, PEM; both or none. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  /** The name that a member's certificate must be for; by default the host of its URL. */
  readonly serverName?: string;
  /** Believe any certificate: for tests only. */
  readonly insecureSkipVerify?: boolean;
}

export interface EndpointOptions {
  readonly lookup: LookupFunction;
  readonly tls?: TlsOptions | undefined;
}

/** One member's client URL and the connection to it. Names are resolved for each connection, by our own lookup. */
export class Endpoint {
  readonly url: string;
  readonly #lookup: LookupFunction;
  readonly #tls: TlsOptions;
  #connecting: Promise<grpc.Client> | undefined;
  #client: grpc.Client | undefined;
  #isClosed = false;

  /** `url`: `http://host:port`, `https://host:port`, or `host:port`, which is https where there is `tls`. */
  constructor(url: string, { lookup, tls }: EndpointOptions) {
    const scheme = tls === undefined ? 'http' : 'https';
    this.url = url.includes('://') ? url : `${scheme}://${url}`;
    this.#lookup = lookup;
    this.#tls = tls ?? {};
  }

  async unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<Response> {
    const deadline = Date.now() + options.timeoutMs;
    const client = await this.#connected(options.timeoutMs);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        (message: Request) => asBuffer(method.request.encode(message)),
        (bytes) => method.response.decode(bytes),
        request,
        metadataOf(options),
        { deadline },
        (error, response) => {
          if (error === null && response !== undefined) resolve(response);
          else reject(this.#failed(error));
        },
      );
    });
  }

  /** `timeoutMs` is for connecting; the stream itself ends with `deadline`, in milliseconds of the wall clock. */
  async stream<Request, Response>(
    method: Method<Request, Response>,
    options: CallOptions & { deadline?: number },
  ): Promise<grpc.ClientDuplexStream<Request, Response>> {
    const client = await this.#connected(options.timeoutMs);
    return client.makeBidiStreamRequest(
      method.path,
      (message: Request) => asBuffer(method.request.encode(message)),
      (bytes) => method.response.decode(bytes),
      metadataOf(options),
      options.deadline === undefined ? {} : { deadline: options.deadline },
    );
  }

  /** A call with one request and many responses. `timeoutMs` is for connecting only. */
  async responses<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<grpc.ClientReadableStream<Response>> {
    const client = await this.#connected(options.timeoutMs);
    return client.makeServerStreamRequest(
      method.path,
      (message: Request) => asBuffer(method.request.encode(message)),
      (bytes) => method.response.decode(bytes),
      request,
      metadataOf(options),
    );
  }

  /** What ended a call, in our words. Connections that failed are made anew, since names may have moved. */
  failure(error: unknown): ClientError {
    return error instanceof ClientError ? error : this.#failed(error as grpc.ServiceError);
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  #drop(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  #failed(error: grpc.ServiceError | null): ClientError {
    const code = error?.code ?? grpc.status.UNKNOWN;
    const text = error?.details || error?.message || 'no response';
    if (code === grpc.status.UNAVAILABLE && !text.startsWith('etcdserver: ')) this.#drop();
    return this.#error({ code, text, isUncertain: isUncertain(code) }, error);
  }

  /** A connection that is ready. Until there is one nothing has been sent. */
  async #connected(timeoutMs: number): Promise<grpc.Client> {
    const client = this.#client;
    if (client?.getChannel().getConnectivityState(false) === grpc.connectivityState.READY) {
      return client;
    }
    this.#connecting ??= this.#connect(Math.min(timeoutMs, dialMsMax));
    try {
      return await this.#connecting;
    } finally {
      this.#connecting = undefined;
    }
  }

  async #connect(timeoutMs: number): Promise<grpc.Client> {
    this.#drop();
    const { hostname, port, host, protocol } = new URL(this.url);
    const isSecure = protocol === 'https:';
    const name = hostname.replace(/^\[|\]$/g, '');
    const address = await this.#resolve(name);
    const target = `ipv${address.family}:${address.family === 6 ? `[${address.address}]` : address.address}`;
    const { credentials, options } = isSecure ? tlsOf(name, this.#tls) : plain;
    const client = new grpc.Client(`${target}:${port || (isSecure ? '443' : '80')}`, credentials, {
      ...options,
      'grpc.default_authority': host,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
    });
    try {
      await ready(client, timeoutMs);
      if (this.#isClosed) throw new Error('the client is closed');
    } catch (error) {
      client.close();
      throw this.#unreachable('cannot connect', error);
    }
    this.#client = client;
    return client;
  }

  #resolve(hostname: string): Promise<LookupAddress> {
    return new Promise((resolve, reject) => {
      this.#lookup(hostname, {}, (error, address, family) => {
        if (error !== null) reject(this.#unreachable(`cannot resolve ${hostname}`, error));
        else resolve({ address: String(address), family: family ?? 4 });
      });
    });
  }

  #unreachable(text: string, cause: unknown): ClientError {
    return this.#error({ code: grpc.status.UNAVAILABLE, text, isUncertain: false }, cause);
  }

  #error(what: { code: number; text: string; isUncertain: boolean }, cause: unknown): ClientError {
    return new ClientError({ ...what, endpoint: this.url }, { cause });
  }
}

const plain = { credentials: grpc.credentials.createInsecure(), options: {} };

function tlsOf(host: string, { ca, cert, key, serverName, insecureSkipVerify }: TlsOptions) {
  const checked = serverName ?? host;
  const credentials = grpc.credentials.createSsl(pem(ca), pem(key), pem(cert), {
    checkServerIdentity: (_name, certificate) => checkServerIdentity(checked, certificate),
    rejectUnauthorized: insecureSkipVerify !== true,
  });
  // The name in the handshake cannot be an IP address (RFC 6066); grpc-js cannot leave it out.
  const sni = isIP(checked) === 0 ? checked : 'localhost';
  return { credentials, options: { 'grpc.ssl_target_name_override': sni } };
}

function pem(text: string | Uint8Array | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text);
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
        return reject(new Error('connection refused'));
      }
      channel.watchConnectivityState(state, deadline, (error) => {
        if (error === undefined) check();
        else reject(error);
      });
    };
    check();
  });
}

/** Codes after which a request that was sent may have taken effect. */
function isUncertain(code: number): boolean {
  switch (code) {
    case grpc.status.UNAVAILABLE:
    case grpc.status.DEADLINE_EXCEEDED:
    case grpc.status.CANCELLED:
    case grpc.status.UNKNOWN:
    case grpc.status.INTERNAL:
      return true;
    default:
      return false;
  }
}

function metadataOf({ requiresLeader }: CallOptions): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (requiresLeader === true) metadata.set('hasleader', 'true');
  return metadata;
}
