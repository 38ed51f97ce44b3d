import { hostLookup } from '../base/hosts.ts';
import {
  AlarmAction,
  type AlarmMember,
  type AlarmResponse,
  AlarmType,
  Cluster,
  type CompactionResponse,
  type DowngradeAction,
  type DowngradeResponse,
  type HashKVResponse,
  KV,
  Maintenance,
  type MemberAddResponse,
  type MemberListResponse,
  type MemberUpdateResponse,
  type SnapshotResponse,
  type StatusResponse,
} from '../proto/gen/rpc.ts';
import { type StampListResponse, Stamps } from '../proto/gen/stamps.ts';
import type { Method } from '../proto/wire.ts';
import { AuthAdmin } from './auth-admin.ts';
import {
  type Attempt,
  type CallOptions,
  Calls,
  idempotentWrite,
  localRead,
  read,
  write,
} from './calls.ts';
import { Endpoint, type EndpointOptions, type TlsOptions, type TlsSource } from './endpoint.ts';
import { Endpoints } from './endpoints.ts';
import { ClientError } from './errors.ts';
import { etcdTexts } from './etcd-texts.ts';
import { KeySpace } from './key-space.ts';
import { Prefix } from './prefix.ts';
import type { Repeat } from './retry.ts';
import { checkedBytes, snapshotParts } from './snapshot.ts';
import { type CredentialSource, type Credentials, Tokens } from './tokens.ts';

export interface ClientOptions {
  /** Client URLs of members: `http://host:port`, `https://host:port` or `host:port`. They are asked in turn. */
  readonly endpoints: readonly string[];
  /** How long a call may take, every attempt included. 5 s by default. */
  readonly timeoutMs?: number | undefined;
  /** How long one attempt to connect may take. 2 s by default. */
  readonly dialTimeoutMs?: number | undefined;
  /** Whose calls these are, when the cluster has authentication on. A function is asked whenever a token is needed. */
  readonly credentials?: Credentials | CredentialSource | undefined;
  /** How `https://` endpoints are checked and what they are shown. A function is asked for each new connection. */
  readonly tls?: TlsOptions | TlsSource | undefined;
  /** Lines of `IP name name...` that are asked before DNS; by default what MAINSTAY_HOSTS_FILE names. */
  readonly hostsFile?: string | undefined;
}

export interface SnapshotOptions {
  /** The member's client URL; it need not be one of the client's endpoints. */
  readonly endpoint?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A client of the etcd v3 API. Calls go to the endpoints in turn, past those that failed, and move on to the next when
 * that is safe: reads and what is idempotent whenever a member is unavailable, writes only when the request provably had
 * no effect. Failures are {@link ClientError}s. Close it: its connections keep the process alive.
 */
export class Client extends KeySpace {
  /** Users and roles. */
  readonly auth: AuthAdmin;
  readonly #calls: Calls;
  readonly #endpointOptions: EndpointOptions;
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    if (options.endpoints.length === 0) throw new TypeError('a client needs an endpoint');
    const { endpoints, timeoutMs = 5_000, dialTimeoutMs, credentials, tls } = options;
    const lookup = hostLookup(options.hostsFile ?? process.env['MAINSTAY_HOSTS_FILE']);
    const tokens = credentials === undefined ? undefined : new Tokens(credentials);
    const connecting = { lookup, tls, dialTimeoutMs };
    const places = new Endpoints(endpoints.map((url) => new Endpoint(url, connecting)));
    const calls = new Calls(places, { timeoutMs, tokens });
    super(calls, new Prefix(new Uint8Array()));
    this.#endpointOptions = connecting;
    this.#options = options;
    this.#calls = calls;
    this.auth = new AuthAdmin(calls);
  }

  get endpoints(): string[] {
    return this.#calls.endpoints.all.map(({ url }) => url);
  }

