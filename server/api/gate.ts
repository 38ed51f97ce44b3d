import { Buffer, isUtf8 } from 'node:buffer';
import { EtcdError } from '../base/errors.ts';
import { noMember } from '../base/ids.ts';
import type { Method } from '../proto/wire.ts';
import type { CallContext, Requests, Responses, StreamCall, UnaryCall } from './call.ts';
import type { MemberPort } from './member-port.ts';

/** Whether a caller may do what it asks: throws the EtcdError that says why not. Authentication will stand here. */
export type Authorize = (path: string, request: unknown, context: CallContext) => void;

export const allowAll: Authorize = () => {};

/** Which requests a learner answers. */
type Learner<Request> = 'serves' | 'refuses' | ((request: Request) => boolean);

/** Every call passes here first: etcd's interceptors, in etcd's order (v3rpc/interceptor.go). */
export class Gate {
  readonly authorize: Authorize;
  readonly #port: MemberPort;
  readonly #needLeader = new Set<Responses<never>>();

  constructor(modules: { port: MemberPort; authorize: Authorize }) {
    this.#port = modules.port;
    this.authorize = modules.authorize;
    this.#port.onLeaderLost(() => {
      this.#cancelLeaderless();
    });
  }

  unary<Request, Response>(
    method: Method<Request, Response>,
    learner: Learner<Request>,
    run: (request: Request, context: CallContext) => Promise<Response>,
  ): UnaryCall<Request, Response> {
    const { path } = method;
    return {
      kind: 'unary',
      method,
      run: (request, context) => {
        this.#admit(
          context,
          typeof learner === 'function' ? learner(request) : learner === 'serves',
        );
        this.authorize(path, request, context);
        return run(request, context);
      },
    };
  }

  /** The service itself asks {@link authorize}, where it knows how a refusal is told. */
  stream<Request, Response>(
    method: Method<Request, Response>,
    learner: 'serves' | 'refuses',
    open: (responses: Responses<Response>, context: CallContext) => Requests<Request>,
  ): StreamCall<Request, Response> {
    return {
      kind: 'stream',
      method,
      open: (responses, context) => {
        const needsLeader = this.#admit(context, learner === 'serves');
        const requests = open(responses, context);
        if (!needsLeader) return requests;
        this.#needLeader.add(responses);
        return onClose(requests, () => {
          this.#needLeader.delete(responses);
        });
      },
    };
  }

  /** Whether the caller asked for a member that has a leader. */
  #admit(context: CallContext, isForLearners: boolean): boolean {
    const { isLearner, leader } = this.#port.raftStatus();
    if (isLearner && !isForLearners) throw new EtcdError('NotSupportedForLearner');
    if (!isText(context.header('client-api-version'))) {
      throw new EtcdError('InvalidClientApiVersion');
    }
    const needsLeader = context.header('hasleader') === 'true';
    if (needsLeader && leader === noMember) throw new EtcdError('NoLeader');
    return needsLeader;
  }

  /** Reconnecting costs a client much, so its streams outlive a short election (etcd's monitorLeader). */
  #cancelLeaderless(): void {
    for (const responses of this.#needLeader) responses.fail(new EtcdError('NoLeader'));
  }
}

/** Headers come as latin-1 strings. */
function isText(value: string | undefined): boolean {
  return value === undefined || isUtf8(Buffer.from(value, 'latin1'));
}

function onClose<Request>(requests: Requests<Request>, callback: () => void): Requests<Request> {
  return {
    next: (request) => requests.next(request),
    halfClosed: () => {
      requests.halfClosed();
    },
    drained: () => {
      requests.drained();
    },
    closed: () => {
      callback();
      requests.closed();
    },
  };
}
