import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import { Client } from '../../server/client/client.ts';
import { ClientError } from '../../server/client/errors.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { deleteOp, putOp } from '../../server/client/txn.ts';
import { Authority, Files, tlsFlags } from '../support/certificates.ts';
import { runCommand } from '../support/ctl.ts';
import { CtlProcess } from '../support/ctl-process.ts';
import { type Program, TestCluster, withCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
import { onlyWhole } from '../support/whole.ts';

// A mirror between this store and etcd, both ways: what is written at the source, with leases and deletes, is at the
// destination in the end, whoever is killed meanwhile.

const directions: readonly (readonly [Program, Program])[] = [
  ['etcd', 'mainstay'],
  ['mainstay', 'etcd'],
];
const killMs = 5 * 60_000;
const sizes = { size: 3 } as const;

/** Changes of all kinds, one after the other, whatever becomes of them. */
class Load {
  readonly #client: Client;
  readonly #stop = new AbortController();
  readonly #leases: bigint[] = [];
  done = 0;

  constructor(cluster: TestCluster) {
    this.#client = new Client({ endpoints: cluster.endpoints, timeoutMs: 2_000 });
  }

  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#step();
        this.done++;
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
      }
      await sleep(2);
    }
    this.#client.close();
  }

  stop(): void {
    this.#stop.abort();
  }

  async #step(): Promise<void> {
    const client = this.#client;
    const chance = Math.random();
    const key = () => `load/${Math.floor(Math.random() * 200)}`;
    const lease = this.#leases[Math.floor(Math.random() * this.#leases.length)] ?? 0n;
    if (chance < 0.05) {
      // Some end by themselves, some are revoked.
      const ttl = Math.random() < 0.5 ? 3 : 300;
      this.#leases.push((await client.leaseGrant(ttl)).ID);
    } else if (chance < 0.07 && lease !== 0n) {
      this.#leases.splice(this.#leases.indexOf(lease), 1);
      await client.leaseRevoke(lease);
    } else if (chance < 0.3 && lease !== 0n) {
      await client.put(key(), randomBytes(20), { lease });
    } else if (chance < 0.5) {
      await client.delete(keysUnder(key()));
    } else if (chance < 0.7) {
      const keys = new Set(Array.from({ length: 1 + Math.floor(Math.random() * 40) }, key));
      const operations = Array.from(keys, (each) =>
        Math.random() < 0.3 ? deleteOp(each) : putOp(each, randomBytes(10)),
      );
      await client.txn({ success: operations });
    } else await client.put(key(), randomBytes(Math.floor(Math.random() * 3_000)));
  }
}

interface Content {
  readonly key: string;
  readonly value: string;
  readonly leaseSeconds: number;
}

/** Without what a mirror keeps there; leases by what they were granted for. */
async function contentOf(cluster: TestCluster): Promise<Content[]> {
  const client = new Client({ endpoints: cluster.endpoints });
  try {
    const { kvs } = await client.range(keysUnder(''));
    const ttls = new Map<bigint, number>([[0n, 0]]);
    for (const { lease } of kvs) {
      if (!ttls.has(lease)) ttls.set(lease, (await client.leaseTimeToLive(lease)).grantedTTL);
    }
    return kvs
      .filter(({ key }) => !latin1(key).startsWith('__mainstay/'))
      .map(({ key, value, lease }) => ({
        key: latin1(key),
        value: latin1(value),
        leaseSeconds: ttls.get(lease) ?? -1,
      }));
  } finally {
    client.close();
  }
}

async function ctl(source: TestCluster, ...words: readonly string[]) {
  return runCommand(words, { env: { MAINSTAYCTL_ENDPOINTS: source.endpoints.join(',') } });
}

for (const [from, to] of directions) {
  suite(`mainstayctl mirror from ${from} to ${to}`, needs('etcd'), () => {
    test(
      `${from} to ${to}: ends equal, though members of both and the mirror itself are killed`,
      { timeout: killMs + 150_000, ...onlyWhole },
      () =>
        withCluster({ program: from, ...sizes }, (source) =>
          withCluster({ program: to, ...sizes }, (destination) => killing({ source, destination })),
        ),
    );
  });
}

interface Sides {
  readonly source: TestCluster;
  readonly destination: TestCluster;
}

