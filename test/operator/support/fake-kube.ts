import type { KubeList, KubeObject } from '../../../operator/api/objects.ts';
import type { KubeClient, Preconditions, Query } from '../../../operator/kube/client.ts';
import { KubeError } from '../../../operator/kube/errors.ts';

type Json = Record<string, unknown>;
export type Stored = KubeObject & Json;

const olderMax = 4;

/** Called around every write: may throw before (the request was lost) or after (the answer was lost). */
export interface Hooks {
  before?(verb: string, path: string, present: Stored | undefined): void;
  after?(verb: string, path: string): void;
}

/**
 * An API server in memory, true in what the operator leans on: resource versions and conflicts, UIDs, finalizers,
 * deletion that takes its time, status apart from spec, garbage collection by owner. It validates nothing. What is
 * stored is never changed in place, so that readers may hold on to it.
 */
export class FakeKube implements KubeClient {
  readonly objects = new Map<string, Stored>();
  readonly hooks: Hooks = {};
  #version = 0;
  #uid = 0;
  writes = 0;
  /** How many versions of an object back a GET answers: an API server that lags, or a cache. */
  lag: (path: string) => number = () => 0;
  readonly #older = new Map<string, Stored[]>();

  async get<T>(path: string): Promise<T | undefined> {
    const older = this.#older.get(path) ?? [];
    const lag = Math.min(this.lag(path), older.length);
    return (lag > 0 ? older.at(-lag) : this.objects.get(path)) as T | undefined;
  }

  async list<T>(path: string, query: Query = {}): Promise<T> {
    const [key = '', value] = (query['labelSelector'] ?? '').split('=');
    const items = [...this.objects]
      .filter(([at]) => at.startsWith(`${path}/`))
      .map(([, object]) => object)
      .filter((object) => key === '' || object.metadata.labels?.[key] === value)
      // As an API server does: the list says what its items are, they themselves do not.
      .map(({ kind: _kind, apiVersion: _apiVersion, ...item }) => item as unknown as Stored);
    const list: KubeList<Stored> = { metadata: { resourceVersion: String(this.#version) }, items };
    return list as T;
  }

  async create<T extends KubeObject>(path: string, object: T): Promise<T> {
    const at = `${path}/${object.metadata.name}`;
    return this.#write('create', at, () => {
      if (this.objects.has(at)) throw new KubeError(409, 'AlreadyExists', `${at} exists`);
      return this.put(at, object as unknown as Stored) as unknown as T;
    });
  }

  async apply<T extends KubeObject>(path: string, object: T): Promise<T> {
    return this.#write('apply', path, () => {
      const present = this.objects.get(path);
      if (present === undefined) return this.put(path, object as unknown as Stored) as unknown as T;
      return this.#change(path, merge(present, object) as Stored) as unknown as T;
    });
  }

  async replace<T extends KubeObject>(path: string, object: T): Promise<T> {
    return this.#write('replace', path, () => {
      const at = path.replace(/\/status$/, '');
      const present = this.#present(at, object.metadata.resourceVersion);
      const sent = object as unknown as Stored;
      const next = path === at ? sent : { ...present, status: sent['status'] };
      return this.#change(at, next as Stored) as unknown as T;
    });
  }

  async patch<T>(path: string, patch: unknown): Promise<T> {
    return this.#write('patch', path, () => {
      const sent = patch as { metadata?: { resourceVersion?: string } };
      const present = this.#present(path, sent.metadata?.resourceVersion);
      return this.#change(path, merge(present, patch) as Stored) as T;
    });
  }

  async remove(path: string, { uid, resourceVersion }: Preconditions): Promise<void> {
    const present = this.#present(path, resourceVersion);
    if (present.metadata.uid !== uid)
      throw new KubeError(409, 'Conflict', `${path} has another uid`);
    await this.#write('remove', path, () => this.startDeletion(path));
  }

  /** What the world does: no hooks, no preconditions. */
  put(path: string, object: Stored): Stored {
    this.#uid += 1;
    const metadata = { ...object.metadata, uid: `uid-${this.#uid}`, generation: 1 };
    return this.#change(path, { ...object, metadata });
  }

  set(path: string, change: (object: Stored) => Json): void {
    const present = this.objects.get(path);
    if (present !== undefined) this.#change(path, { ...present, ...change(present) });
  }

  /** Services and budgets go at once, pods and volumes when the world lets them, the rest by finalizers. */
  startDeletion(path: string): void {
    const present = this.objects.get(path);
    if (present === undefined || present.metadata.deletionTimestamp !== undefined) return;
    const metadata = { ...present.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' };
    this.#change(path, { ...present, metadata });
    if (!['Pod', 'PersistentVolumeClaim', 'StoreCluster'].includes(present.kind)) this.vanish(path);
  }

  vanish(path: string): void {
    const gone = this.objects.get(path);
    this.#older.delete(path);
    this.objects.delete(path);
    for (const [at, child] of this.objects) {
      const owned = child.metadata.ownerReferences?.some(
        (owner) => owner.uid === gone?.metadata.uid,
      );
      if (owned) this.startDeletion(at);
    }
  }

  async #write<T>(verb: string, path: string, effect: () => T): Promise<T> {
    this.hooks.before?.(verb, path, this.objects.get(path));
    const result = effect();
    if (!path.includes('/events/')) this.writes += 1;
    this.hooks.after?.(verb, path);
    return result;
  }

  #present(path: string, resourceVersion: string | undefined): Stored {
    const present = this.objects.get(path);
    if (present === undefined) throw new KubeError(404, 'NotFound', `${path} not found`);
    if (resourceVersion !== undefined && resourceVersion !== present.metadata.resourceVersion) {
      throw new KubeError(409, 'Conflict', `${path} has changed`);
    }
    return present;
  }

  #change(path: string, object: Stored): Stored {
    this.#version += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#version) };
    const next = structuredClone({ ...object, metadata });
    const present = this.objects.get(path);
    if (present !== undefined) {
      this.#older.set(path, [...(this.#older.get(path) ?? []), present].slice(-olderMax));
    }
    this.objects.set(path, next);
    const finalizers = metadata.finalizers ?? [];
    const held = next.kind !== 'StoreCluster' || finalizers.length > 0;
    if (metadata.deletionTimestamp !== undefined && !held) this.vanish(path);
    return next;
  }
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
