import {
  covers,
  type EventLog,
  type KeySpan,
  type Kv,
  type KvEvent,
  sameEvents,
  sameKv,
  show,
} from './event-log.ts';
import { demand } from './violation.ts';

export interface WatchedEvent extends KvEvent {
  readonly previous: Kv | undefined;
}

export interface WatchOptions {
  readonly name: string;
  readonly span: KeySpan;
  /** The first revision that it wants. */
  readonly from: number;
  /** Asked for previous values. */
  readonly withPrevious: boolean;
  /** Asked to be spared these. */
  readonly without?: KvEvent['kind'] | undefined;
}

/** One response of a watch: `revision` says how far it has seen everything. */
interface Response {
  readonly revision: number;
  readonly events: readonly WatchedEvent[];
}

/**
 * One watch against the one history: nothing skipped, repeated, reordered; a revision never split; progress never ahead
 * of the events; previous values exact.
 */
export class WatchCheck {
  readonly #log: EventLog;
  readonly #options: WatchOptions;
  /** Everything up to here has been delivered. */
  #cursor: number;
  #waiting: Response[] = [];
  checks = 0;

  constructor(log: EventLog, options: WatchOptions) {
    this.#log = log;
    this.#options = options;
    this.#cursor = options.from - 1;
  }

  get cursor(): number {
    return this.#cursor;
  }

  received(response: Response): void {
    this.#waiting.push(response);
  }

  /** Judges the responses to whose revision the history has come. */
  settle(): void {
    while (this.#waiting.length > 0) {
      const [response] = this.#waiting as [Response];
      const last = response.events.at(-1)?.kv.mod ?? response.revision;
      if (Math.max(last, response.revision) > this.#log.lastRevision) return;
      this.#waiting.shift();
      this.#judge(response);
    }
  }

  /** The member has applied everything up to `revision`, and the watch has had the time to tell. */
  finish(revision: number): void {
    this.settle();
    demand(this.#waiting.length === 0, () => {
      return `${this.#options.name} has seen revision ${this.#waiting[0]?.revision}, which nobody has`;
    });
    this.#nothingMissedUpTo(revision);
  }

  #judge({ revision, events }: Response): void {
    let at = 0;
    while (at < events.length) {
      const { mod } = (events[at] as WatchedEvent).kv;
      const group = events.slice(at).filter((event) => event.kv.mod === mod);
      at += group.length;
      this.#judgeRevision(mod, group);
    }
    if (events.length === 0) this.#nothingMissedUpTo(revision);
  }

  #judgeRevision(revision: number, events: readonly WatchedEvent[]): void {
    const { name, withPrevious } = this.#options;
    this.checks++;
    demand(revision > this.#cursor, () => {
      return `${name} got revision ${revision} after ${this.#cursor}: repeated, split or reordered`;
    });
    this.#nothingMissedUpTo(revision - 1);
    const expected = this.#expected(revision);
    demand(sameEvents(expected, events), () => {
      return `${name} got ${show(events)} at revision ${revision}, should be ${show(expected)}`;
    });
    if (withPrevious) for (const event of events) this.#judgePrevious(event);
    this.#cursor = revision;
  }

  #judgePrevious({ kv, previous }: WatchedEvent): void {
    const expected = this.#log.get(kv.key, kv.mod - 1);
    const isGone = previous === undefined && this.#log.mayBeCompacted(kv.mod - 1);
    const isEqual =
      expected === undefined
        ? previous === undefined
        : previous !== undefined && sameKv(expected, previous);
    demand(isEqual || isGone, () => {
      return `${this.#options.name}: before revision ${kv.mod} there was ${show(expected)}, not ${show(previous)}`;
    });
  }

  #nothingMissedUpTo(revision: number): void {
    for (let missed = this.#cursor + 1; missed <= revision; missed++) {
      const events = this.#expected(missed);
      demand(events.length === 0, () => {
        return `${this.#options.name} was never told of revision ${missed}: ${show(events)}`;
      });
    }
    this.#cursor = Math.max(this.#cursor, revision);
  }

  #expected(revision: number): KvEvent[] {
    const { span, without } = this.#options;
    return this.#log
      .eventsAt(revision)
      .filter(({ kind, kv }) => kind !== without && covers(span, kv.key));
  }
}
