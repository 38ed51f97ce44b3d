import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { after, before, suite, test } from 'node:test';
import { Flag, FrameType, uint32At } from '../../../../server/transport/http2/frames.ts';
import {
  block,
  errorName,
  type Frame,
  frame,
  integer,
  preface,
  RawClient,
  request,
  settings,
  text,
  uint32,
} from './raw-client.ts';
import { TestServer } from './test-server.ts';

const { END_STREAM, END_HEADERS, ACK, PADDED, PRIORITY } = Flag;

let server: TestServer;

before(async () => {
  server = await TestServer.open();
});

after(() => {
  server.close();
});

function begin(payload?: Buffer): RawClient {
  return RawClient.begin(server.port, payload);
}

/** HEADERS of a POST that goes on, or that ends at once. */
function open(streamId: number, path = '/hold', flags = 0): Buffer {
  return frame('HEADERS', END_HEADERS | flags, streamId, request(path));
}

function get(streamId: number, path = '/'): Buffer {
  return open(streamId, path, END_STREAM);
}

function data(streamId: number, size: number, flags = 0): Buffer {
  return frame('DATA', flags, streamId, Buffer.alloc(size, 'd'));
}

/** All frames of a response, up to END_STREAM or RST_STREAM. */
async function response(client: RawClient, streamId: number): Promise<Frame[]> {
  const frames: Frame[] = [];
  for (;;) {
    const next = await client.nextOf('HEADERS', 'CONTINUATION', 'DATA', 'RST_STREAM');
    if (next === undefined) return frames;
    if (next.streamId !== streamId) continue;
    frames.push(next);
    const isEnd = (next.flags & END_STREAM) !== 0 && next.type === FrameType.HEADERS;
    if (isEnd || next.type === FrameType.RST_STREAM) return frames;
  }
}

async function bodyOf(client: RawClient, streamId: number): Promise<Buffer> {
  const frames = await response(client, streamId);
  const parts = frames.filter(({ type }) => type === FrameType.DATA);
  return Buffer.concat(parts.map(({ payload }) => payload));
}

/** Frames that come within a moment. */
async function soon(client: RawClient): Promise<Frame[]> {
  await new Promise((resolve) => setTimeout(resolve, 50));
  const frames: Frame[] = [];
  while (client.waiting > 0) {
    const next = await client.next();
    if (next !== undefined) frames.push(next);
  }
  return frames;
}

type Rule = readonly [name: string, frames: readonly Buffer[], verdict: string];

/** Each on a connection of its own. */
function rules(title: string, all: readonly Rule[]): void {
  suite(title, () => {
    for (const [name, frames, verdict] of all) {
      test(name, async () => {
        const client = begin();
        client.send(...frames);
        assert.equal(await client.verdict(), verdict);
        client.close();
      });
    }
  });
}

const methodGet: readonly [string, string] = [':method', 'GET'];
const scheme: readonly [string, string] = [':scheme', 'http'];
const path: readonly [string, string] = [':path', '/'];

function fields(...list: ReadonlyArray<readonly [string, string]>): Buffer {
  return frame('HEADERS', END_STREAM | END_HEADERS, 1, block(list));
}

rules('§3.4, §4: preface and frames', [
  ['nothing but SETTINGS', [], 'fine'],
  ['an unknown frame is ignored', [frame(0x42, 0xff, 7, Buffer.alloc(100))], 'fine'],
  ['unknown flags are ignored', [frame('PING', 0xfe, 0, Buffer.alloc(8))], 'fine'],
  ['a frame that is too large', [data(1, 16_385)], 'GOAWAY FRAME_SIZE_ERROR'],
  [
    'a frame inside a header block',
    [frame('HEADERS', 0, 1, request('/')), frame('PING', 0, 0, Buffer.alloc(8))],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'an unknown frame inside a header block',
    [frame('HEADERS', 0, 1, request('/')), frame(0x42, 0, 1)],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    "another stream's frame inside a header block",
    [frame('HEADERS', 0, 1, request('/')), frame('CONTINUATION', END_HEADERS, 3)],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'a header block that cannot be decoded',
    [frame('HEADERS', END_HEADERS, 1, Buffer.from([0xff]))],
    'GOAWAY COMPRESSION_ERROR',
  ],
]);

suite('§3.4: the beginning', () => {
  const verdicts: readonly (readonly [string, Buffer[], string])[] = [
    ['no preface', [Buffer.from('GET / HTTP/1.1\r\n\r\n1234567890')], 'GOAWAY PROTOCOL_ERROR'],
    ['no SETTINGS first', [preface, frame('PING', 0, 0, Buffer.alloc(8))], 'GOAWAY PROTOCOL_ERROR'],
    ['a request first', [preface, get(1)], 'GOAWAY PROTOCOL_ERROR'],
    ['an ACK first', [preface, frame('SETTINGS', ACK, 0)], 'GOAWAY PROTOCOL_ERROR'],
  ];
  for (const [name, parts, verdict] of verdicts) {
    test(name, async () => {
      const client = new RawClient(server.port);
      client.send(...parts);
      assert.equal(await client.verdict(), verdict);
      client.close();
    });
  }

  test('we say what we allow, and acknowledge what we are told', async () => {
    const client = begin();
    const first = await client.next();
    assert.equal(first?.type, FrameType.SETTINGS);
    assert.deepEqual(first.payload, settings([3, 1000], [4, 1_048_576], [6, 16_384]));
    const window = await client.next();
    assert.equal(window?.type, FrameType.WINDOW_UPDATE);
    assert.equal(uint32At(window.payload, 0), 4_194_304 - 65_535);
    const ack = await client.next();
    assert.deepEqual([ack?.type, ack?.flags, ack?.payload.length], [FrameType.SETTINGS, ACK, 0]);
    client.close();
  });
});

