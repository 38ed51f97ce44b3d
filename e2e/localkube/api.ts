import { randomUUID } from 'node:crypto';
import { admit, checkChanged, checkDocument, finish } from './admission.ts';
import { defaultDefinition, establishedStatus, validateDefinition } from './custom-resources.ts';
import {
  alreadyExists,
  badRequest,
  conflict,
  type FieldError,
  fieldError,
  internal,
  invalid,
  namespaceTerminating,
  notFound,
} from './errors.ts';
import { generatedName } from './metadata.ts';
import {
  clone,
  equal,
  type JsonObject,
  type KubeObject,
  type Metadata,
  objectAt,
  setAt,
  stringAt,
  timestamp,
} from './objects.ts';
import { serverSideApply, trackUpdate, type Writer } from './patch/apply.ts';
import { apiVersionOf, type Resource, type Resources } from './resources.ts';
import { applyDefaults } from './schema/default.ts';
import { objectKey, type Store } from './store.ts';

/** How a client wants a write done (query parameters of the request). */
export interface WriteOptions {
  readonly manager: string;
  readonly fieldValidation: 'Ignore' | 'Warn' | 'Strict';
  readonly isDryRun: boolean;
  readonly force: boolean;
}

export const internalWrite: WriteOptions = {
  manager: 'localkube',
  fieldValidation: 'Ignore',
  isDryRun: false,
  force: true,
};

/** What a write did; warnings go into response headers. */
export interface Outcome {
  readonly object: KubeObject;
  readonly isCreated: boolean;
  readonly warnings: readonly string[];
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

/** Where one object is: `subresource` is empty for the object itself. */
export interface Target {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly subresource: string;
}

export const orphanFinalizer = 'orphan';
export const foregroundFinalizer = 'foregroundDeletion';

/** Allocates what an object needs that only the server can give; called before it is validated. */
export type Allocate = (resource: Resource, object: KubeObject) => void;

/**
 * The verbs of the API on objects: checks, defaults, ownership, generation, deletion. HTTP is above it (server.ts), the store
 * below; controllers and the kubelet use it as clients do.
 */
export class ObjectApi {
  readonly store: Store;
  readonly resources: Resources;
  readonly #now: () => Date;
  #allocate: Allocate = () => {};

  constructor(store: Store, resources: Resources, now: () => Date = () => new Date()) {
    this.store = store;
    this.resources = resources;
    this.#now = now;
  }

  get now(): Date {
    return this.#now();
  }

  set allocate(allocate: Allocate) {
    this.#allocate = allocate;
  }

  get({ resource, namespace, name }: Omit<Target, 'subresource'>): KubeObject {
    return resource.fromStorage(this.#stored(resource, namespace, name));
  }

  find(resource: Resource, namespace: string | undefined, name: string): KubeObject | undefined {
    const found = this.store.get(resource.storage, objectKey(namespace, name));
    return found === undefined ? undefined : resource.fromStorage(found);
  }

  list(resource: Resource, namespace?: string): KubeObject[] {
    return this.store.list(resource.storage, namespace).map(resource.fromStorage);
  }

  create(
    resource: Resource,
    namespace: string | undefined,
    body: unknown,
    options: WriteOptions,
  ): Outcome {
    const document = checkDocument(body, resource);
    const metadata = this.#namedMetadata(resource, namespace, document, true);
    const object = { ...document, metadata } as KubeObject;
    this.#checkNamespace(resource, namespace, metadata.name);
    const warnings = admit(resource, object, options.fieldValidation);
    return this.#insert(resource, object, warnings, options, (fresh) =>
      trackUpdate(
        {},
        fresh,
        [],
        resource.schema,
        this.#writer(resource, options.manager, 'Update', ''),
      ),
    );
  }

