import { Buffer } from 'node:buffer';
import * as grpc from '@grpc/grpc-js';
import type { Method } from '../../../server/proto/wire.ts';

/** grpc-js's client over the generated methods: an implementation that is not ours. */
export class TestClient {
  readonly #client: grpc.Client;

  constructor(
    address: string,
    options: grpc.ClientOptions = {},
    credentials = grpc.credentials.createInsecure(),
  ) {
    this.#client = new grpc.Client(address, credentials, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      ...options,
    });
  }

  /** Rejects with grpc-js's error: `code`, `details`. */
  unary<Request, Response>(
    method: Pick<Method<Request, Response>, 'path' | 'request' | 'response'>,
    request: Request,
    options: { headers?: Record<string, string>; timeoutMs?: number } = {},
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        (message: Request) => Buffer.from(method.request.encode(message)),
        (bytes) => method.response.decode(bytes),
        request,
        metadataOf(options.headers),
        options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs },
        (error, response) => {
          if (response === undefined) reject(error ?? new Error('no response'));
          else resolve(response);
        },
      );
    });
  }

  stream<Request, Response>(
    method: Method<Request, Response>,
    headers: Record<string, string> = {},
  ): grpc.ClientDuplexStream<Request, Response> {
    const stream = this.#client.makeBidiStreamRequest(
      method.path,
      (message: Request) => Buffer.from(method.request.encode(message)),
      (bytes) => method.response.decode(bytes),
      metadataOf(headers),
    );
    // What ends a stream is asked for through outcome().
    stream.on('error', () => {});
    return stream;
  }

  close(): void {
    this.#client.close();
  }
}

function metadataOf(headers: Record<string, string> = {}): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

/** `code text` of what a call ended with. */
export async function outcome(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return '0';
  } catch (error) {
    const { code, details } = error as grpc.ServiceError;
    return `${code} ${details}`;
  }
}

export function ended<Request, Response>(
  stream: grpc.ClientDuplexStream<Request, Response>,
): Promise<string> {
  return new Promise((resolve) => {
    stream.on('status', ({ code, details }: grpc.StatusObject) => {
      resolve(`${code} ${details}`);
    });
  });
}

/** The next messages of a stream. */
export function take<Request, Response>(
  stream: grpc.ClientDuplexStream<Request, Response>,
  count: number,
): Promise<Response[]> {
  return new Promise((resolve) => {
    const messages: Response[] = [];
    const onData = (message: Response) => {
      messages.push(message);
      if (messages.length < count) return;
      stream.off('data', onData);
      resolve(messages);
    };
    stream.on('data', onData);
  });
}