rules('§5.1: states of streams', [
  ['DATA of an idle stream', [data(1, 1)], 'GOAWAY PROTOCOL_ERROR'],
  ['RST_STREAM of an idle stream', [frame('RST_STREAM', 0, 1, uint32(8))], 'GOAWAY PROTOCOL_ERROR'],
  [
    'WINDOW_UPDATE of an idle stream',
    [frame('WINDOW_UPDATE', 0, 1, uint32(1))],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'CONTINUATION of an idle stream',
    [frame('CONTINUATION', END_HEADERS, 1)],
    'GOAWAY PROTOCOL_ERROR',
  ],
  ['PRIORITY of an idle stream', [frame('PRIORITY', 0, 1, Buffer.alloc(5))], 'fine'],
  [
    'DATA of a half-closed stream',
    [open(1), data(1, 1, END_STREAM), data(1, 1)],
    'RST_STREAM 1 STREAM_CLOSED',
  ],
  [
    'HEADERS of a half-closed stream',
    [open(1), data(1, 1, END_STREAM), get(1)],
    'RST_STREAM 1 STREAM_CLOSED',
  ],
  [
    'CONTINUATION of a half-closed stream',
    [open(1), data(1, 1, END_STREAM), frame('CONTINUATION', END_HEADERS, 1)],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'WINDOW_UPDATE, PRIORITY and RST_STREAM of a half-closed stream',
    [
      open(1),
      data(1, 1, END_STREAM),
      frame('WINDOW_UPDATE', 0, 1, uint32(1)),
      frame('PRIORITY', 0, 1, Buffer.alloc(5)),
      frame('RST_STREAM', 0, 1, uint32(8)),
    ],
    'fine',
  ],
  ['DATA of a stream that has ended', [get(1), data(1, 1)], 'RST_STREAM 1 STREAM_CLOSED'],
  ['HEADERS of a stream that has ended', [get(1), get(1)], 'GOAWAY STREAM_CLOSED'],
  [
    'WINDOW_UPDATE, PRIORITY and RST_STREAM of a stream that has ended',
    [
      get(1),
      frame('WINDOW_UPDATE', 0, 1, uint32(1)),
      frame('PRIORITY', 0, 1, Buffer.alloc(5)),
      frame('RST_STREAM', 0, 1, uint32(8)),
    ],
    'fine',
  ],
  [
    'DATA after the client reset the stream',
    [open(1), frame('RST_STREAM', 0, 1, uint32(8)), data(1, 1)],
    'RST_STREAM 1 STREAM_CLOSED',
  ],
  [
    'DATA, trailers and RST_STREAM after we reset the stream',
    [
      open(1),
      frame('WINDOW_UPDATE', 0, 1, uint32(0)),
      data(1, 10),
      frame('HEADERS', END_HEADERS | END_STREAM, 1, block([['a', 'b']])),
      frame('RST_STREAM', 0, 1, uint32(8)),
    ],
    'RST_STREAM 1 PROTOCOL_ERROR',
  ],
  ['an even id', [get(2)], 'GOAWAY PROTOCOL_ERROR'],
  ['id 0', [get(0)], 'GOAWAY PROTOCOL_ERROR'],
  ['an id that was passed over', [get(5), get(3)], 'GOAWAY PROTOCOL_ERROR'],
  ['DATA of an id that was passed over', [get(5), data(3, 1)], 'RST_STREAM 3 STREAM_CLOSED'],
  ['the largest id', [get(0x7fff_ffff)], 'fine'],
]);

