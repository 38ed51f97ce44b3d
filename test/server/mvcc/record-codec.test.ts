import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { roomForSeal } from '../../../server/backend/record.ts';
import { emptyBytes, fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { encodeVersion } from '../../../server/mvcc/record-codec.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';

const revision = fc.oneof(
  fc.nat(),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  fc.constantFrom(127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 49),
);

test('a stored version is byte for byte the marshalled KeyValue', () => {
  fc.assert(
    fc.property(
      fc.record({
        key: fc.uint8Array({ minLength: 1, maxLength: 300 }),
        createRevision: revision.map((value) => Math.max(1, value)),
        modRevision: revision.map((value) => Math.max(1, value)),
        version: revision.map((value) => Math.max(1, value)),
        value: fc.uint8Array({ maxLength: 300 }),
        lease: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      }),
      (kv) => {
        const encoded = encodeVersion({ ...kv, key: latin1(kv.key) });
        const record = encoded.record.subarray(0, -roomForSeal);
        assert.deepEqual(record, KeyValue.encode(kv));
        assert.deepEqual(Uint8Array.from(encoded.key), kv.key);
        assert.deepEqual(Uint8Array.from(encoded.value), kv.value);
      },
    ),
  );
});

test('a stored tombstone is a KeyValue with only its key', () => {
  const fields = { createRevision: 0, modRevision: 0, version: 0, value: emptyBytes, lease: 0n };
  const { record } = encodeVersion({ ...fields, key: 'gone' });
  const key = fromLatin1('gone');
  assert.deepEqual(record.subarray(0, -roomForSeal), KeyValue.encode(KeyValue.create({ key })));
});
