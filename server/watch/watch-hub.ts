import { assert } from '../base/assert.ts';
import type { Revision } from '../base/ids.ts';
import {
  watchLogBytesMax,
  watchLogRevisionsMax,
  watchSliceBytesMax,
  watchSliceCostMax,
} from '../config/limits.ts';
import type { StoredEvent, StoredRevision } from '../mvcc/events.ts';
import type { KeyRange } from '../mvcc/key-range.ts';
import { EventLog, type LoggedEvent, type LoggedRevision, loggedRevision } from './event-log.ts';
import { IntervalIndex } from './interval-index.ts';
import { type WatcherRegistry, type WatchSink, WatchStream } from './watch-stream.ts';
import {
  type Audience,
  gather,
  isWanted,
  takeGathered,
  type Wants,
  type Watcher,
} from './watcher.ts';

/** The history that the hub reads. */
export interface WatchedStore {
  readonly revision: Revision;
  /** Below this nothing can be read; -1 when never compacted. */
  readonly compactRevision: Revision;
  /** Every revision with events from `from` (at least the compact revision) to `to`, in order. */
  readRevisions(from: Revision, to: Revision): Iterable<StoredRevision>;
}

export interface WatchCounts {
  readonly streams: number;
  readonly watchers: number;
  /** Watchers that have not seen everything up to now. */
  readonly behind: number;
  /** Revisions that those still have to be shown, summed up. */
  readonly pending: number;
}

export interface WatchHubModules {
  readonly store: WatchedStore;
  /** Runs the callback soon, and lets other work go first. */
  readonly schedule: (callback: () => void) => void;
}

export interface WatchHubOptions {
  /** How many of the newest revisions stay in memory. */
  readonly logRevisionsMax: number;
  readonly logBytesMax: number;
  /** After so many revisions, events read and events gathered, one slice of catching up ends. */
  readonly sliceCostMax: number;
  readonly sliceBytesMax: number;
}

export const watchHubDefaults: WatchHubOptions = {
  logRevisionsMax: watchLogRevisionsMax,
  logBytesMax: watchLogBytesMax,
  sliceCostMax: watchSliceCostMax,
  sliceBytesMax: watchSliceBytesMax,
};

/**
 * One ordered log of events per member, and cursors over it. A live watcher gets each revision while it is published.
 * A watcher that starts in the past, or whose sink was full, is behind: revisions are read for it, in slices that
 * serve all who are near, until its cursor has passed the newest one. Nothing is queued for a slow client but its
 * cursor, so nothing is dropped and memory stays bounded.
 */
export class WatchHub implements WatcherRegistry {
  #store: WatchedStore;
  readonly #schedule: (callback: () => void) => void;
  readonly #options: WatchHubOptions;
  readonly #log: EventLog;
  readonly #streams = new Set<WatchStream>();
  readonly #audiences = new IntervalIndex<Audience>();
  /** Watchers that are behind and whose sinks have room; the first is served next. */
  readonly #queue = new Set<Watcher>();
  /** The newest revision that was published. */
  #revision: Revision;
  #isScheduled = false;
  /** Since the process began. */
  readonly counters = { events: 0 };

