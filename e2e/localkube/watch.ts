import { expired } from './errors.ts';
import type { JsonObject, KubeObject } from './objects.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import type { Selector } from './selectors.ts';
import type { Change, Store } from './store.ts';

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: KubeObject | JsonObject;
}

export interface WatchOptions {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly selects: Selector;
  /** Changes after this one; undefined starts with everything that is there. */
  readonly afterRevision: number | undefined;
  /** Everything that is there, then a bookmark that says so (sendInitialEvents). */
  readonly isInitialMarked: boolean;
}

/**
 * Emits what was and what will be, in order. Throws 410 where the log does not reach back far enough. Returns how to stop.
 */
export function watchObjects(
  store: Store,
  options: WatchOptions,
  emit: (event: WatchEvent) => void,
): () => void {
  const { resource, namespace, selects, afterRevision } = options;
  const relay = (change: Change) => {
    const event = eventOf(change, options);
    if (event !== undefined) emit(event);
  };
  if (afterRevision === undefined) {
    const objects = store.list(resource.storage, namespace).map(resource.fromStorage);
    for (const object of objects.filter(selects)) emit({ type: 'ADDED', object });
    if (options.isInitialMarked) emit(bookmark(resource, store.revision, true));
  } else {
    if (afterRevision < store.oldest) {
      throw expired(`too old resource version: ${afterRevision} (${store.oldest})`);
    }
    for (const change of store.changesAfter(afterRevision)) relay(change);
  }
  return store.subscribe(relay);
}

/** The event that a change is for one watch: an object may enter or leave what its selector selects. */
function eventOf(
  { kind, storage, object, previous }: Change,
  { resource, namespace, selects }: WatchOptions,
): WatchEvent | undefined {
  if (storage !== resource.storage) return undefined;
  if (namespace !== undefined && object.metadata.namespace !== namespace) return undefined;
  const shown = resource.fromStorage(object);
  const wasSelected = previous !== undefined && selects(resource.fromStorage(previous));
  const isSelected = kind !== 'DELETED' && selects(shown);
  if (isSelected) return { type: wasSelected ? 'MODIFIED' : 'ADDED', object: shown };
  if (!wasSelected) return undefined;
  if (kind === 'DELETED') return { type: 'DELETED', object: shown };
  const last = resource.fromStorage(previous);
  const { resourceVersion } = object.metadata;
  return { type: 'DELETED', object: { ...last, metadata: { ...last.metadata, resourceVersion } } };
}

export function bookmark(resource: Resource, revision: number, endsInitial = false): WatchEvent {
  const annotations = endsInitial ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
  return {
    type: 'BOOKMARK',
    object: {
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: { resourceVersion: String(revision), ...annotations },
    },
  };
}
