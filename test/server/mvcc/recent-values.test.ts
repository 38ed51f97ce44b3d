import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyEntry } from '../../../server/mvcc/key-entry.ts';
import { RecentValues } from '../../../server/mvcc/recent-values.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';

const kvOf = (size: number) => KeyValue.create({ value: new Uint8Array(size) });

test('no more are remembered than the limits allow, the oldest forgotten first', () => {
  const recent = new RecentValues({ countMax: 3, sizeBytesMax: 10_000 });
  const entries = Array.from({ length: 6 }, (_, index) => new KeyEntry(`k${index}`));
  const remembered = () => entries.filter((each) => each.recent !== undefined).map((e) => e.key);
  for (const entry of entries.slice(0, 4)) recent.remember(entry, kvOf(1));
  assert.deepEqual(remembered(), ['k1', 'k2', 'k3']);
  // Remembered again, it is the newest, and its former place does not count.
  recent.remember(entries[1] as KeyEntry, kvOf(1));
  recent.remember(entries[4] as KeyEntry, kvOf(1));
  assert.deepEqual(remembered(), ['k1', 'k3', 'k4']);
  recent.remember(entries[5] as KeyEntry, kvOf(9_000));
  assert.deepEqual(remembered().at(-1), 'k5');
  recent.remember(entries[0] as KeyEntry, kvOf(5_000));
  assert.deepEqual(remembered(), ['k0']);
  recent.remember(entries[2] as KeyEntry, kvOf(20_000));
  assert.deepEqual(remembered(), ['k0']);
  recent.forget(entries[0] as KeyEntry);
  for (const entry of entries) recent.remember(entry, kvOf(1));
  assert.equal(remembered().length, 3);
});
