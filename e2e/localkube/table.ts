import type { Column } from './columns.ts';
import type { JsonObject, KubeObject } from './objects.ts';

export type IncludeObject = 'Metadata' | 'Object' | 'None';

/** Objects as the meta.k8s.io/v1 Table that `kubectl get` prints. */
export function tableOf(
  objects: readonly KubeObject[],
  columns: readonly Column[],
  metadata: JsonObject,
  include: IncludeObject,
  now: Date,
): JsonObject {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: columns.map(({ name, type, format, description, priority }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, now)),
      ...(include === 'None' ? {} : { object: include === 'Object' ? object : partial(object) }),
    })),
  };
}

function partial({ metadata }: KubeObject): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}
