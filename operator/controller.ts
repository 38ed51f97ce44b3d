// [io] Follows StoreClusters and their children, and has each reconciled whenever something about it changed.
import type { Clock } from '../server/base/clock.ts';
import { counter, type Family, gauge, type Sample } from '../server/base/exposition.ts';
import type { Logger } from '../server/base/logger.ts';
import type { Random } from '../server/base/random.ts';
import type { Outcome } from './act/act.ts';
import type { KubeObject, ObjectMeta } from './api/objects.ts';
import { fieldManager } from './api/schema.ts';
import type { StoreCluster } from './api/types.ts';
import type { KubeClient, WatchSource } from './kube/client.ts';
import { collectionPath, type Kind } from './kube/paths.ts';
import { Reflector } from './kube/reflector.ts';
import { WorkQueue, workQueueDefaults } from './kube/work-queue.ts';
import type { OperatorMetrics } from './metrics/operator-metrics.ts';
import type { Plan } from './plan/plan.ts';
import { type Pass, type ReconcileModules, reconcile } from './reconcile.ts';
import { clusterLabel, mirrorLabel } from './resources/labels.ts';

export type ControllerModules = ReconcileModules & {
  readonly kube: KubeClient & WatchSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: OperatorMetrics;
};

/** A pass is over within this, whatever the world does to it: every request that it makes has a deadline. */
const passMsMax = 600_000;

export interface ControllerOptions {
  /** undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly workers: number;
}

export class Controller {
  readonly #modules: ControllerModules;
  readonly #queue: WorkQueue;
  readonly #reflectors: ReadonlyMap<Kind, Reflector<KubeObject>>;

  constructor(modules: ControllerModules, options: ControllerOptions) {
    this.#modules = modules;
    this.#queue = new WorkQueue(
      { ...modules, work: (key) => this.#reconcile(key) },
      { ...workQueueDefaults, concurrency: options.workers },
    );
    const ours = { labelSelector: `app.kubernetes.io/managed-by=${fieldManager}` };
    const follow = (kind: Kind, query: Readonly<Record<string, string>>, onChange: OnChange) =>
      [
        kind,
        new Reflector<KubeObject>(modules, {
          path: collectionPath(kind, options.namespace),
          query,
          onChange,
        }),
      ] as const;
    this.#reflectors = new Map([
      follow('StoreCluster', {}, (...change) => this.#onCluster(...change)),
      follow('Pod', ours, (object) => this.#onChild(object)),
      follow('PersistentVolumeClaim', ours, (object) => this.#onChild(object)),
    ]);
  }

  /** Whether everything that is followed was listed once. */
  isReady(): boolean {
    return [...this.#reflectors.values()].every((reflector) => reflector.heardAtMs !== undefined);
  }

  /** What goes on no more, in words; only a restart of the process mends that. */
  stuck(): string | undefined {
    for (const [kind, reflector] of this.#reflectors) {
      if (reflector.isStuck()) return `the watch of ${kind} objects has stopped`;
    }
    if (this.#queue.oldestMs() <= passMsMax) return undefined;
    return `a pass has not ended, or not begun, for ${passMsMax / 1000} s`;
  }

  /** Runs until `signal` is aborted and the passes that have begun are ended. */
  async run(signal: AbortSignal): Promise<void> {
    const following = [...this.#reflectors.values()].map((reflector) => reflector.run(signal));
    await Promise.all(following);
    await this.#queue.close();
  }

  families(): readonly Family[] {
    const nowMs = this.#modules.clock.nowMs();
    const byKind = (valueOf: (reflector: Reflector<KubeObject>) => number | undefined) =>
      [...this.#reflectors].flatMap(([kind, reflector]): Sample[] => {
        const value = valueOf(reflector);
        return value === undefined ? [] : [{ labels: { kind }, value }];
      });
    const secondsSince = (atMs: number | undefined) =>
      atMs === undefined ? undefined : (nowMs - atMs) / 1000;
    return [
      gauge(
        'mainstay_operator_queue_depth',
        'StoreClusters that wait for a pass.',
        this.#queue.depth,
      ),
      gauge(
        'mainstay_operator_queue_active',
        'StoreClusters that a pass works on.',
        this.#queue.activeCount,
      ),
      gauge(
        'mainstay_operator_queue_oldest_seconds',
        'How long the pass that waits or works longest has done so.',
        this.#queue.oldestMs() / 1000,
      ),
      gauge(
        'mainstay_operator_watch_heard_seconds',
        'Time since the last event, bookmark or list of a kind.',
        byKind(({ heardAtMs }) => secondsSince(heardAtMs)),
      ),
      gauge(
        'mainstay_operator_watch_listed_seconds',
        'Time since the last full list of a kind.',
        byKind(({ listedAtMs }) => secondsSince(listedAtMs)),
      ),
      counter(
        'mainstay_operator_watch_failures_total',
        'Lists and watches of a kind that failed and were begun again.',
        byKind(({ failureCount }) => failureCount),
      ),
    ];
  }

  /** Our own writes of the status are no reason to look again. */
  #onCluster(object: KubeObject, previous: ObjectMeta | undefined, isGone: boolean): void {
    const { metadata } = object;
    if (isGone) this.#modules.metrics.clusterGone(object as StoreCluster);
    else this.#modules.metrics.clusterSeen(object as StoreCluster);
    const same =
      previous?.generation === metadata.generation &&
      previous?.uid === metadata.uid &&
      previous?.deletionTimestamp === metadata.deletionTimestamp &&
      previous?.resourceVersion !== metadata.resourceVersion;
    if (!same) this.#queue.add(`${metadata.namespace}/${metadata.name}`);
  }

  #onChild({ metadata }: KubeObject): void {
    const cluster = metadata.labels?.[clusterLabel] ?? metadata.labels?.[mirrorLabel];
    if (cluster !== undefined) this.#queue.add(`${metadata.namespace}/${cluster}`);
  }

  async #reconcile(key: string): Promise<number | undefined> {
    const [namespace = '', name = ''] = key.split('/');
    const { clock, metrics } = this.#modules;
    const logger = this.#modules.logger.child({ namespace, cluster: name });
    const beganMs = clock.nowMs();
    let isFailed = true;
    try {
      const at = { namespace, name };
      const delayMs = await reconcile(this.#modules, at, (decided, outcome, durationMs) => {
        const pass = [decided, outcome, durationMs] as const;
        reportPass(logger, pass, metrics.decided(key, decided, outcome));
      });
      isFailed = false;
      return delayMs;
    } catch (error) {
      logger.warn({ error: String(error) }, 'reconcile failed, trying again');
      throw error;
    } finally {
      metrics.passEnded({ durationMs: clock.nowMs() - beganMs, isFailed });
    }
  }
}

type OnChange = (object: KubeObject, previous: ObjectMeta | undefined, isGone: boolean) => void;

function reportPass(
  logger: Logger,
  [decided, outcome, { durationMs }]: readonly [Plan, Outcome, Pass],
  isNewWait: boolean,
): void {
  if (decided.kind === 'idle') return logger.debug({}, 'nothing to do');
  const fields = { reason: decided.reason, message: decided.message };
  if (decided.kind === 'wait') {
    return isNewWait ? logger.info(fields, 'waits') : logger.debug(fields, 'waits still');
  }
  const acted = { ...fields, action: decided.action.kind, durationMs };
  if (outcome.kind === 'done') return logger.info(acted, 'acted');
  const why = outcome.error.message;
  if (outcome.kind === 'refused') return logger.debug({ ...acted, why }, 'not yet');
  logger.warn({ ...acted, why }, 'action failed');
}
