import type { Revision } from '../base/ids.ts';
import { isEmptyRange, type KeyRange, keyRange } from '../mvcc/key-range.ts';
import type { Event } from '../proto/gen/kv.ts';
import type { WatchCreateRequest } from '../proto/gen/rpc.ts';
import { FilterType, ResponseHeader, WatchResponse } from '../proto/gen/rpc.ts';
import type { Wants, Watcher } from './watcher.ts';

/** Where a stream's responses go. */
export interface WatchSink {
  /**
   * Takes the response, always. False: full; no events will be sent until {@link WatchStream.drained} is called.
   * Answers to requests are sent all the same, so a full sink's owner stops reading requests.
   */
  send(response: WatchResponse): boolean;
}

/** What a stream needs of the hub. */
export interface WatcherRegistry {
  readonly revision: Revision;
  readonly counters: { events: number };
  /** Makes a watcher of the stream: live, or behind when it starts in the past. */
  enlist(
    stream: WatchStream,
    id: bigint,
    interval: KeyRange,
    start: Revision,
    wants: Wants,
  ): Watcher;
  dismiss(watcher: Watcher): void;
  /** Goes on reading for watchers that are behind. */
  resume(watchers: Iterable<Watcher>): void;
  /** Stops reading for them. */
  suspend(watchers: Iterable<Watcher>): void;
  closed(stream: WatchStream): void;
}

/** The id of a response that speaks for no watcher, or for all of the stream. */
const noWatchId = -1n;

/** What is watched when no key is given. */
const smallestKey = Uint8Array.of(0);

/** etcd's texts: clients show them, and tests compare them. */
const reasons = {
  compacted: 'etcdserver: mvcc: required revision has been compacted',
  emptyRange: 'mvcc: watcher range is empty',
  duplicateId: 'mvcc: duplicate watch ID provided on the WatchStream',
} as const;

/** The watchers of one client stream, in request order, and whether its sink has room. */
export class WatchStream {
  readonly #hub: WatcherRegistry;
  readonly #sink: WatchSink;
  readonly #watchers = new Map<bigint, Watcher>();
  /** Those that are behind: kept apart, so that a full and drained sink costs only as much as there are of them. */
  readonly #behind = new Set<Watcher>();
  #nextId = 0n;
  #isFull = false;

  constructor(hub: WatcherRegistry, sink: WatchSink) {
    this.#hub = hub;
    this.#sink = sink;
  }

  get size(): number {
    return this.#watchers.size;
  }

  /** How many of its watchers are behind. */
  get behindSize(): number {
    return this.#behind.size;
  }

  get pendingRevisions(): number {
    let sum = 0;
    for (const { cursor } of this.#behind) sum += Math.max(0, this.#hub.revision - cursor + 1);
    return sum;
  }

  /** Whether the sink said so and has not drained since. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get watchers(): Iterable<Watcher> {
    return this.#watchers.values();
  }

  /** Answers at once, also when the sink is full; then events follow. */
  create(request: WatchCreateRequest): void {
    if (request.startRevision < 0) return this.#refuse(reasons.compacted);
    const interval = keyRange(
      request.key.length === 0 ? smallestKey : request.key,
      request.rangeEnd,
    );
    if (isEmptyRange(interval)) return this.#refuse(reasons.emptyRange);
    const id = this.#idFor(request.watchId);
    if (id === undefined) return this.#refuse(reasons.duplicateId);
    this.#answer({ watchId: id, created: true });
    const wants = wantsOf(request);
    const watcher = this.#hub.enlist(this, id, interval, request.startRevision, wants);
    this.#watchers.set(id, watcher);
  }

  /** Refuses a watch that may not be created; `reason` is what the client is told. */
  refuse(reason: string): void {
    this.#refuse(reason);
  }

  /** An unknown id is ignored. */
  cancel(id: bigint): void {
    const watcher = this.#watchers.get(id);
    if (watcher === undefined) return;
    this.#remove(watcher);
    this.#answer({ watchId: id, canceled: true });
  }

  /** The client asked how far all its watchers are: answered when they are all up to date, else not at all. */
  progress(): void {
    if (this.#isFull || this.#watchers.size === 0) return;
    for (const watcher of this.#watchers.values()) if (!this.#isUpToDate(watcher)) return;
    this.#answer({ watchId: noWatchId });
  }

  /** A tick of the progress timer: tells how far those are that asked to be told and had no event since the last. */
  notifyProgress(): void {
    for (const watcher of this.#watchers.values()) {
      if (!watcher.wants.progress) continue;
      const isDue = watcher.isQuiet;
      watcher.isQuiet = true;
      if (isDue && !this.#isFull && this.#isUpToDate(watcher))
        this.#answer({ watchId: watcher.id });
    }
  }

  /** The sink has room again. */
  drained(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#hub.resume(this.#behind);
  }

  close(): void {
    for (const watcher of this.#watchers.values()) this.#remove(watcher);
    this.#hub.closed(this);
  }

  /** For the hub: sends the events, which end with `revision`, all of it. The sink must not be full. */
  deliver(watcher: Watcher, events: Event[], revision: Revision): void {
    if (events.length === 0) return;
    watcher.isQuiet = false;
    this.#hub.counters.events += events.length;
    this.#send(WatchResponse.create({ header: header(revision), watchId: watcher.id, events }));
  }

  /** For the hub: the watcher's next revision is compacted. */
  cancelCompacted(watcher: Watcher, compactRevision: Revision): void {
    this.#remove(watcher);
    const end = { watchId: watcher.id, canceled: true, compactRevision };
    this.#send(WatchResponse.create({ header: header(0), ...end }));
  }

  /** For the hub. */
  fellBehind(watcher: Watcher): void {
    this.#behind.add(watcher);
  }

  /** For the hub. */
  caughtUp(watcher: Watcher): void {
    this.#behind.delete(watcher);
  }

  #idFor(asked: bigint): bigint | undefined {
    if (asked !== 0n) return this.#watchers.has(asked) ? undefined : asked;
    while (this.#watchers.has(this.#nextId)) this.#nextId += 1n;
    const id = this.#nextId;
    this.#nextId += 1n;
    return id;
  }

  #isUpToDate(watcher: Watcher): boolean {
    return watcher.state === 'live' && watcher.startRevision <= this.#hub.revision;
  }

  #remove(watcher: Watcher): void {
    this.#watchers.delete(watcher.id);
    this.#behind.delete(watcher);
    this.#hub.dismiss(watcher);
  }

  #refuse(cancelReason: string): void {
    this.#answer({ watchId: noWatchId, created: true, canceled: true, cancelReason });
  }

  #answer(partial: Partial<WatchResponse>): void {
    this.#send(WatchResponse.create({ header: header(this.#hub.revision), ...partial }));
  }

  #send(response: WatchResponse): void {
    if (this.#sink.send(response) || this.#isFull) return;
    this.#isFull = true;
    this.#hub.suspend(this.#behind);
  }
}

function header(revision: Revision): ResponseHeader {
  return ResponseHeader.create({ revision });
}

function wantsOf(request: WatchCreateRequest): Wants {
  return {
    puts: !request.filters.includes(FilterType.NOPUT),
    deletes: !request.filters.includes(FilterType.NODELETE),
    prevKv: request.prevKv,
    progress: request.progressNotify,
  };
}