  constructor(modules: WatchHubModules, options: WatchHubOptions = watchHubDefaults) {
    this.#store = modules.store;
    this.#schedule = modules.schedule;
    this.#options = options;
    this.#log = new EventLog({
      revisionsMax: options.logRevisionsMax,
      bytesMax: options.logBytesMax,
    });
    this.#revision = modules.store.revision;
  }

  get revision(): Revision {
    return this.#revision;
  }

  /** What `etcd_debugging_mvcc_watcher_total` and its like count. */
  get counts(): WatchCounts {
    let watchers = 0;
    let behind = 0;
    let pending = 0;
    for (const stream of this.#streams) {
      watchers += stream.size;
      behind += stream.behindSize;
      pending += stream.pendingRevisions;
    }
    return { streams: this.#streams.size, watchers, behind, pending };
  }

  openStream(sink: WatchSink): WatchStream {
    const stream = new WatchStream(this, sink);
    this.#streams.add(stream);
    return stream;
  }

  /** The events of the next revision, in the order of its operations. Called right after they were applied. */
  publish(revision: Revision, events: readonly StoredEvent[]): void {
    assert(revision === this.#revision + 1, 'revisions are published one by one');
    this.#revision = revision;
    const entry = loggedRevision({ revision, events });
    this.#log.append(entry);
    const touched: Watcher[] = [];
    for (const event of entry.events) this.#gatherLive(event, revision, touched);
    for (const watcher of touched) {
      const events = takeGathered(watcher);
      if (watcher.state === 'gone') continue;
      if (watcher.stream.isFull) this.#fallBehind(watcher, revision);
      else watcher.stream.deliver(watcher, events, revision);
    }
    for (const event of entry.events) event.forgetPrevious();
  }

  /** A state was opened, or another member's snapshot took its place: every cursor goes on from where it is. */
  storeReplaced(store: WatchedStore): void {
    const previous = this.#revision;
    assert(store.revision >= previous, 'a revision never decreases');
    this.#store = store;
    this.#revision = store.revision;
    this.#log.clear();
    for (const stream of this.#streams) {
      for (const watcher of stream.watchers) {
        const cursor = Math.max(previous + 1, watcher.startRevision);
        const isPassed = watcher.state === 'live' && cursor <= store.revision;
        if (isPassed) this.#fallBehind(watcher, cursor);
      }
    }
  }

  /** For a stream. */
  enlist(
    stream: WatchStream,
    id: bigint,
    interval: KeyRange,
    start: Revision,
    wants: Wants,
  ): Watcher {
    const watcher: Watcher = {
      id,
      stream,
      audience: this.#audienceOf(interval),
      startRevision: start,
      wants,
      state: 'live',
      cursor: 0,
      isInSlice: false,
      gathered: undefined,
      isQuiet: true,
    };
    watcher.audience.live.add(watcher);
    if (start > 0 && start <= this.#revision) this.#fallBehind(watcher, start);
    return watcher;
  }

  /** For a stream. */
  dismiss(watcher: Watcher): void {
    watcher.state = 'gone';
    this.#queue.delete(watcher);
    const { audience } = watcher;
    audience.live.delete(watcher);
    audience.behind.delete(watcher);
    if (audience.live.size + audience.behind.size > 0) return;
    this.#audiences.delete(audience.interval);
  }

  /** For a stream. */
  resume(watchers: Iterable<Watcher>): void {
    for (const watcher of watchers) this.#enqueue(watcher);
  }

  /** For a stream. */
  suspend(watchers: Iterable<Watcher>): void {
    for (const watcher of watchers) this.#queue.delete(watcher);
  }

  /** For a stream. */
  closed(stream: WatchStream): void {
    this.#streams.delete(stream);
  }

  #audienceOf(interval: KeyRange): Audience {
    const known = this.#audiences.get(interval);
    if (known !== undefined) return known;
    const audience: Audience = { interval, live: new Set(), behind: new Set() };
    this.#audiences.set(interval, audience);
    return audience;
  }

  #gatherLive(event: LoggedEvent, revision: Revision, touched: Watcher[]): void {
    this.#audiences.stab(event.key, ({ live }) => {
      for (const watcher of live) {
        if (!isWanted(watcher, event, revision)) continue;
        if (watcher.stream.isFull) {
          this.#fallBehind(watcher, revision);
          continue;
        }
        if (watcher.gathered === undefined) touched.push(watcher);
        gather(watcher, event);
      }
    });
  }

  #fallBehind(watcher: Watcher, cursor: Revision): void {
    watcher.state = 'behind';
    watcher.cursor = cursor;
    watcher.audience.live.delete(watcher);
    watcher.audience.behind.add(watcher);
    watcher.stream.fellBehind(watcher);
    if (!watcher.stream.isFull) this.#enqueue(watcher);
  }

  #goLive(watcher: Watcher): void {
    watcher.state = 'live';
    watcher.audience.behind.delete(watcher);
    watcher.audience.live.add(watcher);
    watcher.stream.caughtUp(watcher);
    this.#queue.delete(watcher);
  }

  /** To the end of the queue. */
  #enqueue(watcher: Watcher): void {
    this.#queue.delete(watcher);
    this.#queue.add(watcher);
    this.#scheduleCatchUp();
  }

  #scheduleCatchUp(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#schedule(() => this.#catchUp());
  }

  #catchUp(): void {
    this.#isScheduled = false;
    this.#cancelCompacted();
    const [head] = this.#queue;
    if (head !== undefined) this.#runSlice(head.cursor);
    if (this.#queue.size > 0) this.#scheduleCatchUp();
  }

  #cancelCompacted(): void {
    const { compactRevision } = this.#store;
    for (const watcher of this.#queue) {
      if (watcher.cursor < compactRevision) {
        watcher.stream.cancelCompacted(watcher, compactRevision);
      }
    }
  }

  /** Reads from the cursor of the watcher that waited longest, for it and all whose cursors lie in what is read. */
  #runSlice(from: Revision): void {
    const to = Math.min(this.#revision, from + this.#options.sliceCostMax - 1);
    const readers: Watcher[] = [];
    for (const watcher of this.#queue) {
      if (watcher.cursor < from || watcher.cursor > to) continue;
      watcher.isInSlice = true;
      readers.push(watcher);
    }
    const last = this.#gatherSlice(from, to);
    for (const watcher of readers) {
      watcher.isInSlice = false;
      const events = takeGathered(watcher);
      const isServed = watcher.cursor <= last && watcher.state === 'behind';
      if (isServed && !watcher.stream.isFull) this.#advance(watcher, events, last);
    }
  }

  #advance(watcher: Watcher, events: Parameters<WatchStream['deliver']>[1], last: Revision): void {
    watcher.cursor = last + 1;
    if (watcher.cursor > this.#revision) this.#goLive(watcher);
    else this.#enqueue(watcher);
    watcher.stream.deliver(watcher, events, last);
  }

  /** Gathers events for the watchers in the slice, and returns its last revision: one that was read whole. */
  #gatherSlice(from: Revision, to: Revision): Revision {
    let cost = 0;
    let sizeBytes = 0;
    for (const { revision, events, sizeBytes: revisionBytes } of this.#read(from, to)) {
      cost += 1 + events.length;
      sizeBytes += revisionBytes;
      for (const event of events) cost += this.#gatherBehind(event, revision);
      if (cost >= this.#options.sliceCostMax) return revision;
      if (sizeBytes >= this.#options.sliceBytesMax) return revision;
    }
    return to;
  }

  #gatherBehind(event: LoggedEvent, revision: Revision): number {
    let count = 0;
    this.#audiences.stab(event.key, ({ behind }) => {
      for (const watcher of behind) {
        if (!watcher.isInSlice || watcher.cursor > revision) continue;
        if (!isWanted(watcher, event, revision)) continue;
        gather(watcher, event);
        count += 1;
      }
    });
    event.forgetPrevious();
    return count;
  }

  *#read(from: Revision, to: Revision): Iterable<LoggedRevision> {
    if (this.#log.has(from)) {
      yield* this.#log.read(from, to);
      return;
    }
    for (const stored of this.#store.readRevisions(from, to)) yield loggedRevision(stored);
  }
}
