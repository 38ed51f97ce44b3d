// [io] Follows StoreClusters and their children, and has each reconciled whenever something about it changed.
import type { Clock } from '../server/base/clock.ts';
import type { Logger } from '../server/base/logger.ts';
import type { Random } from '../server/base/random.ts';
import type { Outcome } from './act/act.ts';
import type { KubeObject, ObjectMeta } from './api/objects.ts';
import { fieldManager } from './api/schema.ts';
import type { KubeClient, WatchSource } from './kube/client.ts';
import { collectionPath, type Kind } from './kube/paths.ts';
import { Reflector } from './kube/reflector.ts';
import { WorkQueue, workQueueDefaults } from './kube/work-queue.ts';
import type { Plan } from './plan/plan.ts';
import { type ReconcileModules, reconcile } from './reconcile.ts';
import { clusterLabel } from './resources/labels.ts';

export type ControllerModules = ReconcileModules & {
  readonly kube: KubeClient & WatchSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
};

export interface ControllerOptions {
  /** undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly workers: number;
}

export class Controller {
  readonly #modules: ControllerModules;
  readonly #queue: WorkQueue;
  readonly #reflectors: readonly Reflector<KubeObject>[];

  constructor(modules: ControllerModules, options: ControllerOptions) {
    this.#modules = modules;
    this.#queue = new WorkQueue(
      { ...modules, work: (key) => this.#reconcile(key) },
      { ...workQueueDefaults, concurrency: options.workers },
    );
    const ours = { labelSelector: `app.kubernetes.io/managed-by=${fieldManager}` };
    const follow = (kind: Kind, query: Readonly<Record<string, string>>, onChange: OnChange) =>
      new Reflector<KubeObject>(modules, {
        path: collectionPath(kind, options.namespace),
        query,
        onChange,
      });
    this.#reflectors = [
      follow('StoreCluster', {}, (object, previous) => this.#onCluster(object, previous)),
      follow('Pod', ours, (object) => this.#onChild(object)),
      follow('PersistentVolumeClaim', ours, (object) => this.#onChild(object)),
    ];
  }

  /** Whether everything that is followed was listed once. */
  isReady(): boolean {
    return this.#reflectors.every((reflector) => reflector.heardAtMs !== undefined);
  }

  /** Runs until `signal` is aborted and the passes that have begun are ended. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(signal)));
    await this.#queue.close();
  }

  /** Our own writes of the status are no reason to look again. */
  #onCluster({ metadata }: KubeObject, previous: ObjectMeta | undefined): void {
    const same =
      previous?.generation === metadata.generation &&
      previous?.uid === metadata.uid &&
      previous?.deletionTimestamp === metadata.deletionTimestamp &&
      previous?.resourceVersion !== metadata.resourceVersion;
    if (!same) this.#queue.add(`${metadata.namespace}/${metadata.name}`);
  }

  #onChild({ metadata }: KubeObject): void {
    const cluster = metadata.labels?.[clusterLabel];
    if (cluster !== undefined) this.#queue.add(`${metadata.namespace}/${cluster}`);
  }

  async #reconcile(key: string): Promise<number | undefined> {
    const [namespace = '', name = ''] = key.split('/');
    const logger = this.#modules.logger.child({ namespace, cluster: name });
    const report = (decided: Plan, outcome: Outcome) => reportPass(logger, decided, outcome);
    try {
      return await reconcile(this.#modules, { namespace, name }, report);
    } catch (error) {
      logger.warn({ error: String(error) }, 'reconcile failed, trying again');
      throw error;
    }
  }
}

type OnChange = (object: KubeObject, previous: ObjectMeta | undefined) => void;

function reportPass(logger: Logger, decided: Plan, outcome: Outcome): void {
  if (decided.kind === 'idle') return logger.debug({}, 'nothing to do');
  const fields = { reason: decided.reason, message: decided.message };
  if (decided.kind === 'wait') return logger.debug(fields, 'waiting');
  const acted = { ...fields, action: decided.action.kind };
  if (outcome.kind === 'done') logger.info(acted, 'acted');
  if (outcome.kind === 'refused') logger.debug({ ...acted, why: outcome.error.message }, 'not yet');
}
