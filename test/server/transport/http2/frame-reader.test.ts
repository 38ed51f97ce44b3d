import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { FrameReader } from '../../../../server/transport/http2/frame-reader.ts';
import { ConnectionError } from '../../../../server/transport/http2/frames.ts';
import { frame, preface } from './raw-client.ts';

/** What comes out when the bytes come in parts of these sizes, again and again. */
function read(bytes: Buffer, sizes: readonly number[]): string[] {
  const reader = new FrameReader();
  const found: string[] = [];
  for (let at = 0, part = 0; at < bytes.length; part++) {
    const end = at + (sizes[part % sizes.length] ?? 1);
    // A copy that is overwritten afterwards, as a socket's memory may be.
    const chunk = Buffer.from(bytes.subarray(at, end));
    reader.push(chunk);
    while (reader.next()) {
      const payload = reader.bytes.subarray(reader.start, reader.end).toString('hex');
      found.push(`${reader.type} ${reader.flags} ${reader.streamId} ${payload}`);
    }
    chunk.fill(0xee);
    at = end;
  }
  return found;
}

suite('frames', () => {
  test('come out whole, however they were cut', () => {
    const anyFrame = fc.record({
      type: fc.nat(255),
      flags: fc.nat(255),
      streamId: fc.nat(0x7fff_ffff),
      payload: fc.uint8Array({ maxLength: 40 }),
    });
    const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 10 }), sizes, (frames, cuts) => {
        const bytes = frames.map(({ type, flags, streamId, payload }) =>
          frame(type, flags, streamId, payload),
        );
        const expected = frames.map(
          ({ type, flags, streamId, payload }) =>
            `${type} ${flags} ${streamId} ${Buffer.from(payload).toString('hex')}`,
        );
        assert.deepEqual(read(Buffer.concat([preface, ...bytes]), cuts), expected);
      }),
      { numRuns: 500 },
    );
  });

  test('the largest one passes, one byte more does not', () => {
    const largest = frame('DATA', 0, 1, Buffer.alloc(16_384));
    assert.equal(read(Buffer.concat([preface, largest]), [1000]).length, 1);
    for (const cut of [5, 9, 100_000]) {
      const larger = frame('DATA', 0, 1, Buffer.alloc(16_385));
      assert.throws(
        () => read(Buffer.concat([preface, larger]), [24, cut]),
        (error) => error instanceof ConnectionError && error.code === 'FRAME_SIZE_ERROR',
      );
    }
  });

  test('the reserved bit of a stream id is no part of it', () => {
    const bytes = frame('PING', 0, 1);
    bytes[5] = 0x80;
    assert.deepEqual(read(Buffer.concat([preface, bytes]), [100]), ['6 0 1 ']);
  });

  test('another preface is refused at its first wrong byte', () => {
    const wrong = Buffer.from(preface);
    wrong[18] = 0;
    assert.throws(() => read(wrong, [7]), ConnectionError);
    assert.deepEqual(read(wrong.subarray(0, 18), [7]), []);
  });
});
