import type { MemberPort } from '../api/member-port.ts';
import type { ProbeCounters } from '../api/probe-counters.ts';
import { counter, type Family, gauge, histogram, info, type Sample } from '../base/exposition.ts';
import type { Histogram } from '../base/histogram.ts';
import { hexId, noMember } from '../base/ids.ts';
import { clusterVersion, compatibilityVersion, mainstayVersion } from '../config/version.ts';
import type { LocalMember } from '../member/local-member.ts';
import type { Replica } from '../member/replica.ts';
import type { ApplyTimes } from '../member/replica-counters.ts';

export interface MemberSource {
  readonly member: Pick<LocalMember, 'counters' | 'stalenessMs'> &
    Pick<MemberPort, 'memberId' | 'raftStatus' | 'dbSize'>;
  readonly replica: Pick<
    Replica,
    'counters' | 'isReceiving' | 'proposer' | 'reads' | 'wal' | 'state'
  >;
  readonly probes: ProbeCounters;
  /** How long batches took to become durable. */
  readonly commitSeconds: Histogram;
}

/** Raft, the disk, and what the member is: `etcd_server_*`, `etcd_disk_*`, `mainstay_*`. */
export function memberFamilies(source: MemberSource): Family[] {
  return [
    ...versionFamilies(source),
    ...raftFamilies(source),
    ...applyFamilies(source.replica),
    ...diskFamilies(source),
    ...healthFamilies(source.probes),
  ];
}

function versionFamilies({ member }: MemberSource): Family[] {
  return [
    info('etcd_server_version', 'Which version is running.', {
      server_version: compatibilityVersion,
    }),
    info('etcd_cluster_version', 'Which version the cluster speaks.', {
      cluster_version: clusterVersion.replace(/\.\d+$/, ''),
    }),
    info('etcd_server_id', 'Server or member ID in hexadecimal format.', {
      server_id: hexId(member.memberId),
    }),
    info('mainstay_version', 'Which version of Mainstay is running.', { version: mainstayVersion }),
  ];
}

function raftFamilies({ member, replica }: MemberSource): Family[] {
  const raft = member.raftStatus();
  const { counters } = replica;
  return [
    gauge('etcd_server_has_leader', 'Whether or not a leader exists.', raft.leader !== noMember),
    gauge('etcd_server_is_leader', 'Whether or not this member is a leader.', raft.isLeader),
    gauge('etcd_server_is_learner', 'Whether or not this member is a learner.', raft.isLearner),
    gauge(
      'mainstay_server_is_observer',
      'Whether or not this member is an observer.',
      raft.isObserver,
    ),
    gauge(
      'mainstay_observer_staleness_seconds',
      'How old the state of this observer is at most; 0 on other members.',
      raft.isObserver ? member.stalenessMs / 1000 : 0,
    ),
    counter(
      'etcd_server_leader_changes_seen_total',
      'The number of leader changes seen.',
      counters.leaderChanges,
    ),
    counter(
      'etcd_server_heartbeat_send_failures_total',
      'The total number of leader heartbeat send failures (likely overloaded from slow disk).',
      counters.lateHeartbeats,
    ),
    gauge(
      'etcd_server_proposals_committed_total',
      'The total number of consensus proposals committed.',
      raft.commitIndex,
    ),
    gauge(
      'etcd_server_proposals_applied_total',
      'The total number of consensus proposals applied.',
      raft.appliedIndex,
    ),
    gauge(
      'etcd_server_proposals_pending',
      'The current number of pending proposals to commit.',
      replica.proposer.pendingCount,
    ),
    counter(
      'etcd_server_proposals_failed_total',
      'The total number of failed proposals seen.',
      replica.proposer.counters.failed,
    ),
    counter(
      'etcd_server_slow_read_indexes_total',
      'The total number of read indexes that were asked for again, for want of an answer in time.',
      replica.reads.counters.slow,
    ),
    counter(
      'etcd_server_read_indexes_failed_total',
      'The total number of failed read indexes seen.',
      replica.reads.counters.failed,
    ),
    gauge(
      'etcd_server_snapshot_apply_in_progress_total',
      '1 if the server is applying the incoming snapshot. 0 if none.',
      replica.isReceiving,
    ),
    ...promotionFamilies(member),
  ];
}

