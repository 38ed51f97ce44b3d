import type { MemberPort, WatchStream } from '../../server/api/member-port.ts';
import type { Event } from '../../server/proto/gen/kv.ts';
import { FilterType, WatchCreateRequest, type WatchResponse } from '../../server/proto/gen/rpc.ts';
import type { EventLog, KvEvent } from './checkers/event-log.ts';
import { demand } from './checkers/violation.ts';
import { WatchCheck, type WatchOptions } from './checkers/watch-check.ts';
import { eventOf, everyKey, kvOf, spanBytes } from './wire.ts';

/**
 * The watch that follows one incarnation of a member from revision 1: it feeds the one history, so that every member's
 * watch is compared with every other one's.
 */
export class Observer {
  readonly #log: EventLog;
  readonly #name: string;
  readonly #nowMs: () => number;
  readonly #stream: WatchStream;
  readonly #defined: (revision: number) => void;
  #waiting: WatchResponse[] = [];
  #next = 1;

  constructor(
    modules: {
      log: EventLog;
      port: MemberPort;
      nowMs: () => number;
      /** A revision has become known that nobody had told of before. */
      defined: (revision: number) => void;
    },
    name: string,
  ) {
    this.#log = modules.log;
    this.#name = name;
    this.#nowMs = modules.nowMs;
    this.#defined = modules.defined;
    this.#stream = modules.port.openWatchStream({
      send: (response) => {
        this.#waiting.push(response);
        return true;
      },
    });
    this.#create();
  }

  /** The revision up to which this member's watch has told everything; the first one has no events. */
  get seen(): number {
    return Math.max(1, this.#next - 1);
  }

  settle(): void {
    if (this.#waiting.length === 0) return;
    const responses = this.#waiting;
    this.#waiting = [];
    for (const response of responses) this.#take(response);
  }

  #create(): void {
    this.#stream.create(
      WatchCreateRequest.create({ ...spanBytes(everyKey), startRevision: this.#next }),
    );
  }

  #take(response: WatchResponse): void {
    if (response.canceled) {
      demand(response.compactRevision > 0, () => `${this.#name}: ${response.cancelReason}`);
      this.#next = Math.max(this.#next, response.compactRevision);
      this.#create();
      return;
    }
    for (const [revision, events] of byRevision(response.events)) {
      // What lies in between has no events in this span, or this member compacted it.
      this.#nothingBetween(revision);
      const isNew = revision > this.#log.lastRevision;
      this.#log.report(this.#name, revision, events, this.#nowMs());
      this.#next = revision + 1;
      if (isNew) this.#defined(revision);
    }
  }

  #nothingBetween(revision: number): void {
    demand(revision >= this.#next, () => `${this.#name} tells of revision ${revision} again`);
    for (let missed = Math.max(2, this.#next); missed < revision; missed++) {
      demand(this.#log.eventsAt(missed).length === 0, () => {
        return `I4: ${this.#name} skips revision ${missed} on its way to ${revision}`;
      });
    }
  }
}

/** A client's stream with watches on some keys: opened on one member after the other, each goes on where it was. */
export class ClientStream {
  readonly watches: readonly ClientWatch[];
  #stream: WatchStream | undefined;

  constructor(watches: readonly ClientWatch[]) {
    this.watches = watches;
  }

  /** `takes` says whether the client is ready for more. */
  open(port: MemberPort, takes: () => boolean): void {
    const stream = port.openWatchStream({
      send: (response) => {
        if (this.#stream === stream) this.#take(response);
        return takes();
      },
    });
    this.#stream = stream;
    this.watches.forEach((watch, at) => {
      if (!watch.ended) stream.create(watch.request(BigInt(at + 1)));
    });
  }

  /** All its watches were cancelled. */
  get ended(): boolean {
    return this.watches.every((watch) => watch.ended);
  }

  /** The member is gone. */
  disconnected(): void {
    this.#stream = undefined;
  }

  /** The client reads on, and asks how far it is. */
  resume(): void {
    this.#stream?.drained();
    if (!this.ended) this.#stream?.progress();
  }

  #take(response: WatchResponse): void {
    // An answer about progress speaks for all.
    const isForAll = response.watchId < 0n;
    this.watches.forEach((watch, at) => {
      if (isForAll || response.watchId === BigInt(at + 1)) watch.take(response);
    });
  }
}

/** One watch on a client's stream. */
export class ClientWatch {
  readonly check: WatchCheck;
  readonly #options: WatchOptions;
  /** The first revision that it has not been told of. */
  #next: number;
  /** Cancelled by a member, for a compaction: the end. */
  ended = false;

  constructor(log: EventLog, options: WatchOptions) {
    this.check = new WatchCheck(log, options);
    this.#options = options;
    this.#next = options.from;
  }

  request(watchId: bigint): WatchCreateRequest {
    const { span, withPrevious, without } = this.#options;
    return WatchCreateRequest.create({
      ...spanBytes(span),
      watchId,
      startRevision: this.#next,
      prevKv: withPrevious,
      progressNotify: true,
      filters: without === undefined ? [] : [filterTypes[without]],
    });
  }

  take(response: WatchResponse): void {
    if (response.canceled) this.ended = true;
    if (response.canceled || response.created || this.ended) return;
    const revision = response.header?.revision ?? 0;
    const last = response.events.at(-1)?.kv?.modRevision ?? revision;
    this.#next = Math.max(this.#next, last + 1);
    this.check.received({
      revision,
      events: response.events.map((event) => ({
        ...eventOf(event),
        previous: event.prevKv === undefined ? undefined : kvOf(event.prevKv),
      })),
    });
  }
}

const filterTypes = {
  put: FilterType.NOPUT,
  delete: FilterType.NODELETE,
} as const;

function byRevision(events: readonly Event[]): Map<number, KvEvent[]> {
  const groups = new Map<number, KvEvent[]>();
  for (const event of events) {
    const revision = event.kv?.modRevision ?? 0;
    const group = groups.get(revision);
    if (group === undefined) groups.set(revision, [eventOf(event)]);
    else group.push(eventOf(event));
  }
  return groups;
}
