// Settings that take effect while a program runs. ENDPOINTS=host:port,... node dist/examples/client/live-configuration.js
import { Client, EventType, isMissing, keysUnder, modRevisionOf, putOp, textOf } from 'mainstay';

const client = new Client({ endpoints: (process.env['ENDPOINTS'] ?? '127.0.0.1:2379').split(',') });
const config = client.namespace('config/my-program/');

// Defaults, unless somebody has set it before.
await config.when(isMissing('log-level')).do(putOp('log-level', 'info')).commit();

const settings = new Map<string, string>();
const { kvs, header } = await config.range(keysUnder(''));
for (const { key, value } of kvs) settings.set(textOf(key), textOf(value));
console.log('begins with', Object.fromEntries(settings));

/** Follows from the revision of the list, so that no change between the two is missed. */
async function follow(startRevision: number, signal: AbortSignal): Promise<void> {
  for await (const { events, revision } of config.watch(keysUnder(''), { startRevision, signal })) {
    for (const { type, kv } of events) {
      if (type === EventType.PUT) settings.set(textOf(kv.key), textOf(kv.value));
      else settings.delete(textOf(kv.key));
    }
    // Settings that were written in one transaction come in one batch.
    console.log(`changed at +${revision - header.revision}:`, Object.fromEntries(settings));
    if (settings.get('log-level') === 'warn') return;
  }
}

/** Changes a setting on top of what was read, or tries again: no change of another is overwritten. */
async function change(name: string, by: (value: string) => string): Promise<void> {
  for (;;) {
    const kv = await config.get(name);
    const { succeeded } = await config
      .when(modRevisionOf(name).equals(kv?.modRevision ?? 0))
      .do(putOp(name, by(textOf(kv?.value))))
      .commit();
    if (succeeded) return;
  }
}

const stop = new AbortController();
const followed = follow(header.revision + 1, stop.signal);
await config.when().do(putOp('log-level', 'debug'), putOp('workers', '4')).commit();
await change('workers', (count) => String(Number(count) * 2));
await change('log-level', () => 'warn');
await followed;
client.close();
