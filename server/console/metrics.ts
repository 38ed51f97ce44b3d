// What /metrics says, and what became of it between two looks.

export interface Sample {
  readonly labels: string;
  readonly value: number;
}

/** By name. Of the families below alone: a scrape has thousands of lines. */
export type Metrics = ReadonlyMap<string, readonly Sample[]>;

const wanted = new Set(
  [
    'grpc_server_handled_total',
    'grpc_server_msg_sent_total',
    'grpc_server_handling_seconds_bucket',
    'etcd_disk_wal_fsync_duration_seconds_bucket',
    'etcd_disk_backend_commit_duration_seconds_bucket',
    'etcd_server_apply_duration_seconds_bucket',
    'etcd_server_leader_changes_seen_total',
    'etcd_debugging_mvcc_watcher_total',
    'etcd_server_quota_backend_bytes',
    'etcd_server_proposals_pending',
    'etcd_server_id',
  ].concat(['process_resident_memory_bytes', 'process_start_time_seconds', 'mainstay_version']),
);

const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/;

export function parseMetrics(text: string): Metrics {
  const metrics = new Map<string, Sample[]>();
  for (const each of text.split('\n')) {
    if (each.startsWith('#')) continue;
    const [, name = '', labels = '', value = ''] = line.exec(each) ?? [];
    if (!wanted.has(name)) continue;
    const samples = metrics.get(name) ?? [];
    samples.push({ labels, value: Number(value) });
    metrics.set(name, samples);
  }
  return metrics;
}

export function labelOf({ labels }: Sample, name: string): string | undefined {
  return new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1];
}

/** The sum of those that `isCounted` takes; undefined when the family is not there. */
export function sumOf(
  metrics: Metrics | undefined,
  name: string,
  isCounted: (sample: Sample) => boolean = () => true,
): number | undefined {
  const samples = metrics?.get(name);
  return samples?.filter(isCounted).reduce((sum, { value }) => sum + value, 0);
}

/** How much it has grown; undefined where one of them does not know, or where counting has begun anew. */
export function growth(before: number | undefined, after: number | undefined): number | undefined {
  if (before === undefined || after === undefined || after < before) return undefined;
  return after - before;
}

export interface Quantile {
  readonly name: string;
  readonly share: number;
  readonly isCounted?: (sample: Sample) => boolean;
}

/** In seconds, of what was observed between two looks; undefined when that was nothing. */
export function quantileBetween(
  before: Metrics | undefined,
  after: Metrics | undefined,
  { name, share, isCounted }: Quantile,
): number | undefined {
  const [earlier, later] = [bucketsOf(before, name, isCounted), bucketsOf(after, name, isCounted)];
  const grown = Array.from(
    later,
    ([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)] as const,
  );
  const bounds = grown.toSorted(([a], [b]) => a - b);
  const total = bounds.at(-1)?.[1] ?? 0;
  if (total <= 0) return undefined;
  let [below, countBelow] = [0, 0];
  for (const [bound, count] of bounds) {
    if (count >= share * total) {
      if (bound === Infinity) return below;
      const part = count === countBelow ? 1 : (share * total - countBelow) / (count - countBelow);
      return below + (bound - below) * part;
    }
    [below, countBelow] = [bound, count];
  }
  return below;
}

function bucketsOf(
  metrics: Metrics | undefined,
  name: string,
  isCounted: (sample: Sample) => boolean = () => true,
): Map<number, number> {
  const buckets = new Map<number, number>();
  for (const sample of metrics?.get(`${name}_bucket`) ?? []) {
    if (!isCounted(sample)) continue;
    const text = labelOf(sample, 'le') ?? '+Inf';
    const bound = text === '+Inf' ? Infinity : Number(text);
    buckets.set(bound, (buckets.get(bound) ?? 0) + sample.value);
  }
  return buckets;
}
