import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Maintenance } from '../../server/proto/gen/rpc.ts';
import { deleteOp, eventually, putOp, sharedStore, times } from './support.ts';

// Acceptance cases 28 and 29: every member has the same hash of the same history.

const three = sharedStore({ size: 3 });

/** Forty changes, every tenth of them a deletion of the first key. */
async function changes(keys: readonly string[]): Promise<{ deletions: number[]; last: number }> {
  const deletions: number[] = [];
  let last = 0;
  for (let n = 1; n <= 40; n++) {
    const isDeletion = n % 10 === 0;
    const success = isDeletion
      ? [deleteOp(keys[0] ?? '')]
      : keys.map((key) => putOp(key, String(n)));
    last = (await three().at().txn({ success })).header?.revision ?? 0;
    if (isDeletion) deletions.push(last);
  }
  return { deletions, last };
}

async function checkEqual(from: number, to: number): Promise<void> {
  for (let revision = from; revision <= to; revision++) {
    await eventually(async () => {
      const hashes = await Promise.all(three().apis.map((api) => api.hashKV(revision)));
      assert.equal(new Set(hashes.map(({ hash }) => hash)).size, 1, `at ${revision}`);
    });
  }
}

for (const isOnTombstone of [true, false]) {
  const where = isOnTombstone ? 'at a deletion' : 'between deletions';
  test(`28 TestVerifyHashKVAfterCompact, ${where}`, async () => {
    for (const keys of [['key0'], ['key0', 'key1']]) {
      await three().clear();
      const { deletions, last } = await changes(keys);
      const [one = 0, two = 0] = deletions;
      const revision = isOnTombstone ? one : Math.floor((one + two) / 2);
      await three().at().compact(revision, true);
      await checkEqual(revision, last);
    }
  });
}

test('28 TestVerifyHashKVAfterTwoCompactsOnTombstone', async () => {
  await three().clear();
  const { deletions, last } = await changes(['key0']);
  const [one = 0, two = 0] = deletions;
  await three().at().compact(one, true);
  await three().at().compact(two, true);
  await checkEqual(two, last);
});

test('28 TestVerifyHashKVAfterCompactOnLastTombstone', async () => {
  for (const keys of [['key0'], ['key0', 'key1']]) {
    await three().clear();
    const { deletions, last } = await changes(keys);
    const revision = deletions.at(-1) ?? 0;
    await three().at().compact(revision, true);
    await checkEqual(revision, last);
  }
});

test('28 TestVerifyHashKVAfterCompactAndDefrag', async () => {
  await three().clear();
  const api = three().at();
  const { deletions } = await changes(['key0']);
  const [revision = 0] = deletions;
  // What a compaction there would leave is hashed before, and after it was done.
  const before = await api.hashKV(revision);
  await api.compact(revision, true);
  await api.call(Maintenance.methods.defragment);
  const after = await api.hashKV(revision);
  const again = await api.hashKV(revision);
  assert.equal(after.hash, again.hash);
  assert(before.hash !== 0 && after.hash !== 0);
});

test('29 TestMaintenanceHashKV', async () => {
  await three().clear();
  for (let n = 0; n < 3; n++) await three().at(n).put('foo', 'bar');
  const hashes = await Promise.all(
    three().apis.map(async (api) => {
      // So that it has all of it.
      await api.range('foo');
      return (await api.hashKV()).hash;
    }),
  );
  assert.deepEqual(
    hashes,
    times(3, () => hashes[0]),
  );
});

test('29 TestV3HashKV', async () => {
  await three().clear();
  const api = three().at();
  const seen = new Set<number>();
  for (let n = 0; n < 5; n++) {
    const revision = await api.putRevision('foo', `bar${n}`);
    const one = await api.hashKV();
    for (let again = 0; again < 5; again++) {
      const { hash, compactRevision, header } = await api.hashKV();
      assert.deepEqual(
        [hash, compactRevision, header?.revision],
        [one.hash, one.compactRevision, revision],
      );
    }
    seen.add(one.hash);
  }
  assert.equal(seen.size, 5);
});