  /** PUT: the document replaces the object (or its status, or its scale, for a subresource). */
  replace(target: Target, body: unknown, options: WriteOptions): Outcome {
    const { resource, namespace, name } = target;
    const document = checkDocument(body, resource);
    const metadata = objectAt(document, 'metadata');
    if (metadata['name'] !== undefined && metadata['name'] !== name) {
      throw badRequest(
        `the name of the object (${String(metadata['name'])}) does not match the name on the URL (${name})`,
      );
    }
    this.#namedMetadata(resource, namespace, document, false);
    const current = this.get(target);
    const isVersioned =
      metadata['resourceVersion'] !== undefined && metadata['resourceVersion'] !== '';
    if (!isVersioned && needsVersion(resource)) {
      throw invalid(resource.group, resource.plural, name, [
        fieldError.invalid('metadata.resourceVersion', 0, 'must be specified for an update'),
      ]);
    }
    if (metadata['uid'] !== undefined && metadata['uid'] !== current.metadata.uid) {
      throw conflict(resource, name, uidPrecondition(resource, current, String(metadata['uid'])));
    }
    return this.update(target, options, () => document);
  }

  /** Changes an object by a function from what is there to what shall be. An unchanged object is not written. */
  update(target: Target, options: WriteOptions, change: (current: KubeObject) => unknown): Outcome {
    const { resource, subresource, name } = target;
    const current = this.get(target);
    const changed = checkChanged(change(clone(current)), current, resource);
    this.#checkVersion(resource, current, changed);
    const next = merge(current, changed, subresource, resource);
    const warnings = admit(resource, next, options.fieldValidation);
    const writer = this.#writer(resource, options.manager, 'Update', subresource);
    setManagedFields(
      next,
      trackUpdate(current, next, current.metadata.managedFields ?? [], resource.schema, writer),
    );
    this.#validateUpdate(resource, subresource, next, current);
    return {
      object: this.#commit(resource, name, next, current, options),
      isCreated: false,
      warnings,
    };
  }

  /** Server-side apply; creates the object where there is none. */
  apply(target: Target, body: unknown, options: WriteOptions): Outcome {
    const { resource, subresource, name, namespace } = target;
    const document = checkDocument(body, resource);
    if (objectAt(document, 'metadata')['managedFields'] !== undefined) {
      throw badRequest('metadata.managedFields must be nil');
    }
    const shownName = `${stringAt(document, 'metadata', 'namespace')}/${stringAt(document, 'metadata', 'name')}`;
    const metadata = { ...this.#namedMetadata(resource, namespace, document, false), name };
    const wanted = { ...document, metadata: { ...metadata } } as KubeObject;
    const warnings = admit(resource, wanted, options.fieldValidation, 'apply', shownName);
    const writer = this.#writer(resource, options.manager, 'Apply', subresource);
    const current = this.find(resource, namespace, name);
    if (current === undefined) {
      if (subresource !== '') throw notFound(resource, name);
      this.#checkNamespace(resource, namespace, name);
      const { managedFields } = serverSideApply({}, [], wanted, resource.schema, writer, true);
      const fresh = clone(wanted);
      admit(resource, fresh, 'Ignore');
      // What was to be changed is made anew.
      fresh.metadata.resourceVersion = '';
      return this.#insert(resource, fresh, warnings, options, () => managedFields);
    }
    this.#checkVersion(resource, current, wanted);
    const { managedFields: _own, ...liveMetadata } = current.metadata;
    const live = { ...current, metadata: liveMetadata };
    const applied = serverSideApply(
      live,
      current.metadata.managedFields ?? [],
      wanted,
      resource.schema,
      writer,
      options.force,
    );
    const next = merge(current, applied.object as KubeObject, subresource, resource);
    admit(resource, next, 'Ignore');
    setManagedFields(next, applied.managedFields);
    this.#validateUpdate(resource, subresource, next, current);
    return {
      object: this.#commit(resource, name, next, current, options),
      isCreated: false,
      warnings,
    };
  }

  /** Deletes, or marks for deletion what finalizers or a grace period still hold. */
  delete(
    { resource, namespace, name }: Omit<Target, 'subresource'>,
    options: DeleteOptions = {},
  ): { object: KubeObject; isGone: boolean } {
    const current = this.#stored(resource, namespace, name);
    checkPreconditions(resource, current, options);
    const finalizers = finalizersFor(current, options);
    const grace = graceOf(resource, current, options);
    const held = finalizers.length > 0 || grace > 0 || holdsItself(current);
    if (!held) {
      this.store.remove(resource.storage, objectKey(namespace, name));
      return { object: resource.fromStorage(current), isGone: true };
    }
    const isRepeated =
      current.metadata.deletionTimestamp !== undefined &&
      grace >= (current.metadata.deletionGracePeriodSeconds ?? 0);
    const next = clone(current);
    if (!isRepeated) {
      next.metadata.deletionTimestamp = timestamp(new Date(this.now.getTime() + grace * 1000));
      if (resource.kind !== 'Namespace') next.metadata.deletionGracePeriodSeconds = grace;
      if (next.metadata.generation !== undefined) next.metadata.generation += 1;
      if (resource.kind === 'Namespace') setAt(next, ['status', 'phase'], 'Terminating');
    }
    setFinalizers(next, finalizers);
    const object = equal(next, current) ? current : this.store.put(resource.storage, next);
    return { object: resource.fromStorage(object), isGone: false };
  }

  /** A change by localkube's own controllers and kubelet: status, bindings, finalizers. No object, no change. */
  amend(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    change: (object: KubeObject) => void,
  ): void {
    const current = this.store.get(resource.storage, objectKey(namespace, name));
    if (current === undefined) return;
    const next = clone(current);
    change(next);
    if (!equal(next, current)) this.#commit(resource, name, next, current, internalWrite);
  }

  #stored(resource: Resource, namespace: string | undefined, name: string): KubeObject {
    const found = this.store.get(resource.storage, objectKey(namespace, name));
    if (found === undefined) throw notFound(resource, name);
    return found;
  }

