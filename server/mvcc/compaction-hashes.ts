import type { Backend } from '../backend/backend.ts';
import type { Revision } from '../base/ids.ts';
import { compactionHashesMax } from '../config/limits.ts';
import { type HashScan, type HashView, hashPinned, type KvHash } from './hash.ts';
import type { KeyIndex } from './key-index.ts';

export interface CompactionHashModules {
  readonly backend: Backend;
  readonly view: HashView;
  /** Between two parts of the work, which must not be felt. */
  readonly pause: () => Promise<void>;
  /** The state could not be read. */
  readonly failed: (error: Error) => void;
}

/**
 * What the store was like at each compacted revision, as a hash: taken when the compaction is applied, before anything is
 * erased, so that members can compare it later, whatever they have erased since. The numbers are etcd's.
 */
export class CompactionHashes {
  readonly #modules: CompactionHashModules;
  #newest: KvHash[] = [];
  /** Of the one under way: ends when its view of the state is released. */
  #underWay: Promise<void> = Promise.resolve();
  #abandoned = 0;

  constructor(modules: CompactionHashModules) {
    this.#modules = modules;
  }

  get newest(): readonly KvHash[] {
    return this.#newest;
  }

  /** Resolves once the hash of the last compaction is among {@link newest}, if it will ever be. */
  get settled(): Promise<void> {
    return this.#underWay;
  }

  clear(): void {
    this.#newest = [];
  }

  /** Gives up the hash under way: resolves once the state that it keeps may go. */
  async abandon(): Promise<void> {
    this.#abandoned++;
    await this.#underWay;
  }

  /** Called in the middle of the compaction's entry: the store is still what it was. */
  compacting(at: { readonly revision: Revision; readonly before: Revision }): void {
    const { view, failed } = this.#modules;
    const { index } = view;
    // What counts of the versions before would hang on what was erased of them.
    if (!hasLive(index, at.revision)) return;
    // A later compaction erases what the index knows of this one; a replaced state has another index.
    const abandoned = this.#abandoned;
    const isValid = (): boolean =>
      view.compactRevision === at.revision && view.index === index && this.#abandoned === abandoned;
    this.#underWay = this.#hash(at, { index, isValid }).catch((error: unknown) => {
      if (isValid()) failed(error instanceof Error ? error : new Error(String(error)));
    });
  }

  async #hash(
    { revision, before }: { revision: Revision; before: Revision },
    by: Pick<HashScan, 'index' | 'isValid'>,
  ): Promise<void> {
    const { backend, pause } = this.#modules;
    const at = { hashRevision: revision, compactRevision: before, keptAt: revision };
    const hash = await hashPinned(backend.pin(), { ...at, ...by, pause });
    if (hash === undefined) return;
    const found = { hash, compactRevision: before, hashRevision: revision };
    this.#newest = [found, ...this.#newest].slice(0, compactionHashesMax);
  }
}

function hasLive(index: KeyIndex, revision: Revision): boolean {
  let isFound = false;
  index.forEach({ start: '', end: undefined, single: false }, (entry) => {
    isFound = entry.isLiveAt(revision);
    return !isFound;
  });
  return isFound;
}