  /** A client of the same user that asks one endpoint alone. To be closed like any other. */
  only(endpoint: string): Client {
    return new Client({ ...this.#options, endpoints: [endpoint] });
  }

  /** Ends every call, watch and session, and closes the connections. Leases are not revoked: they expire. */
  close(): void {
    this.#calls.close();
  }

  /** From now on asks the members that the cluster has now, at the client URLs that they advertise; which these are. */
  async syncEndpoints(options: CallOptions = {}): Promise<string[]> {
    const { members } = await this.memberList(options);
    const urls = members.filter(({ isLearner }) => !isLearner).flatMap((each) => each.clientURLs);
    if (urls.length > 0) this.#calls.endpoints.replace(urls.map((url) => this.#endpointOf(url)));
    return this.endpoints;
  }

  /**
   * A call of the API as it stands on the wire, for answers that the methods above do not give in full. `repeat`: what it
   * means to do it twice, `never` by default; `endpoint`: the only member to ask, which answers from what it has.
   */
  call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions & { repeat?: Repeat | undefined; endpoint?: string | undefined } = {},
  ): Promise<Response> {
    const { repeat = 'never', endpoint } = options;
    if (endpoint === undefined) {
      return this.#calls.unary(method, request, { repeat, requiresLeader: true }, options);
    }
    return this.#at(endpoint, { repeat }, (how) =>
      this.#calls.unary(method, request, how, options),
    );
  }

  /** Forgets the history before a revision. `physical`: answered when it is gone from the disk of the member asked. */
  compact(
    revision: number,
    options: CallOptions & { physical?: boolean | undefined } = {},
  ): Promise<CompactionResponse> {
    const { physical = false } = options;
    return this.#calls.unary(KV.methods.compact, { revision, physical }, write, options);
  }

  // Members

  memberList(
    options: CallOptions & { linearizable?: boolean | undefined } = {},
  ): Promise<MemberListResponse> {
    const { linearizable = true } = options;
    const how = linearizable ? read : localRead;
    return this.#calls.unary(Cluster.methods.memberList, { linearizable }, how, options);
  }

  memberAdd(
    peerURLs: readonly string[],
    options: CallOptions & {
      isLearner?: boolean | undefined;
      isObserver?: boolean | undefined;
    } = {},
  ): Promise<MemberAddResponse> {
    const { isObserver = false, isLearner = isObserver } = options;
    const request = { peerURLs: [...peerURLs], isLearner, isObserver };
    return this.#calls.unary(Cluster.methods.memberAdd, request, write, options);
  }

  memberUpdate(
    id: bigint,
    peerURLs: readonly string[],
    options: CallOptions = {},
  ): Promise<MemberUpdateResponse> {
    const request = { ID: id, peerURLs: [...peerURLs] };
    return this.#calls.unary(Cluster.methods.memberUpdate, request, write, options);
  }

  async memberPromote(id: bigint, options: CallOptions = {}): Promise<void> {
    await this.#calls.unary(Cluster.methods.memberPromote, { ID: id }, write, options);
  }

  async memberRemove(id: bigint, options: CallOptions = {}): Promise<void> {
    await this.#calls.unary(Cluster.methods.memberRemove, { ID: id }, write, options);
  }

  // One member. `endpoint` need not be one of this client's.