rules('§6: frames that are not as they have to be', [
  ['DATA of stream 0', [data(0, 1)], 'GOAWAY PROTOCOL_ERROR'],
  [
    'DATA with more padding than payload',
    [open(1), frame('DATA', PADDED, 1, Buffer.from([5, 0, 0]))],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'DATA without a length of its padding',
    [open(1), frame('DATA', PADDED, 1)],
    'GOAWAY FRAME_SIZE_ERROR',
  ],
  [
    'HEADERS with more padding than payload',
    [frame('HEADERS', PADDED | END_HEADERS, 1, Buffer.from([9, 0x82]))],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'HEADERS too short for their priority',
    [frame('HEADERS', PRIORITY | END_HEADERS, 1, Buffer.from([0]))],
    'GOAWAY FRAME_SIZE_ERROR',
  ],
  ['PRIORITY of stream 0', [frame('PRIORITY', 0, 0, Buffer.alloc(5))], 'GOAWAY PROTOCOL_ERROR'],
  [
    'PRIORITY of a wrong size',
    [frame('PRIORITY', 0, 1, Buffer.alloc(4))],
    'GOAWAY FRAME_SIZE_ERROR',
  ],
  ['RST_STREAM of stream 0', [frame('RST_STREAM', 0, 0, uint32(8))], 'GOAWAY PROTOCOL_ERROR'],
  [
    'RST_STREAM of a wrong size',
    [open(1), frame('RST_STREAM', 0, 1, Buffer.alloc(3))],
    'GOAWAY FRAME_SIZE_ERROR',
  ],
  ['SETTINGS of a stream', [frame('SETTINGS', 0, 1)], 'GOAWAY PROTOCOL_ERROR'],
  [
    'SETTINGS of a wrong size',
    [frame('SETTINGS', 0, 0, Buffer.alloc(5))],
    'GOAWAY FRAME_SIZE_ERROR',
  ],
  [
    'an ACK with a payload',
    [frame('SETTINGS', ACK, 0, settings([3, 1]))],
    'GOAWAY FRAME_SIZE_ERROR',
  ],
  ['unknown settings', [frame('SETTINGS', 0, 0, settings([0x99, 1]))], 'fine'],
  ['ENABLE_PUSH of 2', [frame('SETTINGS', 0, 0, settings([2, 2]))], 'GOAWAY PROTOCOL_ERROR'],
  [
    'INITIAL_WINDOW_SIZE too large',
    [frame('SETTINGS', 0, 0, settings([4, 0x8000_0000]))],
    'GOAWAY FLOW_CONTROL_ERROR',
  ],
  [
    'MAX_FRAME_SIZE too small',
    [frame('SETTINGS', 0, 0, settings([5, 16_383]))],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'MAX_FRAME_SIZE too large',
    [frame('SETTINGS', 0, 0, settings([5, 0x100_0000]))],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'PUSH_PROMISE',
    [open(1), frame('PUSH_PROMISE', END_HEADERS, 1, uint32(2))],
    'GOAWAY PROTOCOL_ERROR',
  ],
  ['PING of a stream', [frame('PING', 0, 1, Buffer.alloc(8))], 'GOAWAY PROTOCOL_ERROR'],
  ['PING of a wrong size', [frame('PING', 0, 0, Buffer.alloc(7))], 'GOAWAY FRAME_SIZE_ERROR'],
  ['an ACK of a PING that was none', [frame('PING', ACK, 0, Buffer.alloc(8))], 'fine'],
  ['GOAWAY of a stream', [frame('GOAWAY', 0, 1, uint32(0, 0))], 'GOAWAY PROTOCOL_ERROR'],
  ['GOAWAY too short', [frame('GOAWAY', 0, 0, uint32(0))], 'GOAWAY FRAME_SIZE_ERROR'],
  [
    'WINDOW_UPDATE of a wrong size',
    [frame('WINDOW_UPDATE', 0, 0, Buffer.alloc(3))],
    'GOAWAY FRAME_SIZE_ERROR',
  ],
  ['WINDOW_UPDATE of nothing', [frame('WINDOW_UPDATE', 0, 0, uint32(0))], 'GOAWAY PROTOCOL_ERROR'],
  [
    'WINDOW_UPDATE of nothing for a stream',
    [open(1), frame('WINDOW_UPDATE', 0, 1, uint32(0))],
    'RST_STREAM 1 PROTOCOL_ERROR',
  ],
  [
    "WINDOW_UPDATE beyond the connection's limit",
    [frame('WINDOW_UPDATE', 0, 0, uint32(0x7fff_ffff))],
    'GOAWAY FLOW_CONTROL_ERROR',
  ],
  [
    "WINDOW_UPDATE beyond a stream's limit",
    [open(1), frame('WINDOW_UPDATE', 0, 1, uint32(0x7fff_ffff))],
    'RST_STREAM 1 FLOW_CONTROL_ERROR',
  ],
  [
    'SETTINGS that make a window too large',
    [
      open(1),
      frame('WINDOW_UPDATE', 0, 1, uint32(0x7fff_ffff - 65_535)),
      frame('SETTINGS', 0, 0, settings([4, 65_536])),
    ],
    'GOAWAY FLOW_CONTROL_ERROR',
  ],
  [
    'CONTINUATION of nothing',
    [frame('CONTINUATION', END_HEADERS, 1, Buffer.from([0x82]))],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'CONTINUATION after END_HEADERS',
    [get(1), frame('CONTINUATION', END_HEADERS, 1)],
    'GOAWAY PROTOCOL_ERROR',
  ],
  [
    'CONTINUATION after DATA',
    [open(1), data(1, 1), frame('CONTINUATION', END_HEADERS, 1)],
    'GOAWAY PROTOCOL_ERROR',
  ],
]);

const malformed = 'RST_STREAM 1 PROTOCOL_ERROR';

