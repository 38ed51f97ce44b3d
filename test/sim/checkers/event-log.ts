import { demand } from './violation.ts';

/** A key-value pair as a client sees it; key and value are latin-1. */
export interface Kv {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
}

/** What happened to one key at one revision. Of a delete only `key` and `mod` say something. */
export interface KvEvent {
  readonly kind: 'put' | 'delete';
  readonly kv: Kv;
}

/** Keys from `start` up to but without `end`; without `end`: `start` alone. */
export interface KeySpan {
  readonly start: string;
  readonly end?: string;
}

export function covers(span: KeySpan, key: string): boolean {
  return span.end === undefined ? key === span.start : key >= span.start && key < span.end;
}

interface Revision {
  readonly atMs: number;
  readonly events: readonly KvEvent[];
}

/**
 * The one true history of the keys, by revision. Whoever reports a revision first defines it, and the definition must
 * follow from the state before; everybody else must report the same.
 */
export class EventLog {
  /** Revision n at n; the empty store has revision 1. */
  readonly #revisions: Revision[] = [
    { atMs: 0, events: [] },
    { atMs: 0, events: [] },
  ];
  /** All versions of a key, oldest first; a deletion has no kv. */
  readonly #versions = new Map<string, Array<{ mod: number; kv: Kv | undefined }>>();

  #compactionAsked = 0;

  get lastRevision(): number {
    return this.#revisions.length - 1;
  }

  /** Somebody asked to forget what was before this revision: members may, at different times. */
  compactionAsked(revision: number): void {
    this.#compactionAsked = Math.max(this.#compactionAsked, revision);
  }

  /** What was asked for last. */
  get compaction(): number {
    return this.#compactionAsked;
  }

  mayBeCompacted(revision: number): boolean {
    return revision < this.#compactionAsked;
  }

  report(source: string, revision: number, events: readonly KvEvent[], atMs: number): void {
    demand(revision <= this.lastRevision + 1, () => {
      return `${source} reports revision ${revision}, but nobody ${this.lastRevision + 1}`;
    });
    if (revision === this.lastRevision + 1) this.#define(source, { atMs, events });
    else {
      const known = this.eventsAt(revision);
      demand(sameEvents(known, events), () => {
        return `I4: ${source} has another revision ${revision}: ${show(events)}; known: ${show(known)}`;
      });
    }
  }

  eventsAt(revision: number): readonly KvEvent[] {
    return this.#revisions[revision]?.events ?? [];
  }

  /** When the first member applied it. */
  timeOf(revision: number): number {
    return this.#revisions[revision]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** The last revision that was there at that time. */
  revisionAt(timeMs: number): number {
    let revision = this.lastRevision;
    while (revision > 1 && this.timeOf(revision) > timeMs) revision--;
    return revision;
  }

  get(key: string, revision: number): Kv | undefined {
    const versions = this.#versions.get(key) ?? [];
    for (let at = versions.length - 1; at >= 0; at--) {
      const version = versions[at];
      if (version !== undefined && version.mod <= revision) return version.kv;
    }
    return undefined;
  }

  /** The pairs in the span as of a revision, sorted by key. */
  range(span: KeySpan, revision: number): Kv[] {
    const kvs: Kv[] = [];
    for (const key of this.#versions.keys()) {
      const kv = covers(span, key) ? this.get(key, revision) : undefined;
      if (kv !== undefined) kvs.push(kv);
    }
    return kvs.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #define(source: string, defined: Revision): void {
    const revision = this.#revisions.length;
    demand(defined.events.length > 0, () => `${source}: revision ${revision} has no events`);
    for (const event of defined.events) {
      const before = this.get(event.kv.key, revision);
      demand(follows(event, before, revision), () => {
        return `${source}: at revision ${revision} ${show([event])} does not follow from ${JSON.stringify(before, jsonValue)}`;
      });
      let versions = this.#versions.get(event.kv.key);
      if (versions === undefined) {
        versions = [];
        this.#versions.set(event.kv.key, versions);
      }
      versions.push({ mod: revision, kv: event.kind === 'put' ? event.kv : undefined });
    }
    this.#revisions.push(defined);
  }
}

/** Whether create, mod and version of an event are what the pair before makes them. */
function follows(event: KvEvent, before: Kv | undefined, revision: number): boolean {
  if (event.kv.mod !== revision) return false;
  if (event.kind === 'delete') return before !== undefined;
  return (
    event.kv.create === (before?.create ?? revision) &&
    event.kv.version === (before?.version ?? 0) + 1
  );
}

export function sameKv(a: Kv, b: Kv): boolean {
  return (
    a.key === b.key &&
    a.value === b.value &&
    a.create === b.create &&
    a.mod === b.mod &&
    a.version === b.version &&
    a.lease === b.lease
  );
}

export function sameKvs(a: readonly Kv[], b: readonly Kv[]): boolean {
  return a.length === b.length && a.every((kv, at) => sameKv(kv, b[at] as Kv));
}

export function sameEvents(a: readonly KvEvent[], b: readonly KvEvent[]): boolean {
  return (
    a.length === b.length &&
    a.every((event, at) => {
      const other = b[at] as KvEvent;
      if (event.kind !== other.kind) return false;
      if (event.kind === 'put') return sameKv(event.kv, other.kv);
      return event.kv.key === other.kv.key && event.kv.mod === other.kv.mod;
    })
  );
}

export function show(value: unknown): string {
  return JSON.stringify(value, jsonValue);
}

function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}
