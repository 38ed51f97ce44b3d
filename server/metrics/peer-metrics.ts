import {
  counter,
  type Family,
  gauge,
  histogram,
  type Labels,
  type Sample,
} from '../base/exposition.ts';
import { hexId, type MemberId } from '../base/ids.ts';
import type { PeerTraffic } from '../transport/peer-network.ts';

/** What is exchanged with the other members: `etcd_network_*`. `bytes` are those of gRPC's clients. */
export function networkFamilies(
  own: MemberId,
  peers: readonly PeerTraffic[],
  bytes: { readonly received: number; readonly sent: number },
): Family[] {
  const to = samples(peers, (id) => ({ To: hexId(id) }));
  const from = samples(peers, (id) => ({ From: hexId(id) }));
  const pair = samples(peers, (id) => ({ Local: hexId(own), Remote: hexId(id) }));
  return [
    counter(
      'etcd_network_client_grpc_received_bytes_total',
      'The total number of bytes received from grpc clients.',
      bytes.received,
    ),
    counter(
      'etcd_network_client_grpc_sent_bytes_total',
      'The total number of bytes sent to grpc clients.',
      bytes.sent,
    ),
    counter(
      'etcd_network_peer_sent_bytes_total',
      'The total number of bytes sent to peers.',
      to(({ sentBytes }) => sentBytes),
    ),
    counter(
      'etcd_network_peer_received_bytes_total',
      'The total number of bytes received from peers.',
      from(({ receivedBytes }) => receivedBytes),
    ),
    counter(
      'etcd_network_peer_sent_failures_total',
      'The total number of send failures from peers.',
      to(({ counters }) => counters.sendFailures),
    ),
    counter(
      'etcd_network_peer_received_failures_total',
      'The total number of receive failures from peers.',
      from(({ counters }) => counters.receiveFailures),
    ),
    histogram(
      'etcd_network_peer_round_trip_time_seconds',
      'Round-Trip-Time histogram between peers.',
      to(({ counters }) => counters.roundTripSeconds),
    ),
    gauge(
      'etcd_network_known_peers',
      'The current number of known peers.',
      pair(() => 1),
    ),
    gauge(
      'etcd_network_active_peers',
      'The current number of active peer connections.',
      pair(({ isActive }) => Number(isActive)),
    ),
    counter(
      'etcd_network_disconnected_peers_total',
      'The total number of disconnected peers.',
      pair(({ counters }) => counters.disconnections),
    ),
    ...snapshotFamilies(to),
  ];
}

function snapshotFamilies(to: ReturnType<typeof samples>): Family[] {
  return [
    gauge(
      'etcd_network_snapshot_send_inflights_total',
      'Total number of inflight snapshot sends.',
      to(({ counters }) => counters.snapshotsInFlight),
    ),
    counter(
      'etcd_network_snapshot_send_success',
      'Total number of successful snapshot sends.',
      to(({ counters }) => counters.snapshotSeconds.counts.reduce((sum, count) => sum + count, 0)),
    ),
    counter(
      'etcd_network_snapshot_send_failures',
      'Total number of snapshot send failures.',
      to(({ counters }) => counters.snapshotFailures),
    ),
    histogram(
      'etcd_network_snapshot_send_total_duration_seconds',
      'Total latency distributions of v3 snapshot sends.',
      to(({ counters }) => counters.snapshotSeconds),
    ),
  ];
}

function samples(peers: readonly PeerTraffic[], labelsOf: (id: MemberId) => Labels) {
  return (value: (peer: PeerTraffic) => Sample['value']): Sample[] =>
    peers.map((peer) => ({ labels: labelsOf(peer.id), value: value(peer) }));
}
