import assert from 'node:assert/strict';
import { test } from 'node:test';
import { framePayloadBytesMax } from '../../../../server/transport/http2/frames.ts';
import type { Output } from '../../../../server/transport/http2/output.ts';
import { SendScheduler } from '../../../../server/transport/http2/send-scheduler.ts';
import type { Http2Stream } from '../../../../server/transport/http2/stream.ts';

test('a window that grows by a byte at a time costs nothing for the streams that it is not enough for', () => {
  const scheduler = new SendScheduler({ isFull: false, unsentBytes: 0 } as Output);
  scheduler.window.leftBytes = 0;
  let asked = 0;
  const sent = Array.from({ length: 1_000 }, () => 0);
  for (const at of sent.keys()) {
    const sendNext = () => {
      asked++;
      if (scheduler.window.leftBytes === 0) return 'connectionWindow';
      const bytes = Math.min(framePayloadBytesMax, scheduler.window.leftBytes);
      scheduler.window.leftBytes -= bytes;
      sent[at] = (sent[at] ?? 0) + bytes;
      return 'more';
    };
    scheduler.waits({ sendNext } as unknown as Http2Stream, 10);
  }
  asked = 0;
  for (let update = 0; update < 3_000; update++) {
    scheduler.window.enlarge(1);
    scheduler.feed();
  }
  assert.deepEqual(new Set(sent), new Set([3]));
  assert.ok(asked <= 6_000, `asked ${asked} times`);
  scheduler.window.enlarge(1_000 * framePayloadBytesMax);
  scheduler.feed();
  assert.deepEqual(new Set(sent), new Set([3 + framePayloadBytesMax]));
});
