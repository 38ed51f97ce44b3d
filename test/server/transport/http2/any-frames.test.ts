import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { after, before, suite, test } from 'node:test';
import fc from 'fast-check';
import { Flag } from '../../../../server/transport/http2/frames.ts';
import { isWhole } from '../../../support/whole.ts';
import { block, frame, RawClient, request, settings, uint32 } from './raw-client.ts';
import { TestServer } from './test-server.ts';

// Clients that send whatever comes to their mind: the connection ends or goes on, in any case without a crash, and
// nothing is left of it afterwards. MAINSTAY_FULL=1 tries more of them.

const runs = isWhole ? 1000 : 150;

let server: TestServer;

before(async () => {
  server = await TestServer.open();
});

after(() => {
  server.close();
});

const { END_STREAM, END_HEADERS } = Flag;
const streamId = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(1, 3, 5, 7, 9, 11) },
  { weight: 1, arbitrary: fc.constantFrom(0, 2, 101, 0x7fff_ffff) },
);
const flags = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, END_STREAM, END_HEADERS, END_STREAM | END_HEADERS) },
  { weight: 1, arbitrary: fc.nat(255) },
);
const path = fc.constantFrom('/echo', '/pipe', '/hold', '/bytes/100000', '/header/30000', '/');
const anyBytes = fc.uint8Array({ maxLength: 50 });
const numbers = fc.constantFrom(0, 1, 10, 65_535, 100_000, 0x7fff_ffff, 0x8000_0001, 0xffff_ffff);

const requests = fc
  .record({ id: streamId, flag: flags, to: path, isGood: fc.boolean() })
  .map(({ id, flag, to, isGood }) => {
    const payload = request(to, ['x-name', 'value']);
    return frame('HEADERS', isGood ? flag & ~0x28 : flag, id, payload);
  });
const bodies = fc
  .record({ id: streamId, flag: flags, size: fc.constantFrom(0, 1, 1000, 16_384) })
  .map(({ id, flag, size }) => frame('DATA', flag, id, Buffer.alloc(size, 3)));
const others = fc.oneof(
  fc.record({ id: streamId, value: numbers }).map(({ id, value }) => {
    return frame('WINDOW_UPDATE', 0, id, uint32(value));
  }),
  fc.record({ id: streamId, value: numbers }).map(({ id, value }) => {
    return frame('RST_STREAM', 0, id, uint32(value));
  }),
  fc.record({ id: fc.nat(7), value: numbers }).map(({ id, value }) => {
    return frame('SETTINGS', 0, 0, settings([id, value]));
  }),
  fc.constantFrom(frame('PING', 0, 0, Buffer.alloc(8)), frame('SETTINGS', 1, 0)),
  fc.record({ id: streamId, flag: flags }).map(({ id, flag }) => {
    return frame('CONTINUATION', flag, id, block([['a', 'b']], true));
  }),
);
const broken = fc
  .record({ type: fc.nat(12), flag: flags, id: streamId, payload: anyBytes })
  .map(({ type, flag, id, payload }) => frame(type, flag, id, payload));
const frames = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: requests },
    { weight: 6, arbitrary: bodies },
    { weight: 4, arbitrary: others },
    { weight: 1, arbitrary: broken },
    { weight: 1, arbitrary: anyBytes.map((bytes) => Buffer.from(bytes)) },
  ),
  { maxLength: 40 },
);

suite('any frames', () => {
  test('end in nothing left', { timeout: 120_000 }, async () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 });
    const ending = fc.constantFrom('end' as const, 'destroy' as const, 'verdict' as const);
    await fc.assert(
      fc.asyncProperty(frames, cuts, ending, async (sent, sizes, how) => {
        const client = RawClient.begin(server.port);
        await client.nextOf('SETTINGS');
        const connection = server.connections.at(-1);
        const bytes = Buffer.concat(sent);
        for (let at = 0, part = 0; at < bytes.length; part++) {
          const size = sizes[part % sizes.length] ?? 1;
          client.send(bytes.subarray(at, at + size));
          at += size;
          if (part % 3 === 2) await new Promise(setImmediate);
        }
        // A frame that has not come whole may swallow the question.
        client.send(Buffer.alloc(16_393));
        if (how === 'verdict') await client.verdict();
        else client.socket[how]();
        client.close();
        while (connection?.isClosed !== true) await new Promise(setImmediate);
        assert.equal(connection.streamCount, 0);
        assert.equal(connection.scheduler.waitingBytes, 0);
        assert(server.calls.every(({ isClosed }) => isClosed));
        server.calls.length = 0;
      }),
      { numRuns: runs },
    );
  });
});
