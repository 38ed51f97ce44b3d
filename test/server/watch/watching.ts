import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { EventType } from '../../../server/proto/gen/kv.ts';
import { WatchCreateRequest, type WatchResponse } from '../../../server/proto/gen/rpc.ts';
import {
  WatchHub,
  type WatchHubOptions,
  watchHubDefaults,
} from '../../../server/watch/watch-hub.ts';
import type { WatchSink, WatchStream } from '../../../server/watch/watch-stream.ts';
import { type Change, History } from './history.ts';

/** A hub over a history, with scheduled work in the test's hands. */
export class Watching {
  readonly history = new History();
  readonly #scheduled: (() => void)[] = [];
  readonly hub: WatchHub;

  constructor(options: Partial<WatchHubOptions> = {}) {
    this.hub = new WatchHub(
      { store: this.history, schedule: (callback) => this.#scheduled.push(callback) },
      { ...watchHubDefaults, ...options },
    );
  }

  /** One revision: `k=v` puts, `k` deletes. */
  write(...changes: string[]): void {
    this.change(changes.map(parseChange));
  }

  change(changes: readonly Change[]): void {
    const written = this.history.write(changes);
    if (written !== undefined) this.hub.publish(written.revision, written.events);
  }

  /** Runs one piece of scheduled work; false when there is none. */
  turn(): boolean {
    const callback = this.#scheduled.shift();
    callback?.();
    return callback !== undefined;
  }

  settle(): void {
    while (this.turn());
  }

  open(capacity = Number.POSITIVE_INFINITY): Client {
    return new Client(this, capacity);
  }
}

/** One client stream and what it has received; its sink is full when it holds `capacity` unread responses. */
export class Client implements WatchSink {
  readonly received: WatchResponse[] = [];
  readonly stream: WatchStream;
  readonly #watching: Watching;
  capacity: number;
  #unread = 0;
  #isFull = false;

  constructor(watching: Watching, capacity: number) {
    this.#watching = watching;
    this.capacity = capacity;
    this.stream = watching.hub.openStream(this);
  }

  send(response: WatchResponse): boolean {
    if (this.#isFull && response.events.length > 0)
      throw new Error('events were sent to a full sink');
    this.received.push(response);
    this.#unread += 1;
    this.#isFull = this.#unread >= this.capacity;
    return !this.#isFull;
  }

  /** Reads all that has arrived. */
  drain(): void {
    this.#unread = 0;
    this.#isFull = false;
    this.stream.drained();
  }

  /** Drains and lets the hub work until nothing more arrives. */
  finish(): void {
    for (let before = -1; before !== this.received.length; ) {
      before = this.received.length;
      this.drain();
      this.#watching.settle();
    }
  }

  watch(range: string, options: Partial<WatchCreateRequest> = {}): void {
    const [key = '', end] = range.split('..');
    this.stream.create(
      WatchCreateRequest.create({
        key: fromLatin1(key),
        rangeEnd: end === undefined ? new Uint8Array(0) : fromLatin1(end === '' ? '\0' : end),
        ...options,
      }),
    );
  }

  /** What has been received since the last call, one line per response. */
  lines(): string[] {
    return this.received.splice(0).map(line);
  }
}

export function parseChange(text: string): Change {
  const [key = '', value] = text.split('=');
  return { key, value };
}

function line(response: WatchResponse): string {
  const parts = [`#${response.watchId}`, `@${response.header?.revision}`];
  if (response.created) parts.push('created');
  if (response.canceled) parts.push('canceled');
  if (response.compactRevision !== 0) parts.push(`compact=${response.compactRevision}`);
  if (response.cancelReason !== '') parts.push(`(${response.cancelReason})`);
  for (const { type, kv, prevKv } of response.events) {
    const key = latin1(kv?.key ?? new Uint8Array(0));
    const value = type === EventType.PUT ? `=${latin1(kv?.value ?? new Uint8Array(0))}` : '';
    const previous = prevKv === undefined ? '' : `(was ${latin1(prevKv.value)})`;
    parts.push(`${kv?.modRevision}:${type === EventType.PUT ? '' : '-'}${key}${value}${previous}`);
  }
  return parts.join(' ');
}