function promotionFamilies({ counters }: MemberSource['member']): Family[] {
  return [
    counter(
      'etcd_server_learner_promote_successes',
      'The total number of successful learner promotions while this member is leader.',
      counters.promotions,
    ),
    counter(
      'etcd_server_learner_promote_failures',
      'The total number of failed learner promotions (likely learner not ready) while this member is leader.',
      Array.from(counters.failedPromotions, ([Reason, value]) => ({ labels: { Reason }, value })),
    ),
  ];
}

function applyFamilies({ counters }: MemberSource['replica']): Family[] {
  return [
    counter(
      'etcd_server_slow_apply_total',
      'The total number of slow apply requests (likely overloaded from slow disk).',
      counters.slowApplies,
    ),
    histogram(
      'etcd_server_apply_duration_seconds',
      'The latency distributions of apply by kind of request.',
      Array.from(counters.applies).flatMap(applySamples),
    ),
    counter(
      'etcd_debugging_server_lease_expired_total',
      'The total number of expired leases.',
      counters.expiredLeases,
    ),
    gauge(
      'etcd_debugging_mvcc_db_compaction_last',
      'The unix time of the last db compaction. Resets to 0 on start.',
      counters.compactedAtSeconds,
    ),
    histogram(
      'etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds',
      'Bucketed histogram of db compaction pause duration.',
      counters.compactionStepMs,
    ),
    histogram(
      'etcd_debugging_mvcc_db_compaction_total_duration_milliseconds',
      'Bucketed histogram of db compaction total duration.',
      counters.compactionMs,
    ),
    histogram(
      'etcd_snap_db_save_total_duration_seconds',
      'How long it took to receive and verify the snapshots of the leader.',
      counters.snapshotReceiveSeconds,
    ),
  ];
}

function applySamples([kind, { succeeded, failed }]: [string, ApplyTimes]): Sample[] {
  const op = kind.charAt(0).toUpperCase() + kind.slice(1);
  return [
    { labels: { op, success: 'true', version: 'v3' }, value: succeeded },
    { labels: { op, success: 'false', version: 'v3' }, value: failed },
  ];
}

function diskFamilies({ member, replica, commitSeconds }: MemberSource): Family[] {
  const { sizeBytes, inUseBytes, quotaBytes } = member.dbSize();
  const { counters } = replica.wal;
  return [
    histogram(
      'etcd_disk_wal_fsync_duration_seconds',
      'The latency distributions of fsync called by WAL.',
      counters.syncSeconds,
    ),
    histogram(
      'etcd_disk_wal_write_duration_seconds',
      'The latency distributions of write called by WAL.',
      counters.writeSeconds,
    ),
    gauge(
      'etcd_disk_wal_write_bytes_total',
      'Total number of bytes written in WAL.',
      counters.writtenBytes,
    ),
    histogram(
      'etcd_disk_backend_commit_duration_seconds',
      'The latency distributions of commit called by backend.',
      commitSeconds,
    ),
    gauge(
      'etcd_mvcc_db_total_size_in_bytes',
      'Total size of the underlying database physically allocated in bytes.',
      sizeBytes,
    ),
    gauge(
      'etcd_mvcc_db_total_size_in_use_in_bytes',
      'Total size of the underlying database logically in use in bytes.',
      inUseBytes,
    ),
    gauge(
      'etcd_mvcc_db_open_read_transactions',
      'The number of currently open read transactions',
      replica.state.backend.pinnedCount,
    ),
    gauge(
      'etcd_server_quota_backend_bytes',
      'Current backend storage quota size in bytes.',
      Math.max(0, quotaBytes),
    ),
  ];
}

function healthFamilies(probes: ProbeCounters): Family[] {
  const checks = Array.from(probes.checks);
  return [
    counter(
      'etcd_server_health_success',
      'The total number of successful health checks',
      probes.healthy,
    ),
    counter(
      'etcd_server_health_failures',
      'The total number of failed health checks',
      probes.unhealthy,
    ),
    gauge(
      'etcd_server_healthcheck',
      'The result of each kind of healthcheck.',
      checks.map(({ name, type, isWell }) => ({ labels: { name, type }, value: Number(isWell) })),
    ),
    counter(
      'etcd_server_healthchecks_total',
      'The total number of each kind of healthcheck.',
      checks.flatMap(({ name, type, succeeded, failed }) => [
        { labels: { name, status: 'success', type }, value: succeeded },
        { labels: { name, status: 'error', type }, value: failed },
      ]),
    ),
  ];
}
