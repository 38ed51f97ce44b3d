import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import { Client } from '../../server/client/client.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { EventType } from '../../server/proto/gen/kv.ts';
import { Cluster } from '../../server/proto/gen/rpc.ts';
import { checkRecord, Traffic } from '../faults/support/traffic.ts';
import { readHistory } from '../faults/support/view.ts';
import type { MemberProcess } from '../support/server-process.ts';
import { isWhole, onlyWhole } from '../support/whole.ts';
import { type DividedStore, withDividedStore } from './divided-store.ts';
import { compare, eventually, getOp, isOracle, putOp, times } from './support.ts';

// Acceptance case 96: traffic, faults, and then every client's memory against one history. The reads and writes must be
// linearizable, the watches complete.

/** More would leave none of the members whose addresses the clients have: each round replaces one of three. */
const rounds = 2;
const flags = ['--heartbeat-interval=50', '--election-timeout=500', '--snapshot-count=50'].concat(
  isOracle ? ['--experimental-snapshot-catchup-entries=20'] : [],
);

/** The members that are in the cluster now. */
interface Field {
  readonly store: DividedStore;
  members: MemberProcess[];
}

async function kill({ members }: Field): Promise<void> {
  const [member] = members.toSorted(() => Math.random() - 0.5);
  await member?.stop('SIGKILL');
  await sleep(300);
  await member?.start();
}

async function blackhole({ store, members }: Field): Promise<void> {
  const [member] = members.toSorted(() => Math.random() - 0.5);
  assert(member !== undefined);
  store.divide([member]);
  await sleep(1_000);
  store.heal();
}

/** Until the others have thrown away what it lacks. */
async function blackholeUntilSnapshot({ store }: Field): Promise<void> {
  const [member, asked] = await store.followers();
  assert(member !== undefined && asked !== undefined);
  const revision = await store.of(asked).revision();
  store.divide([member]);
  await eventually(async () => assert((await store.of(asked).revision()) > revision + 150), 40_000);
  store.heal();
  await eventually(async () => assert((await store.of(member).revision()) > revision + 150));
}

async function replace(field: Field): Promise<void> {
  const { store } = field;
  const [gone] = await store.followers();
  assert(gone !== undefined);
  const others = field.members.filter((member) => member !== gone);
  const ID = (await store.of(gone).status()).header?.memberId ?? 0n;
  await gone.stop('SIGKILL');
  const api = store.of(others[0] ?? gone);
  await eventually(() => api.call(Cluster.methods.memberRemove, { ID }), 40_000);
  const joining = await store.cluster.newMember();
  await eventually(
    () => api.call(Cluster.methods.memberAdd, { peerURLs: [joining.peerUrl] }),
    40_000,
  );
  field.members = others;
  await store.launch(joining, others);
  field.members = [...others, joining];
}

/** All members tell one history of every revision, and the clients remember nothing else. */
async function checkTraffic({ store, members }: Field, traffic: Traffic): Promise<void> {
  const [first] = members;
  assert(first !== undefined);
  const revision = await eventually(() => store.of(first).revision());
  const histories = await Promise.all(
    members.map((member) => eventually(() => readHistory(store.of(member).channel, revision))),
  );
  for (const { events } of histories) assert.deepEqual(events, histories[0]?.events);
  checkRecord(traffic.record, histories[0]?.events ?? []);
  const { writes, reads } = traffic.record;
  console.log(`  ${revision} revisions, ${writes.length} writes, ${reads.length} reads`);
}

