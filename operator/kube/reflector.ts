// [io] Keeps following a collection: list, then watch, for ever, whatever the API server does meanwhile.
import type { Clock } from '../../server/base/clock.ts';
import type { Logger } from '../../server/base/logger.ts';
import { type Random, randomBelow } from '../../server/base/random.ts';
import type { KubeList, KubeObject, ObjectMeta } from '../api/objects.ts';
import type { KubeClient, Query, WatchSource } from './client.ts';
import { pause } from './clock.ts';
import { KubeError } from './errors.ts';

export interface ReflectorOptions<T extends KubeObject> {
  readonly path: string;
  readonly query: Query;
  /**
   * Called for every object that is new, changed or gone; `previous` is what was known of it. Level-triggered. Of one
   * that is gone the metadata alone may be known.
   */
  readonly onChange: (object: T, previous: ObjectMeta | undefined, isGone: boolean) => void;
  /** The server ends a watch after this long; a connection that died silently lasts no longer either. */
  readonly watchSeconds?: number;
  /** A full list, so that no missed event is missed for longer. */
  readonly resyncMs?: number;
  readonly backoffMs?: number;
  readonly backoffMsMax?: number;
}

interface WatchEvent {
  readonly type: string;
  readonly object: KubeObject & { readonly code?: number; readonly message?: string };
}

const pageSize = 500;
/** Beyond the end of a watch: what a list and the pause after a failure may take. */
const restartMsMax = 180_000;

/** How long after its agreed end a watch is cut off. */
const watchGraceMs = 15_000;

/**
 * client-node's informers stop at the first error; this one does not. It holds only the metadata of what it follows:
 * whoever decides something reads the object itself.
 */
export class Reflector<T extends KubeObject> {
  readonly #kube: KubeClient & WatchSource;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #options: Required<ReflectorOptions<T>>;
  readonly #known = new Map<string, ObjectMeta>();
  #resourceVersion: string | undefined;
  #listedAtMs = 0;
  #heardAtMs: number | undefined;
  #triedAtMs: number;
  #failureCount = 0;

  constructor(
    modules: {
      readonly kube: KubeClient & WatchSource;
      readonly clock: Clock;
      readonly random: Random;
      readonly logger: Logger;
    },
    options: ReflectorOptions<T>,
  ) {
    this.#kube = modules.kube;
    this.#clock = modules.clock;
    this.#random = modules.random;
    this.#logger = modules.logger.child({ path: options.path });
    this.#options = {
      watchSeconds: 240,
      resyncMs: 600_000,
      backoffMs: 200,
      backoffMsMax: 30_000,
      ...options,
    };
    this.#triedAtMs = modules.clock.nowMs();
  }

  /** Monotonic time of the last answer or event; undefined before the first list. */
  get heardAtMs(): number | undefined {
    return this.#heardAtMs;
  }

  /** Monotonic time of the last full list; undefined before the first. */
  get listedAtMs(): number | undefined {
    return this.#heardAtMs === undefined ? undefined : this.#listedAtMs;
  }

  /** Lists and watches that failed. */
  get failureCount(): number {
    return this.#failureCount;
  }

  /** Whether no list and no watch was begun for longer than one can last: nothing would be heard any more. */
  isStuck(): boolean {
    const lastsMs = this.#options.watchSeconds * 1_250 + watchGraceMs + restartMsMax;
    return this.#clock.nowMs() - this.#triedAtMs > lastsMs;
  }

  /** Runs until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#triedAtMs = this.#clock.nowMs();
      try {
        if (this.#resourceVersion === undefined || this.#resyncIsDue()) await this.#list();
        await this.#watch(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures = this.#afterFailure(error, failures);
      }
      await pause(this.#clock, this.#restartDelayMs(failures), signal);
    }
  }

  #resyncIsDue(): boolean {
    return this.#clock.nowMs() - this.#listedAtMs >= this.#options.resyncMs;
  }

  async #list(): Promise<void> {
    const { path, query, onChange } = this.#options;
    const gone = new Map(this.#known);
    let page: KubeList<T>;
    let next: Query = { limit: String(pageSize) };
    do {
      page = await this.#kube.list<KubeList<T>>(path, { ...query, ...next });
      for (const item of page.items) {
        gone.delete(keyOf(item.metadata));
        this.#set(item);
      }
      next = { limit: String(pageSize), continue: page.metadata.continue ?? '' };
    } while (next['continue'] !== '');
    for (const [key, metadata] of gone) {
      this.#known.delete(key);
      onChange({ metadata } as T, metadata, true);
    }
    this.#resourceVersion = page.metadata.resourceVersion;
    this.#listedAtMs = this.#clock.nowMs();
    this.#heardAtMs = this.#listedAtMs;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { path, query, watchSeconds } = this.#options;
    const timeoutSeconds = watchSeconds + randomBelow(this.#random, Math.ceil(watchSeconds / 4));
    const watchQuery = {
      ...query,
      watch: 'true',
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(timeoutSeconds),
      resourceVersion: this.#resourceVersion ?? '',
    };
    // Not AbortSignal.any and timeout: in Node 20 such a signal can be collected before it fires.
    const over = new AbortController();
    const end = () => over.abort();
    const timer = this.#clock.after(timeoutSeconds * 1000 + watchGraceMs, end);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    try {
      const events = this.#kube.watch(path, watchQuery, over.signal);
      for await (const event of events as AsyncIterable<WatchEvent>) this.#take(event);
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', end);
    }
  }

  #take({ type, object }: WatchEvent): void {
    this.#heardAtMs = this.#clock.nowMs();
    if (type === 'ERROR') {
      throw new KubeError(object.code ?? 500, 'WatchError', object.message ?? 'watch failed');
    }
    this.#resourceVersion = object.metadata.resourceVersion;
    if (type === 'ADDED' || type === 'MODIFIED') this.#set(object as KubeObject as T);
    if (type === 'DELETED') {
      const key = keyOf(object.metadata);
      const previous = this.#known.get(key);
      this.#known.delete(key);
      this.#options.onChange(object as KubeObject as T, previous, true);
    }
  }

  #set(object: T): void {
    const key = keyOf(object.metadata);
    const previous = this.#known.get(key);
    this.#known.set(key, identityOf(object.metadata));
    this.#options.onChange(object, previous, false);
  }

  /** 410: the version to go on from is forgotten. Anything else may have lost events too, so list again. */
  #afterFailure(error: unknown, failures: number): number {
    this.#resourceVersion = undefined;
    const expired = error instanceof KubeError && error.code === 410;
    if (expired) {
      this.#logger.info({}, 'watch expired, listing again');
      return 0;
    }
    this.#failureCount += 1;
    this.#logger.warn({ error: String(error) }, 'list or watch failed, starting again');
    return failures + 1;
  }

  #restartDelayMs(failures: number): number {
    const { backoffMs, backoffMsMax } = this.#options;
    const delayMs = Math.min(backoffMs * 2 ** Math.min(failures, 20), backoffMsMax);
    return delayMs / 2 + randomBelow(this.#random, delayMs / 2 + 1);
  }
}

/** Of everything that is followed this much is kept: not annotations, nor who manages which field. */
function identityOf(metadata: ObjectMeta): ObjectMeta {
  const { name, namespace, uid, resourceVersion, generation, deletionTimestamp, labels } = metadata;
  const fields = { name, namespace, uid, resourceVersion, generation, deletionTimestamp, labels };
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as unknown as ObjectMeta;
}

function keyOf({ namespace, name }: ObjectMeta): string {
  return `${namespace ?? ''}/${name}`;
}
