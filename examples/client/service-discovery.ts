// Services that come and go, and who wants to reach them. ENDPOINTS=host:port,... node dist/examples/client/service-discovery.js
import { Client, CompactedError, EventType, type KeySpace, keysUnder, textOf } from 'mainstay';

const client = new Client({ endpoints: (process.env['ENDPOINTS'] ?? '127.0.0.1:2379').split(',') });
const services = client.namespace('services/');

/** Announces an instance for as long as this process lives, and 10 s more after a crash. */
async function announce(service: string, instance: string, address: string) {
  const session = await client.session({ ttlSeconds: 10 });
  await services.put(`${service}/${instance}`, address, { lease: session.id });
  session.lost.addEventListener('abort', () => {
    // Cut off for too long: others do not see this instance any more. Announce it again, or exit.
    process.exitCode = 1;
  });
  return session;
}

/** The addresses of a service by instance: now, and again whenever they change. */
async function* instancesOf(space: KeySpace, service: string, signal: AbortSignal) {
  const keys = keysUnder(`${service}/`);
  while (!signal.aborted) {
    const { kvs, header } = await space.range(keys);
    const instances = new Map(kvs.map(({ key, value }) => [textOf(key), textOf(value)]));
    yield instances;
    try {
      for await (const { events } of space.watch(keys, {
        startRevision: header.revision + 1,
        signal,
      })) {
        for (const { type, kv } of events) {
          if (type === EventType.PUT) instances.set(textOf(kv.key), textOf(kv.value));
          else instances.delete(textOf(kv.key));
        }
        yield instances;
      }
    } catch (error) {
      // Away for so long that the history between is gone: list again.
      if (!(error instanceof CompactedError)) throw error;
    }
  }
}

const stop = new AbortController();
const first = await announce('search', 'a', '10.0.0.1:80');
let second: Awaited<ReturnType<typeof announce>> | undefined;
for await (const instances of instancesOf(services, 'search', stop.signal)) {
  console.log([...instances.values()].join(' '));
  if (instances.size === 1 && second === undefined) {
    second = await announce('search', 'b', '10.0.0.2:80');
  } else if (instances.size === 2) {
    await second?.end();
  } else {
    stop.abort();
  }
}
await first.end();
client.close();
