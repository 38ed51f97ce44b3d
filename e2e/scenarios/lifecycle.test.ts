import assert from 'node:assert/strict';
import { scenario } from './scenario.ts';

scenario('create', { isLong: true }, async (stage) => {
  const cluster = stage.cluster('made');
  await stage.measure('three members from nothing', async () => {
    await cluster.create();
    await cluster.untilSettled(3);
  });
  await stage.load(cluster);
});

scenario('scale 1-3-5-3-1', { isLong: true }, async (stage) => {
  const cluster = stage.cluster('scaled');
  await cluster.create({ replicas: 1 });
  await cluster.untilSettled(1);
  const load = await stage.load(cluster);
  for (const replicas of [3, 5, 3, 1]) {
    await stage.measure(`${replicas} members`, async () => {
      await cluster.scale(replicas);
      await cluster.untilSettled(replicas);
    });
  }
  await load.untilMore(20);
  const volumes = await cluster.volumes();
  assert.equal(volumes.length, 1, 'the volumes of those that left went with them');
});

scenario('delete with Delete', { isLong: true }, async (stage) => {
  const cluster = stage.cluster('dropped');
  await cluster.create({ replicas: 3 });
  await cluster.untilSettled(3);
  await stage.measure('deleted', () => cluster.delete());
  assert.deepEqual(await cluster.pods(), []);
  assert.deepEqual(await cluster.volumes(), []);
});
