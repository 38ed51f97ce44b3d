import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { Message } from '../../../server/raft/messages.ts';
import {
  decodeMessage,
  encodeMessage,
  encodeParts,
} from '../../../server/transport/message-codec.ts';
import { FrameReader, frameHead } from '../../../server/transport/peer-frames.ts';

const id = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const flag = fc.boolean();
const data = fc.uint8Array({ maxLength: 50 });
const entryKind = fc.constantFrom(
  'normal' as const,
  'confChange' as const,
  'refusedConfChange' as const,
);
const entry = fc.record({ index: number, term: number, kind: entryKind, data });
const proposal = fc.record({ kind: entryKind, data });
const confState = fc.record({
  voters: fc.array(id, { maxLength: 7 }),
  learners: fc.array(id, { maxLength: 2 }),
});

function message<K extends Message['kind'], T>(
  kind: K,
  body: { [F in keyof T]: fc.Arbitrary<T[F]> },
) {
  return fc.record({ from: id, to: id, term: number, kind: fc.constant(kind), ...body });
}

const messages = fc.oneof(
  message('append', {
    previousIndex: number,
    previousTerm: number,
    commit: number,
    entries: fc.array(entry),
  }),
  message('appendResponse', {
    index: number,
    reject: flag,
    hintIndex: number,
    hintTerm: number,
  }),
  message('heartbeat', { commit: number, commitTerm: number, readId: number }),
  message('heartbeatResponse', { readId: number, lostLog: flag }),
  message('preVote', { lastIndex: number, lastTerm: number, transfer: flag }),
  message('vote', { lastIndex: number, lastTerm: number, transfer: flag }),
  message('preVoteResponse', { reject: flag }),
  message('voteResponse', { reject: flag }),
  message('snapshot', { snapshot: fc.record({ index: number, term: number, confState }) }),
  message('timeoutNow', {}),
  message('propose', { batchId: number, proposals: fc.array(proposal) }),
  message('proposeRefused', { batchId: number }),
  message('readIndex', { requestId: number }),
  message('readIndexResponse', { requestId: number, index: number }),
) as fc.Arbitrary<Message>;

/** Equal whether data are Buffers or Uint8Arrays. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}

suite('messages between members', () => {
  test('what is encoded is decoded', () => {
    fc.assert(
      fc.property(messages, (sent) => {
        assert.deepEqual(plain(decodeMessage(Uint8Array.from(encodeMessage(sent)))), plain(sent));
      }),
      { numRuns: 500 },
    );
  });

  test('large data are not copied, small ones share a part', () => {
    const [large, small] = [new Uint8Array(16 * 1024).fill(1), new Uint8Array(100).fill(2)];
    const proposals = [small, large, small, small, large].map((bytes) => ({
      kind: 'normal' as const,
      data: bytes,
    }));
    const sent: Message = { kind: 'propose', from: 1n, to: 2n, term: 3, batchId: 4, proposals };
    const parts = encodeParts(sent);
    assert.deepEqual(
      parts.map((part) => part === large),
      [false, true, false, true],
    );
    assert.deepEqual(plain(decodeMessage(Buffer.concat(parts))), plain(sent));
    const stream = Buffer.concat([frameHead(parts), ...parts]);
    const received: Message[] = [];
    new FrameReader().push(stream, (bytes) => received.push(decodeMessage(bytes)));
    assert.deepEqual(plain(received), plain([sent]));
  });

  test('truncated or random bytes are an error, never a crash or a loop', () => {
    fc.assert(
      fc.property(messages, fc.nat(), (sent, cut) => {
        const bytes = encodeMessage(sent);
        const short = bytes.subarray(0, cut % bytes.length);
        assert.throws(() => decodeMessage(short), RangeError);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          decodeMessage(bytes);
        } catch (error) {
          assert.ok(error instanceof RangeError);
        }
      }),
    );
  });
});

suite('frames between members', () => {
  const framed = (bytes: Uint8Array): Buffer => Buffer.concat([frameHead([bytes]), bytes]);

  test('frames come out whole, however the stream was cut', () => {
    fc.assert(
      fc.property(
        fc.array(data, { minLength: 1 }),
        fc.integer({ min: 1, max: 40 }),
        (sent, step) => {
          const stream = Buffer.concat(sent.map(framed));
          const reader = new FrameReader();
          const received: number[][] = [];
          for (let at = 0; at < stream.length; at += step) {
            reader.push(stream.subarray(at, at + step), (bytes) => received.push([...bytes]));
          }
          assert.deepEqual(
            received,
            sent.map((bytes) => [...bytes]),
          );
        },
      ),
    );
  });

  test('a flipped bit or an absurd size ends the connection', () => {
    const frame = framed(Buffer.from('hello'));
    frame[10] = (frame[10] ?? 0) ^ 1;
    assert.throws(() => new FrameReader().push(frame, () => {}), /checksum/);
    assert.throws(() => new FrameReader().push(Buffer.alloc(8, 0xff), () => {}), /too large/);
  });
});
