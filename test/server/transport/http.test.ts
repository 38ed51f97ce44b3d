import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { silentLogger } from '../../../server/base/logger.ts';
import { headersMsMax, pipelinedRequestsMax } from '../../../server/config/limits.ts';
import { HttpServer } from '../../../server/transport/http.ts';
import { FakeMember } from '../api/fake-member.ts';

test('a request that was sent behind another is not taken for one whose headers are late', async (context) => {
  const member = new FakeMember();
  let goOn = (): void => {};
  member.linearizableRead = () =>
    new Promise((resolve) => {
      goOn = resolve;
    });
  const http = new HttpServer({ port: member, logger: silentLogger });
  const listener = createServer((socket) => http.accept(socket)).listen(0, '127.0.0.1');
  context.after(() => listener.close());
  await once(listener, 'listening');
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const client = connect((listener.address() as AddressInfo).port, '127.0.0.1').setEncoding('utf8');
  client.write('GET /version HTTP/1.1\r\nhost: a\r\n\r\nGET /health HTTP/1.1\r\nhost: a\r\n\r\n');
  let text = '';
  client.on('data', (chunk: string) => {
    text += chunk;
  });
  while (!text.includes('etcdserver')) await once(client, 'data');
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  context.mock.timers.tick(10 * headersMsMax);
  goOn();
  while (!text.includes('"health":"true"')) await Promise.race([once(client, 'data'), closed()]);
  client.destroy();

  async function closed(): Promise<never> {
    await once(client, 'close');
    throw new Error('the connection was closed');
  }
});

test('a client that sends more requests one behind another than it gets answers is dropped', async (context) => {
  const member = new FakeMember();
  let asked = 0;
  member.linearizableRead = () => {
    asked++;
    return new Promise(() => {});
  };
  const http = new HttpServer({ port: member, logger: silentLogger });
  const listener = createServer((socket) => http.accept(socket)).listen(0, '127.0.0.1');
  context.after(() => listener.close());
  await once(listener, 'listening');
  const client = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => {});
  client.write('GET /health HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(2 * pipelinedRequestsMax));
  await new Promise((resolve) => client.once('close', resolve));
  assert.equal(asked, pipelinedRequestsMax);
});