rules('§8: requests', [
  ['in order', [fields(methodGet, scheme, path, ['a', 'b'])], 'fine'],
  ['te: trailers', [fields(methodGet, scheme, path, ['te', 'trailers'])], 'fine'],
  ['te: gzip', [fields(methodGet, scheme, path, ['te', 'gzip'])], malformed],
  ['a name in upper case', [fields(methodGet, scheme, path, ['A', 'b'])], malformed],
  ['a value with a line break', [fields(methodGet, scheme, path, ['a', 'b\r\nc: d'])], malformed],
  ['an unknown pseudo-header', [fields(methodGet, scheme, path, [':a', 'b'])], malformed],
  [":status, a response's", [fields(methodGet, scheme, path, [':status', '200'])], malformed],
  ['a pseudo-header after another field', [fields(methodGet, scheme, ['a', 'b'], path)], malformed],
  ['no :method', [fields(scheme, path)], malformed],
  ['no :scheme', [fields(methodGet, path)], malformed],
  ['no :path', [fields(methodGet, scheme)], malformed],
  ['an empty :path', [fields(methodGet, scheme, [':path', ''])], malformed],
  ['two of one pseudo-header', [fields(methodGet, methodGet, scheme, path)], malformed],
  [
    'two empty ones of one pseudo-header',
    [fields([':authority', ''], [':authority', ''], methodGet, scheme, path)],
    malformed,
  ],
  ['CONNECT', [fields([':method', 'CONNECT'], [':authority', 'a:1'])], 'fine'],
  ['CONNECT with a path', [fields([':method', 'CONNECT'], [':authority', 'a:1'], path)], malformed],
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'].map(
    (name): Rule => [name, [fields(methodGet, scheme, path, [name, 'x'])], malformed],
  ),
  [
    'content-length as long as the body',
    [
      frame('HEADERS', END_HEADERS, 1, request('/', ['content-length', '5'])),
      data(1, 3),
      data(1, 2, END_STREAM),
    ],
    'fine',
  ],
  [
    'a body that is too short',
    [
      frame('HEADERS', END_HEADERS, 1, request('/', ['content-length', '5'])),
      data(1, 4, END_STREAM),
    ],
    malformed,
  ],
  [
    'a body that is too long',
    [frame('HEADERS', END_HEADERS, 1, request('/', ['content-length', '5'])), data(1, 6)],
    malformed,
  ],
  [
    'no body where one was said to come',
    [frame('HEADERS', END_HEADERS | END_STREAM, 1, request('/', ['content-length', '5']))],
    malformed,
  ],
  [
    'content-length that is no number',
    [frame('HEADERS', END_HEADERS, 1, request('/', ['content-length', '-5']))],
    malformed,
  ],
  [
    'trailers',
    [open(1, '/'), data(1, 4), frame('HEADERS', END_HEADERS | END_STREAM, 1, block([['a', 'b']]))],
    'fine',
  ],
  [
    'trailers that do not end the stream',
    [open(1, '/'), frame('HEADERS', END_HEADERS, 1, block([['a', 'b']]))],
    malformed,
  ],
  [
    'trailers with a pseudo-header',
    [open(1, '/'), frame('HEADERS', END_HEADERS | END_STREAM, 1, block([methodGet]))],
    malformed,
  ],
]);

