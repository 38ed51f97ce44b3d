import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Client } from '../../server/client/client.ts';
import { scenario } from './scenario.ts';
import { until } from './waiting.ts';

const largeBytes = 1024 * 1024;
const fullMsMax = 120_000;

scenario('quorum lost for good, recovered from the survivor', { isLong: true }, async (stage) => {
  const cluster = stage.cluster('lost');
  await cluster.create({ replicas: 3 });
  await cluster.untilSettled(3);
  const client = new Client({ endpoints: [await cluster.endpoint()] });
  try {
    await client.put('kept', 'yes');
    const { metadata } = await cluster.get();
    const survivor = await cluster.leader();
    const lost = (await cluster.members()).filter(({ name }) => name !== survivor.name);
    await Promise.all(lost.map(({ name }) => cluster.deleteVolume(name)));
    await cluster.untilSaid(/QuorumLost: .*no quorum.*set spec\.recovery/);
    const recovery = { survivor: survivor.name, clusterUID: metadata.uid };
    await cluster.edit({ recovery: { ...recovery, clusterUID: 'another' } });
    await cluster.untilSaid(new RegExp(`RecoveryRefused: .*${metadata.uid}`));
    await stage.measure('recovered', async () => {
      await cluster.edit({ recovery });
      await cluster.untilSettled(3);
    });
    const found = await client.get('kept');
    assert.equal(found && Buffer.from(found.value).toString(), 'yes');
    const volumes = (await cluster.volumes()).map(({ metadata: { name } }) => name);
    assert.ok(volumes.includes(`${survivor.name}-copy`), 'what there was is kept as a copy');
    const names = (await cluster.members()).map(({ name }) => name);
    for (const { name } of lost) assert.ok(!names.includes(name), `${name} is replaced`);
    await cluster.edit({ recovery: null });
    await cluster.untilSettled(3);
    await stage.load(cluster);
  } finally {
    client.close();
  }
});

scenario(
  'a database that is full lets writes in again by itself',
  { isLong: true },
  async (stage) => {
    const cluster = stage.cluster('full');
    await cluster.create({ replicas: 3, options: { quota: '64Mi' } });
    await cluster.untilSettled(3);
    const client = new Client({ endpoints: [await cluster.endpoint()] });
    try {
      // One key, written over and over: all but the last is history.
      const large = randomBytes(largeBytes); // Nothing makes them smaller.
      const put = () =>
        client.put('large', large, { mayRepeat: true }).then(
          () => '',
          (error: unknown) => String(error),
        );
      let refused = '';
      await until(
        'the database is full',
        fullMsMax,
        async () => {
          refused = await put();
          return refused.includes('database space exceeded');
        },
        () => refused,
      );
      await stage.measure('writes are let in again', async () => {
        await until('a write is taken', fullMsMax, async () => (await put()) === '');
        await cluster.untilSettled(3);
      });
    } finally {
      client.close();
    }
  },
);
