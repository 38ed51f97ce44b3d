import { assert } from '../base/assert.ts';
import type { Revision } from '../base/ids.ts';
import type { StoredEvent, StoredRevision } from '../mvcc/events.ts';
import { type Event, EventType } from '../proto/gen/kv.ts';

/** A change with the messages that watchers get, made once for all of them. */
export class LoggedEvent {
  readonly key: string;
  readonly isPut: boolean;
  readonly #stored: StoredEvent;
  #plain: Event | undefined = undefined;
  #withPrevious: Event | undefined = undefined;

  constructor(stored: StoredEvent) {
    this.key = stored.key;
    this.isPut = stored.kind === 'put';
    this.#stored = stored;
  }

  get sizeBytes(): number {
    return eventOverheadBytes + this.#stored.kv.key.length + this.#stored.kv.value.length;
  }

  /** What a watcher gets; the previous value is read at most once until it is forgotten. */
  message(withPrevious: boolean): Event {
    return withPrevious ? this.#messageWithPrevious() : this.#plainMessage();
  }

  /** Lets the previous value go: the log's bound counts only what every event has. */
  forgetPrevious(): void {
    this.#withPrevious = undefined;
  }

  #plainMessage(): Event {
    const type = this.isPut ? EventType.PUT : EventType.DELETE;
    this.#plain ??= { type, kv: this.#stored.kv, prevKv: undefined };
    return this.#plain;
  }

  #messageWithPrevious(): Event {
    const { kv } = this.#stored;
    if (this.isPut && kv.createRevision === kv.modRevision) return this.#plainMessage();
    this.#withPrevious ??= { ...this.#plainMessage(), prevKv: this.#stored.prevKv() };
    return this.#withPrevious;
  }
}

/** A rough cost of an event beside its key and value. */
const eventOverheadBytes = 128;

export interface LoggedRevision {
  readonly revision: Revision;
  readonly events: readonly LoggedEvent[];
  readonly sizeBytes: number;
}

export function loggedRevision({ revision, events }: StoredRevision): LoggedRevision {
  const logged = events.map((event) => new LoggedEvent(event));
  return { revision, events: logged, sizeBytes: logged.reduce((sum, e) => sum + e.sizeBytes, 0) };
}

/** The newest revisions, without a gap, within two bounds. Older ones are read from the store. */
export class EventLog {
  readonly #revisionsMax: number;
  readonly #bytesMax: number;
  /** Revisions from `#head` on; what is before has been dropped. */
  #revisions: (LoggedRevision | undefined)[] = [];
  #head = 0;
  #sizeBytes = 0;

  constructor(options: { readonly revisionsMax: number; readonly bytesMax: number }) {
    this.#revisionsMax = options.revisionsMax;
    this.#bytesMax = options.bytesMax;
  }

  get length(): number {
    return this.#revisions.length - this.#head;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  append(entry: LoggedRevision): void {
    const last = this.#revisions.at(-1);
    assert(last === undefined || entry.revision === last.revision + 1, 'the log has no gap');
    this.#revisions.push(entry);
    this.#sizeBytes += entry.sizeBytes;
    while (this.length > this.#revisionsMax || this.#sizeBytes > this.#bytesMax) this.#dropFirst();
  }

  clear(): void {
    this.#revisions = [];
    this.#head = 0;
    this.#sizeBytes = 0;
  }

  has(revision: Revision): boolean {
    const first = this.#revisions[this.#head];
    return (
      first !== undefined && revision >= first.revision && revision < first.revision + this.length
    );
  }

  /** From `from`, which the log has, to `to` or the last. */
  *read(from: Revision, to: Revision): Iterable<LoggedRevision> {
    const first = this.#revisions[this.#head];
    if (first === undefined) return;
    for (let revision = from; revision <= to; revision += 1) {
      const entry = this.#revisions[this.#head + revision - first.revision];
      if (entry === undefined) return;
      yield entry;
    }
  }

  #dropFirst(): void {
    this.#sizeBytes -= this.#revisions[this.#head]?.sizeBytes ?? 0;
    this.#revisions[this.#head] = undefined;
    this.#head += 1;
    if (this.#head * 2 < this.#revisions.length) return;
    this.#revisions = this.#revisions.slice(this.#head);
    this.#head = 0;
  }
}
