import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { KubeObject } from '../../../operator/api/objects.ts';
import { systemClock } from '../../../operator/kube/clock.ts';
import { Reflector } from '../../../operator/kube/reflector.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { type Exchange, fakeApiServer, sendJson } from '../support/fake-api-server.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const random = { uint32: () => 0 };

/** Answers one request after the other as the script says, then lets the reflector hang; tells what it asked and saw. */
async function reflect(script: readonly ((exchange: Exchange) => void)[], options: object = {}) {
  const asked: string[] = [];
  const seen: string[] = [];
  const ended = new AbortController();
  const server = await fakeApiServer((exchange) => {
    const { query } = exchange;
    asked.push(query.has('watch') ? `watch from ${query.get('resourceVersion')}` : 'list');
    const step = script[asked.length - 1];
    if (step === undefined) ended.abort();
    else step(exchange);
  });
  const reflector = new Reflector<KubeObject>(
    { kube: server.kube, clock: systemClock, random, logger: silentLogger },
    {
      path: '/things',
      query: {},
      backoffMs: 2,
      onChange: ({ metadata }, previous) => {
        const was = previous === undefined ? 'new' : `was ${previous.resourceVersion}`;
        seen.push(`${metadata.name} ${metadata.resourceVersion} ${was}`);
      },
      ...options,
    },
  );
  await reflector.run(ended.signal);
  await server.close();
  return { asked, seen };
}

function list(version: number, ...items: readonly [string, number][]) {
  return ({ response }: Exchange) =>
    sendJson(response, 200, {
      metadata: { resourceVersion: String(version) },
      items: items.map(([name, at]) => thing(name, at)),
    });
}

function events(...lines: readonly [string, string, number][]) {
  return ({ response }: Exchange) => {
    response.writeHead(200);
    for (const [type, name, version] of lines) {
      response.write(`${JSON.stringify({ type, object: thing(name, version) })}\n`);
    }
    response.end();
  };
}

function thing(name: string, version: number) {
  return { kind: 'Thing', metadata: { name, resourceVersion: String(version) } };
}

test('lists, then watches from where the list ended, and goes on from the last event', async () => {
  const { asked, seen } = await reflect([
    list(5, ['a', 3]),
    events(['MODIFIED', 'a', 6], ['ADDED', 'b', 7], ['DELETED', 'a', 8]),
    events(),
  ]);
  assert.deepEqual(asked, ['list', 'watch from 5', 'watch from 8', 'watch from 8']);
  assert.deepEqual(seen, ['a 3 new', 'a 6 was 3', 'b 7 new', 'a 8 was 6']);
});

test('a bookmark moves the place to go on from, and is no change', async () => {
  const { asked, seen } = await reflect([list(5), events(['BOOKMARK', '', 90])]);
  assert.deepEqual(asked, ['list', 'watch from 5', 'watch from 90']);
  assert.deepEqual(seen, []);
});

test('410 inside a watch: lists again, and tells what has gone meanwhile', async () => {
  const gone = ({ response }: Exchange) => {
    response.writeHead(200);
    response.end('{"type":"ERROR","object":{"code":410,"message":"too old"}}\n');
  };
  const { asked, seen } = await reflect([list(5, ['a', 3], ['b', 4]), gone, list(9, ['b', 7])]);
  assert.deepEqual(asked, ['list', 'watch from 5', 'list', 'watch from 9']);
  assert.deepEqual(seen, ['a 3 new', 'b 4 new', 'b 7 was 4', 'a 3 was 3']);
});

test('410 as the answer, a refused list, a dropped connection, a broken line: it starts again', async () => {
  const { asked } = await reflect([
    list(5),
    ({ response }) => sendJson(response, 410, { reason: 'Expired' }),
    ({ response }) => sendJson(response, 500, { message: 'no' }),
    ({ response }) => void response.destroy(),
    list(6),
    ({ response }) => {
      response.writeHead(200);
      response.write('{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}\n');
      setTimeout(() => response.destroy(), 20);
    },
    list(8),
    ({ response }) => void response.writeHead(200).end('no json\n'),
    list(9),
  ]);
  const expected = ['list', 'watch from 5', 'list', 'list', 'list', 'watch from 6'];
  assert.deepEqual(asked, [...expected, 'list', 'watch from 8', 'list', 'watch from 9']);
});

