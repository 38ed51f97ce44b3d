import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { encryptionKeyOf } from '../../server/base/encryption-key.ts';
import { Client } from '../../server/client/client.ts';
import { type Stage, scenario } from './scenario.ts';
import { Secrets } from './secrets.ts';
import type { TestedCluster } from './store-cluster.ts';
import { runOnVolume } from './volume-tool.ts';
import { until } from './waiting.ts';

const name = 'sealed';
const secretName = `${name}-key`;
const canary = 'CANARY-3e9a-in-the-store';
/** Nodes bring new contents of Secrets within two minutes. */
const loadMsMax = 300_000;

scenario(
  'encryption at rest, switched on and with another key',
  { isLong: true },
  async (stage) => {
    const secrets = new Secrets(stage.environment);
    const cluster = stage.cluster(name);
    await cluster.create();
    await cluster.untilSettled(3);
    const load = await stage.load(cluster);
    await putCanary(cluster);
    assert.ok((await volumesWithCanary(stage, cluster)).length > 0, 'in clear, it is found');
    await isRefused(cluster, secrets);
    let key = newKey();
    await stage.measure('switched on', async () => {
      await secrets.put(secretName, { key });
      await cluster.untilSettled(3);
    });
    await putCanary(cluster);
    assert.deepEqual(await volumesWithCanary(stage, cluster), [], 'encrypted, also what was there');
    await stage.measure('another key', async () => {
      const [former, pods] = [key, await cluster.podUids()];
      key = newKey();
      await secrets.put(secretName, { key, former });
      await untilTaken(stage, cluster, key);
      assert.deepEqual(await cluster.podUids(), pods, 'nobody was started anew');
    });
    await stage.environment.kube.patch(secrets.path(secretName), { data: { former: null } });
    await stage.measure('a member comes back with the new key alone', () => comesBack(cluster));
    await stage.measure('killed while the key changes', async () => {
      const former = key;
      key = newKey();
      await secrets.put(secretName, { key, former });
      await comesBack(cluster);
      await untilTaken(stage, cluster, key);
    });
    await stage.measure('the Secret is gone and comes back', async () => {
      await stage.environment.remove(secrets.path(secretName));
      const { name: follower } = await cluster.follower();
      await cluster.deletePod(follower, 0);
      await cluster.untilSaid(/SecretMissing: The Secret sealed-key .* is not there/);
      await load.untilMore(20);
      await secrets.put(secretName, { key });
      await cluster.untilSettled(3);
    });
    await stage.measure('a wrong key, and the right one again', async () => {
      await cluster.edit({ encryption: { secretName: 'other-key' } });
      await cluster.untilSaid(/SecretMissing: The Secret other-key/);
      await secrets.put('other-key', { key: newKey() });
      await cluster.untilSaid(/MemberNotHealthy: .*last exit status 2: kubectl logs/);
      await load.untilMore(20);
      await cluster.edit({ encryption: { secretName } });
      await cluster.untilSettled(3);
    });
    assert.deepEqual(await volumesWithCanary(stage, cluster), []);
    await load.untilMore(20);
  },
);

/** Before its Secret is as it has to be, no member is touched. */
async function isRefused(cluster: TestedCluster, secrets: Secrets): Promise<void> {
  const pods = await cluster.podUids();
  await cluster.edit({ encryption: { secretName } });
  await cluster.untilSaid(/SecretMissing: The Secret sealed-key .* is not there: create it/);
  await secrets.put(secretName, { key: 'short' });
  await cluster.untilSaid(/SecretRefused: The Secret sealed-key .*: put 32 bytes there/);
  assert.deepEqual(await cluster.podUids(), pods, 'no member was started anew');
}

async function comesBack(cluster: TestedCluster): Promise<void> {
  const { name: follower } = await cluster.follower();
  await cluster.deletePod(follower, 0);
  await cluster.untilSettled(3);
}

function newKey(): string {
  return randomBytes(32).toString('base64');
}

async function putCanary(cluster: TestedCluster): Promise<void> {
  const client = new Client({ endpoints: [await cluster.endpoint()], timeoutMs: 30_000 });
  try {
    for (let each = 0; each < 20; each += 1) await client.put(`/canary/${each}`, canary);
  } finally {
    client.close();
  }
}

/** Members with the canary in any file of their volume. */
async function volumesWithCanary(
  { environment }: Stage,
  cluster: TestedCluster,
): Promise<readonly string[]> {
  const program = `
const fs = require('node:fs');
let found = 0;
for (const name of fs.readdirSync('/volume', { recursive: true })) {
  try {
    if (fs.readFileSync('/volume/' + name).includes('${canary}')) found += 1;
  } catch (error) {
    if (error.code !== 'EISDIR' && error.code !== 'ENOENT') throw error;
  }
}
console.log('found: ' + found);
`;
  const found: string[] = [];
  for (const { metadata } of await cluster.pods()) {
    const output = await runOnVolume(environment, metadata.name, program);
    const count = /found: (\d+)/.exec(output)?.[1] ?? assert.fail(output);
    if (count !== '0') found.push(metadata.name);
  }
  return found;
}

/** Resolves when every member keeps the keys of its data under this key. */
async function untilTaken(
  { environment }: Stage,
  cluster: TestedCluster,
  key: string,
): Promise<void> {
  const { id } = encryptionKeyOf(Buffer.from(key), secretName);
  const program = `console.log(fs.readFileSync('/volume/data/member/DATA-KEYS', 'utf8'))`;
  let output = '';
  await until(
    'every member has taken the new key',
    loadMsMax,
    async () => {
      for (const { metadata } of await cluster.pods()) {
        output = await runOnVolume(environment, metadata.name, program);
        if (!output.includes(`"keyId":"${id}"`)) return false;
      }
      return true;
    },
    () => output.slice(0, 100),
  );
}
