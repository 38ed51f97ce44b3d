import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from '../../../server/client/client.ts';
import { keysUnder } from '../../../server/client/keys.ts';
import { type TestCluster, withCluster } from '../../support/server-process.ts';

const putsBefore = 50;
const putsAfter = 100;

async function leaderOf(cluster: TestCluster, client: Client): Promise<number> {
  const statuses = await Promise.all(cluster.endpoints.map((url) => client.status(url)));
  return statuses.findIndex(({ leader, header }) => leader === header?.memberId);
}

test('writes and watches go on when the leader is killed', { timeout: 120_000 }, async () => {
  await withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
    const { endpoints } = cluster;
    const writer = new Client({ endpoints, timeoutMs: 20_000 });
    const watcher = new Client({ endpoints });
    const revisions = new Map<string, number>();
    let slowestMs = 0;
    const put = async (at: number) => {
      const start = performance.now();
      const { header } = await writer.put(`k/${at}`, String(at), { mayRepeat: true });
      slowestMs = Math.max(slowestMs, performance.now() - start);
      revisions.set(`k/${at}`, header?.revision ?? 0);
    };
    const seen: { key: string; revision: number }[] = [];
    const watched = (async () => {
      for await (const { events } of watcher.watch(keysUnder('k/'), { startRevision: 1 })) {
        for (const { kv } of events) {
          const key = String(Buffer.from(kv?.key ?? []));
          seen.push({ key, revision: kv?.modRevision ?? 0 });
        }
        if (seen.some(({ key }) => key === `k/${putsBefore + putsAfter - 1}`)) return;
      }
    })();
    for (let at = 0; at < putsBefore; at++) await put(at);
    const leader = await leaderOf(cluster, writer);
    await cluster.member(leader).stop('SIGKILL');
    for (let at = putsBefore; at < putsBefore + putsAfter; at++) await put(at);
    await watched;
    writer.close();
    watcher.close();
    for (const [key, revision] of revisions) {
      assert(
        seen.some((event) => event.key === key && event.revision === revision),
        key,
      );
    }
    const order = seen.map(({ revision }) => revision);
    assert.deepEqual(
      order,
      [...new Set(order)].toSorted((a, b) => a - b),
    );
    assert(slowestMs < 15_000, `a put took ${slowestMs} ms`);
  });
});
