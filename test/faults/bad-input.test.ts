import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf, keysUnder } from '../../server/client/keys.ts';
import { connectionsMax, watchersPerStreamMax } from '../../server/config/limits.ts';
import { Election } from '../../server/proto/gen/election.ts';
import { Health } from '../../server/proto/gen/health.ts';
import { Lock } from '../../server/proto/gen/lock.ts';
import {
  Auth,
  Cluster,
  KV,
  Lease,
  Maintenance,
  Watch,
  WatchCreateRequest,
} from '../../server/proto/gen/rpc.ts';
import { type Method, messageDepthMax } from '../../server/proto/wire.ts';
import { GrpcChannel, type Outcome, raw } from '../support/grpc.ts';
import { type MemberProcess, TestCluster } from '../support/server-process.ts';
import { onlyWhole } from '../support/whole.ts';
import { type Bounds, Bystander } from './support/bystander.ts';
import {
  callHeaders,
  endHeaders,
  endStream,
  frame,
  grpcMessage,
  headerBlock,
  preface,
  RawConnection,
  setting,
  uint32,
} from './support/raw-http2.ts';
import { ok } from './support/view.ts';

// Whatever a client sends: the member lives, its memory stays within bounds, and others do not wait for long.

const mebibyte = 1024 * 1024;
/** On a machine that has more to do than this. */
const bounds: Bounds = { growthBytesMax: 150 * mebibyte, waitMsMax: 8_000 };

let cluster: TestCluster | undefined;
let bystander: Bystander | undefined;

function member(): MemberProcess {
  assert(cluster !== undefined);
  return cluster.member(0);
}

function during<T>(name: string, attack: () => Promise<T>, more: Partial<Bounds> = {}): Promise<T> {
  assert(bystander !== undefined);
  return bystander.during(name, { ...bounds, ...more }, attack);
}

before(async () => {
  cluster = await TestCluster.start({ program: 'mainstay' });
  bystander = new Bystander(cluster.member(0));
});

after(async () => {
  bystander?.close();
  await cluster?.stop();
});

type AnyMethod = Pick<
  Method<unknown, unknown>,
  'name' | 'path' | 'requestStream' | 'responseStream'
> & { readonly request: { decode(bytes: Uint8Array): unknown } };

const methods: readonly AnyMethod[] = [
  KV,
  Watch,
  Lease,
  Cluster,
  Maintenance,
  Auth,
  Lock,
  Election,
  Health,
].flatMap((service) => Object.values<AnyMethod>(service.methods));

function repeated<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

/** The same from the same seed. */
function randomBytes(seed: number, count: number): Buffer {
  let state = seed;
  return Buffer.from(
    Array.from({ length: count }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    }),
  );
}

const wrongMessages: readonly Buffer[] = [
  // A tag that breaks off, one of field 0, one that is too long.
  Buffer.of(0xff),
  Buffer.of(0x02, 0x00),
  Buffer.alloc(11, 0xff),
  // Wire types that there are not, and the end of a group that has not begun.
  Buffer.of(0x0e, 0x00),
  Buffer.of(0x0f),
  Buffer.of(0x0c),
  // Longer than what follows, by a little and by all.
  Buffer.of(0x0a, 0x05, 0x61),
  Buffer.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f),
  Buffer.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
  // A number that does not end, and one of 64 bits that is not there.
  Buffer.concat([Buffer.of(0x08), Buffer.alloc(12, 0x80)]),
  Buffer.of(0xf9, 0x07, 0x01),
];

