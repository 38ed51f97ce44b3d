import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Alarms } from '../../../server/apply/alarms.ts';
import { Backend, type PinnedState } from '../../../server/backend/backend.ts';
import { MemoryStore } from '../../../server/backend/memory.ts';
import type { StoreRecord } from '../../../server/backend/ordered-store.ts';
import { prefix } from '../../../server/backend/schema.ts';
import { compareBytes } from '../../../server/base/bytes.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { Lessor } from '../../../server/lease/lessor.ts';
import { Membership } from '../../../server/member/membership.ts';
import { singleKey } from '../../../server/mvcc/key-range.ts';
import { Store } from '../../../server/mvcc/store.ts';
import { ConfChangeKind, Member } from '../../../server/proto/gen/internal.ts';
import { AlarmType } from '../../../server/proto/gen/rpc.ts';
import { BoltFile } from '../../../server/snapshot/bolt-reader.ts';
import { clientSnapshotOf, hashOfState } from '../../../server/snapshot/client-snapshot.ts';
import { restoredRecords } from '../../../server/snapshot/restored-records.ts';
import { snapshotStatusOf } from '../../../server/snapshot/snapshot-status.ts';
import { isWhole } from '../../support/whole.ts';

/** A member's state without raft: each step is an applied entry. */
class State {
  readonly backend = new Backend({ logger: silentLogger });
  readonly store = new Store({ backend: this.backend });
  readonly lessor = new Lessor({ clock: { nowMs: () => 0 }, backend: this.backend });
  readonly alarms = new Alarms({ backend: this.backend });
  readonly membership = new Membership({ backend: this.backend });
  #index: number;

  constructor(index = 0) {
    this.#index = index;
  }

  async open(): Promise<this> {
    const { store, lessor, alarms, membership } = this;
    await this.backend.open(new MemoryStore(), [store, lessor, alarms, membership]);
    return this;
  }

  apply(step: Step): void {
    switch (step.kind) {
      case 'put':
        this.#put(step.key, Buffer.alloc(step.size, step.key), step.lease);
        break;
      case 'delete':
        this.#delete(step.key);
        break;
      case 'compact':
        this.#compact(step.back);
        break;
      case 'alarm':
        this.alarms.raise({ memberID: step.member, alarm: AlarmType.NOSPACE });
        break;
      case 'member':
        this.membership.apply({
          id: 0n,
          learnersMaxPlusOne: 0,
          kind: step.isAdded ? ConfChangeKind.ADD_VOTER : ConfChangeKind.REMOVE,
          member: Member.create({ id: step.member, peerUrls: [`http://m${step.member}:1`] }),
        });
    }
    this.backend.setApplied({ index: ++this.#index, term: 2 });
  }

  #put(key: string, value: Uint8Array, lease: bigint): void {
    if (lease !== 0n && this.lessor.grantedTtl(lease) === undefined) this.lessor.grant(lease, 60);
    const txn = this.store.beginWrite();
    txn.put(key, value, lease);
    txn.put(`${key} too`, value, 0n);
    txn.end();
  }

  #delete(key: string): void {
    const txn = this.store.beginWrite();
    txn.deleteRange(singleKey(key));
    txn.end();
  }

  #compact(back: number): void {
    const revision = this.store.revision - back;
    if (revision <= Math.max(0, this.store.compactRevision)) return;
    this.store.compact(revision);
    // Half of the time it is not at its end when the snapshot is taken.
    if (back % 2 === 0) while (this.store.compactionStep());
  }
}

type Step =
  | { readonly kind: 'put'; readonly key: string; readonly size: number; readonly lease: bigint }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'compact'; readonly back: number }
  | { readonly kind: 'alarm'; readonly member: bigint }
  | { readonly kind: 'member'; readonly member: bigint; readonly isAdded: boolean };

const key = fc.constantFrom('a', 'b', 'c\0', '\xff\xfe', 'a longer key');
const member = fc.bigInt({ min: 1n, max: 0xffff_ffff_ffff_ffffn });
const lease = fc.constantFrom(0n, 0n, 5n, -5n, 0x7fff_ffff_ffff_ffffn);
const size = fc.oneof(fc.nat(40), fc.nat(9_000));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), key, size, lease }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('alarm' as const), member }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('member' as const), member, isAdded: fc.boolean() }),
  },
);

async function fileOf(state: PinnedState): Promise<{ bytes: Buffer; file: BoltFile }> {
  const chunks: Uint8Array[] = [];
  const snapshot = await clientSnapshotOf(state);
  for await (const chunk of snapshot.chunks()) chunks.push(chunk);
  const checksum = chunks.pop();
  const bytes = Buffer.concat(chunks);
  assert.equal(bytes.length, snapshot.sizeBytes);
  assert.deepEqual(checksum, createHash('sha256').update(bytes).digest());
  const read = (position: number, sizeBytes: number) =>
    bytes.subarray(position, position + sizeBytes);
  return { bytes, file: new BoltFile({ sizeBytes: bytes.length, read }) };
}

