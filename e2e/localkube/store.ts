import { Journal } from './journal.ts';
import { deepFreeze, type KubeObject } from './objects.ts';

export interface Change {
  readonly revision: number;
  readonly kind: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** Where objects of one resource are kept, whatever version they are served in: `group/plural`. */
  readonly storage: string;
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

/** Changes kept for watches and paged lists. Older resource versions are answered 410. */
const changesMax = 10_000;

/**
 * Objects by storage and `namespace/name`, one ordered log of changes, and a journal on disk. Every object in it is frozen.
 * The revision of a change is the resourceVersion of its object, as in a real API server over etcd.
 */
export class Store {
  #revision: number;
  #oldest: number;
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #changes: Change[] = [];
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #journal: Journal | undefined;

  /** Without a file the store lives in memory only. */
  constructor(file?: string) {
    this.#revision = 1;
    if (file !== undefined) {
      this.#journal = new Journal(file);
      for (const { revision, storage, key, object } of this.#journal.replay()) {
        this.#revision = Math.max(this.#revision, revision);
        if (object === undefined) this.#bucket(storage).delete(key);
        else this.#bucket(storage).set(key, deepFreeze(object));
      }
      this.#compactJournal();
    }
    this.#oldest = this.#revision;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Changes after this revision are still known. */
  get oldest(): number {
    return this.#oldest;
  }

  get(storage: string, key: string): KubeObject | undefined {
    return this.#objects.get(storage)?.get(key);
  }

  /** Objects in key order, of one namespace or of all. */
  list(storage: string, namespace?: string): KubeObject[] {
    const bucket = this.#objects.get(storage);
    if (bucket === undefined) return [];
    const prefix = namespace === undefined ? '' : `${namespace}/`;
    return [...bucket]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
  }

  /** As list, at an earlier revision that is still in the log. */
  listAt(storage: string, namespace: string | undefined, revision: number): KubeObject[] {
    const objects = new Map(this.list(storage, namespace).map((object) => [keyOf(object), object]));
    for (const change of this.#changes.toReversed()) {
      if (change.revision <= revision) break;
      const outside = namespace !== undefined && change.object.metadata.namespace !== namespace;
      if (change.storage !== storage || outside) continue;
      const key = keyOf(change.object);
      if (change.previous === undefined) objects.delete(key);
      else objects.set(key, change.previous);
    }
    return [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  storages(): string[] {
    return [...this.#objects.keys()];
  }

  /** Writes an object and gives it the next resourceVersion. */
  put(storage: string, object: KubeObject): KubeObject {
    const key = keyOf(object);
    const bucket = this.#bucket(storage);
    const previous = bucket.get(key);
    const stored = deepFreeze({
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(this.#revision + 1) },
    });
    bucket.set(key, stored);
    this.#record(storage, key, previous === undefined ? 'ADDED' : 'MODIFIED', stored, previous);
    return stored;
  }

  /** Removes an object. What watches see of it carries the resourceVersion of the removal. */
  remove(storage: string, key: string): KubeObject | undefined {
    const previous = this.#bucket(storage).get(key);
    if (previous === undefined) return undefined;
    this.#bucket(storage).delete(key);
    const gone = deepFreeze({
      ...previous,
      metadata: { ...previous.metadata, resourceVersion: String(this.#revision + 1) },
    });
    this.#record(storage, key, 'DELETED', gone, previous);
    return gone;
  }

  changesAfter(revision: number): readonly Change[] {
    return this.#changes.filter((change) => change.revision > revision);
  }

  /** Forgets the log, so that every resourceVersion of before is too old (410). */
  forgetChanges(): void {
    this.#changes.length = 0;
    this.#oldest = this.#revision;
  }

  /** Calls back after each change, in order. Returns how to stop that. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#listeners.clear();
    this.#journal?.close();
  }

  #bucket(storage: string): Map<string, KubeObject> {
    let bucket = this.#objects.get(storage);
    if (bucket === undefined) {
      bucket = new Map();
      this.#objects.set(storage, bucket);
    }
    return bucket;
  }

  #record(
    storage: string,
    key: string,
    kind: Change['kind'],
    object: KubeObject,
    previous: KubeObject | undefined,
  ): void {
    const revision = this.#revision + 1;
    this.#revision = revision;
    this.#journal?.append({
      revision,
      storage,
      key,
      ...(kind === 'DELETED' ? {} : { object }),
    });
    if (this.#journal?.isOversized === true) this.#compactJournal();
    const change: Change = { revision, kind, storage, object, previous };
    this.#changes.push(change);
    if (this.#changes.length > changesMax) {
      this.#oldest = this.#changes.shift()?.revision ?? this.#oldest;
    }
    for (const listener of this.#listeners) listener(change);
  }

  #compactJournal(): void {
    const entries = [...this.#objects].flatMap(([storage, bucket]) =>
      [...bucket].map(([key, object]) => ({
        revision: Number(object.metadata.resourceVersion),
        storage,
        key,
        object,
      })),
    );
    this.#journal?.rewrite(this.#revision, entries);
  }
}

/** The key of an object in its storage: `namespace/name`, or the name alone for cluster-wide ones. */
export function keyOf({ metadata }: KubeObject): string {
  return objectKey(metadata.namespace, metadata.name);
}

export function objectKey(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}
