import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import { isInRange, type KeyRange, singleKey } from '../../../server/mvcc/key-range.ts';
import type { RangeQuery } from '../../../server/mvcc/range.ts';
import type { Store } from '../../../server/mvcc/store.ts';
import type { KeyValue } from '../../../server/proto/gen/kv.ts';
import type { SortOrder, SortTarget } from '../../../server/proto/gen/rpc.ts';
import { isWhole } from '../../support/whole.ts';
import { storeKinds } from '../backend/support.ts';
import { type Change, Model, type PlainKv } from './model.ts';
import { flush, type Opened, openStore } from './support.ts';

/** Longer runs: MVCC_RUNS=2000 npm run unit. */
const runs = Number(process.env['MVCC_RUNS'] ?? (isWhole ? 100 : 15));

type Step =
  | { readonly kind: 'txn'; readonly changes: readonly Change[] }
  | { readonly kind: 'compact'; readonly back: number }
  | { readonly kind: 'compactionSteps'; readonly count: number }
  | { readonly kind: 'flush' }
  | { readonly kind: 'restart' }
  | { readonly kind: 'crash' }
  | { readonly kind: 'read'; readonly query: RangeQuery; readonly back: number };

/** What the log holds; the model gives the revision of a compaction. */
type Entry =
  | { readonly kind: 'txn'; readonly changes: readonly Change[] }
  | { readonly kind: 'compact'; readonly revision: number };

const key = fc.nat(11).map((number) => `k${String(number).padStart(2, '0')}`);

const range: fc.Arbitrary<KeyRange> = fc.oneof(
  key.map(singleKey),
  fc.tuple(key, key).map(([start, end]) => ({ start, end, single: false })),
  key.map((start) => ({ start, end: undefined, single: false })),
);

const put = fc.record({
  kind: fc.constant('put' as const),
  key,
  value: fc.string({ maxLength: 3, unit: 'binary-ascii' }),
  lease: fc.constantFrom(0n, 0n, 7n, -3n),
});

const deletion = fc.record({ kind: fc.constant('delete' as const), range });

/** No put into a range that is deleted too: etcd refuses such a transaction before it comes here. */
const changes: fc.Arbitrary<readonly Change[]> = fc
  .tuple(
    fc.uniqueArray(put, { maxLength: 4, selector: (change) => change.key }),
    fc.array(deletion, { maxLength: 2 }),
    fc.boolean(),
  )
  .map(([puts, deletions, putsFirst]) => {
    const apart = deletions.filter((each) => puts.every(({ key: k }) => !isInRange(each.range, k)));
    return putsFirst ? [...puts, ...apart] : [...apart, ...puts];
  });

const query: fc.Arbitrary<RangeQuery> = fc.record(
  {
    range,
    limit: fc.integer({ min: -1, max: 5 }),
    countOnly: fc.boolean(),
    keysOnly: fc.boolean(),
    minModRevision: fc.nat(20),
    maxModRevision: fc.nat(40),
    minCreateRevision: fc.nat(20),
    maxCreateRevision: fc.nat(40),
    sortOrder: fc.nat(2) as fc.Arbitrary<SortOrder>,
    sortTarget: fc.nat(4) as fc.Arbitrary<SortTarget>,
  },
  { requiredKeys: ['range'] },
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('txn' as const), changes }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('compact' as const),
      back: fc.integer({ min: -1, max: 12 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('compactionSteps' as const), count: fc.nat(2) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      query,
      back: fc.integer({ min: -2, max: 30 }),
    }),
  },
);

for (const storeKind of storeKinds) {
  test(`${storeKind.name}: random transactions, compactions, crashes and reads equal the model`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
        const place = storeKind.make();
        const run = new Run(await openStore(await place.open()));
        for (const each of steps) {
          await run.take(each, async () => openStore(await place.open()));
        }
        await run.compareAll();
        await flush(run.opened.backend);
        await run.opened.backend.close();
        place.remove();
      }),
      { numRuns: storeKind.name === 'memory' ? runs * 4 : Math.ceil(runs / 2) },
    );
  });
}

class Run {
  opened: Opened;
  readonly #model = new Model();
  readonly #log: Entry[] = [];

