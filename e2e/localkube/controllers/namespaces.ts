import type { ObjectApi } from '../api.ts';
import { resourcesOf } from '../custom-resources.ts';
import { type KubeObject, objectsAt, setAt, stringAt } from '../objects.ts';

/** Deletions that wait for other objects: namespaces, CRDs, claims in use. */
export function finishDeletions(api: ObjectApi): void {
  finishNamespaces(api);
  finishDefinitions(api);
  finishClaims(api);
}

const isDeleting = ({ metadata }: KubeObject): boolean => metadata.deletionTimestamp !== undefined;

/** Empties namespaces that are being deleted, then lets them go. */
function finishNamespaces(api: ObjectApi): void {
  const namespaces = api.resources.builtin('namespaces');
  for (const { metadata } of api.list(namespaces).filter(isDeleting)) {
    const inside = api.store.storages().flatMap((storage) => {
      const resource = api.resources.byStorage(storage);
      if (resource === undefined || !resource.isNamespaced) return [];
      return api.list(resource, metadata.name).map((object) => ({ resource, object }));
    });
    for (const { resource, object } of inside) {
      if (isDeleting(object)) continue;
      api.delete({ resource, namespace: metadata.name, name: object.metadata.name });
    }
    if (inside.length > 0) continue;
    api.amend(namespaces, undefined, metadata.name, (next) =>
      setAt(next, ['spec', 'finalizers'], undefined),
    );
  }
}

const definitionFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

/** Deletes the custom resources of definitions that are being deleted, then lets the definitions go. */
function finishDefinitions(api: ObjectApi): void {
  const definitions = api.resources.builtin('customresourcedefinitions', 'apiextensions.k8s.io');
  for (const definition of api.list(definitions)) {
    const { name, finalizers = [] } = definition.metadata;
    if (!isDeleting(definition)) {
      if (finalizers.includes(definitionFinalizer)) continue;
      api.amend(definitions, undefined, name, ({ metadata }) => {
        metadata.finalizers = [...(metadata.finalizers ?? []), definitionFinalizer];
      });
      continue;
    }
    const [resource] = resourcesOf(definition);
    const objects = resource === undefined ? [] : api.list(resource);
    for (const { metadata } of objects) {
      if (resource === undefined || metadata.deletionTimestamp !== undefined) continue;
      api.delete({ resource, namespace: metadata.namespace, name: metadata.name });
    }
    if (objects.length > 0) continue;
    api.amend(definitions, undefined, name, ({ metadata }) => {
      metadata.finalizers = (metadata.finalizers ?? []).filter(
        (one) => one !== definitionFinalizer,
      );
    });
  }
}

const claimFinalizer = 'kubernetes.io/pvc-protection';

/** A claim that is being deleted goes once no pod uses it. */
function finishClaims(api: ObjectApi): void {
  const claims = api.resources.builtin('persistentvolumeclaims');
  const pods = api.resources.builtin('pods');
  for (const { metadata } of api.list(claims).filter(isDeleting)) {
    const isUsed = api
      .list(pods, metadata.namespace)
      .some((pod) => claimsOf(pod).includes(metadata.name));
    if (isUsed) continue;
    api.amend(claims, metadata.namespace, metadata.name, (next) => {
      next.metadata.finalizers = (next.metadata.finalizers ?? []).filter(
        (one) => one !== claimFinalizer,
      );
    });
  }
}

/** Names of the claims that a pod mounts. */
export function claimsOf(pod: KubeObject): string[] {
  return objectsAt(pod, 'spec', 'volumes')
    .map((volume) => stringAt(volume, 'persistentVolumeClaim', 'claimName'))
    .filter((name) => name !== '');
}
