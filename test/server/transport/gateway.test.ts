import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { Gateway } from '../../../server/api/gateway.ts';
import { servicesOf } from '../../../server/api/services.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { streamBufferBytesMax, streamRequestsPerTurnMax } from '../../../server/config/limits.ts';
import { Election } from '../../../server/proto/gen/election.ts';
import { Lock } from '../../../server/proto/gen/lock.ts';
import {
  Auth,
  Cluster,
  KV,
  Lease,
  Maintenance,
  PutResponse,
  Watch,
} from '../../../server/proto/gen/rpc.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { FakeMember } from '../api/fake-member.ts';

const config = {
  listenClientUrls: ['http://127.0.0.1:0'],
  requestBytesMax: 1_572_864,
  txnOpsMax: 128,
  concurrentStreamsMax: 3,
};

let member: FakeMember;
let listener: ClientListener;
let address: string;

before(async () => {
  member = new FakeMember();
  listener = await ClientListener.open({ port: member, logger: silentLogger }, config);
  address = listener.addresses[0] ?? '';
});

after(() => listener.stop());

interface Exchange {
  readonly sent: ClientRequest;
  readonly response: IncomingMessage;
  /** Resolves with the first `count` lines. */
  lines(count: number): Promise<string[]>;
  text(): Promise<string>;
}

/** Sends the head and a first part of the body; the caller ends it. */
async function begin(path: string, body: string, headers = {}): Promise<Exchange> {
  const sent = request(`http://${address}${path}`, { method: 'POST', headers, agent: false });
  sent.on('error', () => {});
  sent.write(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  let text = '';
  let changed = (): void => {};
  const isOver = once(response, 'close').catch(() => {});
  response.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    changed();
  });
  return {
    sent,
    response,
    async lines(count) {
      while (text.split('\n').length <= count) {
        await new Promise<void>((resolve) => {
          changed = resolve;
        });
      }
      return text.split('\n').slice(0, count);
    },
    async text() {
      await isOver;
      return text;
    },
  };
}

async function post(path: string, body: string | Uint8Array, headers = {}) {
  const response = await fetch(`http://${address}${path}`, { method: 'POST', body, headers });
  return { status: response.status, text: await response.text() };
}

function lastStream() {
  const stream = member.streams.at(-1);
  assert.ok(stream !== undefined);
  return stream;
}

