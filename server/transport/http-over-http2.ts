import { Buffer } from 'node:buffer';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { stands } from './certificate-check.ts';
import type { HttpServer } from './http.ts';
import { ResponseField, ResponseFields } from './http2/hpack-encoder.ts';
import type { RequestHeaders } from './http2/request-headers.ts';
import type { Http2Stream, StreamUser } from './http2/stream.ts';

/** Fields of a connection, which HTTP/2 does not have. */
const connectionNames: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
]);
const nothing = new ResponseFields([]);

export interface HttpStreamModules {
  readonly http: Pick<HttpServer, 'accept'>;
  /** The client's connection. */
  readonly socket: Socket;
  /** Called once, when nothing is left of the request. */
  readonly done: () => void;
}

/**
 * A request of HTTP/2 that is not gRPC's: it goes to the server of HTTP/1.1 over a pair of streams in memory, and the
 * answer comes back the same way. Over TLS clients choose HTTP/2 before they know what they will ask.
 */
export class HttpStream implements StreamUser {
  readonly #stream: Http2Stream;
  readonly #request: ClientRequest;
  readonly #ends: readonly [Duplex, Duplex];
  readonly #done: () => void;
  #response: IncomingMessage | undefined;

  /** Throws a TypeError when the request has what HTTP/1.1 cannot say: a blank in its path, a control character. */
  constructor(
    { http, socket, done }: HttpStreamModules,
    stream: Http2Stream,
    headers: RequestHeaders,
  ) {
    this.#stream = stream;
    this.#done = done;
    const [near, far] = duplexPair();
    this.#ends = [near, far];
    this.#request = httpRequest({
      createConnection: () => near,
      method: headers.method,
      path: headers.path,
      headers: fieldsOf(headers),
      setHost: false,
    });
    for (const end of this.#ends) end.on('error', () => undefined);
    // A pair does not tell one end that the other was destroyed; an answer that is whole has been read by then.
    far.once('close', () => near.destroy());
    http.accept(stands(far, socket));
    this.#request.on('response', (response) => {
      this.#answered(response);
    });
    this.#request.on('error', this.#broken);
  }

  received({ bytes, start, end }: { bytes: Buffer; start: number; end: number }, isLast: boolean) {
    const size = end - start;
    if (size > 0) {
      this.#request.write(Buffer.from(bytes.subarray(start, end)), () => {
        this.#stream.consumed(size);
      });
    }
    if (isLast) this.#request.end();
  }

  drained(): void {
    this.#response?.resume();
  }

  closed(): void {
    this.#request.destroy();
    for (const end of this.#ends) end.destroy();
    this.#done();
  }

  readonly #broken = (): void => {
    this.#stream.reset('INTERNAL_ERROR');
  };

  #answered(response: IncomingMessage): void {
    this.#response = response;
    this.#stream.respond(responseFields(response));
    response.on('data', (chunk: Buffer) => {
      if (!this.#stream.write(chunk)) response.pause();
    });
    response.on('error', this.#broken);
    response.on('end', () => {
      this.#stream.end(nothing);
    });
  }
}

function fieldsOf(headers: RequestHeaders): string[] {
  const fields = headers
    .fields()
    .filter(({ name }) => name !== 'host' && name !== 'expect')
    .flatMap(({ name, value }) => [name, value]);
  return [...fields, 'host', headers.authority ?? headers.get('host') ?? '', 'connection', 'close'];
}

function responseFields({ statusCode, rawHeaders }: IncomingMessage): ResponseFields {
  const fields = [new ResponseField(':status', String(statusCode), { isRepeated: false })];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase();
    if (connectionNames.has(name)) continue;
    fields.push(new ResponseField(name, rawHeaders[at + 1] ?? '', { isRepeated: false }));
  }
  return new ResponseFields(fields);
}
