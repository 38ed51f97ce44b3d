import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import http2 from 'node:http2';
import { connect, type Socket } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { streamRequestsPerTurnMax } from '../../../server/config/limits.ts';
import { Health } from '../../../server/proto/gen/health.ts';
import {
  KV,
  Lease,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  Watch,
  WatchCreateRequest,
} from '../../../server/proto/gen/rpc.ts';
import { ClientListener, ListenError } from '../../../server/transport/client-listener.ts';
import { FakeMember } from '../api/fake-member.ts';
import { ended, outcome, TestClient, take } from './grpc-client.ts';

const key = Buffer.from('k');
const config = {
  listenClientUrls: ['http://127.0.0.1:0'],
  requestBytesMax: 1_572_864,
  txnOpsMax: 128,
};

let member: FakeMember;
let listener: ClientListener;
let address: string;
let client: TestClient;

before(async () => {
  member = new FakeMember();
  listener = await ClientListener.open({ port: member, logger: silentLogger }, config);
  address = listener.addresses[0] ?? '';
  client = new TestClient(address);
});

after(async () => {
  client.close();
  await listener.stop();
});

function put(value: Uint8Array = Buffer.from('v')): Promise<PutResponse> {
  return client.unary(KV.methods.put, PutRequest.create({ key, value }));
}

/** One connection, raw: what comes back until the server closes it or says `until`. */
async function raw(bytes: string, until: RegExp): Promise<string> {
  const socket = connectTo();
  socket.write(bytes);
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    if (until.test(text)) break;
  }
  socket.destroy();
  return text;
}

function connectTo(): Socket {
  const [host, port] = address.split(':');
  return connect({ host: host ?? '', port: Number(port) });
}

