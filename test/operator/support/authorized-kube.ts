import { parsePath } from '../../../e2e/localkube/request.ts';
import type { KubeObject } from '../../../operator/api/objects.ts';
import type {
  KubeClient,
  Preconditions,
  Query,
  WatchSource,
} from '../../../operator/kube/client.ts';
import { KubeError } from '../../../operator/kube/errors.ts';
import type { PolicyRule } from '../../../operator/resources/permissions.ts';

/** `verb group/resource`, as rules grant and requests use it. */
export type Permission = string;

export function permissionsOf(rules: readonly PolicyRule[]): ReadonlySet<Permission> {
  return new Set(
    rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
      ),
    ),
  );
}

export interface Grants {
  /** In every namespace, or in `namespace` alone. */
  readonly rules: readonly PolicyRule[];
  readonly namespace?: string;
}

/**
 * An API server that knows who is allowed to do what, in front of another one: it refuses what is not granted, and
 * remembers what was used and what was refused.
 */
export class AuthorizedKube implements KubeClient, WatchSource {
  readonly used = new Set<Permission>();
  readonly refused = new Set<Permission>();
  readonly #kube: KubeClient & Partial<WatchSource>;
  readonly #granted: ReadonlySet<Permission>;
  readonly #namespace: string | undefined;

  constructor(kube: KubeClient & Partial<WatchSource>, { rules, namespace }: Grants) {
    this.#kube = kube;
    this.#granted = permissionsOf(rules);
    this.#namespace = namespace;
  }

  async get<T>(path: string): Promise<T | undefined> {
    this.#check('get', path);
    return this.#kube.get<T>(path);
  }

  async list<T>(path: string, query?: Query): Promise<T> {
    this.#check('list', path);
    return this.#kube.list<T>(path, query);
  }

  async create<T extends KubeObject>(path: string, object: T): Promise<T> {
    this.#check('create', path);
    this.#checkOwners(path, object);
    return this.#kube.create(path, object);
  }

  /** Of an object that is not there yet it is a create too. */
  async apply<T extends KubeObject>(path: string, object: T): Promise<T> {
    this.#check('patch', path);
    if ((await this.#kube.get(path)) === undefined) this.#check('create', path);
    this.#checkOwners(path, object);
    return this.#kube.apply(path, object);
  }

  async replace<T extends KubeObject>(path: string, object: T): Promise<T> {
    this.#check('update', path);
    return this.#kube.replace(path, object);
  }

  async patch<T>(path: string, patch: unknown): Promise<T> {
    this.#check('patch', path);
    return this.#kube.patch<T>(path, patch);
  }

  async remove(path: string, preconditions: Preconditions): Promise<void> {
    this.#check('delete', path);
    await this.#kube.remove(path, preconditions);
  }

  watch(path: string, query: Query, signal: AbortSignal): AsyncIterable<unknown> {
    this.#check('watch', path);
    if (this.#kube.watch === undefined) throw new Error('nothing to watch here');
    return this.#kube.watch(path, query, signal);
  }

  /** Who names an owner that must not go first has to be allowed to set that owner's finalizers. */
  #checkOwners(path: string, { metadata }: KubeObject): void {
    for (const owner of metadata.ownerReferences ?? []) {
      if (owner.blockOwnerDeletion !== true) continue;
      const [group = ''] = owner.apiVersion.split('/');
      const namespace = parsePath(path)?.namespace;
      this.#need(`update ${group}/${owner.kind.toLowerCase()}s/finalizers`, namespace);
    }
  }

  #check(verb: string, path: string): void {
    const parsed = parsePath(path);
    if (parsed === undefined) throw new Error(`no path of an API: ${path}`);
    const { group, plural, subresource, namespace } = parsed;
    const resource = subresource === '' ? plural : `${plural}/${subresource}`;
    this.#need(`${verb} ${group}/${resource}`, namespace);
  }

  #need(permission: Permission, namespace: string | undefined): void {
    const isInside = this.#namespace === undefined || this.#namespace === namespace;
    if (isInside && this.#granted.has(permission)) {
      this.used.add(permission);
      return;
    }
    const where = namespace === undefined ? 'at the cluster scope' : `in ${namespace}`;
    this.refused.add(`${permission} ${where}`);
    throw new KubeError(403, 'Forbidden', `the operator cannot ${permission} ${where}`);
  }
}
