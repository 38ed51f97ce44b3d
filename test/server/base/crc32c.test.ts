import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c, flippedBit } from '../../../server/base/crc32c.ts';

const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);

/** RFC 3720 appendix B.4, and the check value of the CRC catalogue. */
const vectors: ReadonlyArray<readonly [string, Uint8Array, number]> = [
  ['nothing', new Uint8Array(0), 0],
  ['check value', Buffer.from('123456789'), 0xe306_9283],
  ['32 bytes of zeroes', new Uint8Array(32), 0x8a91_36aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8_ab43],
  ['32 bytes ascending', ascending, 0x46dd_794e],
  ['32 bytes descending', ascending.toReversed(), 0x113f_db5c],
  ['the start of every HashKV of etcd', Buffer.from('key'), 1_084_519_789],
];

for (const [name, bytes, expected] of vectors) {
  test(`CRC-32C of ${name}`, () => {
    assert.equal(crc32c(bytes), expected);
  });
}

test('the checksum goes on where the one before ended, at any cut and alignment', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), fc.nat(70), (bytes, cut) => {
      const whole = bitwise(bytes);
      assert.equal(crc32c(bytes), whole);
      assert.equal(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), whole);
    }),
  );
});

test('a flipped bit is found by the change of the checksum, and several are not taken for one', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 70 }), fc.nat(), (bytes, number) => {
      const before = crc32c(bytes);
      const flip = (bit: number): void => {
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      };
      const bit = number % (8 * bytes.length);
      flip(bit);
      assert.equal(flippedBit(before ^ crc32c(bytes), bytes.length), bit);
      if (bit > 0) {
        flip(0);
        assert.equal(flippedBit(before ^ crc32c(bytes), bytes.length), undefined);
      }
    }),
  );
});

/** The definition, bit by bit. */
function bitwise(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0);
  }
  return ~crc >>> 0;
}