  #writer(
    resource: Resource,
    manager: string,
    operation: Writer['operation'],
    subresource: string,
  ): Writer {
    return {
      manager,
      operation,
      subresource,
      apiVersion: apiVersionOf(resource),
      now: timestamp(this.now),
    };
  }

  /** The metadata of a document with its namespace, and a generated name where it asks for one. */
  #namedMetadata(
    resource: Resource,
    namespace: string | undefined,
    document: JsonObject,
    isNew: boolean,
  ): Metadata {
    const metadata = { ...objectAt(document, 'metadata') };
    const own = metadata['namespace'];
    if (own !== undefined && own !== '' && own !== namespace) {
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    }
    delete metadata['namespace'];
    if (resource.isNamespaced) metadata['namespace'] = namespace;
    const prefix = metadata['generateName'];
    if (isNew && (metadata['name'] ?? '') === '' && typeof prefix === 'string') {
      metadata['name'] = generatedName(prefix, Math.random);
    }
    return metadata as Metadata;
  }

  #checkNamespace(resource: Resource, namespace: string | undefined, name: string): void {
    if (namespace === undefined) return;
    const namespaces = this.resources.builtin('namespaces');
    const found = this.store.get(namespaces.storage, namespace);
    if (found === undefined) throw notFound(namespaces, namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    throw namespaceTerminating(resource, name, namespace);
  }

  #insert(
    resource: Resource,
    object: KubeObject,
    warnings: readonly string[],
    options: WriteOptions,
    managedFields: (object: KubeObject) => Metadata['managedFields'],
  ): Outcome {
    const { metadata } = object;
    if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== '') {
      throw internal('resourceVersion should not be set on objects to be created');
    }
    const isTaken =
      metadata.name !== undefined &&
      this.store.get(resource.storage, objectKey(metadata.namespace, metadata.name)) !== undefined;
    if (resource.subresources.includes('status')) delete object['status'];
    Object.assign(metadata, { uid: randomUUID(), creationTimestamp: timestamp(this.now) });
    delete metadata.deletionTimestamp;
    delete metadata.deletionGracePeriodSeconds;
    delete metadata.managedFields;
    delete metadata.generation;
    if (resource.strategy.hasGeneration) metadata.generation = 1;
    setManagedFields(object, managedFields(object));
    resource.strategy.prepareCreate?.(object);
    this.#allocate(resource, object);
    if (resource.kind === 'CustomResourceDefinition') defaultDefinition(object);
    this.#refuse(resource, metadata.name ?? '', this.#validate(resource, object), object.kind);
    if (isTaken) throw alreadyExists(resource, metadata.name);
    if (resource.kind === 'CustomResourceDefinition')
      object['status'] = establishedStatus(object, this.now);
    if (options.isDryRun) return { object, isCreated: true, warnings };
    // Defaults are filled in once more when an object is read: for the status that was dropped, too.
    applyDefaults(object, resource.schema);
    const stored = this.store.put(resource.storage, resource.toStorage(object));
    return { object: resource.fromStorage(stored), isCreated: true, warnings };
  }

  #validate(resource: Resource, object: KubeObject): FieldError[] {
    const errors = finish(resource, object, undefined, '');
    return resource.kind === 'CustomResourceDefinition'
      ? [...errors, ...validateDefinition(object)]
      : errors;
  }

  #validateUpdate(
    resource: Resource,
    subresource: string,
    next: KubeObject,
    current: KubeObject,
  ): void {
    const { name } = current.metadata;
    const uid = next.metadata.uid;
    if (uid !== current.metadata.uid) {
      this.#refuse(resource, name, [fieldError.invalid('metadata.uid', uid, 'field is immutable')]);
    }
    const errors = finish(resource, next, current, subresource);
    if (resource.kind === 'CustomResourceDefinition') {
      defaultDefinition(next);
      errors.push(...validateDefinition(next));
      next['status'] = { ...establishedStatus(next, this.now), ...objectAt(current, 'status') };
    }
    this.#refuse(resource, name, errors);
  }

  #refuse(
    resource: Resource,
    name: string,
    errors: readonly FieldError[],
    kind = resource.kind,
  ): void {
    if (errors.length > 0) throw invalid(resource.group, kind, name, errors);
  }

  #checkVersion(resource: Resource, current: KubeObject, changed: JsonObject): void {
    const version = objectAt(changed, 'metadata')['resourceVersion'];
    if (version === undefined || version === '' || version === current.metadata.resourceVersion)
      return;
    throw conflict(resource, current.metadata.name);
  }

  /** Writes the next state of an object: bumps its generation, or removes it when nothing holds it any more. */
  #commit(
    resource: Resource,
    name: string,
    next: KubeObject,
    current: KubeObject,
    options: WriteOptions,
  ): KubeObject {
    if (equal(next, current)) return current;
    if (
      resource.strategy.hasGeneration &&
      options !== internalWrite &&
      !equal(desired(next, resource), desired(current, resource))
    ) {
      next.metadata.generation = (current.metadata.generation ?? 0) + 1;
    }
    if (options.isDryRun) return next;
    const { metadata } = next;
    const isReleased =
      metadata.deletionTimestamp !== undefined &&
      (metadata.finalizers ?? []).length === 0 &&
      (metadata.deletionGracePeriodSeconds ?? 0) === 0;
    if (isReleased && !holdsItself(next)) {
      this.store.remove(resource.storage, objectKey(metadata.namespace, name));
      return next;
    }
    return resource.fromStorage(this.store.put(resource.storage, resource.toStorage(next)));
  }
}

