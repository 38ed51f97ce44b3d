import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { latin1 } from '../../../server/base/bytes.ts';
import { type Event, EventType } from '../../../server/proto/gen/kv.ts';
import { FilterType, type WatchResponse } from '../../../server/proto/gen/rpc.ts';
import type { Change, History } from './history.ts';
import { type Client, Watching } from './watching.ts';

/**
 * Random writes, compactions, watchers of every kind, slow sinks and replaced stores. Each watcher must receive what
 * etcd's robustness tests demand: filtered, ordered, unique, atomic, reliable, resumable, bookmarkable.
 */
const keys = ['a', 'b', 'ba', 'c'] as const;
const ranges = ['a', 'b', 'c', 'a..c', 'b..', 'b..c', '..'] as const;

type Step =
  | { kind: 'write'; changes: Change[] }
  | { kind: 'unseenWrites'; changes: Change[] }
  | { kind: 'compact'; back: number }
  | { kind: 'watch'; client: number; range: string; back: number; filter: number; prevKv: boolean }
  | { kind: 'cancel'; client: number; id: number }
  | { kind: 'drain' | 'progress' | 'tick'; client: number }
  | { kind: 'turn' };

const client = fc.nat(2);
const change: fc.Arbitrary<Change> = fc.record({
  key: fc.constantFrom(...keys),
  value: fc.option(fc.constantFrom('x', 'yy'), { nil: undefined, freq: 3 }),
});
const changes = fc.uniqueArray(change, { selector: (it) => it.key, minLength: 1, maxLength: 3 });
const write = fc.record({ kind: fc.constant('write' as const), changes });
const watch = fc.record({
  kind: fc.constant('watch' as const),
  client,
  range: fc.constantFrom(...ranges),
  back: fc.integer({ min: -3, max: 12 }),
  filter: fc.nat(5),
  prevKv: fc.boolean(),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: write },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unseenWrites' as const), changes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.nat(8) }) },
  { weight: 4, arbitrary: watch },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('cancel' as const), client, id: fc.nat(5) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('drain' as const, 'progress' as const, 'tick' as const),
      client,
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: 'turn' as const }) },
);

/** What was asked for, to compare with what came. */
interface Asked {
  readonly id: bigint;
  readonly range: string;
  readonly startRevision: number;
  /** The first revision of interest. */
  readonly from: number;
  readonly filter: FilterType | undefined;
  readonly prevKv: boolean;
  readonly isNotified: boolean;
}

interface Peer {
  readonly client: Client;
  readonly asked: Map<bigint, Asked>;
  nextId: bigint;
}

test('every watcher receives the history of its range, whatever happens around it', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 150, size: 'max' }),
      fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 8 }), fc.nat(8)),
      (steps, [capacity, sliceCostMax, logRevisionsMax]) => {
        const watching = new Watching({ sliceCostMax, logRevisionsMax });
        const capacities = [capacity, 2 * capacity, Number.POSITIVE_INFINITY];
        const peers = capacities.map((capacity): Peer => {
          return { client: watching.open(capacity), asked: new Map(), nextId: 0n };
        });
        for (const step of steps) run(step, watching, peers);
        for (const peer of peers) peer.client.finish();
        for (const peer of peers) {
          for (const asked of peer.asked.values()) checkWatcher(watching.history, peer, asked);
          checkBookmarks(peer);
        }
      },
    ),
    { numRuns: Number(process.env.WATCH_MODEL_RUNS ?? 250) },
  );
});

function run(step: Step, watching: Watching, peers: readonly Peer[]): void {
  const { history, hub } = watching;
  const peer = 'client' in step ? peers[step.client] : undefined;
  switch (step.kind) {
    case 'write':
      watching.change(step.changes);
      break;
    case 'unseenWrites':
      for (const change of step.changes) history.write([change]);
      hub.storeReplaced(history);
      break;
    case 'compact': {
      const revision = history.revision - step.back;
      if (revision > history.compactRevision && revision > 0) history.compactRevision = revision;
      break;
    }
    case 'watch':
      if (peer !== undefined) create(step, history, peer);
      break;
    case 'cancel':
      peer?.client.stream.cancel(BigInt(step.id));
      break;
    case 'drain':
      peer?.client.drain();
      break;
    case 'progress':
      peer?.client.stream.progress();
      break;
    case 'tick':
      peer?.client.stream.notifyProgress();
      break;
    case 'turn':
      watching.turn();
      break;
  }
}

function create(step: Extract<Step, { kind: 'watch' }>, history: History, peer: Peer): void {
  const startRevision = step.back === 12 ? 0 : Math.max(1, history.revision - step.back);
  const filter = step.filter <= 1 ? (step.filter as FilterType) : undefined;
  const isNotified = step.filter === 2;
  const id = peer.nextId;
  peer.nextId += 1n;
  peer.asked.set(id, {
    id,
    range: step.range,
    startRevision,
    from: startRevision === 0 ? history.revision + 1 : startRevision,
    filter,
    prevKv: step.prevKv,
    isNotified,
  });
  peer.client.watch(step.range, {
    startRevision,
    filters: filter === undefined ? [] : [filter],
    prevKv: step.prevKv,
    progressNotify: isNotified,
  });
}

