import { noPasswords } from '../auth/passwords.ts';
import { noTokens } from '../auth/tokens.ts';
import { silentLogger } from '../base/logger.ts';
import {
  requestBytesMaxDefault,
  watchersPerStreamMax,
  watchProgressNotifyMsDefault,
} from '../config/limits.ts';
import { Election } from '../proto/gen/election.ts';
import { Health } from '../proto/gen/health.ts';
import { Lock } from '../proto/gen/lock.ts';
import { Auth, Cluster, KV, Lease, Maintenance, Watch } from '../proto/gen/rpc.ts';
import { Stamps } from '../proto/gen/stamps.ts';
import { authCalls } from './auth.ts';
import { Authenticator } from './authenticator.ts';
import type { Call } from './call.ts';
import { clusterCalls } from './cluster.ts';
import { electionCalls } from './election.ts';
import { malformedMethod, type StatusError, unknownMethod, unknownService } from './errors.ts';
import type { ExpensiveRequests } from './expensive-requests.ts';
import { Gate } from './gate.ts';
import { healthCalls } from './health.ts';
import { kvCalls } from './kv.ts';
import { leaseCalls } from './lease.ts';
import { lockCalls } from './lock.ts';
import { maintenanceCalls } from './maintenance.ts';
import type { MemberPort } from './member-port.ts';
import type { PrefixQuotas } from './prefix-quotas.ts';
import { rangeStreamCall } from './range-stream.ts';
import type { RequestLimits } from './request-limits.ts';
import type { RpcCounters } from './rpc-counters.ts';
import { stampCalls } from './stamps.ts';
import { watchCalls } from './watch.ts';

const serviceNames: ReadonlySet<string> = new Set(
  [KV, Watch, Lease, Cluster, Maintenance, Auth, Lock, Election, Health, Stamps].map(
    ({ name }) => name,
  ),
);

/** Every call that a member answers, by HTTP/2's `:path`. */
export class Services {
  readonly #calls: ReadonlyMap<string, Call>;

  constructor(calls: readonly Call[]) {
    this.#calls = new Map(calls.map((call) => [call.method.path, call]));
  }

  find(path: string): Call | undefined {
    return this.#calls.get(path);
  }

  /** Why {@link find} found nothing, in grpc-go's words. */
  unknown(path: string): StatusError {
    const name = path.startsWith('/') ? path.slice(1) : path;
    const slash = name.lastIndexOf('/');
    if (slash < 0) return malformedMethod(path);
    const [service, method] = [name.slice(0, slash), name.slice(slash + 1)];
    return serviceNames.has(service) ? unknownMethod(service, method) : unknownService(service);
  }
}

/** What keeps one client from taking what is there for all. */
export interface Fairness {
  /** Refuses what is beyond an allowance. */
  readonly limits: RequestLimits;
  /** Lets requests for many keys take turns; without it all run at once. */
  readonly expensive: ExpensiveRequests | undefined;
  /** Of prefixes of keys. */
  readonly quotas: PrefixQuotas | undefined;
}

export interface ServiceOptions extends Partial<Fairness> {
  readonly txnOpsMax: number;
  /** The largest gRPC message that a client may send. */
  readonly messageBytesMax: number;
  /** A message of a streamed range is near to this. `--max-request-bytes`; left out: its default. */
  readonly requestBytesMax?: number;
  /** `--watch-progress-notify-interval`; left out: its default. */
  readonly watchProgressNotifyMs?: number;
  /** Counts every call, where one is given. */
  readonly counters?: RpcCounters | undefined;
  /** Writes down every call, where it is given. */
  readonly audit?: ((call: Call) => Call) | undefined;
}

/** Without an authenticator nobody gets in while authentication is on. */
export function servicesOf(
  port: MemberPort,
  options: ServiceOptions,
  authenticator: Authenticator = unableToAuthenticate(port),
): Services {
  const {
    requestBytesMax = requestBytesMaxDefault,
    watchProgressNotifyMs = watchProgressNotifyMsDefault,
    counters,
    limits,
    expensive,
    audit = (call) => call,
  } = options;
  const modules = {
    port,
    authenticator,
    gate: new Gate({ port, authenticator, counters, expensive }),
  };
  const calls = [
    ...kvCalls(modules, options),
    rangeStreamCall(modules, { messageBytes: requestBytesMax }),
    ...watchCalls(modules, {
      watchersPerStreamMax,
      fragmentBytesMax: options.messageBytesMax,
      progressNotifyMs: watchProgressNotifyMs,
    }),
    ...leaseCalls(modules),
  ];
  const { gate } = modules;
  const all = [
    ...calls,
    ...lockCalls({ gate, calls }),
    ...electionCalls({ gate, calls }),
    ...clusterCalls(modules),
    ...maintenanceCalls(modules),
    ...authCalls(modules),
    ...healthCalls(modules),
    ...stampCalls(modules),
  ];
  const limited = all.map((call) => limits?.limit(call) ?? call);
  return new Services(limited.map((call) => audit(counters?.count(call) ?? call)));
}

function unableToAuthenticate(port: MemberPort): Authenticator {
  return new Authenticator(
    { port, tokens: noTokens, passwords: noPasswords, logger: silentLogger },
    { clientCertAuth: false },
  );
}
