import { createHash } from 'node:crypto';
import { internalWrite, type ObjectApi } from '../api.ts';
import { type KubeObject, numberAt, timestamp } from '../objects.ts';

/** Events are forgotten after this long, as upstream. */
const eventTtlMs = 60 * 60 * 1000;

/** Records events about pods and claims; one that repeats is counted. */
export class Events {
  readonly #api: ObjectApi;
  readonly #component: string;

  constructor(api: ObjectApi, component: string) {
    this.#api = api;
    this.#component = component;
  }

  record(about: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const resource = this.#api.resources.builtin('events');
    const { namespace = 'default', name, uid, resourceVersion } = about.metadata;
    const hash = createHash('sha256').update(`${uid}/${reason}/${message}`).digest('hex');
    const eventName = `${name}.${hash.slice(0, 16)}`;
    const now = timestamp(this.#api.now);
    if (this.#api.find(resource, namespace, eventName) !== undefined) {
      this.#api.amend(resource, namespace, eventName, (event) => {
        event['count'] = (numberAt(event, 'count') ?? 1) + 1;
        event['lastTimestamp'] = now;
      });
      return;
    }
    const involvedObject = {
      kind: about.kind,
      apiVersion: about.apiVersion,
      namespace,
      name,
      uid,
      resourceVersion,
    };
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: eventName, namespace },
      involvedObject,
      type,
      reason,
      message,
      source: { component: this.#component },
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    };
    const target = this.#api.find(this.#api.resources.builtin('namespaces'), undefined, namespace);
    if (target === undefined || target.metadata.deletionTimestamp !== undefined) return;
    this.#api.create(resource, namespace, event, internalWrite);
  }
}

/** Forgets events that nobody will ask for any more. */
export function expireEvents(api: ObjectApi): void {
  const resource = api.resources.builtin('events');
  const oldest = api.now.getTime() - eventTtlMs;
  for (const event of api.list(resource)) {
    const last = Date.parse(
      String(event['lastTimestamp'] ?? event['eventTime'] ?? event.metadata.creationTimestamp),
    );
    const { namespace, name, creationTimestamp } = event.metadata;
    if (Math.max(last || 0, Date.parse(creationTimestamp)) < oldest)
      api.delete({ resource, namespace, name });
  }
}
