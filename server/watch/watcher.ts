import type { Revision } from '../base/ids.ts';
import type { KeyRange } from '../mvcc/key-range.ts';
import type { Event } from '../proto/gen/kv.ts';
import type { LoggedEvent } from './event-log.ts';
import type { WatchStream } from './watch-stream.ts';

/**
 * A cursor over the event log.
 * - `live`: it has been given everything up to the hub's revision, and gets each new revision as it is published.
 * - `behind`: it has been given everything before `cursor`; the rest is read for it in slices, until it is live.
 * - `gone`: cancelled.
 */
export interface Watcher {
  readonly id: bigint;
  readonly stream: WatchStream;
  readonly audience: Audience;
  /** Events of earlier revisions are not its business, nor is progress before it. 0: from its creation on. */
  readonly startRevision: Revision;
  readonly wants: Wants;
  state: 'live' | 'behind' | 'gone';
  /** The next revision to deliver; meaningful only when behind. */
  cursor: Revision;
  /** Whether the slice that is being read is read for it too. */
  isInSlice: boolean;
  /** What is gathered for its next response. */
  gathered: Event[] | undefined;
  /** No event since the last tick of the progress timer. */
  isQuiet: boolean;
}

export interface Wants {
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly prevKv: boolean;
  readonly progress: boolean;
}

/** All watchers of one interval. */
export interface Audience {
  readonly interval: KeyRange;
  readonly live: Set<Watcher>;
  readonly behind: Set<Watcher>;
}

/** Adds the event to the watcher's next response unless its filters refuse it. */
export function gather(watcher: Watcher, event: LoggedEvent): void {
  watcher.gathered ??= [];
  watcher.gathered.push(event.message(watcher.wants.prevKv));
}

export function isWanted(watcher: Watcher, event: LoggedEvent, revision: Revision): boolean {
  if (revision < watcher.startRevision) return false;
  return event.isPut ? watcher.wants.puts : watcher.wants.deletes;
}

/** The gathered events, which the watcher gives away. */
export function takeGathered(watcher: Watcher): Event[] {
  const events = watcher.gathered ?? [];
  watcher.gathered = undefined;
  return events;
}
