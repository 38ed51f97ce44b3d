import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { StatusError } from '../../../server/api/errors.ts';
import { framed, MessageReader, soleMessage } from '../../../server/transport/grpc-messages.ts';

/** Bytes that are their own encoding. */
const bare = {
  encode: (bytes: Uint8Array, headBytes = 0) => Buffer.concat([Buffer.alloc(headBytes, 9), bytes]),
};

function reader(encoding?: string): MessageReader {
  return new MessageReader(1000, encoding);
}

function text(error: unknown): string {
  return error instanceof StatusError ? `${error.status.code} ${error.status.message}` : `${error}`;
}

suite('gRPC messages', () => {
  test('come out whole, however they were cut, and stay what they are', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 12 });
    const sizes = fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(messages, sizes, fc.nat(3), (sent, cuts, patience) => {
        const bytes = Buffer.concat(sent.map((each) => framed(bare, each)));
        const messageReader = reader();
        const got: Uint8Array[] = [];
        const kept: string[] = [];
        for (let at = 0, part = 0; at < bytes.length; part++) {
          const end = Math.min(bytes.length, at + (cuts[part % cuts.length] ?? 1));
          const chunk = Buffer.from(bytes.subarray(at, end));
          messageReader.push(chunk, 0, chunk.length);
          // A busy service leaves messages for later.
          for (let taken = 0; taken < patience || end === bytes.length; taken++) {
            const message = messageReader.take();
            if (message === undefined) break;
            kept.push(Buffer.from(message).toString('hex'));
            // A view into the chunk is the chunk's.
            if (message.buffer !== chunk.buffer) got.push(message);
          }
          messageReader.hold();
          chunk.fill(0xee);
          at = end;
        }
        assert.deepEqual(
          kept,
          sent.map((each) => Buffer.from(each).toString('hex')),
        );
        for (const message of got) {
          assert(kept.includes(Buffer.from(message).toString('hex')), 'memory was used again');
        }
        assert.equal(messageReader.isEmpty, true);
        assert.equal(messageReader.heldBytes, 0);
      }),
      { numRuns: 500 },
    );
  });

  test('what is held is counted, and no memory is taken for what was only promised', () => {
    const messageReader = new MessageReader(100_000_000, undefined);
    const head = Buffer.from([0, 5, 0, 0, 0, 1, 2, 3]);
    messageReader.push(head, 0, head.length);
    assert.equal(messageReader.take(), undefined);
    messageReader.hold();
    assert.equal(messageReader.heldBytes, 8);
    assert.equal(messageReader.isEmpty, false);
  });

  test('a message that came in parts takes no more memory than it is long', () => {
    const messageReader = new MessageReader(100_000_000, undefined);
    const bytes = framed(bare, new Uint8Array(300_000));
    for (let at = 0; at < bytes.length; at += 16_384) {
      messageReader.push(bytes, at, Math.min(bytes.length, at + 16_384));
      messageReader.hold();
    }
    assert.equal(messageReader.take()?.buffer.byteLength, bytes.length);
  });

  test('errors', () => {
    const takes = (bytes: readonly number[], encoding?: string): string => {
      const messageReader = reader(encoding);
      messageReader.push(Buffer.from(bytes), 0, bytes.length);
      try {
        messageReader.take();
        return 'fine';
      } catch (error) {
        return text(error);
      }
    };
    const identity = '13 grpc: compressed flag set with identity or empty encoding';
    assert.equal(takes([1, 0, 0, 0, 0]), identity);
    assert.equal(takes([1, 0, 0, 0, 0], 'identity'), identity);
    assert.match(takes([1, 0, 0, 0, 0], 'gzip'), /^12 .*"gzip"$/);
    assert.equal(
      takes([0, 0, 0, 3, 0xe9]),
      '8 grpc: received message larger than max (1001 vs. 1000)',
    );
    assert.match(takes([0, 0xff, 0xff, 0xff, 0xff]), /\(4294967295 vs\. 1000\)/);
    assert.equal(takes([0, 0, 0, 3, 0xe8]), 'fine');
  });

  test('a part that is exactly one message', () => {
    const sole = (bytes: readonly number[]): string | undefined => {
      const part = { bytes: Buffer.from([9, ...bytes, 9]), start: 1, end: bytes.length + 1 };
      const message = soleMessage(part, 3);
      return message && Buffer.from(message).toString('hex');
    };
    assert.equal(sole([0, 0, 0, 0, 2, 7, 8]), '0708');
    assert.equal(sole([0, 0, 0, 0, 0]), '');
    for (const other of [
      [],
      [0, 0, 0, 0],
      [1, 0, 0, 0, 0],
      [0, 0, 0, 0, 1],
      [0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 4, 1, 2, 3, 4],
    ]) {
      assert.equal(sole(other), undefined, String(other));
    }
  });
});
