import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { emptyBytes } from '../base/bytes.ts';
import { BackupError } from './failure.ts';
import { codeIn, refusalOf } from './s3-refusal.ts';
import { pathText, queryText, type S3Credentials, signed } from './sigv4.ts';

export interface S3Options {
  /** `https://host:port`, without the bucket. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** The bucket as the first part of the path, not of the host's name. */
  readonly isPathStyle: boolean;
  /** Asked for each request: files of credentials may change. */
  readonly credentials: () => S3Credentials;
  /** PEM: who signs the server's certificate; those that Node knows by default. */
  readonly ca?: string | undefined;
  /** `AES256` or `aws:kms`: asked for with each new object. */
  readonly encryption?: string | undefined;
  readonly kmsKeyId?: string | undefined;
  readonly lookup: LookupFunction;
  /** A server that is silent for so long has failed. */
  readonly timeoutMs: number;
  /** How long the same request is tried, from the first failure on. */
  readonly retryMs: number;
  /** Ends every request but deletions: what was begun is cleared away all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Of the object, from the bucket's root; nothing: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface S3Response {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

const backoffMsMin = 100;
const backoffMsMax = 5_000;
const connectionsMax = 4;
/** Servers take signatures that are 15 minutes off. */
const clockMsMax = 5 * 60_000;
const answerBytesMax = 16 * 1024 * 1024;

/** The request may do better another time. */
class PassingFailure extends Error {
  override name = 'PassingFailure';
}

/** Requests to one bucket: signed, and tried again as long as that may help. */
export class S3Connection {
  readonly #options: S3Options;
  readonly #url: URL;
  readonly #agent: HttpAgent | HttpsAgent;
  /** The server's clock less ours, as the last answer told. */
  #serverAheadMs = 0;
  /** What signatures are corrected by, once the server has said that our clock is wrong. */
  #signedAheadMs = 0;

  constructor(options: S3Options) {
    this.#options = options;
    this.#url = new URL(options.endpoint);
    const settings = { keepAlive: true, maxSockets: connectionsMax };
    this.#agent =
      this.#url.protocol === 'https:'
        ? new HttpsAgent({ ...settings, ...(options.ca !== undefined && { ca: options.ca }) })
        : new HttpAgent(settings);
  }

  get serverAheadMs(): number {
    return this.#serverAheadMs;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The whole answer. Rejects with a {@link BackupError} unless the status is a success or among `taken`. */
  async send(request: S3Request, taken: readonly number[] = []): Promise<S3Response> {
    return this.#retried(request, async () => {
      const response = await this.#begin(request);
      const body = await bodyOf(response);
      const status = response.statusCode ?? 0;
      if (isSuccess(status) && !hasErrorInside(request, body)) {
        return { status, headers: response.headers, body };
      }
      if (taken.includes(status)) return { status, headers: response.headers, body };
      throw this.#refused(request, { status, response, body });
    });
  }

