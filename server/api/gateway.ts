import type { Buffer } from 'node:buffer';
import type { MessageDescriptor } from '../proto/descriptor.ts';
import { descriptors } from '../proto/gen/descriptors.ts';
import { Election } from '../proto/gen/election.ts';
import { Lock } from '../proto/gen/lock.ts';
import { Auth, Cluster, KV, Lease, Maintenance, Watch } from '../proto/gen/rpc.ts';
import { type Descriptors, decodeJson } from '../proto/json-decode.ts';
import { encodeJson, encodeJsonSteps } from '../proto/json-encode.ts';
import type { Call } from './call.ts';
import { httpStatus, type Status } from './errors.ts';
import type { Services } from './services.ts';

/** Where etcd's gateway offers each RPC, below `/v3/`: the `google.api.http` options of its .proto files. */
const routes: ReadonlyArray<readonly [method: RoutedMethod, ...paths: string[]]> = [
  [KV.methods.range, 'kv/range'],
  [KV.methods.put, 'kv/put'],
  [KV.methods.deleteRange, 'kv/deleterange'],
  [KV.methods.txn, 'kv/txn'],
  [KV.methods.compact, 'kv/compaction'],
  [Watch.methods.watch, 'watch'],
  [Lease.methods.leaseGrant, 'lease/grant'],
  [Lease.methods.leaseRevoke, 'lease/revoke', 'kv/lease/revoke'],
  [Lease.methods.leaseKeepAlive, 'lease/keepalive'],
  [Lease.methods.leaseTimeToLive, 'lease/timetolive', 'kv/lease/timetolive'],
  [Lease.methods.leaseLeases, 'lease/leases', 'kv/lease/leases'],
  [Cluster.methods.memberAdd, 'cluster/member/add'],
  [Cluster.methods.memberRemove, 'cluster/member/remove'],
  [Cluster.methods.memberUpdate, 'cluster/member/update'],
  [Cluster.methods.memberList, 'cluster/member/list'],
  [Cluster.methods.memberPromote, 'cluster/member/promote'],
  [Maintenance.methods.alarm, 'maintenance/alarm'],
  [Maintenance.methods.status, 'maintenance/status'],
  [Maintenance.methods.defragment, 'maintenance/defragment'],
  [Maintenance.methods.hash, 'maintenance/hash'],
  [Maintenance.methods.hashKV, 'maintenance/hashkv'],
  [Maintenance.methods.snapshot, 'maintenance/snapshot'],
  [Maintenance.methods.moveLeader, 'maintenance/transfer-leadership'],
  [Maintenance.methods.downgrade, 'maintenance/downgrade'],
  [Auth.methods.authEnable, 'auth/enable'],
  [Auth.methods.authDisable, 'auth/disable'],
  [Auth.methods.authStatus, 'auth/status'],
  [Auth.methods.authenticate, 'auth/authenticate'],
  [Auth.methods.userAdd, 'auth/user/add'],
  [Auth.methods.userGet, 'auth/user/get'],
  [Auth.methods.userList, 'auth/user/list'],
  [Auth.methods.userDelete, 'auth/user/delete'],
  [Auth.methods.userChangePassword, 'auth/user/changepw'],
  [Auth.methods.userGrantRole, 'auth/user/grant'],
  [Auth.methods.userRevokeRole, 'auth/user/revoke'],
  [Auth.methods.roleAdd, 'auth/role/add'],
  [Auth.methods.roleGet, 'auth/role/get'],
  [Auth.methods.roleList, 'auth/role/list'],
  [Auth.methods.roleDelete, 'auth/role/delete'],
  [Auth.methods.roleGrantPermission, 'auth/role/grant'],
  [Auth.methods.roleRevokePermission, 'auth/role/revoke'],
  [Lock.methods.lock, 'lock/lock'],
  [Lock.methods.unlock, 'lock/unlock'],
  [Election.methods.campaign, 'election/campaign'],
  [Election.methods.proclaim, 'election/proclaim'],
  [Election.methods.leader, 'election/leader'],
  [Election.methods.observe, 'election/observe'],
  [Election.methods.resign, 'election/resign'],
];

/** What a route needs of a method; its messages are of no one type. */
interface RoutedMethod {
  readonly path: string;
  readonly request: { create(): object };
  readonly response: { create(): object };
}

const byName: Descriptors = new Map(descriptors.map((each) => [each.fullName, each]));
const byType: ReadonlyMap<object, MessageDescriptor> = new Map(
  descriptors.map((each) => [each.type, each]),
);

/** One RPC as the gateway offers it. */
export class GatewayRoute {
  readonly call: Call;
  readonly #request: MessageDescriptor;
  readonly #response: MessageDescriptor;

  constructor(call: Call, method: RoutedMethod) {
    this.call = call;
    this.#request = descriptorOf(method.request);
    this.#response = descriptorOf(method.response);
  }

  /** One JSON value; none stands for an empty message. Throws a JsonError. */
  decode(json: Buffer | undefined): object {
    if (json === undefined) return this.#request.type.create();
    return decodeJson(byName, this.#request, json);
  }

  /** In pieces. Of a stream's message Go's gateway escapes what HTML would read. */
  encode(response: object): Buffer[] {
    const escapesHtml = this.call.method.responseStream;
    return encodeJson(byName, this.#response, response, { escapesHtml });
  }

  /** The same in steps, between which others may run. */
  encodingSteps(response: object): Generator<void, Buffer[]> {
    const escapesHtml = this.call.method.responseStream;
    return encodeJsonSteps(byName, this.#response, response, { escapesHtml });
  }
}

function descriptorOf(type: object): MessageDescriptor {
  const descriptor = byType.get(type);
  if (descriptor === undefined) throw new Error('a type of a routed method has no descriptor');
  return descriptor;
}

/** etcd's JSON gateway: the same calls as those of gRPC, by path. Knows services only as a table of calls. */
export class Gateway {
  readonly #services: Services;
  readonly #methods: ReadonlyMap<string, RoutedMethod>;

  constructor(services: Services) {
    this.#services = services;
    this.#methods = new Map(
      routes.flatMap(([method, ...paths]) => paths.map((path) => [`/v3/${path}`, method] as const)),
    );
  }

  /** Every path that it knows, by the path of its RPC: for tests. */
  get paths(): ReadonlyMap<string, string> {
    return new Map([...this.#methods].map(([path, method]) => [path, method.path]));
  }

  /** Undefined when there is no such path. Throws the StatusError of a method that is not served. */
  find(path: string): GatewayRoute | undefined {
    const method = this.#methods.get(path);
    if (method === undefined) return undefined;
    const call = this.#services.find(method.path);
    if (call === undefined) throw this.#services.unknown(method.path);
    return new GatewayRoute(call, method);
  }
}

/** As etcd 3.4 and 3.5 answer; 3.6 leaves `error` out, which some clients read. */
export function errorJson({ code, message }: Status): string {
  return JSON.stringify({ error: message, code, message });
}

/** What ends a stream: the members of etcd 3.4 and 3.5 and that of 3.6, `code`. */
export function streamErrorJson(
  { code, message }: Status,
  statusText: (httpStatus: number) => string,
): string {
  const http = httpStatus(code);
  const names = { grpc_code: code, http_code: http, message, http_status: statusText(http) };
  return JSON.stringify({ error: { ...names, code } });
}
