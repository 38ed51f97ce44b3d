import { Buffer } from 'node:buffer';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { MessageType, Method } from '../../server/proto/wire.ts';

// Raw calls with our own codecs: no retries, no typed errors, nothing between the test and the wire but grpc-js.

/** How a call ended, as a value: tests compare these. */
export type Outcome<Response> =
  | { readonly kind: 'ok'; readonly response: Response }
  | { readonly kind: 'error'; readonly code: number; readonly message: string };

/** Messages as they stand on the wire. */
export const raw: MessageType<Uint8Array> = {
  create: (bytes) => bytes as Uint8Array,
  encode: (bytes) => Buffer.from(bytes),
  decode: (bytes) => bytes,
};

/** What goes along with a call: `{ hasleader: 'true' }`. */
export type Headers = Readonly<Record<string, string>>;

const callTimeoutMs = 20_000;
const responseBytesMax = 64 << 20;

/** One connection to one member. */
export class GrpcChannel {
  readonly #client: Client;

  /** `url`: `http://host:port`. */
  constructor(url: string) {
    this.#client = new Client(new URL(url).host, credentials.createInsecure(), {
      'grpc.max_receive_message_length': responseBytesMax,
      // Each its own connection: grpc-js shares them by default.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  call<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request>,
    headers: Headers = {},
  ): Promise<Outcome<Response>> {
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        method.path,
        encoder(method),
        decoder(method),
        method.request.create(request),
        metadataOf(headers),
        { deadline: Date.now() + callTimeoutMs },
        (error, response) => {
          if (response !== undefined) resolve({ kind: 'ok', response });
          else resolve(failure(error));
        },
      );
    });
  }

  stream<Request, Response>(
    method: Method<Request, Response>,
    headers: Headers = {},
  ): GrpcStream<Request, Response> {
    const metadata = metadataOf(headers);
    return new GrpcStream(
      method,
      this.#client.makeBidiStreamRequest(method.path, encoder(method), decoder(method), metadata),
    );
  }

  close(): void {
    this.#client.close();
  }
}

/** A call that streams both ways. Every response stays in {@link responses}. */
export class GrpcStream<Request, Response> {
  readonly responses: Response[] = [];
  readonly #method: Method<Request, Response>;
  readonly #call: ClientDuplexStream<Request, Response>;
  readonly #waiting = new Set<() => void>();
  #end: Outcome<Response> | undefined;

  constructor(method: Method<Request, Response>, call: ClientDuplexStream<Request, Response>) {
    this.#method = method;
    this.#call = call;
    call.on('data', (response: Response) => {
      this.responses.push(response);
      this.#wake();
    });
    call.on('error', (error: ServiceError) => this.#ended(failure(error)));
    call.on('status', ({ code, details }) => {
      this.#ended({ kind: 'error', code, message: details });
    });
  }

  send(request: Partial<Request>): void {
    this.#call.write(this.#method.request.create(request));
  }

  /**
   * The first response at or after place `from` that fits, with the place after it. Rejects when the stream ends
   * before, or after 20 s.
   */
  async find(
    from: number,
    fits: (response: Response) => boolean,
  ): Promise<{ response: Response; next: number }> {
    const deadline = performance.now() + callTimeoutMs;
    for (let place = from; ; place++) {
      while (place >= this.responses.length) await this.#more(deadline);
      const response = this.responses[place];
      if (response !== undefined && fits(response)) return { response, next: place + 1 };
    }
  }

  /** Resolves with how the stream ended, once it has. */
  async ended(): Promise<Outcome<Response>> {
    const deadline = performance.now() + callTimeoutMs;
    for (;;) {
      if (this.#end !== undefined) return this.#end;
      await this.#more(deadline);
    }
  }

  /** How the stream ended; undefined as long as it is open. */
  get end(): Outcome<Response> | undefined {
    return this.#end;
  }

  halfClose(): void {
    this.#call.end();
  }

  /** Takes no more off the connection, until {@link resume}, than what has arrived. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  cancel(): void {
    this.#call.cancel();
  }

  #more(deadline: number): Promise<void> {
    const end = this.#end;
    if (end !== undefined) return Promise.reject(new Error(`the stream has ended: ${show(end)}`));
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(wake);
        reject(new Error(`no response that fits in ${callTimeoutMs} ms`));
      }, deadline - performance.now());
      this.#waiting.add(wake);
    });
  }

  #ended(end: Outcome<Response>): void {
    this.#end ??= end;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

function metadataOf(headers: Headers): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

function show<Response>(end: Outcome<Response>): string {
  return end.kind === 'error' ? `${end.code} ${end.message}` : 'ok';
}

function failure(error: ServiceError | null): {
  kind: 'error';
  code: number;
  message: string;
} {
  return { kind: 'error', code: error?.code ?? -1, message: error?.details ?? 'no response' };
}

function encoder<Request, Response>({ request }: Method<Request, Response>) {
  return (message: Request): Buffer => {
    const bytes = request.encode(message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function decoder<Request, Response>({ response }: Method<Request, Response>) {
  return (bytes: Buffer): Response => response.decode(bytes);
}
