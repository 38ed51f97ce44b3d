import type { Clock } from '../../server/base/clock.ts';
import {
  counter,
  type Family,
  gauge,
  histogram,
  type Sample,
} from '../../server/base/exposition.ts';
import { exponentialBounds, Histogram } from '../../server/base/histogram.ts';
import type { Outcome } from '../act/act.ts';
import { type ConditionType, conditionTypes } from '../api/conditions.ts';
import type { MirrorRecord, StoreCluster } from '../api/types.ts';
import type { Plan } from '../plan/plan.ts';
import { certificateKind } from '../resources/secrets.ts';
import { Tally } from './tally.ts';

/** What is counted of one StoreCluster; forgotten with it. */
interface ClusterRecord {
  readonly name: string;
  readonly namespace: string;
  conditions: ReadonlyMap<ConditionType, ConditionRecord>;
  certificates: readonly CertificateLife[];
  mirror: MirrorState | undefined;
  waiting: { readonly reason: string; readonly sinceMs: number } | undefined;
}

type MirrorState = Pick<MirrorRecord, 'phase' | 'lagSeconds'>;

interface CertificateLife {
  readonly secret: string;
  readonly kind: string;
  /** Unix times. */
  readonly beginSeconds: number;
  readonly endSeconds: number;
}

interface ConditionRecord {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly since: string;
}

const conditionStatuses = ['True', 'False', 'Unknown'] as const;

/**
 * What the operator tells of its work. Whoever does something reports it here; the numbers become families when someone
 * asks. Names are documented in docs/METRICS.md.
 */
export class OperatorMetrics {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #clusters = new Map<string, ClusterRecord>();
  readonly #actions = new Tally('action', 'outcome');
  readonly #requests = new Tally('method', 'code');
  readonly #blockedSeconds = new Tally('reason');
  /** 10 ms to 82 s. */
  readonly #passSeconds = new Histogram(exponentialBounds(0.01, 2, 14));
  /** 1 s to 9 h. */
  readonly #repairSeconds = new Histogram(exponentialBounds(1, 2, 16));
  #passErrors = 0;

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock;
  }

  /** A StoreCluster as it is now, by the watch; its status is the one that was written last. */
  clusterSeen(cluster: StoreCluster): void {
    const key = keyOf(cluster);
    const { name, namespace = '' } = cluster.metadata;
    const [conditions, certificates] = [conditionsOf(cluster), certificatesOf(cluster)];
    const mirror = cluster.status?.mirror;
    const known = this.#clusters.get(key);
    if (known === undefined) {
      const seen = { name, namespace, conditions, certificates, mirror };
      this.#clusters.set(key, { ...seen, waiting: undefined });
      return;
    }
    const repairedMs = repairMs(known.conditions.get('Degraded'), conditions.get('Degraded'));
    if (repairedMs !== undefined) this.#repairSeconds.observe(repairedMs / 1000);
    known.conditions = conditions;
    known.certificates = certificates;
    known.mirror = mirror;
  }

  clusterGone({ metadata }: Pick<StoreCluster, 'metadata'>): void {
    const key = keyOf({ metadata });
    this.#endWait(this.#clusters.get(key));
    this.#clusters.delete(key);
  }

  /** Whether it is another wait than before, or the first. */
  decided(key: string, decided: Plan, outcome: Outcome): boolean {
    if (decided.kind === 'act') {
      this.#actions.add(1, decided.action.kind, outcome.kind);
    }
    const cluster = this.#clusters.get(key);
    const previous = cluster?.waiting?.reason;
    this.#endWait(cluster);
    if (decided.kind !== 'wait') return false;
    const waiting = { reason: decided.reason, sinceMs: this.#clock.nowMs() };
    if (cluster !== undefined) cluster.waiting = waiting;
    return previous !== decided.reason;
  }

  passEnded(result: { readonly durationMs: number; readonly isFailed: boolean }): void {
    this.#passSeconds.observe(result.durationMs / 1000);
    if (result.isFailed) this.#passErrors += 1;
  }

  /** `code`: HTTP status; 0 when there was no answer. */
  requestEnded(method: string, code: number): void {
    this.#requests.add(1, method, String(code));
  }

  families(): readonly Family[] {
    for (const cluster of this.#clusters.values()) this.#endWait(cluster, true);
    return [...this.#workFamilies(), ...this.#clusterFamilies(), ...this.#mirrorFamilies()];
  }

  #workFamilies(): readonly Family[] {
    return [
      counter(
        'mainstay_operator_actions_total',
        'Actions by kind and outcome: done, refused (not now) or failed.',
        this.#actions.samples(),
      ),
      histogram(
        'mainstay_operator_reconcile_duration_seconds',
        'How long passes over a StoreCluster took; its count is the number of passes.',
        this.#passSeconds,
      ),
      counter(
        'mainstay_operator_reconcile_errors_total',
        'Passes that failed and are tried again.',
        this.#passErrors,
      ),
      counter(
        'mainstay_operator_blocked_seconds_total',
        'Time that StoreClusters spent waiting, by the reason of the wait.',
        this.#blockedSeconds.samples(),
      ),
      histogram(
        'mainstay_operator_repair_duration_seconds',
        'From Degraded, which an unhealthy member makes, to not Degraded.',
        this.#repairSeconds,
      ),
      counter(
        'mainstay_operator_kube_requests_total',
        'Requests to the API server by method and HTTP status, 0 for no answer.',
        this.#requests.samples(),
      ),
    ];
  }

  #clusterFamilies(): readonly Family[] {
    const clusters = [...this.#clusters.values()];
    const statusOf = ({ conditions }: ClusterRecord, type: ConditionType) =>
      conditions.get(type)?.status ?? 'Unknown';
    return [
      gauge(
        'mainstay_operator_clusters',
        'StoreClusters by the status of each of their conditions.',
        conditionTypes.flatMap((condition) =>
          conditionStatuses.map((status): Sample => {
            const value = clusters.filter((each) => statusOf(each, condition) === status).length;
            return { labels: { condition, status }, value };
          }),
        ),
      ),
      gauge(
        'mainstay_operator_cluster_condition',
        'Whether a condition of a StoreCluster is True.',
        clusters.flatMap((each) =>
          conditionTypes.map((condition): Sample => {
            const labels = { namespace: each.namespace, cluster: each.name, condition };
            return { labels, value: Number(statusOf(each, condition) === 'True') };
          }),
        ),
      ),
      gauge(
        'mainstay_operator_certificate_expiry_timestamp_seconds',
        'The unix time when a certificate in a Secret ends that a StoreCluster depends on.',
        clusters.flatMap((each) => certificateSamples(each, ({ endSeconds }) => endSeconds)),
      ),
      gauge(
        'mainstay_operator_certificate_lifetime_seconds',
        'How long a certificate in a Secret is valid that a StoreCluster depends on, from its beginning to its end.',
        clusters.flatMap((each) =>
          certificateSamples(each, ({ beginSeconds, endSeconds }) => endSeconds - beginSeconds),
        ),
      ),
    ];
  }

  /** Of stores that begin as mirrors. */
  #mirrorFamilies(): readonly Family[] {
    const mirrors = [...this.#clusters.values()].flatMap(({ namespace, name, mirror }) =>
      mirror === undefined ? [] : [{ labels: { namespace, cluster: name }, mirror }],
    );
    return [
      gauge(
        'mainstay_operator_mirror_phase',
        'In which phase the mirror of a StoreCluster is; always 1.',
        mirrors.map(({ labels, mirror: { phase } }): Sample => {
          return { labels: { ...labels, phase }, value: 1 };
        }),
      ),
      gauge(
        'mainstay_operator_mirror_lag_seconds',
        'How long a StoreCluster has been behind the source that it follows.',
        mirrors.flatMap(({ labels, mirror: { phase, lagSeconds } }): Sample[] =>
          lagSeconds === undefined || phase === 'Done' ? [] : [{ labels, value: lagSeconds }],
        ),
      ),
    ];
  }

  /** Counts the time that a cluster has waited; it goes on waiting where `isGoingOn`. */
  #endWait(cluster: ClusterRecord | undefined, isGoingOn = false): void {
    if (cluster?.waiting === undefined) return;
    const { reason, sinceMs } = cluster.waiting;
    const nowMs = this.#clock.nowMs();
    this.#blockedSeconds.add((nowMs - sinceMs) / 1000, reason);
    cluster.waiting = isGoingOn ? { reason, sinceMs: nowMs } : undefined;
  }
}

