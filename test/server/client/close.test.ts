import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLogger } from '../../../server/base/logger.ts';
import { Client } from '../../../server/client/client.ts';
import { keysUnder } from '../../../server/client/keys.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { FakeMember } from '../api/fake-member.ts';

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function serve(): Promise<{ member: FakeMember; url: string }> {
  const member = new FakeMember();
  const listenClientUrls = ['http://127.0.0.1:0'];
  const config = { listenClientUrls, requestBytesMax: 1_572_864, txnOpsMax: 128 };
  const listener = await ClientListener.open({ port: member, logger: silentLogger }, config);
  closers.push(() => listener.stop());
  return { member, url: `http://${listener.addresses[0]}` };
}

/** A program that has everything open when it closes its client, and must end by itself then. */
const program = `
  const { Client, keysUnder } = await import(process.env.PACKAGE);
  const client = new Client({ endpoints: [process.env.URL, process.env.SILENT], timeoutMs: 60_000 });
  await client.put('k', 'v');
  const session = await client.session();
  const watch = client.watch(keysUnder(''));
  await watch.started();
  const reading = (async () => { for await (const batch of watch); })();
  const unread = client.watch(keysUnder(''), { signal: new AbortController().signal });
  await unread.started();
  const hanging = [1, 2, 3, 4].map(() => client.get('hangs').catch((error) => error.text));
  await new Promise((resolve) => setTimeout(resolve, 200));
  client.close();
  await reading;
  console.log((await Promise.all(hanging)).join());
  console.log(await client.get('k').catch((error) => error.text));
`;

test('a program ends when it has closed its client', { timeout: 60_000 }, async () => {
  const { member, url } = await serve();
  member.read = () => new Promise(() => {});
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  closers.push(() => void silent.close());
  const address = silent.address();
  assert(address !== null && typeof address === 'object');
  const entry = new URL('../../../server/client/public.js', import.meta.url).href;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, PACKAGE: entry, URL: url, SILENT: `127.0.0.1:${address.port}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  closers.push(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(30_000) });
  assert.equal(code, 0);
  const closed = 'the client is closed';
  assert.equal(output, `${Array.from({ length: 4 }, () => closed).join()}\n${closed}\n`);
});

test('a long watch does not grow', { timeout: 60_000 }, async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { member, url } = await serve();
  const client = new Client({ endpoints: [url] });
  closers.push(() => {
    client.close();
  });
  const watch = client.watch(keysUnder(''));
  await watch.started();
  const [stream] = member.streams;
  assert(stream !== undefined);
  const batches = watch[Symbol.asyncIterator]();
  const value = Buffer.alloc(1_000, 'x');
  let revision = 6;
  const follow = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const kv = KeyValue.create({ key: Buffer.from('k'), value, modRevision: ++revision });
      stream.send({ watchId: 0n, events: [{ type: 0, kv, prevKv: undefined }] }, revision);
      if (n % 50 === 49) {
        for (let seen = 0; seen < 50; seen++) {
          const { value: batch } = await batches.next();
          assert(batch !== undefined);
        }
      }
    }
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = await follow(2_000);
  const after = await follow(20_000);
  const grown = after - before;
  assert(grown < 3_000_000, `${grown} bytes for 20,000 events of 1,000 bytes`);
  await batches.return();
});

test('calls with one signal leave nothing on it', async () => {
  const { url } = await serve();
  const client = new Client({ endpoints: [url] });
  closers.push(() => {
    client.close();
  });
  const { signal } = new AbortController();
  let [added, removed] = [0, 0];
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    added++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    removed++;
    removeEventListener.apply(signal, args);
  };
  await Promise.all(Array.from({ length: 40 }, () => client.put('k', 'v', { signal })));
  const watch = client.watch(keysUnder(''), { signal });
  await watch.started();
  watch.cancel();
  for await (const batch of watch) assert.fail(String(batch));
  assert(added > 40);
  assert.equal(removed, added);
});