  /** An answer whose body is read as it comes. */
  async open(request: S3Request): Promise<IncomingMessage> {
    return this.#retried(request, async () => {
      const response = await this.#begin(request);
      const status = response.statusCode ?? 0;
      if (isSuccess(status)) return response;
      throw this.#refused(request, { status, response, body: await bodyOf(response) });
    });
  }

  /** Tries until it succeeds, it makes no sense any more, or there is no time left. */
  async #retried<T>(request: S3Request, attempt: () => Promise<T>): Promise<T> {
    const { signal, retryMs } = this.#options;
    const deadline = performance.now() + retryMs;
    for (let backoffMs = backoffMsMin; ; backoffMs = Math.min(2 * backoffMs, backoffMsMax)) {
      const isInterrupted = () => signal?.aborted === true && request.method !== 'DELETE';
      if (isInterrupted()) throw new BackupError('Interrupted', 'interrupted');
      try {
        return await attempt();
      } catch (error) {
        if (isInterrupted()) throw new BackupError('Interrupted', 'interrupted', { cause: error });
        if (!isPassing(error)) throw this.#failed(error);
        const waitMs = backoffMs * (0.5 + Math.random() / 2);
        if (performance.now() + waitMs > deadline) throw this.#unreachable(request, error);
        await sleep(waitMs);
      }
    }
  }

  #begin(request: S3Request): Promise<IncomingMessage> {
    const { method, key = '', query = {}, body = emptyBytes } = request;
    const { bucket, isPathStyle, credentials, region, lookup, timeoutMs, signal } = this.#options;
    const { protocol, hostname, port, pathname } = this.#url;
    const host = isPathStyle ? hostname : `${bucket}.${hostname}`;
    const base = pathname.replace(/\/$/, '');
    const path = `${base}${isPathStyle ? `/${pathText(bucket)}` : ''}/${pathText(key)}`;
    const headers = signed(
      {
        method,
        path,
        query,
        body,
        headers: { ...request.headers, host: port === '' ? host : `${host}:${port}` },
      },
      { credentials: credentials(), region, nowMs: Date.now() + this.#signedAheadMs },
    );
    const text = queryText(query);
    const options = {
      method,
      host: host.replace(/^\[|\]$/g, ''),
      port: port === '' ? undefined : Number(port),
      path: text === '' ? path : `${path}?${text}`,
      headers: { ...headers, 'content-length': body.length },
      agent: this.#agent,
      lookup,
      ...(signal !== undefined && method !== 'DELETE' && { signal }),
    };
    const start = protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const sent: ClientRequest = start(options, (response) => {
        this.#noteTime(response);
        resolve(response);
      });
      sent.setTimeout(timeoutMs, () => {
        sent.destroy(new PassingFailure(`no answer in ${Math.round(timeoutMs / 1000)} s`));
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  #noteTime({ headers: { date } }: IncomingMessage): void {
    const serverMs = date === undefined ? Number.NaN : Date.parse(date);
    if (!Number.isNaN(serverMs)) this.#serverAheadMs = serverMs - Date.now();
  }

  #refused(
    request: S3Request,
    answer: { status: number; response: IncomingMessage; body: Buffer },
  ): Error {
    const { status, body } = answer;
    const code = codeIn(body);
    if (this.#mayBeOurClock(status, code)) {
      this.#signedAheadMs = this.#serverAheadMs;
      return new PassingFailure('our clock is wrong');
    }
    const isPassingStatus = status >= 500 ? status !== 501 && status !== 507 : status === 429;
    if (isPassingStatus || code === 'RequestTimeout' || status === 408) {
      return new PassingFailure(`${status} ${code}`.trim());
    }
    const { bucket, endpoint } = this.#options;
    return refusalOf(
      { ...answer, code, method: request.method, key: request.key ?? '' },
      bucket,
      endpoint,
    );
  }

  /** Answers to HEAD do not say why. */
  #mayBeOurClock(status: number, code: string): boolean {
    if (status !== 403 || Math.abs(this.#serverAheadMs - this.#signedAheadMs) < clockMsMax)
      return false;
    return code === 'RequestTimeTooSkewed' || code === '';
  }

  /** A certificate that is not believed, or an answer that is no HTTP. */
  #failed(error: unknown): unknown {
    if (!(error instanceof Error) || !('code' in error) || error instanceof BackupError)
      return error;
    const { endpoint } = this.#options;
    const message = `${endpoint} cannot be used (${error.message}): check the endpoint, and who signs its certificate (--s3-ca-file)`;
    return new BackupError('StorageUnreachable', message, { cause: error });
  }

  #unreachable({ method }: S3Request, error: unknown): BackupError {
    const why = error instanceof Error ? error.message : String(error);
    const { endpoint } = this.#options;
    return new BackupError(
      'StorageUnreachable',
      `${endpoint} cannot be reached (${method}: ${why}): check the endpoint, and that it is up and not blocked from here`,
      { cause: error },
    );
  }
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** Putting parts together is answered with 200 before it is known whether it works. */
function hasErrorInside({ method }: S3Request, body: Buffer): boolean {
  return method === 'POST' && codeIn(body) !== '';
}

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > answerBytesMax) {
      throw new BackupError('StorageRefused', 'the server answers with more than it should');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Failures of the network have a code of the system or of TLS. A certificate that is not trusted does not pass. */
export function isPassing(error: unknown): boolean {
  if (error instanceof PassingFailure) return true;
  if (error instanceof BackupError || !(error instanceof Error)) return false;
  const { code = '' } = error as NodeJS.ErrnoException;
  return (
    /^(E[A-Z]+|UND_ERR.*|HPE_.*|ERR_STREAM_PREMATURE_CLOSE)$/.test(code) ||
    error.message === 'aborted'
  );
}