function keyOf({ metadata }: Pick<StoreCluster, 'metadata'>): string {
  return `${metadata.namespace}/${metadata.name}`;
}

/** As the status says it: what cannot be read is left out. */
function certificatesOf(cluster: StoreCluster): readonly CertificateLife[] {
  return (cluster.status?.certificates ?? []).map(({ name, begins = '', expires }) => ({
    secret: name,
    kind: certificateKind(cluster, name),
    beginSeconds: Date.parse(begins) / 1000,
    endSeconds: Date.parse(expires) / 1000,
  }));
}

function certificateSamples(
  { namespace, name: cluster, certificates }: ClusterRecord,
  valueOf: (certificate: CertificateLife) => number,
): Sample[] {
  return certificates.flatMap((certificate) => {
    const { kind, secret } = certificate;
    const value = valueOf(certificate);
    return Number.isNaN(value) ? [] : [{ labels: { namespace, cluster, kind, secret }, value }];
  });
}

function conditionsOf({ status }: StoreCluster): ReadonlyMap<ConditionType, ConditionRecord> {
  const found = new Map<ConditionType, ConditionRecord>();
  for (const type of conditionTypes) {
    const condition = status?.conditions?.find((each) => each.type === type);
    // One that speaks of trouble is absent while there is none.
    const isAbsent = condition === undefined && type === 'Stalled' && status?.conditions;
    if (isAbsent) found.set(type, { status: 'False', since: '' });
    if (condition === undefined) continue;
    found.set(type, { status: condition.status, since: condition.lastTransitionTime });
  }
  return found;
}

/** undefined when nothing was repaired now. Both times are the operator's, also that of one before this process. */
function repairMs(
  before: ConditionRecord | undefined,
  after: ConditionRecord | undefined,
): number | undefined {
  if (before?.status !== 'True' || after?.status !== 'False') return undefined;
  return Math.max(0, Date.parse(after.since) - Date.parse(before.since));
}