suite('robustness', { concurrency: 2 }, () => {
  test('96 Kill with EtcdHighTraffic on one member', () =>
    withDividedStore({ size: 1, flags }, async (store) => {
      const field = { store, members: [...store.cluster.members] };
      const traffic = new Traffic(store.cluster.endpoints);
      for (let round = 0; round < (isWhole ? 4 : 2); round++) {
        await traffic.writesMore(60);
        await kill(field);
      }
      await traffic.writesMore(60);
      await traffic.stop();
      store.disconnect();
      await checkTraffic(field, traffic);
    }));

  test(
    '96 Kill, Blackhole, BlackholeUntilSnapshot, MemberReplace with EtcdHighTraffic on three members',
    onlyWhole,
    () =>
      withDividedStore({ size: 3, flags }, async (store) => {
        const field: Field = { store, members: [...store.cluster.members] };
        const traffic = new Traffic(store.cluster.endpoints);
        for (let round = 0; round < rounds; round++) {
          for (const fault of [kill, blackhole, blackholeUntilSnapshot, replace]) {
            await traffic.writesMore(60);
            await fault(field);
          }
        }
        await traffic.writesMore(60);
        await traffic.stop();
        await checkTraffic(field, traffic);
      }),
  );

  test(
    '96 Kill, Blackhole with KubernetesHighTraffic, EtcdTrafficDeleteLeases on three members',
    onlyWhole,
    () =>
      withDividedStore({ size: 3, flags }, async (store) => {
        const field: Field = { store, members: [...store.cluster.members] };
        const clients = times(3, (n) => {
          const { endpoints } = store.cluster;
          return new Client({
            endpoints: [...endpoints.slice(n), ...endpoints.slice(0, n)],
            timeoutMs: 3_000,
          });
        });
        const objects = new Objects();
        let isOver = false;
        const abort = new AbortController();
        const watched: string[] = [];
        const watching = (async () => {
          const watch = clients[0]?.watch(keysUnder('/registry/'), {
            startRevision: 1,
            signal: abort.signal,
          });
          for await (const { events } of watch ?? []) {
            for (const { type, kv } of events) {
              watched.push(
                `${kv?.modRevision} ${type === EventType.PUT ? 'put' : 'delete'} ${latin1(kv?.key ?? Buffer.alloc(0))}`,
              );
            }
          }
        })();
        const working = clients.map(async (client, n) => {
          for (let turn = 0; !isOver; turn++) {
            await objects.change(client, `/registry/pods/${(turn * 3 + n) % 10}`, `${n}.${turn}`);
            if (turn % 5 === 0) await objects.event(client, `/registry/events/${n}.${turn}`);
            await sleep(5);
          }
        });
        for (let round = 0; round < rounds; round++) {
          for (const fault of [kill, blackhole, kill]) {
            await objects.more(40);
            await fault(field);
          }
        }
        await objects.more(40);
        isOver = true;
        await Promise.all(working);
        const revision = await eventually(() => store.at().revision());
        await eventually(async () => {
          const { kvs } = await store.at().range(keysUnder('/registry/'));
          const last = Math.max(...kvs.map(({ modRevision }) => modRevision));
          assert(Number(watched.at(-1)?.split(' ')[0]) >= last, 'the watch is behind');
        });
        abort.abort();
        await watching;
        const { events } = await readHistory(store.at().channel, revision);
        const told = events.map((line) => line.replace(/^(\d+ (?:put|delete) [^= ]*).*$/s, '$1'));
        assert.deepEqual(
          watched,
          told.filter((line) => line.includes(' /registry/')).slice(0, watched.length),
        );
        objects.check(events);
        for (const client of clients) client.close();
      }),
  );
});

/** Objects as kube-apiserver keeps them: each change is a transaction on the revision that was read. */
class Objects {
  /** `revision key value` of what was acknowledged. */
  readonly #acknowledged: string[] = [];
  #events = 0;

  async change(client: Client, key: string, value: string): Promise<void> {
    try {
      const kv = await client.get(key);
      const expected = kv?.modRevision ?? 0;
      const { succeeded, header } = await client.txn({
        compare: [compare(key, 'modRevision', '=', expected)],
        success: [putOp(key, value)],
        failure: [getOp(key)],
      });
      if (succeeded) this.#acknowledged.push(`${header?.revision} ${key} ${value}`);
    } catch {
      // Its fate is not known: it may be in the history, or not.
    }
  }

  /** What lives as long as its lease, which is then taken away. */
  async event(client: Client, key: string): Promise<void> {
    try {
      const { ID } = await client.leaseGrant(60);
      await client.put(key, 'event', { lease: ID });
      await client.leaseRevoke(ID);
      this.#events++;
    } catch {
      // As above.
    }
  }

  async more(count: number): Promise<void> {
    const wanted = this.#acknowledged.length + count;
    await eventually(
      async () => assert(this.#acknowledged.length >= wanted, 'no progress'),
      40_000,
    );
  }

  check(events: readonly string[]): void {
    const history = new Set(
      events.map((line) => {
        const [, revision, key, value] = /^(\d+) put ([^=]*)=(\S*) /s.exec(line) ?? [];
        return `${revision} ${key} ${value}`;
      }),
    );
    for (const line of this.#acknowledged) assert(history.has(line), `lost: ${line}`);
    assert(this.#events > 0);
    console.log(`  ${this.#acknowledged.length} changes, ${this.#events} events with leases`);
  }
}
