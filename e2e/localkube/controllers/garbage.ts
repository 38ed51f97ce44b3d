import { foregroundFinalizer, type ObjectApi, orphanFinalizer } from '../api.ts';
import type { KubeObject, OwnerReference } from '../objects.ts';
import type { Resource } from '../resources.ts';

interface Located {
  readonly resource: Resource;
  readonly object: KubeObject;
}

/**
 * What kube-controller-manager's garbage collector does, in one look at everything: dependents whose owners are all gone are
 * deleted; owners that wait for it (foreground, orphan) are let go when their dependents are dealt with.
 */
export function collectGarbage(api: ObjectApi): void {
  const all = everything(api);
  const byUid = new Map(all.map((located) => [located.object.metadata.uid, located]));
  const dependents = dependentsByOwner(all);
  for (const located of all) {
    const { object } = located;
    if (object.metadata.deletionTimestamp !== undefined) {
      releaseOwner(api, located, dependents.get(object.metadata.uid) ?? []);
    }
    collect(api, located, byUid);
  }
}

function everything(api: ObjectApi): Located[] {
  return api.store.storages().flatMap((storage) => {
    const resource = api.resources.byStorage(storage);
    if (resource === undefined) return [];
    return api.list(resource).map((object) => ({ resource, object }));
  });
}

function dependentsByOwner(all: readonly Located[]): Map<string, Located[]> {
  const result = new Map<string, Located[]>();
  for (const located of all) {
    for (const { uid } of located.object.metadata.ownerReferences ?? []) {
      result.set(uid, [...(result.get(uid) ?? []), located]);
    }
  }
  return result;
}

/** Deletes an object that has owners, none of which is there any more. */
function collect(
  api: ObjectApi,
  { resource, object }: Located,
  byUid: ReadonlyMap<string, Located>,
): void {
  const { ownerReferences = [], namespace, name, deletionTimestamp, uid } = object.metadata;
  if (ownerReferences.length === 0 || deletionTimestamp !== undefined) return;
  const solid = ownerReferences.filter((reference) => isThere(api, reference, byUid));
  const isWaitedFor =
    solid.length > 0 && solid.every((reference) => waits(byUid.get(reference.uid)));
  if (solid.length > 0 && !isWaitedFor) return;
  if (api.find(resource, namespace, name)?.metadata.uid !== uid) return;
  const propagationPolicy = isWaitedFor ? 'Foreground' : 'Background';
  api.delete({ resource, namespace, name }, { propagationPolicy, preconditions: { uid } });
}

/** An owner of a kind that is not served here may well exist: only what can be looked up can be missed. */
function isThere(
  api: ObjectApi,
  { apiVersion, kind, uid }: OwnerReference,
  byUid: ReadonlyMap<string, Located>,
): boolean {
  return byUid.has(uid) || api.resources.findKind(apiVersion, kind) === undefined;
}

function waits(owner: Located | undefined): boolean {
  const { deletionTimestamp, finalizers = [] } = owner?.object.metadata ?? {};
  return deletionTimestamp !== undefined && finalizers.includes(foregroundFinalizer);
}

function releaseOwner(
  api: ObjectApi,
  { resource, object }: Located,
  dependents: readonly Located[],
): void {
  const { finalizers = [], namespace, name, uid } = object.metadata;
  const drop = (finalizer: string) =>
    api.amend(resource, namespace, name, ({ metadata }) => {
      metadata.finalizers = (metadata.finalizers ?? []).filter((one) => one !== finalizer);
    });
  if (finalizers.includes(orphanFinalizer)) {
    for (const dependent of dependents) disown(api, dependent, uid);
    drop(orphanFinalizer);
  } else if (finalizers.includes(foregroundFinalizer)) {
    const isBlocked = dependents.some(({ object: dependent }) =>
      (dependent.metadata.ownerReferences ?? []).some(
        (one) => one.uid === uid && one.blockOwnerDeletion === true,
      ),
    );
    if (!isBlocked) drop(foregroundFinalizer);
  }
}

function disown(api: ObjectApi, { resource, object }: Located, owner: string): void {
  const { namespace, name } = object.metadata;
  api.amend(resource, namespace, name, ({ metadata }) => {
    const left = (metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner);
    if (left.length > 0) metadata.ownerReferences = left;
    else delete metadata.ownerReferences;
  });
}
