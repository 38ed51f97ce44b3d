import type { Backend } from '../backend/backend.ts';
import type { Revision } from '../base/ids.ts';
import { compactionHashesMax } from '../config/limits.ts';
import { type HashScan, type HashView, hashPinned, type KvHash } from './hash.ts';
import type { KeyIndex } from './key-index.ts';

export interface CompactionHashModules {
  readonly backend: Backend;
  readonly view: HashView;
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
  #underWay: Promise<void> = Promise.resolve();

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

  /** Called in the middle of the compaction's entry: the store is still what it was. */
  compacting(at: { readonly revision: Revision; readonly before: Revision }): void {
    const { view, failed } = this.#modules;
    const { index } = view;
    // What counts of the versions before would hang on what was erased of them.
    if (!hasLive(index, at.revision)) return;
    // A later compaction erases what the index knows of this one; a replaced state has another index.
    const isValid = (): boolean => view.compactRevision === at.revision && view.index === index;
    this.#underWay = this.#hash(at, { index, isValid }).catch((error: unknown) => {
      if (isValid()) failed(error instanceof Error ? error : new Error(String(error)));
    });
  }

  async #hash(
    { revision, before }: { revision: Revision; before: Revision },
    by: Pick<HashScan, 'index' | 'isValid'>,
  ): Promise<void> {
    const pinned = this.#modules.backend.pin();
    const at = { hashRevision: revision, compactRevision: before, keptAt: revision };
    const hash = await hashPinned(pinned, { ...at, ...by });
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