  constructor(opened: Opened) {
    this.opened = opened;
  }

  async take(each: Step, reopen: () => Promise<Opened>): Promise<void> {
    const { backend, store } = this.opened;
    switch (each.kind) {
      case 'txn':
        this.#model.txn(each.changes);
        this.#append({ kind: 'txn', changes: each.changes });
        break;
      case 'compact': {
        const revision = this.#model.revision - each.back;
        const answer = this.#model.compact(revision);
        if (answer === 'done') this.#append({ kind: 'compact', revision });
        else assert.throws(() => store.compact(revision), new EtcdError(answer));
        break;
      }
      case 'compactionSteps':
        for (let count = 0; count < each.count; count++) store.compactionStep();
        break;
      case 'flush':
        await flush(backend);
        break;
      case 'restart':
        await flush(backend);
        await backend.close();
        this.opened = await reopen();
        this.#replay();
        await this.compareAll();
        break;
      case 'crash':
        await backend.close();
        this.opened = await reopen();
        this.#replay();
        await this.compareAll();
        break;
      case 'read':
        this.#compareRange({ ...each.query, revision: this.#model.revision - each.back });
        break;
    }
  }

  async compareAll(): Promise<void> {
    const { store } = this.opened;
    const model = this.#model;
    assert.equal(store.revision, model.revision);
    assert.equal(store.compactRevision, model.compactRevision);
    const everything = { start: '', end: undefined, single: false };
    const first = Math.max(1, model.compactRevision);
    for (let revision = first - 1; revision <= model.revision; revision++) {
      if (revision <= 0) continue;
      this.#compareRange({ range: everything, revision });
      this.#compareRange({ range: { ...everything, start: 'k04' }, revision, countOnly: true });
      if (revision < model.compactRevision) continue;
      this.#compareEvents(revision);
      assert.equal((await store.hashKv(revision)).hash, model.hashKv(revision), `${revision}`);
    }
  }

  #append(entry: Entry): void {
    this.#log.push(entry);
    this.#apply(entry, this.#log.length);
  }

  #replay(): void {
    const { applied } = this.opened.backend;
    this.#log.slice(applied.index).forEach((entry, index) => {
      this.#apply(entry, applied.index + index + 1);
    });
  }

  #apply(entry: Entry, index: number): void {
    const { backend, store } = this.opened;
    if (entry.kind === 'compact') store.compact(entry.revision);
    else applyChanges(store, entry.changes);
    backend.setApplied({ index, term: 1 });
  }

  #compareRange(asked: RangeQuery): void {
    const expected = this.#model.range(asked);
    if (typeof expected === 'string') {
      assert.throws(() => this.opened.store.range(asked), { name: 'EtcdError', error: expected });
      return;
    }
    const { kvs, count, more } = this.opened.store.range(asked);
    assert.deepEqual({ kvs: kvs.map(plain), count, more }, expected);
  }

  #compareEvents(revision: number): void {
    const [found] = [...this.opened.store.readRevisions(revision, revision)];
    const expected = this.#model.eventsOf(revision);
    const events = (found?.events ?? []).map((event) => {
      assert.equal(event.kv.modRevision, revision);
      const prev = event.prevKv();
      return {
        kind: event.kind,
        key: event.key,
        kv: event.kind === 'put' ? plain(event.kv) : undefined,
        prev: prev === undefined ? undefined : plain(prev),
      };
    });
    const isPrevGone = revision - 1 < this.#model.compactRevision;
    assert.deepEqual(
      events,
      expected.map((event) => (isPrevGone ? { ...event, prev: undefined } : event)),
    );
  }
}

function applyChanges(store: Store, list: readonly Change[]): void {
  const txn = store.beginWrite();
  for (const change of list) {
    if (change.kind === 'put') txn.put(change.key, fromLatin1(change.value), change.lease);
    else txn.deleteRange(change.range);
  }
  txn.end();
}

function plain(kv: KeyValue): PlainKv {
  return {
    key: latin1(kv.key),
    value: latin1(kv.value),
    create: kv.createRevision,
    mod: kv.modRevision,
    version: kv.version,
    lease: kv.lease,
  };
}
