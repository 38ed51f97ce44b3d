import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf } from '../../server/client/keys.ts';
import { KV, Lease } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { withCluster } from '../support/server-process.ts';
import { ok } from './support/view.ts';

// Leases that expire all at once, each with a key, while other clients work.

const leaseCount = 3_000;
const grantsAtOnce = 100;
const ttlSeconds = 8;

/** The latencies of puts, one after the other, until stopped. */
class Meter {
  readonly latenciesMs: number[] = [];
  #isStopped = false;
  readonly #done: Promise<void>;

  constructor(channel: GrpcChannel) {
    this.#done = this.#run(channel);
  }

  async #run(channel: GrpcChannel): Promise<void> {
    const key = bytesOf('metered');
    while (!this.#isStopped) {
      const from = performance.now();
      ok(await channel.call(KV.methods.put, { key, value: key }));
      this.latenciesMs.push(performance.now() - from);
      await sleep(2);
    }
  }

  async stop(): Promise<string> {
    this.#isStopped = true;
    await this.#done;
    const sorted = this.latenciesMs.toSorted((a, b) => a - b);
    const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(1);
    return `median ${at(0.5)} ms, 99 % ${at(0.99)} ms, worst ${at(1)} ms`;
  }
}

async function grantAll(channel: GrpcChannel): Promise<void> {
  for (let from = 1; from <= leaseCount; from += grantsAtOnce) {
    const ids = Array.from({ length: grantsAtOnce }, (_, at) => BigInt(from + at));
    await Promise.all(
      ids.map(async (lease) => {
        ok(await channel.call(Lease.methods.leaseGrant, { ID: lease, TTL: ttlSeconds }));
        const key = bytesOf(`leased/${lease}`);
        ok(await channel.call(KV.methods.put, { key, value: key, lease }));
      }),
    );
  }
}

test(
  `${leaseCount} leases that expire at once: all end, and others go on`,
  { timeout: 3 * 60_000 },
  () =>
    withCluster({ program: 'mainstay' }, async (cluster) => {
      const { clientUrl } = cluster.member(0);
      const [channel, other] = [new GrpcChannel(clientUrl), new GrpcChannel(clientUrl)];
      const before = new Meter(other);
      await sleep(1_000);
      const normal = await before.stop();
      await grantAll(channel);
      const during = new Meter(other);
      const from = performance.now();
      for (let left = leaseCount; left > 0; ) {
        assert(performance.now() - from < 90_000, `${left} leases are left`);
        await sleep(200);
        left = ok(await channel.call(Lease.methods.leaseLeases, {})).leases.length;
      }
      const seconds = ((performance.now() - from) / 1000).toFixed(1);
      const storm = await during.stop();
      const range = { key: bytesOf('leased/'), rangeEnd: bytesOf('leased0'), countOnly: true };
      assert.equal(ok(await channel.call(KV.methods.range, range)).count, 0);
      console.log(
        `puts of another client: ${normal}; while ${leaseCount} leases ended within ${seconds} s: ${storm}`,
      );
      channel.close();
      other.close();
    }),
);
