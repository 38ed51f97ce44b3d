import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  findFrame,
  findHardStates,
  frameBytes,
} from '../../../server/wal/frame.ts';

const file = { walId: 0xdead_beef, sequence: 3 };
/** Plain objects, so that they compare equal to what is decoded. */
function record<T>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(shape, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const natural = fc.nat({ max: Number.MAX_SAFE_INTEGER });

const frameArbitrary: fc.Arbitrary<Frame> = record({
  batchNumber: natural,
  last: record({ index: natural, term: natural }),
  hardState: record({
    term: natural,
    vote: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    commit: natural,
  }),
  records: fc.uint8Array({ maxLength: 50 }),
  previousCrc: fc.nat({ max: 0xffff_ffff }),
});

const example: Frame = {
  batchNumber: 9,
  last: { index: 12, term: 4 },
  hardState: { term: 5, vote: 77n, commit: 11 },
  records: Buffer.from('some records of odd length.'),
  previousCrc: 123,
};

/** Behind the example's tail, up to the next sector. */
const paddingBytes = frameBytes(example.records.length) - (72 + example.records.length + 32);

suite('frame', () => {
  test('what is encoded is decoded, at any aligned offset', () => {
    fc.assert(
      fc.property(frameArbitrary, fc.nat(5), (frame, words) => {
        const bytes = encodeFrame(frame, file);
        assert.equal(bytes.length, frameBytes(frame.records.length));
        assert.equal(bytes.length % 8, 0);
        const padded = Buffer.concat([Buffer.alloc(words * 8), bytes, Buffer.alloc(8)]);
        const { crc, sizeBytes, records, ...rest } =
          decodeFrame(padded, words * 8, file) ?? assert.fail();
        assert.deepEqual({ ...rest, records: Uint8Array.from(records) }, frame);
        assert.equal(sizeBytes, bytes.length);
        assert.equal(crc, bytes.readUInt32LE(4));
      }),
    );
  });

  test('every flipped bit is noticed', () => {
    const bytes = encodeFrame(example, file);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(decodeFrame(bytes, 0, file), undefined, `bit ${bit}`);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    }
    assert.notEqual(decodeFrame(bytes, 0, file), undefined);
  });

  test('every cut is noticed', () => {
    const bytes = encodeFrame(example, file);
    for (let size = 0; size < bytes.length; size += 1) {
      assert.equal(decodeFrame(bytes.subarray(0, size), 0, file), undefined);
    }
  });

  test('a frame of another file is none', () => {
    const bytes = encodeFrame(example, file);
    assert.equal(decodeFrame(bytes, 0, { ...file, sequence: 4 }), undefined);
    assert.equal(decodeFrame(bytes, 0, { ...file, walId: 1 }), undefined);
  });

  test('findFrame passes damage, and data that looks like the head of a frame', () => {
    const lookalike = Buffer.alloc(512, 0xff);
    encodeFrame(example, file).copy(lookalike, 0, 0, 72);
    const bytes = Buffer.concat([lookalike, encodeFrame(example, file)]);
    assert.equal(findFrame(bytes, 0, file)?.offset, 512);
    assert.equal(findFrame(bytes, 513, file), undefined);
  });

  test('findHardStates finds the hard state of a frame whose head or tail is damaged, and none of another file', () => {
    const cut = encodeFrame(example, file).subarray(0, -20 - paddingBytes);
    assert.deepEqual(findHardStates(cut, { start: 0, end: cut.length }, file), [example.hardState]);
    const bytes = encodeFrame(example, file);
    bytes.fill(0, 0, 80);
    const range = { start: 0, end: bytes.length };
    assert.deepEqual(findHardStates(bytes, range, file), [example.hardState]);
    assert.deepEqual(findHardStates(bytes, range, { ...file, sequence: 4 }), []);
    assert.deepEqual(
      findHardStates(bytes, { start: 0, end: bytes.length - paddingBytes - 10 }, file),
      [],
    );
  });
});
