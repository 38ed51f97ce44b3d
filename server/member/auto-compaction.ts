import type { Clock, Timer } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import type { Revision } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { AutoCompaction } from '../config/maintenance.ts';

export interface AutoCompactorModules {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: {
    isLeader(): boolean;
    revision(): Revision;
    /** Resolves with why it was refused. Rejects when it is not known whether it was done. */
    compact(revision: Revision): Promise<EtcdError | undefined>;
  };
}

const hourMs = 3_600_000;
/** A period, of an hour at most, has so many moments at which the revision is noted, and tried again after a failure. */
const momentsPerPeriod = 10;
const revisionIntervalMs = 5 * 60_000;

/**
 * Forgets history by itself: what is older than a period, or more than so many revisions back. Every member watches the
 * clock, the leader alone compacts. The times are etcd's (server/etcdserver/api/v3compactor).
 */
export class AutoCompactor {
  readonly #modules: AutoCompactorModules;
  readonly #intervalMs: number;
  readonly #target: () => Revision | undefined;
  #lastRevision: Revision = 0;
  #lastSuccessMs: number;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(modules: AutoCompactorModules, options: AutoCompaction) {
    this.#modules = modules;
    this.#lastSuccessMs = modules.clock.nowMs();
    if (options.mode === 'revision') {
      const { retentionRevisions } = options;
      this.#intervalMs = revisionIntervalMs;
      this.#target = () => modules.store.revision() - retentionRevisions;
    } else {
      this.#intervalMs = Math.min(options.retentionMs, hourMs) / momentsPerPeriod;
      this.#target = this.#periodic(options.retentionMs);
    }
  }

  start(): void {
    this.#wait();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #wait(): void {
    this.#timer = this.#modules.clock.after(this.#intervalMs, () => void this.#moment());
  }

  async #moment(): Promise<void> {
    const target = this.#target();
    if (target !== undefined) await this.#compact(target);
    if (!this.#isStopped) this.#wait();
  }

  /** The revision of a period ago, once one has passed, and then every hour or as often as the period. */
  #periodic(retentionMs: number): () => Revision | undefined {
    const { clock, store } = this.#modules;
    const noted = [store.revision()];
    const countMax = Math.floor(retentionMs / this.#intervalMs) + 1;
    let waitMs = retentionMs;
    return () => {
      const oldest = noted[0] ?? 0;
      noted.push(store.revision());
      if (noted.length > countMax) noted.shift();
      // The timer may fire a fraction of a millisecond early.
      const isDue = clock.nowMs() - this.#lastSuccessMs >= waitMs - 1;
      if (!store.isLeader() || !isDue || oldest === this.#lastRevision) return undefined;
      waitMs = Math.min(retentionMs, hourMs);
      return oldest;
    };
  }

  async #compact(revision: Revision): Promise<void> {
    const { clock, logger, store } = this.#modules;
    if (!store.isLeader() || revision <= 0 || revision === this.#lastRevision) return;
    logger.info({ revision }, 'starting auto compaction');
    const failure = await store.compact(revision).catch((error: unknown) => error);
    const isDone = failure instanceof EtcdError && failure.error === 'Compacted';
    if (failure === undefined || isDone) {
      this.#lastRevision = revision;
      this.#lastSuccessMs = clock.nowMs();
      logger.info({ revision }, 'completed auto compaction');
    } else {
      const fields = { revision, error: String(failure), 'retry-interval-ms': this.#intervalMs };
      logger.warn(fields, 'failed auto compaction');
    }
  }
}
