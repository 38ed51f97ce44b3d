import type { AuthStore } from '../auth/auth-store.ts';
import { counter, type Family, gauge, histogram } from '../base/exposition.ts';
import type { Lessor } from '../lease/lessor.ts';
import type { Store } from '../mvcc/store.ts';
import type { WatchHub } from '../watch/watch-hub.ts';

export interface StateSource {
  readonly store: Pick<Store, 'counters' | 'revision' | 'compactRevision' | 'index'>;
  readonly lessor: Pick<Lessor, 'counters' | 'size'>;
  readonly watches: Pick<WatchHub, 'counters' | 'counts'>;
  readonly auth: Pick<AuthStore, 'revision'>;
}

/** Keys, leases and watches: `etcd_mvcc_*` and `etcd_debugging_*`. */
export function stateFamilies(state: StateSource): Family[] {
  return [
    ...storeFamilies(state.store),
    ...leaseFamilies(state.lessor),
    ...watchFamilies(state),
    gauge(
      'etcd_debugging_auth_revision',
      'The current revision of auth store.',
      state.auth.revision,
    ),
  ];
}

function storeFamilies({ counters, revision, compactRevision, index }: StateSource['store']) {
  const ranges = 'Total number of ranges seen by this member.';
  return [
    counter('etcd_mvcc_range_total', ranges, counters.ranges),
    counter('etcd_debugging_mvcc_range_total', ranges, counters.ranges),
    counter('etcd_mvcc_put_total', 'Total number of puts seen by this member.', counters.puts),
    counter(
      'etcd_mvcc_delete_total',
      'Total number of deletes seen by this member.',
      counters.deletes,
    ),
    counter('etcd_mvcc_txn_total', 'Total number of txns seen by this member.', counters.txns),
    gauge('etcd_debugging_mvcc_keys_total', 'Total number of keys.', index.size),
    gauge(
      'etcd_debugging_mvcc_total_put_size_in_bytes',
      'The total size of put kv pairs seen by this member.',
      counters.putBytes,
    ),
    gauge('etcd_debugging_mvcc_current_revision', 'The current revision of store.', revision),
    gauge(
      'etcd_debugging_mvcc_compact_revision',
      'The revision of the last compaction in store.',
      compactRevision,
    ),
    counter(
      'etcd_debugging_mvcc_db_compaction_keys_total',
      'Total number of db keys compacted.',
      counters.erasedVersions,
    ),
  ];
}

function leaseFamilies({ counters, size }: StateSource['lessor']): Family[] {
  return [
    counter(
      'etcd_debugging_lease_granted_total',
      'The total number of granted leases.',
      counters.granted,
    ),
    counter(
      'etcd_debugging_lease_revoked_total',
      'The total number of revoked leases.',
      counters.revoked,
    ),
    counter(
      'etcd_debugging_lease_renewed_total',
      'The number of renewed leases seen by the leader.',
      counters.renewed,
    ),
    histogram(
      'etcd_debugging_lease_ttl_total',
      'Bucketed histogram of lease TTLs.',
      counters.ttlSeconds,
    ),
    gauge('mainstay_leases', 'Leases that exist.', size),
  ];
}

function watchFamilies({ watches }: StateSource): Family[] {
  const { streams, watchers, behind, pending } = watches.counts;
  return [
    gauge('etcd_debugging_mvcc_watch_stream_total', 'Total number of watch streams.', streams),
    gauge('etcd_debugging_mvcc_watcher_total', 'Total number of watchers.', watchers),
    gauge(
      'etcd_debugging_mvcc_slow_watcher_total',
      'Total number of unsynced slow watchers.',
      behind,
    ),
    gauge(
      'etcd_debugging_mvcc_pending_events_total',
      'Revisions that slow watchers still have to be shown.',
      pending,
    ),
    counter(
      'etcd_debugging_mvcc_events_total',
      'Total number of events sent by this member.',
      watches.counters.events,
    ),
  ];
}