/** Resolves when something has become so; the test's own timeout ends it otherwise. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('every RPC of etcd but RangeStream and the health check has a path', () => {
  const gateway = new Gateway(servicesOf(member, { txnOpsMax: 1, messageBytesMax: 1 }));
  const routed = new Set(gateway.paths.values());
  const services = [KV, Watch, Lease, Cluster, Maintenance, Auth, Lock, Election];
  const without = services
    .flatMap(({ methods }) => Object.values(methods).map(({ path }) => path))
    .filter((path) => !routed.has(path));
  assert.deepEqual(without, ['/etcdserverpb.KV/RangeStream']);
});

suite('streams', { timeout: 20_000 }, () => {
  test('requests may come one by one, and each is answered before the next', async () => {
    const { sent, response, lines, text } = await begin('/v3/lease/keepalive', '{"ID":1}{"I');
    assert.equal(response.statusCode, 200);
    assert.match((await lines(1))[0] ?? '', /"ID":"1","TTL":"60"\}\}$/);
    sent.write('D":"2"}');
    assert.match((await lines(2))[1] ?? '', /"ID":"2"\}\}$/);
    sent.end();
    assert.equal((await text()).split('\n').length, 3);
  });

  test('a watch goes on when the client has sent everything, and ends with the client', async () => {
    const { sent, response, lines } = await begin('/v3/watch', '{"create_request":{"key":"aw=="}}');
    sent.end();
    await lines(1);
    const stream = lastStream();
    const event = { type: 1 as const, kv: undefined, prevKv: undefined };
    stream.send({ watchId: 3n, events: [event] });
    assert.match((await lines(2))[1] ?? '', /"watch_id":"3","events":\[\{"type":"DELETE"\}\]\}\}$/);
    assert.ok(!stream.calls.includes('close'));
    response.destroy();
    await until(() => stream.calls.includes('close'));
  });

  test('many requests at once are taken in turns with others', async () => {
    const { sent, lines, response } = await begin('/v3/watch', '{"create_request":{"key":"aw=="}}');
    await lines(1);
    const { calls } = lastStream();
    const count = 10_000;
    sent.write('{"progress_request":{}}'.repeat(count));
    let taken = calls.length;
    const end = taken + count;
    while (taken < end) {
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(calls.length - taken <= 2 * streamRequestsPerTurnMax, `${calls.length - taken}`);
      taken = calls.length;
    }
    response.destroy();
  });

  test('a client that does not read is waited for', async () => {
    const exchange = await begin('/v3/watch', '{"create_request":{"key":"aw=="}}');
    await exchange.lines(1);
    exchange.response.pause();
    const stream = lastStream();
    const value = Buffer.alloc(streamBufferBytesMax / 4);
    const kv = { key: value, value, createRevision: 1, modRevision: 1, version: 1, lease: 0n };
    const events = [{ type: 0 as const, kv, prevKv: undefined }];
    let count = 0;
    while (stream.send({ events })) assert.ok(++count < 100, 'the buffer has no end');
    exchange.response.resume();
    await until(() => stream.calls.includes('drained'));
    exchange.response.destroy();
  });

  test('as many calls at a time as streams are allowed; more wait, and have their deadline', async () => {
    const watch = '{"create_request":{"key":"aw=="}}';
    const watches = [1, 2, 3].map(() => begin('/v3/watch', watch));
    const open = await Promise.all(watches);
    const late = await post('/v3/kv/range', '{"key":"aw=="}', { 'Grpc-Timeout': '100m' });
    assert.equal(late.status, 504);
    assert.match(late.text, /"message":"context deadline exceeded"\}$/);
    const next = post('/v3/kv/range', '{"key":"aw=="}');
    open[0]?.response.destroy();
    assert.equal((await next).status, 200);
    for (const { response } of open) response.destroy();
  });

  test('stopping ends streams with a reason, and lets a call under way end', async () => {
    const own = await ClientListener.open({ port: member, logger: silentLogger }, config);
    const ofOthers = address;
    address = own.addresses[0] ?? '';
    let finish = (): void => {};
    member.answer = () =>
      new Promise((resolve) => {
        finish = () => resolve({ response: PutResponse.create(), revision: 6 });
      });
    const watch = await begin('/v3/watch', '{"create_request":{"key":"aw=="}}');
    const before = member.proposed.length;
    const put = post('/v3/kv/put', '{"key":"aw=="}');
    await until(() => member.proposed.length > before);
    const stopped = own.stop();
    assert.match(
      await watch.text(),
      /\{"error":\{.*"message":"etcdserver: server stopped".*\}\}\n$/,
    );
    finish();
    assert.equal((await put).status, 200);
    await stopped;
    address = ofOthers;
    member.answer = () => ({ response: PutResponse.create(), revision: 6 });
  });
});

suite('what a call knows', { timeout: 20_000 }, () => {
  test('headers come as those of gRPC', async () => {
    const response = await post('/v3/kv/range', '{"key":"aw=="}', {
      'Grpc-Metadata-Client-Api-Version': 'caf\u00e9',
    });
    // What is no ASCII is left out, as grpc-gateway does.
    assert.equal(response.status, 200);
    member.raft.leader = 0n;
    const headers = { 'Grpc-Metadata-hasleader': 'true' };
    const refused = await post('/v3/kv/range', '{"key":"aw=="}', headers);
    const refusedStream = await post('/v3/watch', '{}', headers);
    member.raft.leader = 0xa1n;
    assert.equal(refused.status, 503);
    assert.equal(
      refused.text,
      '{"error":"etcdserver: no leader","code":14,"message":"etcdserver: no leader"}',
    );
    assert.equal(refusedStream.status, 503);
    assert.equal(
      refusedStream.text,
      '{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader","http_status":"Service Unavailable","code":14}}\n',
    );
  });
});

/** By whatever end. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

suite('limits', { timeout: 20_000 }, () => {
  test('a body without an end is cut off', async () => {
    const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
    socket.on('error', () => {});
    socket.write('POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    const chunk = Buffer.alloc(64 * 1024, 'x');
    let sentBytes = 0;
    socket.write('9\r\n{"value":\r\n1\r\n"\r\n');
    const send = (): void => {
      while (!socket.destroyed) {
        sentBytes += chunk.length;
        if (!socket.write(Buffer.concat([Buffer.from('10000\r\n'), chunk, Buffer.from('\r\n')]))) {
          socket.once('drain', send);
          return;
        }
      }
    };
    let text = '';
    socket.on('data', (data) => {
      text += String(data);
    });
    send();
    await closed(socket);
    assert.match(text, /^HTTP\/1.1 429 /);
    assert.match(text, /received message larger than max/);
    assert.ok(sentBytes > 2 * 2_097_152, `${sentBytes}`);
  });

  test('what follows the request is not read for ever', async () => {
    const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
    socket.on('error', () => {});
    socket.write('POST /v3/kv/range HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    socket.write('e\r\n{"key":"aw=="}\r\n');
    let text = '';
    socket.on('data', (data) => {
      text += String(data);
    });
    await closed(socket);
    assert.match(text, /^HTTP\/1.1 200 /);
  });
});

suite('access', { timeout: 20_000 }, () => {
  async function served<T>(
    lists: { corsOrigins?: string[]; hostWhitelist?: string[]; hasGateway?: boolean },
    body: (url: string) => Promise<T>,
  ): Promise<T> {
    const own = await ClientListener.open(
      { port: member, logger: silentLogger },
      { ...config, ...lists },
    );
    try {
      return await body(`http://${own.addresses[0]}`);
    } finally {
      await own.stop();
    }
  }

  function get(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sent = request(url, { headers, agent: false }, (response) => {
        response.resume();
        resolve(response);
      });
      sent.on('error', reject).end();
    });
  }

  test('without TLS only requests for the hosts of the whitelist are answered', () =>
    served({ hostWhitelist: ['store.test', '::1'] }, async (url) => {
      const statusFor = async (host: string) => (await get(`${url}/health`, { host })).statusCode;
      assert.equal(await statusFor('store.test'), 200);
      assert.equal(await statusFor('store.test:2379'), 200);
      assert.equal(await statusFor('[::1]:2379'), 200);
      assert.equal(await statusFor('evil.test'), 421);
      assert.equal(await statusFor('store.test.evil.test:2379'), 421);
      assert.equal(await statusFor(''), 421);
    }));

  test('only the given origins are told that they may ask', () =>
    served({ corsOrigins: ['http://page.test:80'] }, async (url) => {
      const allowed = async (headers: Record<string, string>) =>
        (await get(`${url}/health`, headers)).headers['access-control-allow-origin'];
      assert.equal(await allowed({ origin: 'http://page.test:80' }), 'http://page.test:80');
      assert.equal(await allowed({ origin: 'http://evil.test' }), undefined);
      assert.equal(await allowed({}), undefined);
    }));

  test('without a gateway there is no such path', () =>
    served({ hasGateway: false }, async (url) => {
      const response = await fetch(`${url}/v3/kv/range`, { method: 'POST', body: '{}' });
      assert.equal(response.status, 404);
      assert.equal(await response.text(), '404 page not found\n');
    }));
});