suite('gRPC', () => {
  test('unary calls', async () => {
    const response = await put();
    assert.deepEqual(response.header, {
      clusterId: 0xc1n,
      memberId: 0xa1n,
      revision: 6,
      raftTerm: 7,
    });
    assert.deepEqual(await client.unary(Health.methods.check, { service: '' }), { status: 1 });
  });

  test('many at once on one connection', async () => {
    const all = await Promise.all(Array.from({ length: 500 }, () => put()));
    assert.equal(all.length, 500);
  });

  test('errors carry code and text', async () => {
    assert.equal(
      await outcome(client.unary(KV.methods.put, PutRequest.create())),
      '3 etcdserver: key is not provided',
    );
    const unknown = { ...KV.methods.put, path: '/etcdserverpb.KV/Erase100%' };
    assert.equal(
      await outcome(client.unary(unknown, PutRequest.create())),
      '12 unknown method Erase100% for service etcdserverpb.KV',
    );
    const elsewhere = { ...KV.methods.put, path: '/a.B/C' };
    assert.equal(
      await outcome(client.unary(elsewhere, PutRequest.create())),
      '12 unknown service a.B',
    );
  });

  test('headers reach the service', async () => {
    member.raft.leader = 0n;
    const range = client.unary(KV.methods.range, RangeRequest.create({ key }), {
      headers: { hasleader: 'true' },
    });
    assert.equal(await outcome(range), '14 etcdserver: no leader');
    member.raft.leader = 0xa1n;
  });

  test('the largest message passes, one byte more does not', async () => {
    const overhead =
      PutRequest.encode(PutRequest.create({ key, value: new Uint8Array(2e6) })).length - 2e6;
    const largest = 2_097_152 - overhead;
    assert.equal(await outcome(put(new Uint8Array(largest))), '0');
    assert.equal(
      await outcome(put(new Uint8Array(largest + 1))),
      '8 grpc: received message larger than max (2097153 vs. 2097152)',
    );
    assert.equal(await outcome(put()), '0');
  });

  test('responses of any size', async () => {
    const kv = {
      key,
      value: new Uint8Array(20e6),
      createRevision: 1,
      modRevision: 1,
      version: 1,
      lease: 0n,
    };
    member.range = () => RangeResponse.create({ kvs: [kv], count: 1 });
    const range = await client.unary(KV.methods.range, RangeRequest.create({ key }));
    assert.equal(range.kvs[0]?.value.length, 20e6);
  });

  test('a deadline ends the call here too', async () => {
    member.answer = () => new Promise(() => {});
    const session = http2.connect(`http://${address}`);
    const call = session.request({
      ':method': 'POST',
      ':path': KV.methods.put.path,
      'content-type': 'application/grpc',
      'grpc-timeout': '20m',
    });
    call.end(Buffer.concat([Buffer.from([0, 0, 0, 0, 3, 10, 1]), key]));
    const [headers] = (await once(call, 'response')) as [http2.IncomingHttpHeaders];
    assert.equal(headers['grpc-status'], '4');
    assert.equal(headers['grpc-message'], 'context deadline exceeded');
    session.destroy();
  });

  test('a year is a deadline like any other, nonsense is not', async () => {
    member.answer = () => ({ response: PutResponse.create(), revision: 5 });
    for (const [timeout, status] of [
      ['8760H', '0'],
      ['99999999H', '0'],
      ['1x', '13'],
      ['0m', '4'],
    ]) {
      const session = http2.connect(`http://${address}`);
      const call = session.request({
        ':method': 'POST',
        ':path': KV.methods.put.path,
        'content-type': 'application/grpc+proto',
        'grpc-timeout': timeout,
      });
      call.end(Buffer.concat([Buffer.from([0, 0, 0, 0, 3, 10, 1]), key]));
      call.resume();
      const seen: Record<string, unknown> = {};
      call.on('response', (headers) => Object.assign(seen, headers));
      call.on('trailers', (headers) => Object.assign(seen, headers));
      await once(call, 'close');
      assert.equal(seen['grpc-status'], status, timeout);
      session.destroy();
    }
  });

  test('damaged requests', async () => {
    const ends = async (body: Buffer, encoding?: string) => {
      const session = http2.connect(`http://${address}`);
      const call = session.request({
        ':method': 'POST',
        ':path': KV.methods.put.path,
        'content-type': 'application/grpc',
        ...(encoding === undefined ? {} : { 'grpc-encoding': encoding }),
      });
      call.end(body);
      const [headers] = (await once(call, 'response')) as [http2.IncomingHttpHeaders];
      session.destroy();
      return `${headers['grpc-status']} ${headers['grpc-message']}`;
    };
    assert.match(await ends(Buffer.from([0, 0, 0, 0, 1, 0xff])), /^13 grpc: error unmarshalling/);
    assert.equal(await ends(Buffer.from([0, 0, 0, 0, 9, 1])), '13 unexpected EOF');
    assert.equal(await ends(Buffer.from([])), '13 no request message');
    assert.match(await ends(Buffer.from([1, 0, 0, 0, 0])), /^13 grpc: compressed flag set with/);
    assert.equal(
      await ends(Buffer.from([1, 0, 0, 0, 0]), 'gzip'),
      '12 grpc: Decompressor is not installed for grpc-encoding "gzip"',
    );
  });

  test('a request in many small pieces', async () => {
    member.proposed.length = 0;
    const message = PutRequest.encode(PutRequest.create({ key, value: Buffer.from('pieces') }));
    const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
    const session = http2.connect(`http://${address}`);
    const call = session.request({
      ':method': 'POST',
      ':path': KV.methods.put.path,
      'content-type': 'application/grpc',
    });
    for (const byte of frame) {
      call.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    call.end();
    const [headers] = (await once(call, 'response')) as [http2.IncomingHttpHeaders];
    assert.equal(headers[':status'], 200);
    session.destroy();
    const [request] = member.proposed;
    assert(request?.kind === 'put');
    assert.equal(Buffer.from(request.value.value).toString(), 'pieces');
  });

  test('HTTP/2 that is not gRPC', async () => {
    const session = http2.connect(`http://${address}`);
    const get = session.request({ ':path': '/health' });
    const [headers] = (await once(get, 'response')) as [http2.IncomingHttpHeaders];
    assert.equal(headers[':status'], 415);
    assert.equal(headers['grpc-message'], 'invalid gRPC request content-type ""');
    session.destroy();
  });

  test('pings in a row are a reason to hang up', async () => {
    const session = http2.connect(`http://${address}`);
    await once(session, 'connect');
    const goaway = once(session, 'goaway');
    session.on('error', () => {});
    for (let ping = 0; ping < 6; ping++) session.ping(() => {});
    const [code, , data] = (await goaway) as [number, number, Buffer];
    assert.equal(code, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    assert.equal(String(data), 'too_many_pings');
  });
});

suite('--grpc-keepalive flags', () => {
  const keepalive = { pingMsMin: 10, intervalMs: 100, timeoutMs: 200 };
  const tuned = { ...config, maintenance: { watchProgressNotifyMs: 60_000, keepalive } };

  test('a silent client is pinged, and dropped when it does not answer', async () => {
    const port = new FakeMember();
    const listener = await ClientListener.open({ port, logger: silentLogger }, tuned);
    const [host, tcpPort] = (listener.addresses[0] ?? '').split(':');
    const answering = http2.connect(`http://${listener.addresses[0]}`);
    await once(answering, 'ping');
    const mute = connect({ host: host ?? '', port: Number(tcpPort) });
    mute.on('error', () => {});
    mute.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    mute.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    mute.resume();
    await once(mute, 'close');
    assert.equal(answering.destroyed, false);
    await once(answering, 'ping');
    answering.destroy();
    await listener.stop();
  });

  test('a client with a call may ping as often as they say', async () => {
    const port = new FakeMember();
    const listener = await ClientListener.open({ port, logger: silentLogger }, tuned);
    const session = http2.connect(`http://${listener.addresses[0]}`);
    const call = session.request({
      ':method': 'POST',
      ':path': Watch.methods.watch.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    call.on('error', () => {});
    await once(session, 'remoteSettings');
    let isSentAway = false;
    session.on('goaway', () => {
      isSentAway = true;
    });
    for (let ping = 0; ping < 6; ping++) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      await new Promise((resolve) => session.ping(resolve));
    }
    assert.equal(isSentAway, false);
    session.destroy();
    await listener.stop();
  });
});

suite('clients that go away', () => {
  test('at any moment, with any code: the others are served', async () => {
    const port = new FakeMember();
    const serving = await ClientListener.open({ port, logger: silentLogger }, config);
    const soon = (): Promise<void> =>
      new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
    port.answer = async () => {
      await soon();
      return { response: PutResponse.create(), revision: 5 };
    };
    port.renewLease = async () => {
      await soon();
      return 1;
    };
    const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, 3, 10, 1]), key]);
    const paths = [
      KV.methods.put.path,
      Lease.methods.leaseKeepAlive.path,
      Watch.methods.watch.path,
    ];
    const goAway = async (session: http2.ClientHttp2Session, at: number) => {
      const call = session.request({
        ':method': 'POST',
        ':path': paths[at % paths.length],
        'content-type': 'application/grpc',
      });
      call.on('error', () => {});
      call.resume();
      call.write(frame);
      if (at % 2 === 0) call.end(frame);
      await soon();
      call.close([0, 8, 2, 5][at % 4]);
    };
    for (let round = 0; round < 5; round++) {
      const session = http2.connect(`http://${serving.addresses[0]}`);
      session.on('error', () => {});
      const calls = Array.from({ length: 60 }, (_, at) => goAway(session, at));
      await soon();
      if (round % 2 === 0) session.destroy();
      await Promise.allSettled(calls);
      session.destroy();
    }
    const other = new TestClient(serving.addresses[0] ?? '');
    await other.unary(KV.methods.put, PutRequest.create({ key }));
    other.close();
    await serving.stop();
  });
});