/** What generation counts: the spec, or for custom resources all but metadata and status. */
function desired(object: KubeObject, resource: Resource): unknown {
  if (resource.custom === undefined) return object['spec'];
  const { metadata: _metadata, status, ...rest } = object;
  return resource.subresources.includes('status') ? rest : { ...rest, status };
}

/** Kinds that do not take a PUT without resourceVersion. */
function needsVersion(resource: Resource): boolean {
  const strict = ['Lease', 'PodDisruptionBudget', 'CustomResourceDefinition'];
  return resource.custom !== undefined || strict.includes(resource.kind);
}

function uidPrecondition(resource: Resource, current: KubeObject, uid: string): string {
  const key = `/registry/${resource.storage}/${objectKey(current.metadata.namespace, current.metadata.name)}`;
  return `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`;
}

/** Fields of metadata that only the server sets. */
const serverFields = [
  'name',
  'namespace',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'generation',
  'selfLink',
  'resourceVersion',
  'managedFields',
] as const;

/** The next state: what the request may change, from the document; the rest as it is. */
function merge(
  current: KubeObject,
  changed: JsonObject,
  subresource: string,
  resource: Resource,
): KubeObject {
  const ofStatus = subresource === 'status';
  const base: JsonObject = ofStatus ? { ...current } : { ...changed };
  if (ofStatus) setAt(base, ['status'], changed['status']);
  else if (resource.subresources.includes('status')) setAt(base, ['status'], current['status']);
  const metadata: JsonObject = ofStatus
    ? { ...current.metadata }
    : { ...objectAt(changed, 'metadata') };
  for (const name of serverFields) setAt(metadata, [name], current.metadata[name]);
  metadata['uid'] ??= current.metadata.uid;
  return clone({
    ...base,
    apiVersion: current.apiVersion,
    kind: current.kind,
    metadata,
  }) as KubeObject;
}

