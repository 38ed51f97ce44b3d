import assert from 'node:assert/strict';
import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { Client } from '../../../server/client/client.ts';
import { oneKey } from '../../../server/client/keys.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { FakeMember } from '../api/fake-member.ts';

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function serve(url = 'http://127.0.0.1:0') {
  const member = new FakeMember();
  const config = { listenClientUrls: [url], requestBytesMax: 1_572_864, txnOpsMax: 128 };
  const listener = await ClientListener.open({ port: member, logger: silentLogger }, config);
  closers.push(() => listener.stop());
  return { member, listener, url: `http://${listener.addresses[0]}` };
}

/** HTTP/2 by hand: what a proxy, or a server in trouble, may answer. Its URL. */
async function serveHttp(
  answer: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => void server.close());
  const address = server.address();
  assert(address !== null && typeof address === 'object');
  return `http://127.0.0.1:${address.port}`;
}

function clientOf(urls: readonly string[]): Client {
  const client = new Client({ endpoints: urls, timeoutMs: 5_000 });
  closers.push(() => {
    client.close();
  });
  return client;
}

const reads = ({ member }: { member: FakeMember }) =>
  member.calls.filter((call) => call === 'range').length;

test('members are asked in turn', async () => {
  const servers = [await serve(), await serve(), await serve()];
  const client = clientOf(servers.map(({ url }) => url));
  // The first call to each connects, beside calls to those that are connected.
  for (let n = 0; n < 30; n++) {
    await client.range(oneKey('k'));
    if (n < 6) await sleep(20);
  }
  for (const server of servers) assert(reads(server) >= 8, servers.map(reads).join());
});

test('one that fails is left out, and comes back', async () => {
  const servers = [await serve(), await serve()];
  const [sick, well] = servers;
  assert(sick !== undefined && well !== undefined);
  const client = clientOf(servers.map(({ url }) => url));
  let asked = 0;
  sick.member.read = () => {
    asked++;
    return Promise.reject(new EtcdError('Timeout'));
  };
  const start = performance.now();
  for (let n = 0; n < 100; n++) await client.range(oneKey('k'));
  assert.equal(reads(well), 100);
  // Probes say that it serves, so it is tried now and then, ever less often.
  const mostAsked = 2 + Math.log2(1 + (performance.now() - start) / 50);
  assert(asked <= mostAsked, `${asked} calls`);
  sick.member.read = async () => {};
  while (reads(sick) < 5) {
    await client.range(oneKey('k'));
    await sleep(20);
  }
});

test('no call waits for one that is known to be down', async () => {
  const [first, second] = [await serve(), await serve()];
  const client = clientOf([first.url, second.url]);
  for (let n = 0; n < 4; n++) {
    await client.put('k', 'v');
    await sleep(20);
  }
  await first.listener.stop();
  // In flight or refused: at most one call meets it.
  await client.put('k', 'v', { mayRepeat: true });
  const before = second.member.proposed.length;
  for (let n = 0; n < 50; n++) await client.put('k', 'v');
  assert.equal(second.member.proposed.length - before, 50);
  const again = await serve(first.url);
  while (again.member.proposed.length < 5) {
    await client.put('k', 'v');
    await sleep(20);
  }
});

test('the list of endpoints follows the cluster', async () => {
  const [first, second] = [await serve(), await serve()];
  const member = first.member.memberList[0];
  assert(member !== undefined);
  first.member.memberList = [{ ...member, clientUrls: [second.url] }];
  const client = clientOf([first.url]);
  assert.deepEqual(await client.syncEndpoints(), [second.url]);
  await client.put('k', 'v');
  assert.equal(second.member.proposed.length, 1);
  assert.equal(first.member.proposed.length, 0);
});

test('a write that a server refuses to begin goes to the next one', async () => {
  const well = await serve();
  let refused = 0;
  const refusing = await serveHttp((request) => {
    refused++;
    request.stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
  await clientOf([refusing, well.url]).put('k', 'v');
  assert(refused > 0);
  assert.equal(well.member.proposed.length, 1);
});

// Seen with a Service that had no endpoints: its address led to a proxy, which answered everything with 404.
test('a connection that leads to no store is given up, and the write sent on another', async () => {
  const store = await serve();
  const noStore = await serveHttp((_request, response) => {
    response.writeHead(404).end();
    service.target = store.url;
  });
  const service = await TcpProxy.open(noStore);
  closers.push(() => service.close());
  await clientOf([service.url]).put('k', 'v');
  assert.equal(store.member.proposed.length, 1);
});

test('who answers with a server error of HTTP may have written all the same', async () => {
  const failing = await serveHttp((_request, response) => {
    response.writeHead(504).end();
  });
  const writing = clientOf([failing]).put('k', 'v');
  await assert.rejects(writing, { isUncertain: true, text: /HTTP status 504/ });
});
