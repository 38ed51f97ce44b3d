import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  readRecords,
  recordBytes,
  type WalRecord,
  writeRecord,
} from '../../../server/wal/record.ts';

/** Plain objects, so that they compare equal to what is decoded. */
function record<T>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(shape, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const natural = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const id = record({ index: fc.integer({ min: 1, max: 2 ** 53 - 1 }), term: natural });
const data = fc.uint8Array({ maxLength: 40 });

const recordArbitrary: fc.Arbitrary<WalRecord> = fc.oneof(
  record({
    kind: fc.constant('entry' as const),
    entry: record({
      index: natural,
      term: natural,
      kind: fc.constantFrom('normal' as const, 'confChange' as const, 'refusedConfChange' as const),
      data,
    }),
  }),
  record({
    kind: fc.constant('reset' as const),
    base: id,
  }),
  record({ kind: fc.constant('identity' as const), data }),
);

function encode(records: readonly WalRecord[]): Buffer {
  const buffer = Buffer.alloc(records.reduce((sum, record) => sum + recordBytes(record), 0));
  let at = 0;
  for (const record of records) at = writeRecord(buffer, record, at);
  assert.equal(at, buffer.length);
  return buffer;
}

/** Bytes as plain arrays, so that views compare equal to what they show. */
function plain(records: readonly WalRecord[]): unknown {
  return records.map((record) => {
    if (record.kind === 'entry') return { ...record.entry, data: [...record.entry.data] };
    return record.kind === 'identity' ? [...record.data] : record;
  });
}

suite('record', () => {
  test('what is written is read, in order', () => {
    fc.assert(
      fc.property(fc.array(recordArbitrary, { maxLength: 8 }), (records) => {
        assert.deepEqual(plain(readRecords(encode(records))), plain(records));
      }),
    );
  });

  test('kinds of a newer version are refused, not passed over', () => {
    const unknownKind = encode([{ kind: 'identity', data: new Uint8Array(3) }]);
    unknownKind[0] = 9;
    assert.throws(() => readRecords(unknownKind), /newer version/);
    const entry = { index: 1, term: 1, kind: 'normal', data: new Uint8Array(0) } as const;
    const unknownEntryKind = encode([{ kind: 'entry', entry }]);
    unknownEntryKind[1] = 9;
    assert.throws(() => readRecords(unknownEntryKind), /newer version/);
  });
});
