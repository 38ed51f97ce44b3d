import type { Revision } from '../base/ids.ts';
import type { Watch, WatchBatch } from '../client/watch.ts';
import { pending, settledWithin } from './arrival.ts';
import type { KeyMapping } from './key-mapping.ts';
import type { Source } from './source.ts';

const askedEveryMs = 500;
/** A source that does not say how far a watch is for so long is asked another time. */
const silenceMsMax = 15_000;

/** What was found of a source on which nothing should change. */
export type Quiet =
  /** Nothing that is copied has changed up to this revision. */
  | { readonly kind: 'quiet'; readonly until: Revision }
  /** The last of it at this one. */
  | { readonly kind: 'changed'; readonly at: Revision }
  | { readonly kind: 'silent' };

/** Watches what is copied, and tells whether any of it changes: other keys of the source may. */
export class QuietWatch {
  readonly #source: Source;
  readonly #mapping: KeyMapping;
  readonly #watch: Watch;
  readonly #batches: AsyncIterator<WatchBatch>;
  #next: Promise<IteratorResult<WatchBatch>> | undefined;
  #until: Revision;
  #changedAt: Revision | undefined;

  /** `after`: of the source; what came later is a change. */
  constructor(source: Source, mapping: KeyMapping, after: Revision) {
    this.#source = source;
    this.#mapping = mapping;
    this.#until = after;
    const { signal } = source.patience;
    this.#watch = source.client.watch(mapping.source, { startRevision: after + 1, signal });
    this.#batches = this.#watch[Symbol.asyncIterator]();
  }

  close(): void {
    this.#watch.cancel();
  }

  /** For so long, and then up to what is the newest revision. */
  async lasts(ms: number): Promise<Quiet> {
    const end = performance.now() + ms;
    for (let leftMs = ms; leftMs > 0; ) {
      await this.#read(leftMs);
      leftMs = end - performance.now();
    }
    return this.upToNow();
  }

  async upToNow(): Promise<Quiet> {
    const newest = await this.#source.revision();
    const deadline = performance.now() + silenceMsMax;
    while (this.#changedAt === undefined && this.#until < newest) {
      if (performance.now() > deadline) return { kind: 'silent' };
      await settledWithin(pending(this.#watch.requestProgress()), askedEveryMs);
      await this.#read(askedEveryMs);
    }
    if (this.#changedAt !== undefined) return { kind: 'changed', at: this.#changedAt };
    return { kind: 'quiet', until: this.#until };
  }

  async #read(ms: number): Promise<void> {
    this.#next ??= pending(this.#batches.next());
    const result = await settledWithin(this.#next, ms);
    if (result === undefined) return;
    this.#next = undefined;
    this.#source.patience.signal.throwIfAborted();
    if (result.done === true) throw new Error('the watch has ended');
    const { events, revision } = result.value;
    const last = events.findLast(({ kv }) => this.#mapping.toDestination(kv.key) !== undefined);
    this.#changedAt = last?.kv.modRevision ?? this.#changedAt;
    this.#until = Math.max(this.#until, revision);
  }
}
