import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { prefixOf } from '../../server/ctl/hot-prefixes.ts';
import { fitted } from '../../server/ctl/top-view.ts';
import { runCommand } from '../support/ctl.ts';
import { type Program, type TestCluster, withCluster } from '../support/server-process.ts';
import { onOracle } from '../support/whole.ts';

// mainstayctl top on both stores, under a load that is known.

/** Runs a part of a test while keys are put and deleted. */
async function underLoad<T>(cluster: TestCluster, body: () => Promise<T>): Promise<T> {
  const client = new Client({ endpoints: cluster.endpoints });
  let isOver = false;
  const load = async () => {
    for (let at = 0; !isOver; at++) {
      await client.put(`/registry/pods/default/${at % 50}`, 'x'.repeat(100));
      if (at % 4 === 0) await client.put('plain', 'x');
      if (at % 10 === 0) await client.delete(keysUnder(`/registry/leases/${at}`));
    }
  };
  const loading = load();
  const watch = client.watch(keysUnder('nothing'));
  await watch.started();
  try {
    return await body();
  } finally {
    isOver = true;
    await loading;
    watch.cancel();
    client.close();
  }
}

for (const program of ['mainstay', 'etcd'] as const satisfies readonly Program[]) {
  const tools = program === 'etcd' ? onOracle : {};
  suite(`mainstayctl top on ${program}`, { timeout: 120_000, ...tools }, () => {
    test('says what the members do', () =>
      withCluster({ program, flags: ['--metrics', 'extensive'], size: 3 }, async (cluster) => {
        const env = { MAINSTAYCTL_ENDPOINTS: cluster.endpoints.join() };
        const once = ['top', '--once', '--interval', '1s'];
        const { code, out, err } = await underLoad(cluster, () =>
          runCommand([...once, '-w', 'json'], { env }),
        );
        assert.equal(code, 0, err + out);
        const view = JSON.parse(out);
        assert.equal(view.members.length, 3);
        assert.ok(cluster.endpoints.includes(view.leader));
        assert.ok(view.changesPerSecond > 10 && view.revision > 10, out);
        for (const member of view.members) {
          assert.ok(member.dbSizeBytes > 0 && member.requestsPerSecond >= 0);
          assert.ok(member.sync.p99 >= member.sync.p50 && member.sync.p50 > 0, out);
        }
        const watchers = view.members.map(({ watchers: count }: { watchers: number }) => count);
        assert.ok(Math.max(...watchers) >= 1, out);
        const put = view.methods.find(({ method }: { method: string }) => method === 'KV/Put');
        assert.ok(put.requestsPerSecond > 10 && put.failedPerSecond === 0, out);
        assert.ok(put.latency.p99 >= put.latency.p50 && put.latency.p50 > 0, out);
        const [hottest] = view.prefixes;
        assert.equal(hottest.prefix, '/registry/pods/');
        assert.ok(hottest.putsPerSecond > view.prefixes[1].putsPerSecond);
        const text = (await underLoad(cluster, () => runCommand(once, { env }))).out;
        assert.match(
          text,
          /^cluster [0-9a-f]+, led by http:.*; revision \d+, \d[\d.]* changes\/s\n/,
        );
        assert.match(text, /\nMETHOD +REQ\/S +FAILED\/S +P50 +P99\nKV\/Put /);
        assert.match(text, /\nPREFIX +PUTS\/S +DELETES\/S\n\/registry\/pods\/ .*\n\(without \/\) /);

        // A member that is away is said so, and the others are shown.
        await cluster.member(2).stop();
        const short = ['--dial-timeout', '500ms', '--sample', '0s'];
        const partial = await runCommand([...once, ...short, '-w', 'json'], { env });
        assert.equal(partial.code, 1);
        const found = JSON.parse(partial.out);
        assert.match(found.members[2].failure, /cannot|ECONNREFUSED/);
        assert.equal(found.members.filter((each: { failure?: string }) => !each.failure).length, 2);
        assert.match(found.prefixes, /nothing is watched/);
      }));
  });
}

suite('mainstayctl top at a terminal', { timeout: 60_000 }, () => {
  for (const key of ['q', '\u0003']) {
    test(`gives it back as it was at ${JSON.stringify(key)}`, () =>
      withCluster({ program: 'mainstay' }, async (cluster) => {
        let press = (_key: string) => {};
        let keysForgotten = 0;
        let written = '';
        const running = runCommand(['top', '--interval', '200ms', '--sample', '50ms'], {
          env: { MAINSTAYCTL_ENDPOINTS: cluster.endpoints.join() },
          screen: () => ({ rows: 5, columns: 40 }),
          onKey: (listener) => {
            press = listener;
            return () => {
              keysForgotten++;
            };
          },
          onOutput: (out) => {
            written = out;
          },
        });
        while (!/MEMBER/.test(written)) await sleep(20);
        press('x');
        await sleep(100);
        press(key);
        const { code, out } = await running;
        assert.equal(code, 0);
        assert.ok(out.startsWith('\u001b[?1049h\u001b[?25l'));
        assert.ok(out.endsWith('\u001b[?25h\u001b[?1049l'));
        assert.equal(keysForgotten, 1);
      }));
  }

  test('nothing is wider or longer than the screen', () => {
    assert.deepEqual(fitted('abcdef\nb\nc\nd\n', { rows: 4, columns: 3 }), ['abc', 'b', 'c']);
  });

  test('a prefix ends with a slash', () => {
    assert.equal(prefixOf('/registry/pods/default/a', 2), '/registry/pods/');
    assert.equal(prefixOf('a/b/c/d', 2), 'a/b/');
    assert.equal(prefixOf('a/b', 2), 'a/');
    assert.equal(prefixOf('/a', 2), '/');
    assert.equal(prefixOf('a', 2), '');
  });

  test('what makes no sense is refused', async () => {
    const { code, err } = await runCommand(['top', '--interval', '10ms']);
    assert.equal(code, 2);
    assert.match(err, /--interval: at least 100ms/);
  });
});