async function killing({ source, destination }: Sides): Promise<void> {
  const there = destination.endpoints.join(',');
  const words = ['mirror', there, '--endpoints', source.endpoints.join(','), '--max-txn-ops', '16'];
  const load = new Load(source);
  const loading = load.run();
  let mirror = new CtlProcess(words);
  const kills = { source: 0, destination: 0, mirror: 0 };
  try {
    const endMs = performance.now() + killMs;
    for (let turn = 0; performance.now() < endMs || kills.mirror < 2; turn++) {
      await sleep(700 + Math.random() * 1_000);
      assert.ok(mirror.isRunning, mirror.err);
      const side = (['source', 'mirror', 'destination'] as const)[turn % 3] ?? 'mirror';
      kills[side]++;
      if (side === 'mirror') {
        await mirror.kill('SIGKILL');
        mirror = new CtlProcess(words);
      } else {
        const cluster = side === 'source' ? source : destination;
        const member = cluster.member(Math.floor(Math.random() * cluster.members.length));
        await member.stop('SIGKILL');
        await sleep(300);
        await member.start();
      }
    }
    load.stop();
    await loading;
    await mirror.kill('SIGKILL');
    assert.ok(load.done > 100, `${load.done} changes`);
    // What ends by itself has ended then.
    await sleep(6_000);
    const ended = await ctl(source, 'mirror', there, '--once', '-w', 'json');
    assert.equal(ended.code, 0, ended.err);
    const check = await ctl(source, 'mirror', there, '--check', '-w', 'json');
    assert.equal(check.code, 0, check.out + check.err);
    assert.ok(JSON.parse(check.out).keys > 20);
    assert.deepEqual(await contentOf(destination), await contentOf(source));
  } finally {
    load.stop();
    await loading;
    await mirror.kill('SIGKILL');
  }
}

test('a destination over TLS with users: rights on the copied range and on the reserved prefix are enough', {
  timeout: 120_000,
}, async () => {
  const files = new Files();
  const authority = await Authority.create('ca');
  const ca = files.write('ca.pem', authority.cert);
  const pair = files.writePair('member', await authority.issue());
  const ann = files.writePair('ann', await authority.issue({ commonName: 'ann' }));
  const secured = {
    program: 'mainstay',
    schemes: { client: 'https', peer: 'https' },
    flags: tlsFlags(pair, ca),
  } as const;
  try {
    await withCluster({ program: 'mainstay' }, (source) =>
      withCluster(secured, async (destination) => {
        const client = new Client({ endpoints: source.endpoints });
        await client.leaseGrant(600, 5n);
        await client.put('a/1', 'x', { lease: 5n });
        client.close();
        const tls = ['--cacert', ca, '--cert', ann.certFile, '--key', ann.keyFile];
        for (const line of [
          'user add root:secret',
          'user grant-role root root',
          'user add robot:word',
          'role add copies',
          'role grant-permission copies readwrite copy/ --prefix',
          'role grant-permission copies readwrite __mainstay/ --prefix',
          'user grant-role robot copies',
          'auth enable',
        ]) {
          const { code, err } = await ctl(destination, ...line.split(' '), ...tls);
          assert.equal(code, 0, `${line}: ${err}`);
        }
        const words = ['mirror', destination.endpoints.join(), '--prefix', 'a/'];
        words.push('--dest-prefix', 'copy/');
        const files = tls.map((word) => word.replace(/^--/, '--dest-'));
        const user = ['--dest-user', 'robot', '--dest-password', 'word'];
        const mirrored = await ctl(source, ...words, '--once', ...files, ...user);
        assert.equal(mirrored.code, 0, mirrored.err);
        const check = await ctl(source, ...words, '--check', ...files, ...user);
        assert.match(check.out, /^Equal: 1 keys, 1 leases/);
        const nobody = await ctl(source, ...words, '--once', ...files);
        assert.equal(nobody.code, 1);
        // The certificate alone stands for ann, whom nobody has given anything.
        assert.match(nobody.err, /permission denied/);
        const elsewhere = [...words.slice(0, -1), 'other/', '--once'];
        const refused = await ctl(source, ...elsewhere, ...files, ...user);
        assert.equal(refused.code, 1);
        assert.match(refused.err, /permission denied/);
        const root = ['--user', 'root:secret'];
        const top = await ctl(destination, 'top', '--once', '--interval', '300ms', ...tls, ...root);
        assert.equal(top.code, 0, top.err + top.out);
      }),
    );
  } finally {
    files.remove();
  }
});
