import type { KubeList, KubeObject } from '../../../operator/api/objects.ts';
import type { KubeClient, Preconditions, Query } from '../../../operator/kube/client.ts';
import { KubeError } from '../../../operator/kube/errors.ts';

type Json = Record<string, unknown>;
export type Stored = KubeObject & Json;

/** All objects of a collection as they were at one moment, by path. */
export type Version = ReadonlyMap<string, Stored>;

/** How many earlier moments of each collection are kept. */
const earlierMax = 8;

/** Called around every write: may throw before (the request was lost). `present`: as it was before the write. */
export interface Hooks {
  before?(verb: string, path: string, present: Stored | undefined): void;
  /** Not called for a write that was refused. */
  after?(verb: string, path: string, present: Stored | undefined): void;
}

/**
 * An API server in memory, true in what the operator leans on: resource versions and conflicts, UIDs, finalizers,
 * deletion that takes its time, status apart from spec, garbage collection by owner. It validates nothing but what
 * `admit` refuses. What is stored is never changed in place, so that readers, and earlier versions, may hold on to it.
 */
export class FakeKube implements KubeClient {
  readonly hooks: Hooks = {};
  /** Throws what admission control says of a write. */
  admit: (present: Stored, next: Stored) => void = () => {};
  /** RFC 3339, for deletions. */
  now: () => string = () => '2026-01-01T00:00:00Z';
  /** By collection, newest last. */
  readonly #versions = new Map<string, readonly Version[]>();
  #resourceVersion = 0;
  #uid = 0;
  writes = 0;