function isDecodable({ request }: AnyMethod, bytes: Uint8Array): boolean {
  try {
    request.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

async function send(
  channel: GrpcChannel,
  { name, path, requestStream, responseStream }: AnyMethod,
  bytes: Uint8Array,
): Promise<Outcome<Uint8Array>> {
  const method: Method<Uint8Array, Uint8Array> = {
    name,
    path,
    requestStream,
    responseStream,
    request: raw,
    response: raw,
  };
  if (!requestStream && !responseStream) return channel.call(method, bytes);
  const stream = channel.stream(method);
  stream.send(bytes);
  if (!requestStream) stream.halfClose();
  return stream.ended();
}

/** Transactions one in the other: RequestOp.request_txn, field 4, in TxnRequest.success, field 2. */
function txnInside(depth: number): Buffer {
  const heads: Buffer[] = [];
  for (let [n, length] = [0, 0]; n < depth; n++) {
    for (const field of [4, 2]) {
      const head = lengthDelimited(field, length);
      heads.push(head);
      length += head.length;
    }
  }
  return Buffer.concat(heads.toReversed());
}

/** What stands before so many bytes. */
function lengthDelimited(field: number, length: number): Buffer {
  const head = [(field << 3) | 2];
  let rest = length;
  for (; rest > 127; rest >>>= 7) head.push((rest & 127) | 128);
  return Buffer.from([...head, rest]);
}

suite('messages', () => {
  test('bytes that are no message, for every method', async () => {
    const channel = new GrpcChannel(member().clientUrl);
    let count = 0;
    await during('malformed messages', async () => {
      for (const method of methods) {
        const random = Array.from({ length: 40 }, (_, n) => randomBytes(n * 7 + 1, n + 1));
        const wrong = [...wrongMessages, ...random].filter((bytes) => !isDecodable(method, bytes));
        assert(wrong.length > wrongMessages.length, `${method.path}: too much is a message`);
        const outcomes = await Promise.all(wrong.map((bytes) => send(channel, method, bytes)));
        for (const [n, outcome] of outcomes.entries()) {
          assert(outcome.kind === 'error');
          const text = `${outcome.code} ${outcome.message}`;
          const isUnknown = text.startsWith('12 unknown ');
          assert(
            isUnknown || /^13 grpc: error unmarshalling request: ./.test(text),
            `${method.path} ${wrong[n]?.toString('hex')}: ${text}`,
          );
          count++;
        }
      }
    });
    console.log(`  ${count} messages for ${methods.length} methods`);
    channel.close();
  });

  test('messages in messages, deeper than any client needs', async () => {
    const channel = new GrpcChannel(member().clientUrl);
    const txn = methods.find(({ name }) => name === 'Txn');
    assert(txn !== undefined);
    await during('deep nesting', async () => {
      assert.equal((await send(channel, txn, txnInside(20))).kind, 'ok');
      for (const depth of [messageDepthMax + 1, 1_000, 10_000, 60_000]) {
        const outcome = await send(channel, txn, txnInside(depth));
        assert(outcome.kind === 'error' && outcome.code === 13, `${depth}: ${outcome.kind}`);
      }
      // Groups, which no field of ours is, nest without a length.
      const groups = await send(channel, txn, Buffer.alloc(1_000_000, 0x7b));
      assert(groups.kind === 'error' && groups.code === 13);
    });
    channel.close();
  });

  test('129 operations, and messages that are too large', async () => {
    const channel = new GrpcChannel(member().clientUrl);
    const op = {
      request: {
        kind: 'requestRange' as const,
        value: KV.methods.range.request.create({ key: bytesOf('a') }),
      },
    };
    const refusal = async (bytes: number): Promise<string> => {
      const put = { key: bytesOf('big'), value: new Uint8Array(bytes) };
      const outcome = await channel.call(KV.methods.put, put);
      return outcome.kind === 'error' ? `${outcome.code} ${outcome.message}` : 'ok';
    };
    await during('too much', async () => {
      const many = await channel.call(KV.methods.txn, { success: repeated(129, op) });
      assert(many.kind === 'error');
      const text = 'etcdserver: too many operations in txn request';
      assert.equal(many.message, text);
      const txn = { ...KV.methods.txn, request: raw, response: raw };
      const empties = await channel.call(txn, Buffer.alloc(2 * mebibyte, '0a00', 'hex'));
      assert(empties.kind === 'error');
      assert.equal(empties.message, text);
      const body = `{"compare":[${repeated(1_300_000, '{}').join()}]}`;
      const answer = await fetch(`${member().clientUrl}/v3/kv/txn`, { method: 'POST', body });
      assert.equal(answer.status, 400);
      assert.match(await answer.text(), new RegExp(text));
      assert.equal(await refusal(1_600_000), '3 etcdserver: request is too large');
      for (let n = 0; n < 20; n++) {
        assert.match(await refusal(3 * mebibyte), /^8 grpc: received message larger than max \(/);
      }
      const stream = channel.stream({ ...Watch.methods.watch, request: raw, response: raw });
      stream.send(new Uint8Array(3 * mebibyte));
      const end = await stream.ended();
      assert(end.kind === 'error' && end.code === 8, 'a watch takes a message of any size');
    });
    channel.close();
  });

  test('a length of four gigabytes, and half of a message', async () => {
    await during('false lengths', async () => {
      for (const length of [0xffff_ffff, 0x7fff_ffff, 2_000_000]) {
        const connection = await RawConnection.greeted(member().clientUrl);
        const headers = headerBlock(callHeaders('/etcdserverpb.KV/Put'));
        connection.write(
          Buffer.concat([
            frame('headers', 1, headers, { flags: endHeaders }),
            frame('data', 1, grpcMessage(Buffer.alloc(100), length), { flags: endStream }),
          ]),
        );
        assert(await connection.gets('headers'), `no answer to a length of ${length}`);
        connection.destroy();
      }
    });
  });
});

/** How the member takes it: it ends the connection, or at least says that it will take no more; or nothing is wrong. */
type Ending = 'ends' | 'goes on' | 'either';

interface Attack {
  readonly bytes: () => Buffer;
  readonly ending: Ending;
}

const range = headerBlock(callHeaders('/etcdserverpb.KV/Range'));
const openCall = frame('headers', 1, range, { flags: endHeaders });
const greeting = Buffer.concat([preface, frame('settings', 0)]);
const greeted =
  (...frames: Buffer[]) =>
  (): Buffer =>
    Buffer.concat([greeting, ...frames]);

const attacks: Record<string, Attack> = {
  'not HTTP at all': { bytes: () => randomBytes(1, 10_000), ending: 'ends' },
  'a preface that ends otherwise': {
    bytes: () => Buffer.from('PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'.padEnd(100, 'X')),
    ending: 'ends',
  },
  'a preface, then noise': {
    bytes: () => Buffer.concat([preface, randomBytes(2, 10_000)]),
    ending: 'ends',
  },
  'no settings first': {
    bytes: () => Buffer.concat([preface, frame('ping', 0, Buffer.alloc(8))]),
    ending: 'either',
  },
  'a frame larger than allowed': {
    bytes: greeted(openCall, frame('data', 1, Buffer.alloc(100_000))),
    ending: 'ends',
  },
  'a frame that says 16 MiB': {
    bytes: greeted(frame('data', 1, Buffer.alloc(10), { length: 0xff_ffff })),
    ending: 'ends',
  },
  'settings of a wrong length': {
    bytes: greeted(frame('settings', 0, Buffer.alloc(5))),
    ending: 'ends',
  },
  'settings on a stream': { bytes: greeted(frame('settings', 1)), ending: 'ends' },
  'an initial window beyond the largest': {
    bytes: greeted(frame('settings', 0, setting(4, 0xffff_ffff))),
    ending: 'ends',
  },
  'a frame size out of bounds': {
    bytes: greeted(frame('settings', 0, setting(5, 1))),
    ending: 'ends',
  },
  'a header table of four gigabytes': {
    bytes: greeted(frame('settings', 0, setting(1, 0xffff_ffff))),
    ending: 'goes on',
  },
  'a ping of a wrong length': {
    bytes: greeted(frame('ping', 0, Buffer.alloc(3))),
    ending: 'ends',
  },
  'a window that grows by nothing': {
    bytes: greeted(frame('windowUpdate', 0, uint32(0))),
    ending: 'ends',
  },
  'a window that overflows': {
    bytes: greeted(
      frame('windowUpdate', 0, uint32(0x7fff_ffff)),
      frame('windowUpdate', 0, uint32(0x7fff_ffff)),
    ),
    ending: 'ends',
  },
  'data on a stream that was never opened': {
    bytes: greeted(frame('data', 7, Buffer.alloc(10))),
    ending: 'ends',
  },
  'data on no stream': { bytes: greeted(frame('data', 0, Buffer.alloc(10))), ending: 'ends' },
  'data after the end': {
    bytes: greeted(
      frame('headers', 1, range, { flags: endHeaders | endStream }),
      frame('data', 1, Buffer.alloc(10)),
      frame('data', 1, Buffer.alloc(10)),
    ),
    ending: 'either',
  },
  'headers on a stream of the server': {
    bytes: greeted(frame('headers', 2, range, { flags: endHeaders })),
    ending: 'ends',
  },
  'stream ids that go back': {
    bytes: greeted(
      frame('headers', 9, range, { flags: endHeaders }),
      frame('headers', 3, range, { flags: endHeaders }),
    ),
    ending: 'either',
  },
  'a reset of what was never opened': {
    bytes: greeted(frame('reset', 5, uint32(0))),
    ending: 'ends',
  },
  'a promise from a client': {
    bytes: greeted(openCall, frame('pushPromise', 1, uint32(2), { flags: endHeaders })),
    ending: 'ends',
  },
  'something between headers and their continuation': {
    bytes: greeted(frame('headers', 1, range), frame('ping', 0, Buffer.alloc(8))),
    ending: 'ends',
  },
  'a continuation of nothing': {
    bytes: greeted(frame('continuation', 1, range, { flags: endHeaders })),
    ending: 'ends',
  },
  'headers that are no HPACK': {
    bytes: greeted(frame('headers', 1, Buffer.alloc(100, 0xff), { flags: endHeaders })),
    ending: 'ends',
  },
  'padding longer than the frame': {
    bytes: greeted(openCall, frame('data', 1, Buffer.of(200, 0, 0), { flags: 0x8 })),
    ending: 'ends',
  },
  'a stream that depends on itself': {
    bytes: greeted(frame('priority', 1, Buffer.concat([uint32(1), Buffer.of(16)]))),
    ending: 'either',
  },
  'frames of a kind that there is not': {
    bytes: greeted(frame(0x77, 0, randomBytes(3, 100)), frame(0xfa, 1, randomBytes(4, 100))),
    ending: 'goes on',
  },
};

async function ends(connection: RawConnection): Promise<boolean> {
  for (let waited = 0; waited < 10_000; waited += 20) {
    if (connection.isClosed || connection.count('goaway') > 0) return true;
    await sleep(20);
  }
  return false;
}

suite('frames', () => {
  for (const [name, { bytes, ending }] of Object.entries(attacks)) {
    test(name, () =>
      during(name, async () => {
        const connections = await Promise.all(
          Array.from({ length: 5 }, () => RawConnection.open(member().clientUrl)),
        );
        for (const connection of connections) connection.write(bytes());
        for (const connection of connections) {
          if (ending === 'ends') assert(await ends(connection), 'the connection stays');
          if (ending === 'goes on') {
            connection.write(frame('headers', 11, range, { flags: endHeaders | endStream }));
            assert(await connection.gets('headers'), 'no answer to a call after it');
          }
          connection.destroy();
        }
      }),
    );
  }

  test('headers of a megabyte', () =>
    during('huge headers', async () => {
      const block = headerBlock([
        ...callHeaders('/etcdserverpb.KV/Range'),
        ['x-huge', 'x'.repeat(mebibyte)],
      ]);
      const connection = await RawConnection.greeted(member().clientUrl);
      connection.write(frame('headers', 1, block.subarray(0, 16_000), { flags: endStream }));
      for (let at = 16_000; at < block.length; at += 16_000) {
        const flags = at + 16_000 >= block.length ? endHeaders : 0;
        await connection.flood(
          frame('continuation', 1, block.subarray(at, at + 16_000), { flags }),
        );
      }
      const isRefused =
        (await connection.gets('reset', 3_000)) ||
        connection.count('headers') > 0 ||
        (await ends(connection));
      assert(isRefused, 'nothing came of it');
      connection.destroy();
    }));

  test('continuations without end', () =>
    during('continuation flood', async () => {
      const connection = await RawConnection.greeted(member().clientUrl);
      connection.write(frame('headers', 1, range));
      const more = frame('continuation', 1, headerBlock([['x-more', 'y'.repeat(1_000)]]));
      const chunk = Buffer.concat(repeated(64, more));
      let sent = 0;
      while (sent < 64 * mebibyte && (await connection.flood(chunk))) sent += chunk.length;
      assert(await ends(connection), `${sent} bytes of headers were taken`);
      connection.destroy();
    }));

  test('calls that are reset at once, fifty thousand', () =>
    during('rapid reset', async () => {
      const connection = await RawConnection.greeted(member().clientUrl);
      const headers = headerBlock(callHeaders('/etcdserverpb.Watch/Watch'));
      for (let id = 1; id < 100_000; id += 2_000) {
        const frames: Buffer[] = [];
        for (let n = 0; n < 2_000; n += 2) {
          frames.push(frame('headers', id + n, headers, { flags: endHeaders }));
          frames.push(frame('reset', id + n, uint32(8)));
        }
        if (!(await connection.flood(Buffer.concat(frames)))) break;
      }
      await connection.closes(1_000);
      connection.destroy();
    }));

  for (const [name, flood] of [
    ['pings', frame('ping', 0, Buffer.alloc(8))],
    ['settings', frame('settings', 0, setting(3, 100))],
    ['empty data', frame('data', 1)],
    ['priorities', frame('priority', 1, Buffer.concat([uint32(3), Buffer.of(16)]))],
    ['window updates', frame('windowUpdate', 1, uint32(1))],
  ] as const) {
    test(`${name}, two hundred thousand, with nobody reading the answers`, () =>
      during(`flood of ${name}`, async () => {
        const connection = await RawConnection.greeted(member().clientUrl);
        connection.write(openCall);
        connection.socket.pause();
        const chunk = Buffer.concat(repeated(1_000, flood));
        for (let n = 0; n < 200; n++) if (!(await connection.flood(chunk))) break;
        // All of it is read by now, or it is over.
        await connection.closes(1_000);
        connection.destroy();
      }));
  }

  test('answers that nobody has a window for', async () => {
    const channel = new GrpcChannel(member().clientUrl);
    const key = bytesOf('large');
    ok(await channel.call(KV.methods.put, { key, value: new Uint8Array(mebibyte) }));
    channel.close();
    const growthBytesMax = 300 * mebibyte;
    const attack = async (): Promise<void> => {
      const connection = await RawConnection.greeted(member().clientUrl, setting(4, 0));
      const request = grpcMessage(
        KV.methods.range.request.encode(KV.methods.range.request.create({ key })),
      );
      for (let id = 1; id < 200; id += 2) {
        connection.write(
          Buffer.concat([
            frame('headers', id, range, { flags: endHeaders }),
            frame('data', id, request, { flags: endStream }),
          ]),
        );
      }
      assert(await connection.gets('headers'), 'no call was answered');
      await sleep(1_000);
      assert.equal(connection.count('data'), 0);
      connection.destroy();
    };
    await during('zero window', attack, { growthBytesMax });
  });
});

/** Opened in steps, so that the accept queue does not overflow. */
async function openMany(
  count: number,
  open: () => Promise<RawConnection>,
): Promise<RawConnection[]> {
  const connections: RawConnection[] = [];
  while (connections.length < count) {
    const step = Math.min(200, count - connections.length);
    connections.push(...(await Promise.all(Array.from({ length: step }, open))));
  }
  return connections;
}

suite('connections', () => {
  test('ten thousand that do nothing', async () => {
    const { clientUrl } = member();
    const growthBytesMax = 600 * mebibyte;
    const attack = async (): Promise<void> => {
      // The bystander has one.
      const idle = await openMany(connectionsMax - 1, () => RawConnection.greeted(clientUrl));
      await Promise.all(idle.slice(-50).map((connection) => connection.gets('settings', 20_000)));
      assert(idle.filter(({ isClosed }) => !isClosed).length > connectionsMax * 0.99);
      // One more is sent away, and takes nothing from those that are there.
      const beyond = await RawConnection.greeted(clientUrl);
      assert(await beyond.closes(), 'there is no end of connections');
      for (const connection of idle) connection.destroy();
    };
    await during('10,000 connections', attack, { growthBytesMax });
    const again = await RawConnection.greeted(clientUrl);
    assert(await again.gets('settings'), 'connections are not given free');
    again.destroy();
  });

  test('five hundred that stop in the middle of a word', () =>
    during('half a preface, half a frame, half a message', async () => {
      const { clientUrl } = member();
      const starts = [
        preface.subarray(0, 3),
        preface.subarray(0, 10),
        Buffer.concat([greeting, frame('headers', 1, range).subarray(0, 20)]),
        Buffer.concat([greeting, openCall, frame('data', 1, Buffer.alloc(3))]),
        Buffer.from('GET /health HTTP/1.1\r\nHost: x'),
      ];
      const halfway = await openMany(500, () => RawConnection.open(clientUrl));
      for (const [n, connection] of halfway.entries()) {
        connection.write(starts[n % starts.length] ?? preface);
      }
      await sleep(500);
      for (const connection of halfway) connection.destroy();
    }));

  test('who says nothing is not waited for forever', async () => {
    const silent = await RawConnection.open(member().clientUrl);
    assert(await silent.closes(20_000), 'a connection that says nothing stays');
  });
});

const watchAll = (more: Partial<WatchCreateRequest> = {}) => ({
  requestUnion: {
    kind: 'createRequest' as const,
    value: WatchCreateRequest.create({ ...keysUnder('w/'), ...more }),
  },
});

suite('watches', () => {
  test('a watcher that does not read, and a hundred megabytes that it should', async () => {
    const [slow, writer] = [
      new GrpcChannel(member().clientUrl),
      new GrpcChannel(member().clientUrl),
    ];
    const stream = slow.stream(Watch.methods.watch);
    stream.send(watchAll());
    await stream.find(0, ({ created }) => created);
    const [value, count] = [new Uint8Array(256 * 1024), 400];
    await during(
      'slow watcher',
      async () => {
        stream.pause();
        for (let n = 0; n < count; n += 4) {
          const puts = [0, 1, 2, 3].map((m) => {
            const put = { key: bytesOf(`w/${(n + m) % 10}`), value };
            return writer.call(KV.methods.put, put);
          });
          (await Promise.all(puts)).forEach(ok);
        }
      },
      { growthBytesMax: 300 * mebibyte },
    );
    stream.resume();
    let [seen, last] = [0, 0];
    for (let place = 0; seen < count; ) {
      const { response, next } = await stream.find(place, () => true);
      place = next;
      for (const { kv } of response.events) {
        assert((kv?.modRevision ?? 0) > last, 'out of order');
        last = kv?.modRevision ?? 0;
        seen++;
      }
    }
    stream.cancel();
    for (const channel of [slow, writer]) channel.close();
  });

  test('as many watchers as a stream may have, on one key, and one more', async () => {
    const channel = new GrpcChannel(member().clientUrl);
    const stream = channel.stream(Watch.methods.watch);
    await during('10,000 watchers', async () => {
      for (let n = 0; n <= watchersPerStreamMax; n++) stream.send(watchAll());
      const { response } = await stream.find(0, ({ canceled }) => canceled);
      assert(response.created && response.cancelReason !== '', 'no reason is given');
      ok(await channel.call(KV.methods.put, { key: bytesOf('w/all'), value: bytesOf('x') }));
      const told = new Set<bigint>();
      for (let place = 0; told.size < watchersPerStreamMax; ) {
        const found = await stream.find(place, ({ events }) => events.length > 0);
        place = found.next;
        told.add(found.response.watchId);
      }
    });
    stream.cancel();
    channel.close();
  });
});

test('five thousand leases that are over at the same time', onlyWhole, async () => {
  const channel = new GrpcChannel(member().clientUrl);
  const count = 5_000;
  await during('expiring leases', async () => {
    for (let n = 0; n < count; n += 500) {
      const leases = Array.from({ length: 500 }, async (_, m) => {
        const { ID } = ok(await channel.call(Lease.methods.leaseGrant, { TTL: 8 }));
        const put = { key: bytesOf(`lease/${n + m}`), value: bytesOf('x'), lease: ID };
        ok(await channel.call(KV.methods.put, put));
      });
      await Promise.all(leases);
    }
    const left = async (): Promise<number> => {
      const request = { ...keysUnder('lease/'), countOnly: true };
      return ok(await channel.call(KV.methods.range, request)).count;
    };
    for (let tries = 0; (await left()) > 0; tries++) {
      assert(tries < 400, 'leases do not expire');
      await sleep(100);
    }
  });
  channel.close();
});
