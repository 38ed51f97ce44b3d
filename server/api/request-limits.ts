import type { Clock } from '../base/clock.ts';
import type { RequestLimitsConfig as LimitsConfig } from '../config/request-limits.ts';
import { Election } from '../proto/gen/election.ts';
import { Lock } from '../proto/gen/lock.ts';
import { KV, Lease, Watch } from '../proto/gen/rpc.ts';
import { Allowances, type Refusal } from './allowances.ts';
import type { Authenticator } from './authenticator.ts';
import type { Call, CallContext, Requests, StreamCall, UnaryCall } from './call.ts';
import { StatusError } from './errors.ts';

export type RequestLimitsConfig = Pick<LimitsConfig, 'user' | 'connection'>;

export type LimitName = `${'user' | 'connection'}${'RequestsPerSecond' | 'InFlight'}`;

export interface RequestLimitsModules {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly users: Pick<Authenticator, 'nameOf' | 'isRoot'>;
}

/**
 * What is counted. `held`: until it is answered; `begun`: as one request, however long it goes on. What is not here is free:
 * health checks and keep-alives, whose refusal would end a healthy member's or a lease's life, and administration, by which
 * an overload is ended.
 */
const counted: ReadonlyMap<string, 'held' | 'begun'> = new Map([
  ...[KV.methods.range, KV.methods.rangeStream, KV.methods.put, KV.methods.deleteRange].map(held),
  ...[KV.methods.txn, KV.methods.compact].map(held),
  ...[Lease.methods.leaseGrant, Lease.methods.leaseRevoke].map(held),
  ...[Lease.methods.leaseTimeToLive, Lease.methods.leaseLeases].map(held),
  ...[Watch.methods.watch, Lock.methods.lock, Lock.methods.unlock].map(begun),
  ...[Election.methods.campaign, Election.methods.proclaim, Election.methods.leader].map(begun),
  ...[Election.methods.observe, Election.methods.resign].map(begun),
]);

function held({ path }: { readonly path: string }): [string, 'held'] {
  return [path, 'held'];
}

function begun({ path }: { readonly path: string }): [string, 'begun'] {
  return [path, 'begun'];
}

/** Refuses what a user or a connection asks beyond its allowance. */
export class RequestLimits {
  /** Requests refused, since the process began. */
  readonly refused: Record<LimitName, number> = {
    userRequestsPerSecond: 0,
    userInFlight: 0,
    connectionRequestsPerSecond: 0,
    connectionInFlight: 0,
  };
  readonly #modules: RequestLimitsModules;
  readonly #config: RequestLimitsConfig;
  readonly #users: Allowances;
  readonly #connections: Allowances;

  constructor(modules: RequestLimitsModules, config: RequestLimitsConfig) {
    this.#modules = modules;
    this.#config = config;
    this.#users = new Allowances(config.user);
    this.#connections = new Allowances(config.connection);
  }

  /** The same call, limited; the call itself where there is nothing to limit. */
  limit(call: Call): Call {
    const kind = counted.get(call.method.path);
    const isFree = this.#users.isUnlimited && this.#connections.isUnlimited;
    if (kind === undefined || isFree) return call;
    return call.kind === 'unary' ? this.#unary(call, kind) : this.#stream(call, kind);
  }

  #unary(call: UnaryCall, kind: 'held' | 'begun'): UnaryCall {
    return {
      ...call,
      run: (request, context) => {
        const leave = this.#enter(context, kind === 'held');
        let answered: Promise<unknown>;
        try {
          answered = call.run(request, context);
        } catch (error) {
          leave();
          throw error;
        }
        answered.then(leave, leave);
        return answered;
      },
    };
  }

  #stream(call: StreamCall, kind: 'held' | 'begun'): StreamCall {
    return {
      ...call,
      open: (responses, context) => {
        const leave = this.#enter(context, kind === 'held');
        let requests: Requests<unknown>;
        try {
          requests = call.open(responses, context);
        } catch (error) {
          leave();
          throw error;
        }
        return {
          next: (request) => requests.next(request),
          halfClosed: () => requests.halfClosed(),
          drained: () => requests.drained(),
          closed: () => {
            leave();
            requests.closed();
          },
        };
      },
    };
  }

  /** Returns what tells that the request is over. Throws RESOURCE_EXHAUSTED. */
  #enter(context: CallContext, isHeld: boolean): () => void {
    const nowMs = this.#modules.clock.nowMs();
    const user = this.#users.isUnlimited ? undefined : this.#modules.users.nameOf(context);
    // Who may do everything may end an overload; so nothing of his is refused.
    if (this.#modules.users.isRoot(context, user)) return () => {};
    const connection = this.#connections.isUnlimited ? undefined : context.remoteAddress;
    if (connection !== undefined) {
      const refusal = this.#connections.enter(connection, nowMs, isHeld);
      if (refusal !== undefined) throw this.#refuse('connection', refusal);
    }
    const leaveConnection = (): void => {
      if (connection !== undefined && isHeld) this.#connections.leave(connection);
    };
    if (user === undefined) return leaveConnection;
    const refusal = this.#users.enter(user, nowMs, isHeld);
    if (refusal !== undefined) {
      leaveConnection();
      throw this.#refuse('user', refusal);
    }
    return () => {
      leaveConnection();
      if (isHeld) this.#users.leave(user);
    };
  }

  #refuse(whose: 'user' | 'connection', { limit, retryAfterMs }: Refusal): StatusError {
    this.refused[`${whose}${limit === 'inFlight' ? 'InFlight' : 'RequestsPerSecond'}`]++;
    const max = this.#config[whose][limit];
    const what = limit === 'inFlight' ? 'requests in flight' : 'requests per second';
    return new StatusError(
      'RESOURCE_EXHAUSTED',
      `mainstay: this ${whose} may have ${max} ${what}; retry in ${retryAfterMs} ms`,
      { retryAfterMs },
    );
  }
}