  /** The same objects, versions and numbers; hooks are not copied. */
  clone(): FakeKube {
    const copy = new FakeKube();
    for (const [collection, versions] of this.#versions) copy.#versions.set(collection, versions);
    copy.#resourceVersion = this.#resourceVersion;
    copy.#uid = this.#uid;
    copy.writes = this.writes;
    return copy;
  }

  /** A collection as it was `lag` changes ago, or as long ago as is known. */
  view(collection: string, lag = 0): Version {
    const versions = this.#versions.get(collection) ?? [];
    return versions.at(-1 - Math.min(lag, versions.length - 1)) ?? new Map();
  }

  /** How many earlier moments of a collection are known. */
  earlierOf(collection: string): number {
    return Math.max(0, (this.#versions.get(collection)?.length ?? 0) - 1);
  }

  read(path: string): Stored | undefined {
    return this.view(collectionOf(path)).get(path);
  }

  all(): Stored[] {
    return [...this.#versions.keys()].flatMap((collection) => [...this.view(collection).values()]);
  }

  async get<T>(path: string): Promise<T | undefined> {
    return this.read(path) as T | undefined;
  }

  async list<T>(path: string, query: Query = {}): Promise<T> {
    return this.listOf(this.view(path), query) as T;
  }

  listOf(version: Version, query: Query = {}): KubeList<Stored> {
    const [key = '', value] = (query['labelSelector'] ?? '').split('=');
    const items = [...version.values()]
      .filter((object) => key === '' || object.metadata.labels?.[key] === value)
      // As an API server does: the list says what its items are, they themselves do not.
      .map(({ kind: _kind, apiVersion: _apiVersion, ...item }) => item as unknown as Stored);
    return { metadata: { resourceVersion: String(this.#resourceVersion) }, items };
  }

  async create<T extends KubeObject>(path: string, object: T): Promise<T> {
    const at = `${path}/${object.metadata.name}`;
    return this.#write('create', at, () => {
      if (this.read(at) !== undefined) {
        throw new KubeError(409, 'AlreadyExists', `${at} already exists`);
      }
      return this.put(at, sent(object)) as unknown as T;
    });
  }

  async apply<T extends KubeObject>(path: string, object: T): Promise<T> {
    return this.#write('apply', path, () => {
      const { resourceVersion } = object.metadata;
      const present = this.read(path);
      if (present === undefined) return this.put(path, sent(object)) as unknown as T;
      // Whose a field is, is not kept: what is there counts as another's.
      if (resourceVersion === undefined) throw new KubeError(409, 'Conflict', `${path} is there`);
      // Empty it is not checked, as with an API server.
      if (resourceVersion !== '') this.#present(path, resourceVersion);
      return this.#change(path, merge(present, sent(object)) as Stored) as unknown as T;
    });
  }

  async replace<T extends KubeObject>(path: string, object: T): Promise<T> {
    return this.#write('replace', path, () => {
      const at = path.replace(/\/status$/, '');
      const present = this.#present(at, object.metadata.resourceVersion);
      const { uid } = object.metadata;
      if (uid !== undefined && uid !== present.metadata.uid) {
        throw new KubeError(409, 'Conflict', `${path}: another uid`);
      }
      const body = sent(object);
      const next = path === at ? body : { ...present, status: body['status'] };
      return this.#change(at, next as Stored) as unknown as T;
    });
  }

  async patch<T>(path: string, patch: unknown): Promise<T> {
    return this.#write('patch', path, () => {
      const { metadata } = patch as { metadata?: { resourceVersion?: string } };
      const present = this.#present(path, metadata?.resourceVersion);
      const next = merge(present, JSON.parse(JSON.stringify(patch))) as Stored;
      this.admit(present, next);
      return this.#change(path, next) as T;
    });
  }

  /** Preconditions that are empty are not checked, as an API server has it. */
  async remove(path: string, { uid, resourceVersion }: Preconditions): Promise<void> {
    this.#write('remove', path, () => {
      const present = this.#present(path, resourceVersion === '' ? undefined : resourceVersion);
      if (uid !== '' && uid !== undefined && present.metadata.uid !== uid) {
        throw new KubeError(409, 'Conflict', `${path} has another uid`);
      }
      this.startDeletion(path);
    });
  }

  /** What the world does: no hooks, no preconditions. */
  put(path: string, object: Stored): Stored {
    this.#uid += 1;
    const creationTimestamp = this.now();
    const metadata = {
      ...object.metadata,
      uid: `uid-${this.#uid}`,
      generation: 1,
      creationTimestamp,
    };
    return this.#change(path, { ...object, metadata });
  }

  set(path: string, change: (object: Stored) => Json): void {
    const present = this.read(path);
    if (present !== undefined) this.#change(path, { ...present, ...change(present) });
  }

  /** As a person edits: the generation counts. */
  edit(path: string, change: (spec: Json) => Json): void {
    this.set(path, ({ spec, metadata }) => ({
      spec: change(spec as Json),
      metadata: { ...metadata, generation: (metadata.generation ?? 0) + 1 },
    }));
  }

  /** Services and budgets go at once, pods and volumes when the world lets them, the rest by finalizers. */
  startDeletion(path: string): void {
    const present = this.read(path);
    if (present === undefined || present.metadata.deletionTimestamp !== undefined) return;
    const metadata = { ...present.metadata, deletionTimestamp: this.now() };
    this.#change(path, { ...present, metadata });
    if (!['Pod', 'PersistentVolumeClaim', 'StoreCluster'].includes(present.kind)) this.vanish(path);
  }

  vanish(path: string): void {
    const collection = collectionOf(path);
    const next = new Map(this.view(collection));
    if (!next.delete(path)) return;
    this.#resourceVersion += 1;
    this.#keep(collection, next);
  }

  /** What is owned by an object that is gone, goes too. */
  collectGarbage(): void {
    const objects = this.all();
    const uids = new Set(objects.map(({ metadata }) => metadata.uid));
    for (const [collection] of this.#versions) {
      for (const [path, { metadata }] of this.view(collection)) {
        const owners = metadata.ownerReferences ?? [];
        if (owners.length > 0 && owners.every(({ uid }) => !uids.has(uid))) {
          this.startDeletion(path);
        }
      }
    }
  }

  #write<T>(verb: string, path: string, effect: () => T): T {
    const present = this.read(path.replace(/\/status$/, ''));
    this.hooks.before?.(verb, path, present);
    const result = effect();
    if (!path.includes('/events/')) this.writes += 1;
    this.hooks.after?.(verb, path, present);
    return result;
  }

  #present(path: string, resourceVersion: string | undefined): Stored {
    const present = this.read(path);
    if (present === undefined) throw new KubeError(404, 'NotFound', `${path} not found`);
    if (resourceVersion !== undefined && resourceVersion !== present.metadata.resourceVersion) {
      throw new KubeError(409, 'Conflict', `${path} has changed`);
    }
    return present;
  }

  #change(path: string, object: Stored): Stored {
    this.#resourceVersion += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#resourceVersion) };
    const next = { ...object, metadata };
    const collection = collectionOf(path);
    this.#keep(collection, new Map(this.view(collection)).set(path, next));
    const isHeld = next.kind !== 'StoreCluster' || (metadata.finalizers ?? []).length > 0;
    if (metadata.deletionTimestamp !== undefined && !isHeld) this.vanish(path);
    return next;
  }

  #keep(collection: string, version: Version): void {
    const versions = this.#versions.get(collection) ?? [];
    this.#versions.set(collection, [...versions, version].slice(-1 - earlierMax));
  }
}

export function collectionOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

/** As it arrives in JSON. */
function sent(object: KubeObject): Stored {
  return JSON.parse(JSON.stringify(object)) as Stored;
}

/** JSON merge patch (RFC 7396). */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === 'object' && target !== null ? (target as Json) : {};
  const result: Json = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined) result[key] = merge(base[key], value);
  }
  return result;
}
