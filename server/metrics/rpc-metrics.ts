import { Buffer } from 'node:buffer';
import type { AuthCounters } from '../api/authenticator.ts';
import type { RpcCounter, RpcCounters } from '../api/rpc-counters.ts';
import {
  counter,
  type Family,
  gauge,
  histogram,
  type Labels,
  type Sample,
} from '../base/exposition.ts';
import { Maintenance } from '../proto/gen/rpc.ts';

/** The codes' names as Go prints them: alert rules match them. */
const codeNames = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
] as const;

/** What go-grpc-prometheus shows of a gRPC server: every method and code from the start, so that rates have a beginning. */
export function rpcFamilies(rpc: RpcCounters): Family[] {
  const { counters } = rpc;
  const of = (value: (each: RpcCounter) => number): Sample[] =>
    counters.map((each) => ({ labels: labelsOf(each), value: value(each) }));
  const seconds = counters.flatMap((each) =>
    each.seconds === undefined ? [] : [{ labels: labelsOf(each), value: each.seconds }],
  );
  return [
    counter(
      'grpc_server_started_total',
      'Total number of RPCs started on the server.',
      of(({ started }) => started),
    ),
    counter(
      'grpc_server_msg_received_total',
      'Total number of RPC stream messages received on the server.',
      of(({ received }) => received),
    ),
    counter(
      'grpc_server_msg_sent_total',
      'Total number of gRPC stream messages sent by the server.',
      of(({ sent }) => sent),
    ),
    counter(
      'grpc_server_handled_total',
      'Total number of RPCs completed on the server, regardless of success or failure.',
      counters.flatMap(handled),
    ),
    histogram(
      'grpc_server_handling_seconds',
      'Response latency of RPCs that the server has completed.',
      seconds,
    ),
    ...longFamilies(counters),
    counter(
      'etcd_server_client_requests_total',
      'The total number of client requests per client version.',
      (['stream', 'unary'] as const).flatMap((type) =>
        Array.from(rpc.requests[type], ([version, value]) => ({
          labels: { client_api_version: Buffer.from(version, 'latin1').toString(), type },
          value,
        })),
      ),
    ),
  ];
}

function longFamilies(counters: readonly RpcCounter[]): Family[] {
  const of = ({ path }: { readonly path: string }): RpcCounter | undefined =>
    counters.find((each) => each.method.path === path);
  const { snapshot, defragment, hash, hashKV } = Maintenance.methods;
  const long = (name: string, help: string, method: { readonly path: string }): Family => {
    const value = of(method)?.longSeconds;
    return histogram(name, help, value === undefined ? [] : [{ labels: {}, value }]);
  };
  const defragments = of(defragment);
  const handledCount = defragments?.handled.reduce((sum, count) => sum + count, 0) ?? 0;
  return [
    long(
      'etcd_disk_backend_snapshot_duration_seconds',
      'The latency distribution of backend snapshots.',
      snapshot,
    ),
    long(
      'etcd_disk_backend_defrag_duration_seconds',
      'The latency distribution of backend defragmentation.',
      defragment,
    ),
    gauge(
      'etcd_disk_defrag_inflight',
      'Whether or not defrag is active on the member. 1 means active, 0 means not.',
      (defragments?.started ?? 0) > handledCount,
    ),
    long(
      'etcd_mvcc_hash_duration_seconds',
      'The latency distribution of storage hash operation.',
      hash,
    ),
    long(
      'etcd_mvcc_hash_rev_duration_seconds',
      'The latency distribution of storage hash by revision operation.',
      hashKV,
    ),
  ];
}

function labelsOf({ method }: RpcCounter): Labels {
  const [, service = '', name = ''] = method.path.split('/');
  return { grpc_method: name, grpc_service: service, grpc_type: typeOf(method) };
}

function typeOf({ requestStream, responseStream }: RpcCounter['method']): string {
  if (requestStream) return responseStream ? 'bidi_stream' : 'client_stream';
  return responseStream ? 'server_stream' : 'unary';
}

function handled(each: RpcCounter): Sample[] {
  const labels = labelsOf(each);
  return codeNames.map((name, code) => ({
    labels: { grpc_code: name, ...labels },
    value: each.handled[code] ?? 0,
  }));
}

/** Who was kept out. */
export function authFamilies({ failedLogins, denials }: AuthCounters): Family[] {
  return [
    counter(
      'mainstay_auth_failed_logins_total',
      'Attempts to log in with a wrong name or password.',
      failedLogins,
    ),
    counter('mainstay_auth_denials_total', 'Requests of users without the right to them.', denials),
  ];
}