function checkWatcher(history: History, { client }: Peer, asked: Asked): void {
  const responses = client.received.filter((response) => response.watchId === asked.id);
  assert.equal(responses[0]?.created, true, 'a watch begins with created');
  const end = responses.findIndex((response) => response.canceled);
  assert.ok(end === -1 || end === responses.length - 1, 'nothing follows the end of a watch');
  const delivered = responses.flatMap((response) => response.events);
  const wanted = wantedEvents(history, asked);
  const last = responses.at(-1);
  if (last?.canceled !== true) {
    assert.deepEqual(delivered.map(briefly), wanted.map(briefly), 'all of it, once, in order');
  } else {
    const prefix = wanted.slice(0, delivered.length);
    assert.deepEqual(delivered.map(briefly), prefix.map(briefly), 'a cancelled one: the beginning');
    checkCompactRevision(last, delivered);
  }
  checkResponses(responses, wanted);
  for (const event of delivered) checkPrevious(history, asked, event);
}

/** A watch is taken away only when revisions that it has not seen were compacted. */
function checkCompactRevision(last: WatchResponse, delivered: readonly Event[]): void {
  if (last.compactRevision === 0) return;
  assert.equal(last.header?.revision, 0);
  assert.equal(last.cancelReason, '');
  assert.ok((delivered.at(-1)?.kv?.modRevision ?? 0) < last.compactRevision);
}

/** Atomic: no revision in two responses. Resumable: what follows a response is after its header's revision. */
function checkResponses(responses: readonly WatchResponse[], wanted: readonly Event[]): void {
  let passed = 0;
  for (const { events, header } of responses) {
    if (events.length === 0) continue;
    const revisions = events.map((event) => event.kv?.modRevision ?? 0);
    assert.ok(Math.min(...revisions) > passed);
    passed = Math.max(...revisions);
    const revision = header?.revision ?? 0;
    assert.ok(revision >= passed);
    const expected = wanted.filter((event) => (event.kv?.modRevision ?? 0) <= revision).at(-1);
    assert.equal(passed, expected?.kv?.modRevision);
  }
}

function checkPrevious(history: History, asked: Asked, event: Event): void {
  const revision = event.kv?.modRevision ?? 0;
  const previous = history.valueAt(latin1(event.kv?.key ?? new Uint8Array()), revision - 1);
  if (event.prevKv !== undefined) {
    assert.ok(asked.prevKv);
    assert.deepEqual(event.prevKv, previous);
  } else if (asked.prevKv && revision - 1 >= history.compactRevision) {
    assert.equal(previous, undefined);
  }
}

/** Bookmarkable: after progress up to a revision, no event at or before it follows. */
function checkBookmarks({ client, asked }: Peer): void {
  let bookmark = 0;
  const bookmarks = new Map<bigint, number>();
  for (const { watchId, events, header, created, canceled } of client.received) {
    const revision = header?.revision ?? 0;
    const isProgress = events.length === 0 && !created && !canceled;
    if (isProgress && watchId === -1n) bookmark = revision;
    if (isProgress && watchId !== -1n) {
      assert.ok(asked.get(watchId)?.isNotified);
      assert.ok(
        revision >= (asked.get(watchId)?.startRevision ?? 0),
        'no progress before the start',
      );
      bookmarks.set(watchId, revision);
    }
    // A watch that was created after the progress may well start in the past.
    if (created) bookmarks.set(watchId, 0);
    for (const event of events) {
      assert.ok((event.kv?.modRevision ?? 0) > (bookmarks.get(watchId) ?? 0));
    }
    if (isProgress && watchId === -1n) for (const id of asked.keys()) bookmarks.set(id, bookmark);
  }
}

function wantedEvents(history: History, asked: Asked): Event[] {
  const compactRevision = history.compactRevision;
  history.compactRevision = -1;
  const events: Event[] = [];
  for (const entry of history.readRevisions(Math.max(2, asked.from), history.revision)) {
    for (const { kind, kv } of entry.events) {
      const type = kind === 'put' ? EventType.PUT : EventType.DELETE;
      const isFiltered =
        (asked.filter === FilterType.NOPUT && kind === 'put') ||
        (asked.filter === FilterType.NODELETE && kind === 'delete');
      if (isInRange(asked.range, latin1(kv.key)) && !isFiltered) {
        events.push({ type, kv, prevKv: undefined });
      }
    }
  }
  history.compactRevision = compactRevision;
  return events;
}

function isInRange(range: string, key: string): boolean {
  const [start = '', end] = range.split('..');
  if (end === undefined) return key === start;
  return key >= start && (end === '' || key < end);
}

function briefly({ type, kv }: Event): string {
  return `${kv?.modRevision}:${type}:${latin1(kv?.key ?? new Uint8Array())}`;
}