/** What a restored cluster keeps, by key. */
async function keptOf(state: PinnedState): Promise<[string, string][]> {
  const kept: [string, string][] = [];
  const left: ReadonlySet<number> = new Set([
    prefix.format,
    prefix.marker,
    prefix.member,
    prefix.removedMember,
    prefix.cluster,
  ]);
  for await (const chunk of state.scan({})) {
    kept.push(...chunk.filter(([recordKey]) => !left.has(recordKey[0] ?? 0)).map(hex));
  }
  return kept;
}

function hex([recordKey, value]: StoreRecord): [string, string] {
  return [Buffer.from(recordKey).toString('hex'), Buffer.from(value).toString('hex')];
}

suite('a snapshot for a client', () => {
  test('holds all that a restored cluster keeps, whatever happened before', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const state = await new State().open();
        for (const each of steps) state.apply(each);
        const pinned = state.backend.pin();
        const { file } = await fileOf(pinned);
        const records = [...restoredRecords(file, { bumpRevision: 0 })];
        file.checkFreePages();
        records.sort(([a], [b]) => compareBytes(a, b));
        assert.deepEqual(records.map(hex), await keptOf(pinned));
      }),
      { numRuns: isWhole ? 2_000 : 60 },
    );
  });

  test('stays what it was while others write', async () => {
    const state = await new State().open();
    for (let at = 0; at < 3_000; at++) {
      state.apply({ kind: 'put', key: `key ${at % 500}`, size: 100, lease: 0n });
    }
    const pinned = state.backend.pin();
    const { bytes } = await fileOf(pinned);
    const snapshot = await clientSnapshotOf(pinned);
    const chunks: Uint8Array[] = [];
    for await (const chunk of snapshot.chunks()) {
      chunks.push(chunk);
      state.apply({ kind: 'put', key: 'key 1', size: 9_000, lease: 0n });
      state.apply({ kind: 'compact', back: 2 });
    }
    assert.ok(Buffer.concat(chunks.slice(0, -1)).equals(bytes));
  });

  test('is given up when nobody wants it any more', async () => {
    const state = await new State().open();
    for (let at = 0; at < 3_000; at++)
      state.apply({ kind: 'put', key: `${at}`, size: 1, lease: 0n });
    const abort = new AbortController();
    const snapshot = await clientSnapshotOf(state.backend.pin(), abort.signal);
    const seen: Uint8Array[] = [];
    const reading = async () => {
      for await (const chunk of snapshot.chunks()) {
        seen.push(chunk);
        abort.abort(new Error('gone'));
      }
    };
    await assert.rejects(reading, /gone/);
    await assert.rejects(clientSnapshotOf(state.backend.pin(), abort.signal), /gone/);
  });

  test('its status: revision, keys and size; its hash changes with any of it', async () => {
    const state = await new State().open();
    state.apply({ kind: 'put', key: 'a', size: 1, lease: 0n });
    state.apply({ kind: 'put', key: 'b', size: 1, lease: 7n });
    const first = snapshotStatusOf((await fileOf(state.backend.pin())).file);
    assert.deepEqual(
      { ...first, hash: 0 },
      {
        hash: 0,
        revision: 3,
        totalKey: 4,
        totalSize: 14 * 4096,
        version: '3.6.0',
      },
    );
    state.apply({ kind: 'delete', key: 'a' });
    const second = snapshotStatusOf((await fileOf(state.backend.pin())).file);
    assert.equal(second.totalKey, 3);
    assert.equal(second.revision, 4);
    assert.notEqual(second.hash, first.hash);
  });

  test('Hash does not hang on how the entries were numbered, but on all else', async () => {
    const [one, other] = [await new State().open(), await new State(40).open()];
    const steps: Step[] = [
      { kind: 'put', key: 'a', size: 5, lease: 9n },
      { kind: 'alarm', member: 3n },
      { kind: 'member', member: 3n, isAdded: true },
      { kind: 'delete', key: 'a' },
    ];
    const hashes = new Set<number>();
    for (const each of steps) {
      one.apply(each);
      other.apply(each);
      const hash = await hashOfState(one.backend.pin());
      assert.equal(await hashOfState(other.backend.pin()), hash);
      hashes.add(hash);
    }
    assert.equal(hashes.size, steps.length);
  });
});

suite('what is restored', () => {
  test('--bump-revision adds to the revision and compacts there', async () => {
    const state = await new State().open();
    for (const key of ['a', 'b', 'c']) state.apply({ kind: 'put', key, size: 1, lease: 0n });
    state.apply({ kind: 'compact', back: 2 });
    const { file } = await fileOf(state.backend.pin());
    const restored = new Store({ backend: new Backend({ logger: silentLogger }) });
    restored.restoreBegin();
    const records = [...restoredRecords(file, { bumpRevision: 1_000 })];
    records.sort(([a], [b]) => compareBytes(a, b));
    for (const [recordKey, value] of records) {
      if (restored.prefixes.some((of) => of === recordKey[0]))
        restored.restoreRecord(recordKey, value);
    }
    restored.restoreEnd();
    assert.equal(restored.revision, 1_004);
    assert.equal(restored.compactRevision, 1_004);
    assert.equal(restored.isCompactionIdle, false);
  });
});
