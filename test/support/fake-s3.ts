import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Pair } from './certificates.ts';

export interface FakeS3Options {
  /** What `If-None-Match` does: as AWS, as a server that refuses it, or as one that overwrites all the same. */
  readonly conditions?: 'known' | 'refused' | 'ignored';
  /** Whether `Range` is answered with a part. */
  readonly hasRanges?: boolean;
  readonly pageKeys?: number;
  /** Milliseconds that its clock is ahead. */
  readonly aheadMs?: number;
  readonly tls?: Pair;
}

/** Before a request is answered: what else is done with it. */
export type Fault = 'cut' | 'busy' | 'full' | 'cutAfter' | 'silent' | undefined;

export interface S3Asked {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  /** How many there were, this one included. */
  readonly number: number;
  readonly headers: IncomingMessage['headers'];
}

interface S3Object {
  readonly body: Buffer;
  readonly owner: string | undefined;
  readonly modifiedMs: number;
}

interface Upload {
  readonly key: string;
  readonly owner: string | undefined;
  readonly startedMs: number;
  readonly parts: Map<number, Buffer>;
}

/** The part of S3 that backups use, with one bucket `backups`, and with faults. Wrong keys, trailers and the like are refused. */
export class FakeS3 {
  readonly objects = new Map<string, S3Object>();
  readonly uploads = new Map<string, Upload>();
  readonly asked: S3Asked[] = [];
  fault: (asked: S3Asked) => Fault = () => undefined;
  /** In the middle of answering a GET, after so many bytes of it. */
  cutGetAfterBytes: number | undefined;
  readonly #options: FakeS3Options;
  readonly #server: Server;

  static async start(options: FakeS3Options = {}): Promise<FakeS3> {
    const server = options.tls === undefined ? createServer() : createSecureServer(options.tls);
    const fake = new FakeS3(server, options);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return fake;
  }

