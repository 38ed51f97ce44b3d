import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { remoteAddressOf } from '../../../server/transport/remote-address.ts';

test('a client is told by its address, on a socket of this machine by that', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-test-remote-'));
  try {
    const path = join(directory, 'socket');
    const server = createServer().listen(path);
    await once(server, 'listening');
    const client = connect(path);
    const [accepted] = (await once(server, 'connection')) as [Socket];
    assert.equal(remoteAddressOf(accepted), 'unix');
    client.destroy();
    server.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
  assert.equal(remoteAddressOf({ remoteAddress: '10.0.0.7', remotePort: 5 }), '10.0.0.7:5');
});