suite('requests and responses', () => {
  test('headers, a body and trailers; the second response is shorter', async () => {
    const client = begin();
    for (const streamId of [1, 3]) {
      client.send(open(streamId, '/echo'), data(streamId, 10, END_STREAM));
      const [headers, body, trailers] = await response(client, streamId);
      assert(headers !== undefined && body !== undefined && trailers !== undefined);
      assert.equal(headers.flags, END_HEADERS);
      assert.equal(headers.payload.length < 3, streamId === 3);
      assert.deepEqual(headers.fields, [
        [':status', '200'],
        ['content-type', 'text/test'],
      ]);
      assert.equal(String(body.payload), 'd'.repeat(10));
      assert.equal(trailers.flags, END_HEADERS | END_STREAM);
      assert.deepEqual(trailers.fields, [['end', 'yes']]);
    }
    client.close();
  });

  test('padding, a priority and CONTINUATIONs around a request', async () => {
    const client = begin();
    const whole = request('/echo', ['x-long', 'y'.repeat(3000)]);
    const parts = [whole.subarray(0, 1), whole.subarray(1, 1), whole.subarray(1, 700)];
    const padded = Buffer.concat([
      Buffer.from([3]),
      Buffer.alloc(5),
      parts[0] ?? whole,
      Buffer.alloc(3),
    ]);
    client.send(
      frame('HEADERS', PADDED | PRIORITY, 1, padded),
      frame('CONTINUATION', 0, 1, parts[1]),
      frame('CONTINUATION', 0, 1, parts[2]),
      frame('CONTINUATION', END_HEADERS, 1, whole.subarray(700)),
      frame(
        'DATA',
        PADDED,
        1,
        Buffer.concat([Buffer.from([4]), Buffer.from('abc'), Buffer.alloc(4)]),
      ),
      frame('DATA', PADDED | END_STREAM, 1, Buffer.from([0])),
    );
    assert.equal(String(await bodyOf(client, 1)), 'abc');
    const headers = server.lastCall?.headers;
    assert.equal(headers?.get('x-long')?.length, 3000);
    client.close();
  });

  test('one byte at a time', async () => {
    const client = new RawClient(server.port);
    const all = Buffer.concat([
      preface,
      frame('SETTINGS', 0, 0),
      open(1, '/echo'),
      data(1, 3, END_STREAM),
    ]);
    for (const byte of all) {
      client.send(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.equal(String(await bodyOf(client, 1)), 'ddd');
    client.close();
  });

  test('equal blocks mean what they meant, until the table changes', async () => {
    const client = begin();
    const insert = (value: string): Buffer =>
      Buffer.concat([Buffer.from([0x40]), text('x-name'), text(value)]);
    const common = Buffer.concat([Buffer.from([0x83, 0x86, 0x04]), text('/echo')]);
    const indexed = Buffer.concat([common, Buffer.from([0xbe])]);
    const values: Array<string | undefined> = [];
    let streamId = 1;
    const send = async (payload: Buffer): Promise<void> => {
      client.send(frame('HEADERS', END_HEADERS | END_STREAM, streamId, payload));
      await response(client, streamId);
      values.push(server.lastCall?.headers.get('x-name'));
      streamId += 2;
    };
    await send(Buffer.concat([common, insert('one')]));
    for (let again = 0; again < 3; again++) await send(indexed);
    await send(Buffer.concat([common, insert('two')]));
    await send(indexed);
    // Another table size with the same block behind it.
    await send(Buffer.concat([integer(0x20, 0x1f, 60), common]));
    await send(common);
    assert.deepEqual(values, ['one', 'one', 'one', 'one', 'two', 'two', undefined, undefined]);
    client.send(
      frame(
        'HEADERS',
        END_HEADERS | END_STREAM,
        streamId,
        Buffer.concat([common, Buffer.from([0xbf])]),
      ),
    );
    assert.equal(await client.verdict(), 'GOAWAY COMPRESSION_ERROR');
    client.close();
  });

  test('a header that needs CONTINUATIONs', async () => {
    const client = begin();
    client.send(get(1, '/header/40000'));
    const frames = await (async () => {
      const all: Frame[] = [];
      for (;;) {
        const next = await client.nextOf('HEADERS', 'CONTINUATION');
        if (next === undefined) return all;
        all.push(next);
        if ((next.flags & END_HEADERS) !== 0) return all;
      }
    })();
    assert.deepEqual(
      frames.map(({ type, flags }) => [type, flags]),
      [
        [FrameType.HEADERS, END_STREAM],
        [FrameType.CONTINUATION, 0],
        [FrameType.CONTINUATION, END_HEADERS],
      ],
    );
    assert.equal(frames.at(-1)?.fields.at(-1)?.[1].length, 40_000);
    client.send(get(3));
    assert.equal((await response(client, 3)).length, 2);
    client.close();
  });

  test('a client that takes only short header lists is not sent longer ones', async () => {
    const client = begin(settings([6, 1000]));
    client.send(get(1, '/header/900'), get(3, '/header/100'));
    assert.equal(await client.verdict(), 'RST_STREAM 1 INTERNAL_ERROR');
    client.close();
  });

  test('a client without a header table', async () => {
    const client = begin(settings([1, 0]));
    for (const streamId of [1, 3]) {
      client.send(get(streamId));
      const [headers] = await response(client, streamId);
      assert(headers !== undefined);
      assert(headers.payload.length > 10);
      assert.deepEqual(headers.fields[0], [':status', '200']);
    }
    client.close();
  });

  test('a ping is answered with its data', async () => {
    const client = begin();
    const { pings } = server;
    client.send(frame('PING', 0, 0, Buffer.from('12345678')));
    const pong = await client.nextOf('PING');
    assert.deepEqual([pong?.flags, String(pong?.payload)], [ACK, '12345678']);
    assert.equal(server.pings, pings + 1);
    client.close();
  });
});

suite('§5.2: flow control', () => {
  test("a stream's window holds its response back", async () => {
    const client = begin(settings([4, 10]));
    client.send(get(1, '/bytes/25'));
    await client.nextOf('HEADERS');
    assert.equal((await client.nextOf('DATA'))?.payload.length, 10);
    assert.deepEqual(await soon(client), []);
    client.send(frame('WINDOW_UPDATE', 0, 1, uint32(5)));
    assert.equal((await client.nextOf('DATA'))?.payload.length, 5);
    client.send(frame('WINDOW_UPDATE', 0, 1, uint32(100)));
    assert.equal((await client.nextOf('DATA'))?.payload.length, 10);
    assert.equal((await client.nextOf('HEADERS', 'DATA'))?.type, FrameType.HEADERS);
    client.close();
  });

  test('a window of nothing holds back data, not a response without', async () => {
    const client = begin(settings([4, 0]));
    client.send(get(1, '/bytes/1'), get(3, '/bytes/0'));
    assert.equal((await client.nextOf('HEADERS'))?.streamId, 1);
    assert.equal((await response(client, 3)).length, 2);
    client.send(frame('WINDOW_UPDATE', 0, 1, uint32(1)));
    assert.equal((await client.nextOf('DATA'))?.payload.length, 1);
    client.close();
  });

  test('a new initial window changes those of open streams, down below nothing', async () => {
    const client = begin(settings([4, 10]));
    client.send(get(1, '/bytes/100'));
    assert.equal((await client.nextOf('DATA'))?.payload.length, 10);
    client.send(frame('SETTINGS', 0, 0, settings([4, 4])));
    client.send(frame('WINDOW_UPDATE', 0, 1, uint32(6)));
    await client.nextOf('SETTINGS');
    assert.deepEqual(
      (await soon(client)).filter(({ type }) => type === FrameType.DATA),
      [],
    );
    client.send(frame('WINDOW_UPDATE', 0, 1, uint32(1)));
    assert.equal((await client.nextOf('DATA'))?.payload.length, 1);
    client.send(frame('SETTINGS', 0, 0, settings([4, 30])));
    assert.equal((await client.nextOf('DATA'))?.payload.length, 26);
    client.close();
  });

  test("the connection's window is for all streams, which take turns", async () => {
    const client = begin(settings([4, 1_000_000]));
    client.send(...[1, 3, 5].map((streamId) => get(streamId, '/bytes/200000')));
    const first: number[] = [];
    for (let bytes = 0; bytes < 65_535; ) {
      const next = await client.nextOf('DATA');
      bytes += next?.payload.length ?? 0;
      first.push(next?.streamId ?? 0);
    }
    assert((await soon(client)).every(({ type }) => type === FrameType.HEADERS));
    // Now that all three wait, each gets its share.
    client.send(frame('WINDOW_UPDATE', 0, 0, uint32(6 * 16_384)));
    const shares = new Map<number, number>();
    for (let bytes = 0; bytes < 6 * 16_384; ) {
      const next = await client.nextOf('DATA');
      const size = next?.payload.length ?? 0;
      bytes += size;
      shares.set(next?.streamId ?? 0, (shares.get(next?.streamId ?? 0) ?? 0) + size);
    }
    assert.deepEqual(
      [...shares.keys()].sort((a, b) => a - b),
      [1, 3, 5],
    );
    for (const share of shares.values()) assert(share >= 16_384 && share <= 3 * 16_384, `${share}`);
    client.send(frame('WINDOW_UPDATE', 0, 0, uint32(1_000_000)));
    const ended = new Set<number>();
    while (ended.size < 3) {
      const next = await client.nextOf('HEADERS');
      if ((next?.flags ?? 0) & END_STREAM) ended.add(next?.streamId ?? 0);
    }
    client.close();
  });

  test('a reset stream leaves the window to the others', async () => {
    const client = begin(settings([4, 1_000_000]));
    client.send(get(1, '/bytes/500000'), get(3, '/bytes/20'));
    for (let bytes = 0; bytes < 65_535; ) {
      bytes += (await client.nextOf('DATA'))?.payload.length ?? 0;
    }
    client.send(frame('RST_STREAM', 0, 1, uint32(8)));
    client.send(frame('WINDOW_UPDATE', 0, 0, uint32(20)));
    const next = await client.nextOf('DATA');
    assert.deepEqual([next?.streamId, next?.payload.length], [3, 20]);
    client.close();
  });

  test('more than our windows allow', async () => {
    for (const [streams, verdict] of [
      [1, 'RST_STREAM 1 FLOW_CONTROL_ERROR'],
      [5, 'GOAWAY FLOW_CONTROL_ERROR'],
    ] as const) {
      const client = begin();
      const perStream = streams === 1 ? 65 : 63;
      for (let streamId = 1; streamId < 2 * streams; streamId += 2) {
        client.send(open(streamId));
        for (let each = 0; each < perStream; each++) client.send(data(streamId, 16_384));
      }
      if (streams === 5) client.send(...Array.from({ length: 8 }, () => data(9, 16_384)));
      assert.equal(await client.verdict(), verdict);
      client.close();
    }
  });

  test('who is slow to take a body holds its client back; others go on', async () => {
    const client = begin();
    client.send(open(1));
    for (let each = 0; each < 64; each++) client.send(data(1, 16_384));
    client.send(open(3, '/echo'), data(3, 5, END_STREAM));
    assert.equal(String(await bodyOf(client, 3)), 'ddddd');
    assert.equal((await soon(client)).length, 0, 'no window is enlarged');
    const call = server.calls.at(-2);
    assert.equal(call?.receivedBytes, 1_048_576);
    call.stream.consumed(600_000);
    const update = await client.nextOf('WINDOW_UPDATE');
    assert.deepEqual([update?.streamId, uint32At(update?.payload ?? uint32(0), 0)], [1, 600_000]);
    client.close();
  });

  test('what nobody took of a stream goes back to the connection with its end', async () => {
    const client = begin();
    for (const streamId of [1, 3, 5]) {
      client.send(open(streamId));
      for (let each = 0; each < 60; each++) client.send(data(streamId, 16_384));
    }
    client.send(...[1, 3, 5].map((streamId) => frame('RST_STREAM', 0, streamId, uint32(8))));
    const [, ...updates] = [
      await client.nextOf('WINDOW_UPDATE'),
      await client.nextOf('WINDOW_UPDATE'),
    ];
    assert.equal(updates[0]?.streamId, 0);
    assert(uint32At(updates[0].payload, 0) >= 2 * 60 * 16_384);
    client.close();
  });

  test('padding counts, and is given back', async () => {
    const client = begin();
    const padded = Buffer.concat([Buffer.from([255]), Buffer.alloc(255 + 16)]);
    client.send(open(1, '/'));
    for (let each = 0; each < 8192; each++) client.send(frame('DATA', PADDED, 1, padded));
    client.send(data(1, 0, END_STREAM));
    let bytes = 0;
    for (;;) {
      const next = await client.next();
      if (next?.type === FrameType.HEADERS) break;
      if (next?.type === FrameType.WINDOW_UPDATE && next.streamId === 1) {
        bytes += uint32At(next.payload, 0);
      }
    }
    assert(bytes >= 8192 * 272 - 1_048_576 && bytes <= 8192 * 272, `${bytes}`);
    client.close();
  });

  test('a body larger than every window', async () => {
    const client = begin(settings([4, 10_000_000]));
    client.send(frame('WINDOW_UPDATE', 0, 0, uint32(10_000_000)), open(1, '/pipe'));
    const windows = new Map([
      [0, 4_194_304],
      [1, 1_048_576],
    ]);
    const left = (): number => Math.min(...windows.values());
    let sent = 0;
    let got = 0;
    let isEnded = false;
    while (!isEnded) {
      while (sent < 6_000_000 && left() >= 10_000) {
        sent += 10_000;
        for (const [id, size] of windows) windows.set(id, size - 10_000);
        client.send(data(1, 10_000, sent === 6_000_000 ? END_STREAM : 0));
      }
      const next = await client.next();
      if (next === undefined) break;
      if (next.type === FrameType.DATA) got += next.payload.length;
      if (next.type === FrameType.WINDOW_UPDATE) {
        const isFirst = uint32At(next.payload, 0) === 4_194_304 - 65_535;
        const size = windows.get(next.streamId) ?? 0;
        if (!isFirst) windows.set(next.streamId, size + uint32At(next.payload, 0));
      }
      isEnded = next.type === FrameType.HEADERS && (next.flags & END_STREAM) !== 0;
    }
    assert.equal(got, 6_000_000);
    client.close();
  });
});

suite('floods and bombs', () => {
  const flood = async (each: (at: number) => Buffer, count = 60_000): Promise<string> => {
    const client = begin();
    const parts: Buffer[] = [];
    for (let at = 0; at < count; at++) parts.push(each(at));
    client.send(...parts);
    const verdict = await client.verdict();
    client.close();
    return verdict;
  };
  const calm = 'GOAWAY ENHANCE_YOUR_CALM';

  test('SETTINGS', async () => {
    assert.equal(await flood(() => frame('SETTINGS', 0, 0)), calm);
  });

  test('SETTINGS that change the windows of many streams, which cost more', async () => {
    const streams = 500;
    const each = (at: number): Buffer =>
      at > 0 && at <= streams
        ? get(2 * at - 1, '/bytes/100')
        : frame('SETTINGS', 0, 0, settings([4, at > streams ? at % 2 : 0]));
    assert.equal(await flood(each, streams + 5_000), calm);
  });

  test('PING', async () => {
    assert.equal(await flood(() => frame('PING', 0, 0, Buffer.alloc(8))), calm);
  });

  test('PRIORITY', async () => {
    assert.equal(await flood(() => frame('PRIORITY', 0, 1, Buffer.alloc(5))), calm);
  });

  test('unknown frames', async () => {
    assert.equal(await flood(() => frame(0x42, 0, 0)), calm);
  });

  test('empty DATA', async () => {
    const first = open(1);
    assert.equal(await flood((at) => (at === 0 ? first : data(1, 0))), calm);
  });

  test('DATA of a stream that is gone is answered once', async () => {
    const late = data(1, 1);
    const verdict = await flood((at) => (at === 0 ? get(1) : late));
    assert.equal(verdict, 'RST_STREAM 1 STREAM_CLOSED');
  });

  test('WINDOW_UPDATE of streams that are gone is no flood', async () => {
    const update = frame('WINDOW_UPDATE', 0, 1, uint32(1));
    assert.equal(await flood((at) => (at === 0 ? get(1) : update)), 'fine');
  });

  test('streams that are opened and reset', async () => {
    const rapid = (at: number): Buffer => {
      const streamId = 2 * at + 1;
      return Buffer.concat([open(streamId), frame('RST_STREAM', 0, streamId, uint32(8))]);
    };
    assert.equal(await flood(rapid), calm);
    const before = server.calls.length;
    assert.equal(await flood(rapid, 2000), 'fine');
    assert.equal(server.calls.length, before + 2000);
    assert(server.calls.slice(before).every(({ isClosed }) => isClosed));
  });

  test('malformed requests', async () => {
    const bad = (at: number): Buffer =>
      frame('HEADERS', END_STREAM | END_HEADERS, 2 * at + 1, block([scheme, path]));
    const client = begin();
    client.send(...Array.from({ length: 60_000 }, (_, at) => bad(at)));
    let verdict = '';
    while (verdict === '') {
      const next = await client.nextOf('GOAWAY');
      verdict = errorName(uint32At(next?.payload ?? uint32(0, 0), 4));
    }
    assert.equal(verdict, 'ENHANCE_YOUR_CALM');
    client.close();
  });

  test('CONTINUATIONs: many, or large ones', async () => {
    const begun = frame('HEADERS', 0, 1, request('/'));
    const small = frame('CONTINUATION', 0, 1);
    assert.equal(await flood((at) => (at === 0 ? begun : small), 20), calm);
    const large = frame('CONTINUATION', 0, 1, Buffer.alloc(16_000, 0x82));
    assert.equal(await flood((at) => (at === 0 ? begun : large), 4), calm);
  });

  test('a header list that is too large costs its stream only, and keeps the table', async () => {
    const client = begin();
    const list = Array.from({ length: 17 }, (_, at) => [`x-${at}`, 'y'.repeat(990)] as const);
    const whole = Buffer.concat([request('/'), block(list), block([['x-last', 'z']], true)]);
    client.send(
      frame('HEADERS', END_STREAM, 1, whole.subarray(0, 16_000)),
      frame('CONTINUATION', END_HEADERS, 1, whole.subarray(16_000)),
    );
    assert.equal(await client.verdict(), 'RST_STREAM 1 ENHANCE_YOUR_CALM');
    const next = Buffer.concat([request('/'), Buffer.from([0xbe])]);
    client.send(frame('HEADERS', END_STREAM | END_HEADERS, 3, next));
    await response(client, 3);
    assert.equal(server.lastCall?.headers.get('x-last'), 'z');
    client.close();
  });

  test('a bomb: one large entry, named again and again', async () => {
    const client = begin();
    const entry = block([['x', 'y'.repeat(4000)]], true);
    const bomb = Buffer.concat([request('/'), entry, Buffer.alloc(10_000, 0xbe)]);
    client.send(frame('HEADERS', END_STREAM | END_HEADERS, 1, bomb));
    assert.equal(await client.verdict(), 'RST_STREAM 1 ENHANCE_YOUR_CALM');
    client.close();
  });

  test('more streams than allowed are refused, and may come again', async () => {
    const client = begin();
    const ids = Array.from({ length: 1001 }, (_, at) => 2 * at + 1);
    client.send(...ids.map((streamId) => open(streamId)));
    assert.equal(await client.verdict(), 'RST_STREAM 2001 REFUSED_STREAM');
    client.send(data(2001, 10), frame('RST_STREAM', 0, 1, uint32(8)), get(2003));
    assert.equal((await response(client, 2003)).length, 2);
    client.close();
  });

  test('a client that reads nothing is dropped when it asks on and on', async () => {
    const client = begin();
    client.socket.pause();
    const pings = Buffer.concat(
      Array.from({ length: 500 }, () => frame('PING', 0, 0, Buffer.alloc(8))),
    );
    let isClosed = false;
    client.socket.on('close', () => {
      isClosed = true;
    });
    for (let round = 0; round < 100 && !isClosed; round++) {
      client.send(pings);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    client.socket.resume();
    assert.notEqual(await client.verdict(), 'fine');
    client.close();
  });

  test('a client that reads nothing costs what its windows allow, then its streams wait', async () => {
    const client = begin(settings([4, 0x7fff_ffff]));
    client.send(frame('WINDOW_UPDATE', 0, 0, uint32(0x7fff_ffff - 65_535)));
    await client.nextOf('SETTINGS');
    client.socket.pause();
    client.send(...Array.from({ length: 20 }, (_, at) => get(2 * at + 1, '/bytes/1000000')));
    const count = server.calls.length;
    while (server.calls.length < count + 20) await new Promise(setImmediate);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const waiting = server.calls.slice(-20).map(({ stream }) => stream.unsentBytes);
    assert(waiting.filter((bytes) => bytes > 700_000).length > 10, waiting.join());
    assert.equal(server.connections.at(-1)?.scheduler.isBlocked, true);
    client.socket.resume();
    const ended = new Set<number>();
    while (ended.size < 20) {
      const next = await client.nextOf('HEADERS');
      if (next === undefined) break;
      if (next.flags & END_STREAM) ended.add(next.streamId);
    }
    assert.equal(ended.size, 20);
    assert.equal(server.connections.at(-1)?.scheduler.unsentBytes, 0);
    client.close();
  });

  test('a writer is told to wait, and when it may go on', async () => {
    const client = begin(settings([4, 0]));
    client.send(open(1));
    while (server.lastCall?.headers.path !== '/hold' || server.lastCall.isClosed) {
      await new Promise(setImmediate);
    }
    await client.nextOf('SETTINGS');
    const call = server.lastCall;
    await soon(client);
    call.answerPart();
    let parts = 1;
    while (call.stream.write(Buffer.alloc(100_000))) parts++;
    assert.equal(parts, 11);
    assert.equal(call.drains, 0);
    client.send(frame('WINDOW_UPDATE', 0, 1, uint32(500_000)));
    await soon(client);
    assert.equal(call.drains, 0);
    client.send(
      frame('WINDOW_UPDATE', 0, 0, uint32(900_000)),
      frame('WINDOW_UPDATE', 0, 1, uint32(400_000)),
    );
    while (call.drains === 0) await new Promise(setImmediate);
    await soon(client);
    assert.equal(call.drains, 1);
    client.close();
  });
});

suite('the end of a connection', () => {
  test('two GOAWAYs, and what came before the second is answered', async () => {
    const client = begin();
    client.send(open(1));
    await client.verdict();
    const connection = server.connections.at(-1);
    connection?.shutDown();
    const first = await client.nextOf('GOAWAY');
    assert.deepEqual(first?.payload, uint32(0x7fff_ffff, 0));
    const ping = await client.nextOf('PING');
    client.send(get(3, '/bytes/5'), frame('PING', ACK, 0, ping?.payload));
    assert.equal(String(await bodyOf(client, 3)), 'bbbbb');
    const second = await client.nextOf('GOAWAY');
    assert.deepEqual(second?.payload, uint32(3, 0));
    // Too late, and still no reason to break anything.
    client.send(get(5), data(5, 3), data(1, 3, END_STREAM));
    server.calls.at(-2)?.answer(Buffer.from('late'));
    assert.equal(String(await bodyOf(client, 1)), 'late');
    assert.equal(await client.next(), undefined);
  });

  test('a client that does not answer our PING is told its last stream anyway', async () => {
    const client = begin();
    await client.verdict();
    server.connections.at(-1)?.shutDown();
    await client.nextOf('GOAWAY');
    assert.deepEqual((await client.nextOf('GOAWAY'))?.payload, uint32(0, 0));
    assert.equal(await client.next(), undefined);
  });

  test("after a client's GOAWAY its streams end, then the connection", async () => {
    const client = begin();
    client.send(open(1, '/echo'), frame('GOAWAY', 0, 0, uint32(0, 0)), data(1, 2, END_STREAM));
    assert.equal(String(await bodyOf(client, 1)), 'dd');
    while ((await client.next()) !== undefined);
  });

  test('a connection that ends, ends its streams once', async () => {
    const closed: unknown[] = [];
    for (const end of ['end', 'destroy', 'resetAndDestroy'] as const) {
      const client = begin();
      client.send(open(1), open(3));
      await client.verdict();
      const calls = server.calls.slice(-2);
      const connection = server.connections.at(-1);
      client.socket[end]();
      while (calls.some(({ isClosed }) => !isClosed)) await new Promise(setImmediate);
      while (connection?.isClosed !== true) await new Promise(setImmediate);
      closed.push(connection);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(
      closed.map((each) => server.closed.filter((other) => other === each).length),
      [1, 1, 1],
    );
  });

  test('an error is told, and the connection closed, with data still coming', async () => {
    const client = begin();
    client.send(open(1, '/hold'), frame('PUSH_PROMISE', 0, 1, uint32(2)));
    for (let each = 0; each < 50; each++) client.send(data(1, 16_000));
    const goaway = await client.nextOf('GOAWAY');
    assert.equal(errorName(uint32At(goaway?.payload ?? uint32(0, 0), 4)), 'PROTOCOL_ERROR');
    assert.equal(goaway?.payload.toString('utf8', 8), 'clients push nothing');
    while ((await client.next()) !== undefined);
    assert.equal(server.lastCall?.isClosed, true);
  });
});
