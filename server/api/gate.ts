import { Buffer, isUtf8 } from 'node:buffer';
import { Access, type Caller, noCaller } from '../auth/access.ts';
import { assert } from '../base/assert.ts';
import { latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import { noMember } from '../base/ids.ts';
import type { Method } from '../proto/wire.ts';
import type { Authenticator } from './authenticator.ts';
import type { CallContext, Requests, Responses, StreamCall, UnaryCall } from './call.ts';
import type { ExpensiveRequests } from './expensive-requests.ts';
import type { MemberPort } from './member-port.ts';
import { type Privilege, type PrivilegeTable, privileges } from './privileges.ts';
import type { RpcCounters } from './rpc-counters.ts';

/** Which requests a learner answers. */
type Learner<Request> = 'serves' | 'refuses' | ((request: Request) => boolean);

/** Runs a call that has passed; `caller` is whose rights its proposals are applied with. */
type Run<Request, Response> = (
  request: Request,
  context: CallContext,
  caller: Caller,
) => Promise<Response>;

export interface UnaryOptions<Request> {
  /** What comes before the question who asks and whether he may: checks of the request, the barrier of a read. */
  readonly first?: (request: Request) => void | Promise<void>;
  /** Whether it waits for its turn, apart from others, once it is known that its caller may do it. */
  readonly isExpensive?: (request: Request) => boolean;
}

export interface StreamOptions<Request> extends Pick<UnaryOptions<Request>, 'first'> {
  /**
   * Each request is authorized before the service gets it, and a refusal ends the stream; or the service does it. The end
   * of what was read is not told when rights have changed meanwhile.
   */
  readonly authorizes?: 'gate' | 'service';
}

/**
 * Every call passes here first: etcd's interceptors, in etcd's order (v3rpc/interceptor.go), then what the table of
 * privileges asks for. While authentication is off that costs one look.
 */
export class Gate {
  readonly access: Access;
  readonly #port: MemberPort;
  readonly #authenticator: Authenticator;
  readonly #privileges: PrivilegeTable;
  readonly #counters: RpcCounters | undefined;
  readonly #expensive: ExpensiveRequests | undefined;
  readonly #needLeader = new Set<Responses<never>>();

  constructor(modules: {
    port: MemberPort;
    authenticator: Authenticator;
    privileges?: PrivilegeTable;
    counters?: RpcCounters | undefined;
    expensive?: ExpensiveRequests | undefined;
  }) {
    const { port } = modules;
    this.#port = port;
    this.#counters = modules.counters;
    this.#expensive = modules.expensive;
    this.#authenticator = modules.authenticator;
    this.#privileges = modules.privileges ?? privileges;
    const leases = {
      keysOf: (id: bigint) => port.leaseKeys(id).map(latin1),
      ids: () => port.leases(),
    };
    this.access = new Access({ auth: port.auth, leases });
    this.#port.onLeaderLost(() => {
      this.#cancelLeaderless();
    });
  }

  unary<Request, Response>(
    method: Method<Request, Response>,
    learner: Learner<Request>,
    runNow: Run<Request, Response>,
    { first, isExpensive }: UnaryOptions<Request> = {},
  ): UnaryCall<Request, Response> {
    const run = this.#inTurn(method, runNow, isExpensive);
    const privilege = this.#privilegeOf(method);
    const authorized = (request: Request, context: CallContext): Promise<Response> =>
      this.access.isOn
        ? this.#authorized({ privilege, run }, request, context)
        : run(request, context, noCaller);
    return {
      kind: 'unary',
      method,
      run: (request, context) => {
        this.#admit(
          'unary',
          context,
          typeof learner === 'function' ? learner(request) : learner === 'serves',
        );
        const ready = first?.(request);
        if (ready === undefined) return authorized(request, context);
        return ready.then(() => authorized(request, context));
      },
    };
  }

  #inTurn<Request, Response>(
    method: Method<Request, Response>,
    run: Run<Request, Response>,
    isExpensive: UnaryOptions<Request>['isExpensive'],
  ): Run<Request, Response> {
    const expensive = this.#expensive;
    if (expensive === undefined || isExpensive === undefined) return run;
    return (request, context, caller) => {
      if (!isExpensive(request)) return run(request, context, caller);
      // While authentication is off, a connection is all that is known of who asks.
      const owner = caller === noCaller ? context.remoteAddress : `user ${caller.username}`;
      const heldBytes = method.request.encode(request).length;
      return expensive.run({ owner, context, heldBytes }, () => run(request, context, caller));
    };
  }

  async #authorized<Request, Response>(
    call: { readonly privilege: Privilege<Request>; readonly run: Run<Request, Response> },
    request: Request,
    context: CallContext,
  ): Promise<Response> {
    const { privilege } = call;
    try {
      const caller = await this.#admitted(privilege, request, context);
      const { revision } = this.access;
      const response = await call.run(request, context, caller);
      if (privilege.kind === 'read' && privilege.isRead?.(request) !== false) {
        if (revision !== this.access.revision) throw new EtcdError('AuthOldRevision');
        privilege.check(this.access, caller, request);
      }
      return response;
    } catch (error) {
      this.#authenticator.count(error);
      throw error;
    }
  }

  async #admitted<Request>(
    privilege: Privilege<Request>,
    request: Request,
    context: CallContext,
  ): Promise<Caller> {
    if (privilege.kind === 'open') return noCaller;
    const caller = await this.#authenticator.identify(context);
    if (caller !== noCaller) context.identified?.(caller.username);
    if (privilege.kind !== 'applied') privilege.check(this.access, caller, request);
    return caller;
  }

  /** For a service that tells refusals itself: rejects with the EtcdError; undefined while authentication is off. */
  authorize<Request>(
    method: Method<Request, unknown>,
    request: Request,
    context: CallContext,
  ): Promise<Caller> | undefined {
    if (!this.access.isOn) return undefined;
    return this.#admitted(this.#privilegeOf(method), request, context).catch((error: unknown) => {
      this.#authenticator.count(error);
      throw error;
    });
  }

  stream<Request, Response>(
    method: Method<Request, Response>,
    learner: 'serves' | 'refuses',
    open: (responses: Responses<Response>, context: CallContext) => Requests<Request>,
    options: StreamOptions<Request> = {},
  ): StreamCall<Request, Response> {
    const privilege = this.#privilegeOf(method);
    const opened =
      options.authorizes === 'service' || privilege.kind === 'open'
        ? open
        : this.#authorizing({ ...options, method, privilege }, open);
    return {
      kind: 'stream',
      method,
      open: (responses, context) => {
        const needsLeader = this.#admit('stream', context, learner === 'serves');
        const requests = opened(responses, context);
        if (!needsLeader) return requests;
        this.#needLeader.add(responses);
        return {
          ...forwarded(requests),
          closed: () => {
            this.#needLeader.delete(responses);
            requests.closed();
          },
        };
      },
    };
  }

  #authorizing<Request, Response>(
    call: StreamOptions<Request> & {
      readonly method: Method<Request, Response>;
      readonly privilege: Privilege<Request>;
    },
    open: StreamCall<Request, Response>['open'],
  ): StreamCall<Request, Response>['open'] {
    return (responses, context) => {
      let isClosed = false;
      let revision: number | undefined;
      const isOld = (): boolean => revision !== undefined && revision !== this.access.revision;
      const checked: Responses<Response> = {
        send: (response) => responses.send(response),
        end: () => {
          if (isOld()) responses.fail(new EtcdError('AuthOldRevision'));
          else responses.end();
        },
        fail: (error) => {
          responses.fail(error);
        },
      };
      const requests = open(call.privilege.kind === 'read' ? checked : responses, context);
      const authorized = async (request: Request): Promise<void> => {
        await this.authorize(call.method, request, context);
        revision = this.access.revision;
        if (!isClosed) await requests.next(request);
      };
      const ready = (request: Request): void | Promise<void> => {
        if (isClosed) return;
        return this.access.isOn ? authorized(request) : requests.next(request);
      };
      return {
        ...forwarded(requests),
        next: (request) => {
          const first = call.first?.(request);
          return first === undefined ? ready(request) : first.then(() => ready(request));
        },
        closed: () => {
          isClosed = true;
          requests.closed();
        },
      };
    };
  }

  #privilegeOf<Request>({ path }: Method<Request, unknown>): Privilege<Request> {
    const privilege = this.#privileges.get(path);
    assert(privilege !== undefined, `no privilege is set for ${path}`);
    return privilege as Privilege<Request>;
  }

  /** Whether the caller asked for a member that has a leader. */
  #admit(kind: 'unary' | 'stream', context: CallContext, isForLearners: boolean): boolean {
    const { isLearner, leader } = this.#port.raftStatus();
    if (isLearner && !isForLearners) throw new EtcdError('NotSupportedForLearner');
    const version = context.header('client-api-version');
    if (!isText(version)) throw new EtcdError('InvalidClientApiVersion');
    this.#counters?.requested(kind, version);
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

function forwarded<Request>(requests: Requests<Request>): Requests<Request> {
  return {
    next: (request) => requests.next(request),
    halfClosed: () => {
      requests.halfClosed();
    },
    drained: () => {
      requests.drained();
    },
    closed: () => {
      requests.closed();
    },
  };
}
