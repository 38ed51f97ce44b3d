import type { Method } from '../proto/wire.ts';

// What a service and a transport know of each other. No transport appears in api/, and no service in transport/.

/** What a service may know of the call around a request. */
export interface CallContext {
  /** The first value of a request header, by its lower-case name. */
  header(name: string): string | undefined;
  /** `address:port` of the client. */
  readonly remoteAddress: string;
  /** The common name in the client's verified certificate, empty when it has none; undefined without a certificate. */
  readonly commonName: string | undefined;
  /** It came as JSON over HTTP. What headers say of that, a client of gRPC may say too. */
  readonly isOfGateway?: boolean;
  /** Whether its client has gone, or does not wait any more. */
  isOver?(): boolean;
  /** Told who calls, where that was asked and found out: for the audit log. */
  readonly identified?: (username: string) => void;
}

/** One request, one response. What `run` throws or rejects with becomes the call's status: see `toStatus`. */
export interface UnaryCall<Request = unknown, Response = unknown> {
  readonly kind: 'unary';
  readonly method: Method<Request, Response>;
  run(request: Request, context: CallContext): Promise<Response>;
}

/** Every other shape of call. What `open` throws becomes the call's status. */
export interface StreamCall<Request = unknown, Response = unknown> {
  readonly kind: 'stream';
  readonly method: Method<Request, Response>;
  open(responses: Responses<Response>, context: CallContext): Requests<Request>;
}

export type Call = UnaryCall | StreamCall;

/** The transport's end of a stream. After `end` or `fail` everything is ignored. */
export interface Responses<Response> {
  /** Takes the response in any case. False: the client is slow, send no more until {@link Requests.drained}. */
  send(response: Response): boolean;
  end(): void;
  fail(error: unknown): void;
}

/** The service's end of a stream; the transport calls it. */
export interface Requests<Request> {
  /** No other request comes before the promise has resolved. A throw or rejection ends the call with it. */
  next(request: Request): void | Promise<void>;
  /** The client will send no more. */
  halfClosed(): void;
  /** There is room for responses again. */
  drained(): void;
  /** The call is over, whoever ended it: called once, and nothing after it. */
  closed(): void;
}