suite('streams', () => {
  const create = {
    requestUnion: { kind: 'createRequest' as const, value: WatchCreateRequest.create({ key }) },
  };

  test('requests and responses in both directions, until the client cancels', async () => {
    const stream = client.stream(Watch.methods.watch);
    const created = take(stream, 1);
    stream.write(create);
    assert.equal((await created)[0]?.created, true);
    const events = take(stream, 2);
    const opened = member.streams.at(-1);
    opened?.send({ watchId: 0n }, 8);
    opened?.send({ watchId: 0n }, 9);
    assert.deepEqual(
      (await events).map(({ header }) => header?.revision),
      [8, 9],
    );
    stream.cancel();
    while (opened?.calls.at(-1) !== 'close') await new Promise(setImmediate);
  });

  test('many requests at once are taken in turns with others', async () => {
    const stream = client.stream(Watch.methods.watch);
    stream.resume();
    stream.write({ requestUnion: { kind: 'progressRequest', value: {} } });
    await once(stream, 'data');
    const calls = member.streams.at(-1)?.calls ?? [];
    const count = 10_000;
    for (let at = 0; at < count; at++) {
      stream.write({ requestUnion: { kind: 'progressRequest', value: {} } });
    }
    let taken = calls.length;
    while (taken < count + 1) {
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(calls.length - taken <= 2 * streamRequestsPerTurnMax, `${calls.length - taken}`);
      taken = calls.length;
    }
    stream.cancel();
  });

  test('a client that has sent all goes on receiving', async () => {
    const stream = client.stream(Watch.methods.watch);
    const created = take(stream, 1);
    stream.write(create);
    await created;
    stream.end();
    const event = take(stream, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    member.streams.at(-1)?.send({ watchId: 0n });
    assert.equal((await event).length, 1);
    stream.cancel();
  });

  test('a client that does not read holds back the member, and lets it go on', async () => {
    const stream = client.stream(Watch.methods.watch);
    const created = take(stream, 1);
    stream.write(create);
    await created;
    stream.pause();
    const opened = member.streams.at(-1);
    const value = new Uint8Array(256 * 1024);
    const kv = { key, value, createRevision: 1, modRevision: 1, version: 1, lease: 0n };
    const event = { type: 0 as const, kv, prevKv: undefined };
    let sent = 1;
    while (opened?.send({ watchId: 0n, events: [event] }) === true) sent++;
    assert(sent < 20, String(sent));
    const got = take(stream, sent);
    stream.resume();
    await got;
    while (!opened?.calls.includes('drained')) await new Promise(setImmediate);
    stream.cancel();
  });

  test('what a service refuses at once ends the stream', async () => {
    member.raft.isLearner = true;
    const stream = client.stream(Watch.methods.watch);
    stream.resume();
    assert.equal(await ended(stream), '9 etcdserver: rpc not supported for learner');
    member.raft.isLearner = false;
  });

  test('keep-alives come in order and end when the client ends', async () => {
    const stream = client.stream(Lease.methods.leaseKeepAlive);
    const answers = take(stream, 100);
    for (let at = 0; at < 100; at++) stream.write({ ID: BigInt(at) });
    assert.deepEqual(
      (await answers).map(({ ID }) => Number(ID)),
      Array.from({ length: 100 }, (_, at) => at),
    );
    const end = ended(stream);
    stream.resume();
    stream.end();
    assert.equal(await end, '0 ');
  });

  test('an error in the middle ends the stream with its status', async () => {
    member.renewLease = () => Promise.reject(new EtcdError('NoLeader'));
    const stream = client.stream(Lease.methods.leaseKeepAlive);
    stream.resume();
    stream.write({ ID: 1n });
    assert.equal(await ended(stream), '14 etcdserver: no leader');
  });
});

suite('HTTP/1.1 on the same port', () => {
  test('probes, one after the other on one connection', async () => {
    const request = 'GET /health?serializable=true HTTP/1.1\r\nHost: x\r\n\r\n';
    const text = await raw(request + request, /"reason":""\}[\s\S]*"reason":""\}/);
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(text, /\r\n\r\n\{"health":"true","reason":""\}/);
  });

  test('other paths and methods', async () => {
    assert.match(await raw('GET / HTTP/1.1\r\nHost: x\r\n\r\n', /found\n/), /^HTTP\/1\.1 404 /);
    const post = 'POST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab';
    assert.match(await raw(post, /Allowed\n/), /^HTTP\/1\.1 405 [\s\S]*\r\nAllow: GET\r\n/);
  });

  test('a preface in pieces is still HTTP/2, what begins like it is not', async () => {
    const socket = connectTo();
    for (const byte of Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')) {
      socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    const [settings] = (await once(socket, 'data')) as [Buffer];
    assert.equal(settings[3], 4);
    socket.destroy();
    assert.match(await raw('PUT / HTTP/1.1\r\nHost: x\r\n\r\n', /found\n/), /404/);
  });
});