function setManagedFields(object: KubeObject, entries: Metadata['managedFields']): void {
  delete object.metadata.managedFields;
  if (entries !== undefined && entries.length > 0) object.metadata.managedFields = entries;
}

function setFinalizers(object: KubeObject, finalizers: string[]): void {
  delete object.metadata.finalizers;
  if (finalizers.length > 0) object.metadata.finalizers = finalizers;
}

/** A namespace lives until its contents are gone. */
function holdsItself(object: KubeObject): boolean {
  const inner = objectAt(object, 'spec')['finalizers'];
  return object.kind === 'Namespace' && Array.isArray(inner) && inner.length > 0;
}

function checkPreconditions(
  { group, kind }: Resource,
  { metadata }: KubeObject,
  { preconditions }: DeleteOptions,
): void {
  const { uid, resourceVersion } = preconditions ?? {};
  const subject = { group, kind, plural: kind };
  if (uid !== undefined && uid !== metadata.uid) {
    throw conflict(
      subject,
      metadata.name,
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw conflict(
      subject,
      metadata.name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    );
  }
}

/** The finalizers that a deletion leaves on the object: propagation adds or removes the collector's own. */
function finalizersFor({ metadata }: KubeObject, { propagationPolicy }: DeleteOptions): string[] {
  const own = metadata.finalizers ?? [];
  if (propagationPolicy === undefined) return own;
  const others = own.filter((name) => name !== orphanFinalizer && name !== foregroundFinalizer);
  if (propagationPolicy === 'Orphan') return [...others, orphanFinalizer];
  return propagationPolicy === 'Foreground' ? [...others, foregroundFinalizer] : others;
}

/** Seconds that a pod on a node gets to stop; 0 for all else. */
function graceOf(
  { kind }: Resource,
  object: KubeObject,
  { gracePeriodSeconds }: DeleteOptions,
): number {
  if (kind !== 'Pod') return 0;
  const spec = objectAt(object, 'spec');
  const phase = objectAt(object, 'status')['phase'];
  if (typeof spec['nodeName'] !== 'string' || phase === 'Succeeded' || phase === 'Failed') return 0;
  const own = spec['terminationGracePeriodSeconds'];
  return gracePeriodSeconds ?? (typeof own === 'number' ? own : 30);
}