  private constructor(server: Server, options: FakeS3Options) {
    this.#server = server;
    this.#options = options;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void this.#answer(request, response);
    });
  }

  get url(): string {
    const address = this.#server.address();
    const scheme = this.#options.tls === undefined ? 'http' : 'https';
    return `${scheme}://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }

  get keys(): string[] {
    return [...this.objects.keys()].toSorted();
  }

  put(key: string, body: Buffer, owner?: string): void {
    this.objects.set(key, { body, owner, modifiedMs: this.#nowMs() });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #nowMs(): number {
    return Date.now() + (this.#options.aheadMs ?? 0);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://s3');
    const isInHost = request.headers.host?.startsWith('backups.') === true;
    const path = isInHost ? `/backups${pathname}` : pathname;
    const [, bucket = '', ...rest] = path.split('/');
    const key = decodeURIComponent(rest.join('/'));
    const { method = '', headers } = request;
    const asked = { method, key, query: searchParams, number: this.asked.length + 1, headers };
    this.asked.push(asked);
    const fault = this.fault(asked);
    if (fault === 'silent') return;
    if (fault === 'cut') return void request.socket.destroy();
    if (fault === 'busy') return this.#error(response, 503, 'SlowDown');
    if (fault === 'full') return this.#error(response, 507, 'XMinioStorageFull');
    const refusal = this.#refusal(bucket, request, Buffer.concat(chunks));
    if (refusal !== undefined) return this.#error(response, ...refusal);
    response.setHeader('date', new Date(this.#nowMs()).toUTCString());
    if (fault === 'cutAfter') response.end = () => response.destroy() as ServerResponse;
    this.#serve(asked, Buffer.concat(chunks), response);
  }

  #refusal(
    bucket: string,
    { headers }: IncomingMessage,
    body: Buffer,
  ): [status: number, code: string] | undefined {
    if (bucket !== 'backups') return [404, 'NoSuchBucket'];
    const [, keyId] = /Credential=([^/]+)\//.exec(headers.authorization ?? '') ?? [];
    if (keyId !== 'right') return [403, 'InvalidAccessKeyId'];
    const hash = headers['x-amz-content-sha256'];
    if (hash !== createHash('sha256').update(body).digest('hex')) {
      return [400, 'XAmzContentSHA256Mismatch'];
    }
    const time = String(headers['x-amz-date']).replace(
      /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/,
      '$1-$2-$3T$4:$5:$6Z',
    );
    if (Math.abs(Date.parse(time) - this.#nowMs()) > 15 * 60_000) {
      return [403, 'RequestTimeTooSkewed'];
    }
    return undefined;
  }

  #error(response: ServerResponse, status: number, code: string): void {
    response.setHeader('date', new Date(this.#nowMs()).toUTCString());
    response.writeHead(status).end(`<?xml version="1.0"?><Error><Code>${code}</Code></Error>`);
  }

  #serve(asked: S3Asked, body: Buffer, response: ServerResponse): void {
    const { method, key, query } = asked;
    if (key === '' && query.has('uploads')) return this.#listUploads(response);
    if (key === '') return this.#list(query, response);
    if (method === 'POST' && query.has('uploads')) return this.#begin(asked, response);
    if (method === 'POST') return this.#complete(asked, body, response);
    if (method === 'PUT') return this.#put(asked, body, response);
    if (method === 'DELETE') {
      this.objects.delete(key);
      this.uploads.delete(query.get('uploadId') ?? '');
      response.writeHead(204).end();
      return;
    }
    this.#get(asked, response);
  }

  #list(query: URLSearchParams, response: ServerResponse): void {
    const { pageKeys = 1000 } = this.#options;
    const after = query.get('continuation-token') ?? '';
    const keys = this.keys.filter(
      (key) => key.startsWith(query.get('prefix') ?? '') && key > after,
    );
    const page = keys.slice(0, pageKeys);
    const contents = page.map((key) => {
      const object = this.objects.get(key);
      const date = new Date(object?.modifiedMs ?? 0).toISOString();
      const escaped = key.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
      return `<Contents><Key>${escaped}</Key><LastModified>${date}</LastModified><Size>${object?.body.length}</Size></Contents>`;
    });
    const isCut = page.length < keys.length;
    const next = isCut ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    response.end(
      `<ListBucketResult><IsTruncated>${isCut}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`,
    );
  }

  #listUploads(response: ServerResponse): void {
    const uploads = [...this.uploads].map(([id, { key, startedMs }]) => {
      const date = new Date(startedMs).toISOString();
      return `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${date}</Initiated></Upload>`;
    });
    response.end(`<ListMultipartUploadsResult>${uploads.join('')}</ListMultipartUploadsResult>`);
  }

  #begin({ key, headers }: S3Asked, response: ServerResponse): void {
    const id = randomBytes(8).toString('hex');
    const upload = { key, owner: ownerIn(headers), startedMs: this.#nowMs(), parts: new Map() };
    this.uploads.set(id, upload);
    response.end(`<R><UploadId>${id}</UploadId></R>`);
  }

  #complete({ key, query }: S3Asked, body: Buffer, response: ServerResponse): void {
    const id = query.get('uploadId') ?? '';
    const upload = this.uploads.get(id);
    if (upload === undefined) return this.#error(response, 404, 'NoSuchUpload');
    const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)/g)].map(([, n]) => Number(n));
    const parts = numbers.map((number) => upload.parts.get(number));
    const whole = parts.filter((part) => part !== undefined);
    if (whole.length < parts.length) return this.#error(response, 200, 'InvalidPart');
    this.put(key, Buffer.concat(whole), upload.owner);
    this.uploads.delete(id);
    response.end('<CompleteMultipartUploadResult/>');
  }

  #put({ key, query, headers }: S3Asked, body: Buffer, response: ServerResponse): void {
    const { conditions = 'known' } = this.#options;
    const tag = createHash('md5').update(body).digest('hex');
    const id = query.get('uploadId');
    if (id !== null) {
      const upload = this.uploads.get(id);
      if (upload === undefined) return this.#error(response, 404, 'NoSuchUpload');
      upload.parts.set(Number(query.get('partNumber')), body);
    } else {
      const isConditional = headers['if-none-match'] !== undefined && conditions !== 'ignored';
      if (isConditional && conditions === 'refused') {
        return this.#error(response, 501, 'NotImplemented');
      }
      if (isConditional && this.objects.has(key)) {
        return this.#error(response, 412, 'PreconditionFailed');
      }
      this.put(key, body, ownerIn(headers));
    }
    response.setHeader('etag', `"${tag}"`).end();
  }

  #get({ method, key, headers }: S3Asked, response: ServerResponse): void {
    const object = this.objects.get(key);
    if (object === undefined) return this.#error(response, 404, 'NoSuchKey');
    const { hasRanges = true } = this.#options;
    const [, from] = (hasRanges && /^bytes=(\d+)-$/.exec(headers.range ?? '')) || [];
    const rest = object.body.subarray(Number(from ?? 0));
    if (from !== undefined) response.statusCode = 206;
    response.setHeader('content-length', rest.length);
    response.setHeader('last-modified', new Date(object.modifiedMs).toUTCString());
    if (object.owner !== undefined) {
      response.setHeader('x-amz-meta-mainstay-owner', object.owner);
    }
    if (method === 'HEAD') return void response.end();
    const cutAt = this.cutGetAfterBytes;
    if (cutAt !== undefined && cutAt < rest.length) {
      response.write(rest.subarray(0, cutAt), () => response.destroy());
      return;
    }
    response.end(rest);
  }
}

function ownerIn(headers: IncomingMessage['headers']): string | undefined {
  const owner = headers['x-amz-meta-mainstay-owner'];
  return typeof owner === 'string' ? owner : undefined;
}