suite('opening and stopping', () => {
  test('an address in use is told, and nothing stays bound', async () => {
    const urls = { ...config, listenClientUrls: ['http://127.0.0.1:0', `http://${address}`] };
    await assert.rejects(
      ClientListener.open({ port: member, logger: silentLogger }, urls),
      (error) =>
        error instanceof ListenError &&
        /cannot listen for clients on .*EADDRINUSE/.test(error.message),
    );
  });

  test('stopping ends streams, answers what is under way and refuses the rest', async () => {
    const port = new FakeMember();
    const stopping = await ClientListener.open({ port, logger: silentLogger }, config);
    const other = new TestClient(stopping.addresses[0] ?? '');
    let release: () => void = () => {};
    port.read = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    const stream = other.stream(Watch.methods.watch);
    stream.resume();
    const streamEnd = ended(stream);
    const range = other.unary(KV.methods.range, RangeRequest.create({ key }));
    while (!port.calls.includes('linearizableRead')) await new Promise(setImmediate);
    const stopped = stopping.stop();
    assert.equal(await streamEnd, '14 etcdserver: server stopped');
    release();
    assert.equal((await range).header?.revision, 5);
    await stopped;
    assert.match(
      await outcome(other.unary(KV.methods.range, RangeRequest.create({ key }))),
      /^14 /,
    );
    other.close();
  });

  test('a connection that says what it is while we stop is dropped', async () => {
    const port = new FakeMember();
    const stopping = await ClientListener.open({ port, logger: silentLogger }, config);
    const [host, tcpPort] = (stopping.addresses[0] ?? '').split(':');
    port.read = () => new Promise((resolve) => setTimeout(resolve, 100));
    const other = new TestClient(stopping.addresses[0] ?? '');
    const range = other.unary(KV.methods.range, RangeRequest.create({ key }));
    const late = connect({ host: host ?? '', port: Number(tcpPort) });
    await once(late, 'connect');
    late.resume();
    while (!port.calls.includes('linearizableRead')) await new Promise(setImmediate);
    const stopped = stopping.stop();
    late.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    await once(late, 'close');
    await range;
    await stopped;
    other.close();
  });
});
