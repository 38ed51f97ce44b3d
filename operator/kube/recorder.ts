// [io] Events: what was done for an object, for `kubectl describe`.
import type { Clock } from '../../server/base/clock.ts';
import type { Logger } from '../../server/base/logger.ts';
import type { Random } from '../../server/base/random.ts';
import type { KubeEvent, KubeObject } from '../api/objects.ts';
import { fieldManager } from '../api/schema.ts';
import type { KubeClient } from './client.ts';
import { collectionPath } from './paths.ts';

export interface Recorder {
  /** Never fails and never waits: an event is a courtesy. */
  record(about: KubeObject, event: Pick<KubeEvent, 'type' | 'reason' | 'message'>): void;
}

/** The same warning is told again after so long. */
const repeatAfterMs = 600_000;
const rememberedMax = 1_000;
const messageLengthMax = 1_024;

export class KubeRecorder implements Recorder {
  readonly #kube: KubeClient;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #toldAtMs = new Map<string, number>();
  readonly #pending = new Set<Promise<unknown>>();

  constructor(modules: {
    readonly kube: KubeClient;
    readonly clock: Clock;
    readonly random: Random;
    readonly logger: Logger;
  }) {
    this.#kube = modules.kube;
    this.#clock = modules.clock;
    this.#random = modules.random;
    this.#logger = modules.logger;
  }

  record(about: KubeObject, event: Pick<KubeEvent, 'type' | 'reason' | 'message'>): void {
    if (event.type === 'Warning' && this.#wasToldLately(about, event)) return;
    const body = this.#eventFor(about, event);
    const sent = this.#kube
      .create(collectionPath('Event', body.metadata.namespace), body)
      .catch((error: unknown) => {
        this.#logger.debug({ error: String(error) }, 'event could not be recorded');
      });
    this.#pending.add(sent);
    void sent.finally(() => this.#pending.delete(sent));
  }

  /** Resolves when the events of before are recorded, or refused. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  #wasToldLately(about: KubeObject, { reason, message }: { reason: string; message: string }) {
    const key = `${about.metadata.uid}/${reason}/${message}`;
    const nowMs = this.#clock.nowMs();
    const toldAtMs = this.#toldAtMs.get(key);
    if (toldAtMs !== undefined && nowMs - toldAtMs < repeatAfterMs) return true;
    if (this.#toldAtMs.size >= rememberedMax) this.#toldAtMs.clear();
    this.#toldAtMs.set(key, nowMs);
    return false;
  }

  #eventFor(
    about: KubeObject,
    { type, reason, message }: Pick<KubeEvent, 'type' | 'reason' | 'message'>,
  ): KubeEvent {
    const { name, namespace = 'default', uid, resourceVersion } = about.metadata;
    const now = new Date(this.#clock.wallMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    const unique = `${this.#clock.wallMs().toString(16)}${this.#random.uint32().toString(16)}`;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${name}.${unique}`, namespace },
      type,
      reason,
      message: message.slice(0, messageLengthMax),
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      involvedObject: {
        apiVersion: about.apiVersion,
        kind: about.kind,
        namespace,
        name,
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      source: { component: fieldManager },
    };
  }
}
