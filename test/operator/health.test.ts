import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { serveHealth } from '../../operator/health.ts';

test('livez says what has stopped, readyz whether all is seen, metrics their text', async () => {
  let isReady = false;
  let stuck: string | undefined;
  const server = await serveHealth(0, {
    isReady: () => isReady,
    stuck: () => stuck,
    metrics: () => 'a 1\n',
  });
  const { port } = server.address() as AddressInfo;
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return [response.status, await response.text()];
  };
  try {
    assert.deepEqual(await get('/livez'), [200, 'ok\n']);
    stuck = 'the watch of Pod objects has stopped';
    assert.deepEqual(await get('/livez'), [503, 'the watch of Pod objects has stopped\n']);
    assert.deepEqual(await get('/readyz'), [503, 'not ready\n']);
    isReady = true;
    assert.deepEqual(await get('/readyz?verbose'), [200, 'ok\n']);
    assert.deepEqual(await get('/metrics'), [200, 'a 1\n']);
    assert.equal((await get('/debug'))[0], 404);
    await assert.rejects(
      serveHealth(port, { isReady: () => true, stuck: () => undefined, metrics: () => '' }),
      new RegExp(`^Error: health and metrics cannot be served on port ${port}: .*EADDRINUSE`),
    );
  } finally {
    server.close();
  }
});
