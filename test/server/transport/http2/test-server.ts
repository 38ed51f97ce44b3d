import { Buffer } from 'node:buffer';
import { type AddressInfo, createServer, type Server } from 'node:net';
import {
  type ConnectionUser,
  Http2Connection,
} from '../../../../server/transport/http2/connection.ts';
import { ResponseField, ResponseFields } from '../../../../server/transport/http2/hpack-encoder.ts';
import type { RequestHeaders } from '../../../../server/transport/http2/request-headers.ts';
import type { Http2Stream, StreamUser } from '../../../../server/transport/http2/stream.ts';

const headers = new ResponseFields([
  new ResponseField(':status', '200', { isRepeated: false }),
  new ResponseField('content-type', 'text/test', { isRepeated: true }),
]);
const trailers = new ResponseFields([new ResponseField('end', 'yes', { isRepeated: true })]);

/**
 * HTTP/2 without gRPC. By path: `/echo` answers with the body when it has all of it, `/pipe` while it comes, `/bytes/N`
 * with N bytes, `/hold` takes the body and gives nothing back, `/header/N` with a header of N bytes, others with nothing.
 */
export class TestServer {
  readonly connections: Http2Connection[] = [];
  readonly calls: TestCall[] = [];
  readonly #server: Server;
  pings = 0;
  /** One entry for each time that a connection said so. */
  readonly closed: unknown[] = [];

  private constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => {
      const user: ConnectionUser = {
        requested: (stream, requestHeaders) => {
          const call = new TestCall(stream, requestHeaders);
          stream.user = call;
          this.calls.push(call);
        },
        pinged: () => {
          this.pings++;
        },
        ponged: () => {},
        closed: () => {
          this.closed.push(connection);
        },
      };
      const connection = new Http2Connection(socket, user);
      this.connections.push(connection);
      connection.start();
    });
  }

  static async open(): Promise<TestServer> {
    const server = new TestServer();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get lastCall(): TestCall | undefined {
    return this.calls.at(-1);
  }

  close(): void {
    this.#server.close();
    for (const connection of this.connections) connection.destroy();
  }
}

export class TestCall implements StreamUser {
  readonly stream: Http2Stream;
  readonly headers: RequestHeaders;
  body = Buffer.alloc(0);
  receivedBytes = 0;
  isHalfClosed = false;
  isClosed = false;
  drains = 0;

  constructor(stream: Http2Stream, requestHeaders: RequestHeaders) {
    this.stream = stream;
    this.headers = requestHeaders;
  }

  received(part: { bytes: Buffer; start: number; end: number }, isLast: boolean): void {
    const bytes = part.end - part.start;
    this.receivedBytes += bytes;
    this.isHalfClosed = isLast;
    const { path } = this.headers;
    if (path === '/hold') return;
    const chunk = Buffer.from(part.bytes.subarray(part.start, part.end));
    this.stream.consumed(bytes);
    if (path === '/pipe') {
      if (!this.stream.hasResponded) this.stream.respond(headers);
      if (bytes > 0) this.stream.write(chunk);
      if (isLast) this.stream.end(trailers);
      return;
    }
    this.body = Buffer.concat([this.body, chunk]);
    if (isLast) this.answer();
  }

  answer(body: Buffer = this.#answer()): void {
    const size = /^\/header\/(\d+)$/.exec(this.headers.path)?.[1];
    if (size !== undefined) {
      const long = new ResponseField('long', 'x'.repeat(Number(size)), { isRepeated: false });
      this.stream.end(new ResponseFields([...headers.fields, long]));
      return;
    }
    this.stream.respond(headers);
    if (body.length > 0) this.stream.write(body);
    this.stream.end(trailers);
  }

  /** Begins a response that is not ended. */
  answerPart(): void {
    this.stream.respond(headers);
  }

  #answer(): Buffer {
    const size = /^\/bytes\/(\d+)$/.exec(this.headers.path)?.[1];
    if (size !== undefined) return Buffer.alloc(Number(size), 'b');
    return this.headers.path === '/echo' ? this.body : Buffer.alloc(0);
  }

  drained(): void {
    this.drains++;
  }

  closed(): void {
    this.isClosed = true;
  }
}
