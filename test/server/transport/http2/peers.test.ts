import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import http2 from 'node:http2';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { needs, toolPath } from '../../../support/tools.ts';
import { isWhole } from '../../../support/whole.ts';
import { TestServer } from './test-server.ts';

// Our end of HTTP/2 against implementations that are not ours, with everything about them random. MAINSTAY_FULL=1 runs
// more rounds.

const rounds = isWhole ? 60 : 6;

let server: TestServer;

before(async () => {
  server = await TestServer.open();
});

after(() => {
  server.close();
});

function below(limit: number): number {
  return Math.floor(Math.random() * limit);
}

function oneOf<T>(...choices: readonly T[]): T {
  return choices[below(choices.length)] as T;
}

/** Mostly small, sometimes many frames. */
function size(): number {
  return below(oneOf(2, 100, 20_000, 300_000));
}

/** Latin-1 that may stand in a field's value; some of it is short in the Huffman code, some long. */
function value(): string {
  const characters = oneOf('abcdefghij0123456789-', '!"#$%&/()=?{[]}~<>|^', '\x80\xe9\xff');
  return Array.from({ length: below(60) }, () => characters[below(characters.length)]).join('');
}

interface Answer {
  readonly body: Buffer;
  readonly trailers: http2.IncomingHttpHeaders;
}

function answer(stream: http2.ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('error', reject);
    stream.on('end', () => {
      resolve({ body: Buffer.concat(chunks), trailers });
    });
  });
}

async function callOnce(session: http2.ClientHttp2Session): Promise<void> {
  const body = randomBytes(size());
  const asked = size();
  const path = oneOf('/echo', '/pipe', `/bytes/${asked}`);
  const fields = Object.fromEntries(
    Array.from({ length: below(5) }, () => [`x-${below(12)}`, value()]),
  );
  const stream = session.request({ ':method': 'POST', ':path': path, ...fields });
  const answered = answer(stream);
  answered.catch(() => {});
  for (let at = 0; at < body.length; ) {
    const part = 1 + below(oneOf(10_000, 200_000));
    stream.write(body.subarray(at, at + part));
    at += part;
    if (below(3) === 0) await new Promise(setImmediate);
  }
  stream.end();
  const { body: got, trailers } = await answered;
  const expected = path.startsWith('/bytes') ? Buffer.alloc(asked, 'b') : body;
  assert(got.equals(expected), `${path}: ${got.length} of ${expected.length} bytes`);
  assert.equal(trailers['end'], 'yes');
}

async function resetOnce(session: http2.ClientHttp2Session): Promise<void> {
  const path = oneOf('/echo', '/pipe', '/hold', '/bytes/200000');
  const stream = session.request({ ':method': 'POST', ':path': path });
  stream.on('error', () => {});
  stream.write(randomBytes(size()));
  if (below(2) === 0) stream.end();
  if (below(2) === 0) stream.resume();
  if (below(3) > 0) await new Promise((resolve) => setTimeout(resolve, below(4)));
  stream.close(oneOf(0, 2, 5, 8));
}

suite("node:http2's client", () => {
  test('bodies, fields, windows, tables and resets of any kind', async () => {
    for (let round = 0; round < rounds; round++) {
      const session = http2.connect(`http://127.0.0.1:${server.port}`, {
        settings: {
          initialWindowSize: oneOf(1, 1000, 65_535, 1_000_000),
          headerTableSize: oneOf(0, 50, 100, 4096, 65_536),
          maxFrameSize: oneOf(16_384, 100_000),
        },
      });
      session.on('error', (error) => assert.fail(error));
      const calls = Array.from({ length: 60 }, () =>
        below(4) === 0 ? resetOnce(session) : callOnce(session),
      );
      session.settings({
        initialWindowSize: oneOf(500, 65_535, 300_000),
        headerTableSize: oneOf(0, 60, 4096),
      });
      await Promise.all(calls);
      await callOnce(session);
      session.close();
    }
  });

  test('fields are what they were', async () => {
    const session = http2.connect(`http://127.0.0.1:${server.port}`);
    for (let round = 0; round < 50; round++) {
      const fields = Object.fromEntries(
        Array.from({ length: 1 + below(20) }, (_, at) => [`x-${at % 7}-${below(30)}`, value()]),
      );
      const stream = session.request({ ':method': 'POST', ':path': '/', ...fields });
      stream.end();
      await answer(stream);
      const headers = server.lastCall?.headers;
      for (const [name, sent] of Object.entries(fields)) assert.equal(headers?.get(name), sent);
    }
    session.close();
  });

  test('a session that goes away in the middle, again and again', async () => {
    for (let round = 0; round < rounds * 3; round++) {
      const session = http2.connect(`http://127.0.0.1:${server.port}`);
      session.on('error', () => {});
      const calls = Array.from({ length: 20 }, () => callOnce(session));
      setTimeout(() => session.destroy(), below(20));
      await Promise.allSettled(calls);
    }
    while (!server.calls.every(({ isClosed }) => isClosed)) await new Promise(setImmediate);
  });
});

suite("nghttp2's h2load", () => {
  const run = promisify(execFile);
  const body = new URL(import.meta.url).pathname;

  test('every request is answered, whatever the windows and tables', needs('h2load'), async () => {
    for (const flags of [
      '-c 10 -m 50 -n 5000',
      '-c 3 -m 100 -n 1000 -w 10 -W 12',
      '-c 2 -m 10 -n 500 --header-table-size=0 --encoder-header-table-size=0',
      '-c 5 -m 7 -n 500 -w 30 -W 30',
    ]) {
      const url = `http://127.0.0.1:${server.port}${oneOf('/echo', '/pipe')}`;
      const { stdout } = await run(toolPath('h2load'), [...flags.split(' '), '-d', body, url]);
      const count = /-n (\d+)/.exec(flags)?.[1];
      assert.match(
        stdout,
        new RegExp(`${count} succeeded, 0 failed, 0 errored, 0 timeout`),
        stdout,
      );
      assert.match(stdout, new RegExp(`status codes: ${count} 2xx`), stdout);
    }
  });
});