  /** What the member says of itself. */
  status(endpoint: string, options: CallOptions = {}): Promise<StatusResponse> {
    return this.#at(endpoint, localRead, (how) =>
      this.#calls.unary(Maintenance.methods.status, {}, how, options),
    );
  }

  /** The hash of all keys and values up to a revision, 0 for the newest: equal on all members. */
  hashKV(
    endpoint: string,
    options: CallOptions & { revision?: number | undefined } = {},
  ): Promise<HashKVResponse> {
    const { revision = 0 } = options;
    return this.#at(endpoint, localRead, (how) =>
      this.#calls.unary(Maintenance.methods.hashKV, { revision }, how, options),
    );
  }

  /** Gives back the space that compaction has freed. */
  async defragment(endpoint: string, options: CallOptions = {}): Promise<void> {
    await this.#at(endpoint, { repeat: 'never' }, (how) =>
      this.#calls.unary(Maintenance.methods.defragment, {}, how, options),
    );
  }

  /**
   * The member's state as the bytes of a snapshot file, checked; of the next member in turn when none is named. Fails
   * when it is cut or damaged: what came until then is no snapshot.
   */
  snapshot(options: SnapshotOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    return this.#fromOne(options, (endpoint) =>
      checkedBytes(snapshotParts(this.#calls, endpoint, options), endpoint),
    );
  }

  /** The same in the messages that bring it, unchecked: they say how much is to come, and the version. */
  snapshotParts(options: SnapshotOptions = {}): AsyncGenerator<SnapshotResponse, void, void> {
    return this.#fromOne(options, (endpoint) => snapshotParts(this.#calls, endpoint, options));
  }

  async *#fromOne<T>(
    { endpoint }: SnapshotOptions,
    run: (endpoint: Endpoint) => AsyncGenerator<T, void, void>,
  ): AsyncGenerator<T, void, void> {
    const own = endpoint === undefined ? this.#calls.endpoints.next() : this.#own(endpoint);
    const asked = own ?? this.#endpointOf(endpoint ?? '');
    try {
      yield* run(asked);
    } finally {
      if (own === undefined) asked.close();
    }
  }

  // The cluster

  /** When the leader applied the revisions behind one; the first page of them. Mainstay's alone. */
  stamps(after: number, options: CallOptions = {}): Promise<StampListResponse> {
    return this.#calls.unary(Stamps.methods.list, { after }, read, options);
  }

  alarms(options: CallOptions = {}): Promise<AlarmResponse> {
    const request = { action: AlarmAction.GET, memberID: 0n, alarm: AlarmType.NONE };
    return this.#calls.unary(Maintenance.methods.alarm, request, read, options);
  }

  /** What was disarmed: nothing when the alarm was not raised. */
  disarm({ memberID, alarm }: AlarmMember, options: CallOptions = {}): Promise<AlarmResponse> {
    const request = { action: AlarmAction.DEACTIVATE, memberID, alarm };
    return this.#calls.unary(Maintenance.methods.alarm, request, idempotentWrite, options);
  }

  /** Asks the leader, whichever endpoint that is, to hand leadership to a voter. */
  async moveLeader(targetID: bigint, options: CallOptions = {}): Promise<void> {
    await this.#at(await this.#leaderUrl(options), write, (how) =>
      this.#calls.unary(Maintenance.methods.moveLeader, { targetID }, how, options),
    );
  }

  downgrade(
    action: DowngradeAction,
    version: string,
    options: CallOptions = {},
  ): Promise<DowngradeResponse> {
    return this.#calls.unary(Maintenance.methods.downgrade, { action, version }, write, options);
  }

  async #leaderUrl(options: CallOptions): Promise<string> {
    const { endpoint } = await this.#calls.attempt(localRead, options, async (at, how) => {
      const status = await at.unary(Maintenance.methods.status, {}, how);
      if (status.leader === 0n) throw noLeader(at.url);
      return { endpoint: status.leader === status.header?.memberId ? at.url : status.leader };
    });
    if (typeof endpoint === 'string') return endpoint;
    const { members } = await this.memberList({ ...options, linearizable: false });
    const url = members.find(({ ID }) => ID === endpoint)?.clientURLs[0];
    if (url === undefined) throw noLeader(this.endpoints.join(' '));
    return url;
  }

  /** Runs with the endpoint of that URL, ours or one for the time being. */
  async #at<T>(url: string, attempt: Attempt, run: (attempt: Attempt) => Promise<T>): Promise<T> {
    const own = this.#own(url);
    const endpoint = own ?? this.#endpointOf(url);
    try {
      return await run({ ...attempt, endpoint });
    } finally {
      if (own === undefined) endpoint.close();
    }
  }

  #own(url: string): Endpoint | undefined {
    const { url: whole } = new Endpoint(url, this.#endpointOptions);
    return this.#calls.endpoints.all.find((endpoint) => endpoint.url === whole);
  }

  #endpointOf(url: string): Endpoint {
    return this.#own(url) ?? new Endpoint(url, this.#endpointOptions);
  }
}

function noLeader(endpoint: string): ClientError {
  return new ClientError({ code: 14, text: etcdTexts.noLeader, endpoint, isUncertain: false });
}
