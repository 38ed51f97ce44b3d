import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { servicesOf } from '../../../server/api/services.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import {
  KV,
  Lease,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  Watch,
} from '../../../server/proto/gen/rpc.ts';
import { GrpcServer } from '../../../server/transport/grpc.ts';
import { ErrorCode, Flag } from '../../../server/transport/http2/frames.ts';
import { needs, toolPath } from '../../support/tools.ts';
import { FakeMember } from '../api/fake-member.ts';
import { TestClient, take } from './grpc-client.ts';
import { block, frame, RawClient, request } from './http2/raw-client.ts';

const { END_STREAM, END_HEADERS } = Flag;
const messageBytesMax = 2_097_152;
const key = Buffer.from('k');

function grpcOf(port: FakeMember): GrpcServer {
  const services = servicesOf(port, { txnOpsMax: 128, messageBytesMax });
  return new GrpcServer({ services, logger: silentLogger }, { messageBytesMax });
}

interface Listening {
  readonly member: FakeMember;
  readonly grpc: GrpcServer;
  readonly port: number;
}

async function listen(secrets?: { key: Buffer; cert: Buffer }): Promise<Listening> {
  const member = new FakeMember();
  const grpc = grpcOf(member);
  const server: Server | TlsServer =
    secrets === undefined
      ? createServer((socket) => grpc.accept(socket))
      : createTlsServer({ ...secrets, ALPNProtocols: ['h2'] }, (socket) => grpc.accept(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    server.close();
    await grpc.stop(1000);
  };
  opened.push(close);
  return { member, grpc, port: (server.address() as AddressInfo).port };
}

/** How to close what tests have opened. */
const opened: Array<() => Promise<void>> = [];
let listening: Listening;

before(async () => {
  listening = await listen();
});

after(async () => {
  for (const close of opened) await close();
});

function headers(streamId: number, path: string, ...more: Array<[string, string]>): Buffer {
  const payload = request(path, ['content-type', 'application/grpc'], ...more);
  return frame('HEADERS', END_HEADERS, streamId, payload);
}

function message(bytes: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

const put = message(PutRequest.encode(PutRequest.create({ key, value: key })));

/** The fields of the HEADERS that end a stream. */
/** A server and a client whose read, on stream 1, is under way and takes 100 ms. */
async function readUnderWay(): Promise<{ grpc: GrpcServer; client: RawClient }> {
  const { member, grpc, port } = await listen();
  member.read = () => new Promise((resolve) => setTimeout(resolve, 100));
  const client = RawClient.begin(port);
  const range = message(RangeRequest.encode(RangeRequest.create({ key })));
  client.send(headers(1, KV.methods.range.path), frame('DATA', END_STREAM, 1, range));
  await client.verdict();
  return { grpc, client };
}

async function end(client: RawClient, streamId: number): Promise<Record<string, string>> {
  for (;;) {
    const next = await client.nextOf('HEADERS');
    if (next === undefined) return {};
    const fields = Object.fromEntries(next.fields);
    if (next.streamId === streamId && (next.flags & END_STREAM) !== 0) return fields;
  }
}

suite('gRPC over our HTTP/2', () => {
  test('the answer to a put: three frames in one packet', async () => {
    const client = RawClient.begin(listening.port);
    await client.verdict();
    let packets = 0;
    client.socket.on('data', () => packets++);
    client.send(headers(1, KV.methods.put.path), frame('DATA', END_STREAM, 1, put));
    const fields = await end(client, 1);
    assert.deepEqual(fields, { 'grpc-status': '0' });
    assert.equal(packets, 1);
    client.close();
  });

  test('many calls of one packet are answered in one', async () => {
    const client = RawClient.begin(listening.port);
    await client.verdict();
    let packets = 0;
    client.socket.on('data', () => packets++);
    const calls = Array.from({ length: 50 }, (_, at) => [
      headers(2 * at + 1, KV.methods.put.path),
      frame('DATA', END_STREAM, 2 * at + 1, put),
    ]);
    client.send(...calls.flat());
    await end(client, 99);
    assert(packets <= 3, String(packets));
    client.close();
  });

  test('an error is headers and trailers in one', async () => {
    const client = RawClient.begin(listening.port);
    client.send(headers(1, '/a.B/C%'), frame('DATA', END_STREAM, 1, put));
    assert.deepEqual(await end(client, 1), {
      ':status': '200',
      'content-type': 'application/grpc',
      'grpc-status': '12',
      'grpc-message': 'unknown service a.B',
    });
    client.close();
  });

  test('what is HTTP/2 but not gRPC', async () => {
    const answers: Array<[Buffer, Record<string, string>]> = [
      [
        block([
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', '/x'],
          ['content-type', 'a/b'],
        ]),
        {
          ':status': '415',
          'grpc-status': '3',
          'grpc-message': 'invalid gRPC request content-type "a/b"',
        },
      ],
      [
        block([
          [':method', 'PUT'],
          [':scheme', 'http'],
          [':path', '/x'],
          ['content-type', 'application/grpc;q'],
        ]),
        {
          ':status': '405',
          'grpc-status': '13',
          'grpc-message': 'Received a HEADERS frame with :method "PUT" which should be POST',
        },
      ],
    ];
    for (const [payload, fields] of answers) {
      const client = RawClient.begin(listening.port);
      client.send(frame('HEADERS', END_HEADERS | END_STREAM, 1, payload));
      assert.deepEqual(await end(client, 1), { 'content-type': 'application/grpc', ...fields });
      client.close();
    }
  });

  test('who goes on sending after the end of a call is made to stop', async () => {
    const client = RawClient.begin(listening.port);
    client.send(headers(1, '/a.B/C'), headers(3, KV.methods.put.path, ['grpc-timeout', '1n']));
    await end(client, 1);
    await end(client, 3);
    client.send(frame('DATA', 0, 1, put), frame('DATA', 0, 3, put));
    for (const streamId of [1, 3]) {
      const reset = await client.nextOf('RST_STREAM');
      assert.equal(reset?.streamId, streamId);
      assert.equal(reset.payload.readUInt32BE(0), 0);
    }
    client.send(frame('DATA', 0, 1, put), frame('DATA', 0, 3, put));
    assert.equal(await client.verdict(), 'fine');
    client.close();
  });

  test('a reset frees a stream, but not the service that works for it', async () => {
    const { member, port } = await listen();
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    member.answer = async () => {
      await held;
      return { response: PutResponse.create(), revision: 5 };
    };
    const client = RawClient.begin(port);
    const calls = (from: number, count: number, isReset: boolean): void => {
      for (let at = from; at < from + count; at++) {
        const streamId = 2 * at + 1;
        client.send(
          headers(streamId, KV.methods.put.path),
          frame('DATA', END_STREAM, streamId, put),
        );
        if (isReset) client.send(frame('RST_STREAM', 0, streamId, Buffer.from([0, 0, 0, 8])));
      }
    };
    calls(0, 1000, true);
    calls(1000, 1, false);
    assert.equal(await client.verdict(), 'RST_STREAM 2001 REFUSED_STREAM');
    assert.equal(member.proposed.length, 1000);
    release();
    await new Promise(setImmediate);
    calls(1001, 1, false);
    assert.deepEqual(await end(client, 2003), { 'grpc-status': '0' });
    client.close();
  });

  test('requests that come in parts are kept up to a limit, then calls are refused', async () => {
    const { member, port } = await listen();
    const client = RawClient.begin(port);
    const value = new Uint8Array(2_000_000);
    const large = message(PutRequest.encode(PutRequest.create({ key, value })));
    const parts = Math.ceil(large.length / 16_384);
    const count = 40;
    const send = (from: number, to: number): void => {
      for (let streamId = 1; streamId < 2 * count; streamId += 2) {
        if (from === 0) client.send(headers(streamId, KV.methods.put.path));
        for (let part = from; part < to; part++) {
          const flags = part === parts - 1 ? END_STREAM : 0;
          const bytes = large.subarray(part * 16_384, (part + 1) * 16_384);
          client.send(frame('DATA', flags, streamId, bytes));
        }
      }
    };
    // All but the last frame of each; our windows allow so much as they are given back.
    send(0, 60);
    await client.verdict();
    send(60, parts - 1);
    await client.verdict();
    send(parts - 1, parts);
    while (client.ends.size < count && (await client.next()) !== undefined);
    const codes = [...client.ends.values()].map((fields) => {
      return `${fields['grpc-status']} ${fields['grpc-message'] ?? ''}`;
    });
    const refused = codes.filter((each) => each === '2 etcdserver: too many requests').length;
    const answered = codes.filter((each) => each === '0 ').length;
    assert.equal(refused + answered, count, codes.join('; '));
    assert(refused > 0 && answered >= 20, `${refused} refused`);
    assert.equal(member.proposed.length, answered);
    client.close();
  });

  test('a busy service gets its next message when it is done', async () => {
    const { member, port } = await listen();
    const releases: Array<() => void> = [];
    member.renewLease = () => new Promise((resolve) => releases.push(() => resolve(1)));
    const client = new TestClient(`127.0.0.1:${port}`);
    const stream = client.stream(Lease.methods.leaseKeepAlive);
    const answers = take(stream, 300);
    for (let at = 0; at < 300; at++) stream.write({ ID: BigInt(at) });
    for (let released = 0; released < 300; ) {
      const release = releases.shift();
      if (release === undefined) {
        await new Promise(setImmediate);
        continue;
      }
      assert.equal(releases.length, 0, 'one at a time');
      release();
      released++;
    }
    assert.deepEqual(
      (await answers).map(({ ID }) => Number(ID)),
      Array.from({ length: 300 }, (_, at) => at),
    );
    client.close();
  });

  test('a stream that is opened while we stop ends at once', async () => {
    const { grpc, client } = await readUnderWay();
    const stopped = grpc.stop(2000);
    client.send(headers(3, Watch.methods.watch.path));
    const fields = await end(client, 3);
    assert.equal(fields['grpc-message'], 'etcdserver: server stopped');
    assert.deepEqual(await end(client, 1), { 'grpc-status': '0' });
    client.close();
    await stopped;
  });

  test('a call that is begun while we stop and refuse calls is told to be made elsewhere', async () => {
    const { grpc, client } = await readUnderWay();
    grpc.refuseCalls();
    const stopped = grpc.stop(2000);
    client.send(headers(3, KV.methods.put.path), frame('DATA', END_STREAM, 3, put));
    const reset = await client.nextOf('RST_STREAM');
    assert.equal(reset?.streamId, 3);
    assert.equal(reset.payload.readUInt32BE(0), ErrorCode.REFUSED_STREAM);
    assert.deepEqual(await end(client, 1), { 'grpc-status': '0' });
    client.close();
    await stopped;
  });

  test('stopping does not wait longer than it may', async () => {
    const { member, grpc, port } = await listen();
    member.answer = () => new Promise(() => {});
    const client = RawClient.begin(port);
    client.send(headers(1, KV.methods.put.path), frame('DATA', END_STREAM, 1, put));
    await client.verdict();
    const begunMs = performance.now();
    await grpc.stop(150);
    const tookMs = performance.now() - begunMs;
    assert(tookMs >= 149 && tookMs < 3000, String(tookMs));
    while ((await client.next()) !== undefined);
  });
});

suite('gRPC over TLS', () => {
  test('calls, streams and large responses', needs('openssl'), async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mainstay-tls-'));
    const [keyFile, certFile] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-days', '2', '-nodes', '-keyout', keyFile];
    const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    execFileSync(toolPath('openssl'), [...kind, ...subject, '-out', certFile], { stdio: 'ignore' });
    const secure = await listen({ key: readFileSync(keyFile), cert: readFileSync(certFile) });
    rmSync(directory, { recursive: true });
    const value = new Uint8Array(3_000_000);
    const kv = { key, value, createRevision: 1, modRevision: 1, version: 1, lease: 0n };
    secure.member.range = () => RangeResponse.create({ kvs: [kv], count: 1 });
    const session = http2.connect(`https://127.0.0.1:${secure.port}`, {
      rejectUnauthorized: false,
    });
    const call = async (path: string, body: Buffer): Promise<[number, string | undefined]> => {
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
      });
      let [bytes, status]: [number, string | undefined] = [0, undefined];
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      stream.on('trailers', (fields) => {
        status = String(fields['grpc-status']);
      });
      stream.end(body);
      await new Promise((resolve) => stream.on('close', resolve));
      return [bytes, status];
    };
    const range = message(RangeRequest.encode(RangeRequest.create({ key })));
    const puts = Array.from({ length: 200 }, () => call(KV.methods.put.path, put));
    const [bytes, status] = await call(KV.methods.range.path, range);
    assert(bytes > 3_000_000);
    assert.equal(status, '0');
    for (const [, each] of await Promise.all(puts)) assert.equal(each, '0');
    session.close();
  });
});
