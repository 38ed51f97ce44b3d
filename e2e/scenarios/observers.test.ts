import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { observersServiceName } from '../../operator/resources/names.ts';
import { Client } from '../../server/client/client.ts';
import { ClientError } from '../../server/client/errors.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';
import { until } from './waiting.ts';
import { checkHistory, type WriteLoad } from './write-load.ts';

const maxStalenessSeconds = 3;
/** Clients of the voters must not notice what becomes of observers. */
const gapMsMax = 1_000;
const readEveryMs = 20;
const refusalMsMax = 30_000;

scenario(
  'observers are read, killed and taken away while others write',
  { isLong: true },
  async (stage) => {
    const cluster = stage.cluster('observed');
    await cluster.create({ observers: { replicas: 2, maxStalenessSeconds } });
    await cluster.untilObserved(3, 2);
    const load = await stage.load(cluster);
    const reader = await Reader.open(stage, cluster, load);
    try {
      await load.untilMore(50);
      await refusesWrites(reader.client);
      const reads = reader.count;
      await untouched(stage, load, 'all observers are killed', async () => {
        await Promise.all(
          observers(await cluster.members()).map((name) => cluster.deletePod(name, 0)),
        );
        await load.untilMore(100);
        await cluster.untilObserved(3, 2);
      });
      await until('they are read again', 60_000, async () => reader.count > reads + 20);
      await untouched(stage, load, 'one loses its volume', async () => {
        const [name = ''] = observers(await cluster.members());
        await cluster.deleteVolume(name);
        await cluster.untilObserved(3, 2);
        assert.ok(!observers(await cluster.members()).includes(name), 'another one took its place');
      });
      await untouched(stage, load, 'a change', async () => {
        await cluster.edit({ observers: { maxStalenessSeconds: maxStalenessSeconds + 1 } });
        await cluster.untilObserved(3, 2);
      });
      await load.untilMore(50);
      await reader.verify();
    } finally {
      reader.close();
    }
    await untouched(stage, load, 'no observers', async () => {
      await cluster.edit({ observers: { replicas: 0 } });
      await cluster.untilSettled(3);
    });
    assert.equal((await cluster.volumes()).length, 3, 'their volumes are gone');
  },
);

/** No write of the others fails meanwhile, nor waits. */
async function untouched(
  stage: Stage,
  load: WriteLoad,
  what: string,
  run: () => Promise<void>,
): Promise<void> {
  const { failures } = load;
  load.restartGap();
  await stage.measure(what, run);
  assert.equal(load.failures, failures, `${what}: a write failed`);
  assert.ok(load.gapMs < gapMsMax, `${what}: no write for ${load.gapMs} ms`);
}

function observers(members: readonly { readonly name: string; readonly role: string }[]): string[] {
  return members.filter(({ role }) => role === 'observer').map(({ name }) => name);
}

async function refusesWrites(client: Client): Promise<void> {
  // It tries until its time is over, and the last try may be cut off before it is answered.
  await until('an observer says that it takes no write', refusalMsMax, async () => {
    const error: unknown = await client.put('x', 'y').then(() => assert.fail('it did'), String);
    return /rpc not supported for learner/.test(String(error));
  });
}

/** Reads and watches at the observers' Service, and holds what it is told against what was acknowledged. */
class Reader {
  readonly client: Client;
  readonly #load: WriteLoad;
  readonly #end = new AbortController();
  readonly #seen: Array<{ key: string; number: number; revision: number }> = [];
  /** What had been acknowledged, and when that was looked at. */
  readonly #known: Array<{ readonly atMs: number; readonly revision: number }> = [];
  readonly #running: Promise<unknown>;
  count = 0;

  private constructor(client: Client, load: WriteLoad) {
    this.client = client;
    this.#load = load;
    this.#running = Promise.all([this.#read(), this.#watch()]);
    // Whoever verifies hears of it.
    this.#running.catch(() => {});
  }

  static async open(
    { environment }: Stage,
    cluster: TestedCluster,
    load: WriteLoad,
  ): Promise<Reader> {
    const name = observersServiceName(await cluster.get());
    const endpoint = await environment.endpointOf(name);
    return new Reader(new Client({ endpoints: [endpoint], timeoutMs: 2_000 }), load);
  }

  async #read(): Promise<void> {
    const keys = keysUnder(this.#load.prefix);
    for (let turn = 0; !this.#end.signal.aborted; turn++) {
      const serializable = turn % 4 !== 0;
      const before = this.#load.revision;
      this.#known.push({ atMs: performance.now(), revision: before });
      try {
        const { header, kvs } = await this.client.range(keys, { serializable });
        const revision = header.revision;
        const floor = serializable ? this.#knownAt(performance.now()) : before;
        assert.ok(revision >= floor, `read at revision ${revision}, ${floor} was acknowledged`);
        assert.ok(kvs.every(({ modRevision }) => modRevision <= revision));
        this.count++;
      } catch (error) {
        // There is no observer now, or none that is new enough.
        if (!(error instanceof ClientError)) throw error;
      }
      await sleep(readEveryMs);
    }
  }

  /** What an observer that is not older than it may be, and answers now, must have. */
  #knownAt(nowMs: number): number {
    const thenMs = nowMs - (maxStalenessSeconds + 1) * 1000 - 2_000;
    return this.#known.findLast(({ atMs }) => atMs <= thenMs)?.revision ?? 0;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#end;
    const options = { startRevision: 1, signal };
    for await (const { events } of this.client.watch(keysUnder(this.#load.prefix), options)) {
      for (const { kv } of events) {
        const number = Number(Buffer.from(kv.value).toString());
        const key = Buffer.from(kv.key).toString();
        this.#seen.push({ key, number, revision: kv.modRevision });
      }
    }
  }

  /** Throws when a read was too old, or the watch missed, repeated or reordered something. */
  async verify(): Promise<void> {
    const { revision } = this.#load;
    const hasAll = async () => (this.#seen.at(-1)?.revision ?? 0) >= revision;
    await Promise.race([until('the watch has seen all', 60_000, hasAll), this.#running]);
    this.#end.abort();
    await this.#running;
    checkHistory(this.#seen);
    assert.ok(this.count > 50, `${this.count} reads`);
  }

  close(): void {
    this.#end.abort();
    this.client.close();
  }
}