test('a long list comes in pages', async () => {
  const tokens: (string | null)[] = [];
  const page = (next: string, name: string) => {
    return ({ query, response }: Exchange) => {
      tokens.push(query.get('continue'));
      const metadata = { resourceVersion: '5', continue: next };
      sendJson(response, 200, { metadata, items: [thing(name, 1)] });
    };
  };
  const { asked, seen } = await reflect([page('more', 'a'), page('', 'b')]);
  assert.deepEqual(tokens, [null, 'more']);
  assert.deepEqual(asked, ['list', 'list', 'watch from 5']);
  assert.deepEqual(seen, ['a 1 new', 'b 1 new']);
});

test('everything is listed again after a while, changed or not', async () => {
  const { asked, seen } = await reflect([list(5, ['a', 3]), events(), list(5, ['a', 3])], {
    resyncMs: 0,
  });
  assert.deepEqual(asked, ['list', 'watch from 5', 'list', 'watch from 5']);
  assert.deepEqual(seen, ['a 3 new', 'a 3 was 3']);
});

test('one that begins nothing any more is stuck, one whose requests fail is not', async () => {
  const clock = new VirtualClock();
  const modules = { clock, random, logger: silentLogger };
  const options = { path: '/things', query: {}, onChange() {} };
  const stop = new AbortController();
  const failing = new FakeKube();
  failing.list = () => Promise.reject(new Error('the API server is away'));
  const hanging = new FakeKube();
  hanging.list = () => new Promise(() => {});
  const watch = () => assert.fail('nothing was listed');
  const [a, b] = [failing, hanging].map((kube) => {
    const reflector = new Reflector<KubeObject>(
      { ...modules, kube: Object.assign(kube, { watch }) },
      options,
    );
    void reflector.run(stop.signal);
    return reflector;
  });
  await clock.advance(300_000);
  assert.deepEqual([a?.isStuck(), b?.isStuck()], [false, false]);
  await clock.advance(300_000);
  assert.deepEqual([a?.isStuck(), b?.isStuck()], [false, true]);
  assert.ok((a?.failureCount ?? 0) > 10);
  assert.equal(a?.listedAtMs, undefined);
  stop.abort();
});

test('a watch that hangs is cut off in time, whatever the garbage collector takes', async () => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const clock = new VirtualClock();
  const stop = new AbortController();
  const kube = new FakeKube();
  let watches = 0;
  let cutOffs = 0;
  const reflector = new Reflector<KubeObject>(
    {
      // The signal is held by nobody but whoever makes it.
      kube: Object.assign(kube, {
        watch(_path: string, _query: unknown, signal: AbortSignal) {
          watches++;
          const { promise, end } = ending();
          signal.addEventListener('abort', () => {
            cutOffs++;
            end();
          });
          return endingWith(promise);
        },
      }),
      clock,
      random,
      logger: silentLogger,
    },
    { path: '/api/v1/pods', query: {}, onChange() {}, watchSeconds: 240 },
  );
  const running = reflector.run(stop.signal);
  for (let minute = 0; minute < 5; minute++) {
    assert.deepEqual([watches, cutOffs], [minute === 0 ? 0 : 1, 0]);
    await clock.advance(minute === 4 ? 14_000 : 60_000);
    collect();
  }
  await clock.advance(2_000);
  assert.deepEqual([watches, cutOffs], [2, 1]);
  collect();
  stop.abort();
  await running;
  assert.equal(cutOffs, 2);
});

function ending(): { promise: Promise<void>; end: () => void } {
  let end = () => {};
  const promise = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { promise, end };
}

async function* endingWith(promise: Promise<void>): AsyncGenerator<never, void, void> {
  await promise;
  yield* [];
}
