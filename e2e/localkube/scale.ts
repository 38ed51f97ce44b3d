import type { ObjectApi, Outcome, Target, WriteOptions } from './api.ts';
import { badRequest, notFound } from './errors.ts';
import {
  at,
  isObject,
  type JsonObject,
  type KubeObject,
  numberAt,
  setAt,
  stringAt,
} from './objects.ts';
import type { ScalePaths } from './resources.ts';

/** The autoscaling/v1 Scale of a custom resource. */
function scaleOf({ metadata, ...object }: KubeObject, paths: ScalePaths): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const selector = paths.selector === undefined ? '' : stringAt(object, ...paths.selector);
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: numberAt(object, ...paths.spec) ?? 0 },
    status: {
      replicas: numberAt(object, ...paths.status) ?? 0,
      ...(selector === '' ? {} : { selector }),
    },
  };
}

export function getScale(api: ObjectApi, target: Target): JsonObject {
  return scaleOf(api.get(target), scalePaths(target));
}

/** Writes a changed Scale back into the object's spec. */
export function updateScale(
  api: ObjectApi,
  target: Target,
  options: WriteOptions,
  change: (scale: JsonObject) => unknown,
): Outcome & { readonly scale: JsonObject } {
  const paths = scalePaths(target);
  const outcome = api.update(target, options, (current) => {
    const scale = change(scaleOf(current, paths));
    if (!isObject(scale)) throw badRequest('a Scale is an object');
    const replicas = at(scale, 'spec', 'replicas') ?? 0;
    if (typeof replicas !== 'number' || !Number.isInteger(replicas)) {
      throw badRequest(
        'Scale in version "v1" cannot be handled as a Scale: spec.replicas is no integer',
      );
    }
    setAt(current, paths.spec, replicas);
    setAt(current, ['metadata', 'resourceVersion'], at(scale, 'metadata', 'resourceVersion'));
    return current;
  });
  return { ...outcome, scale: scaleOf(outcome.object, paths) };
}

function scalePaths({ resource, name }: Target): ScalePaths {
  const paths = resource.custom?.scale;
  if (paths === undefined) throw notFound(resource, name);
  return paths;
}
