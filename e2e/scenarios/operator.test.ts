import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isWhole } from '../../test/support/whole.ts';
import { skipWithoutApiServerControl } from './api-server-commands.ts';
import { isReal } from './real-cluster.ts';
import { scenario } from './scenario.ts';

const outageMs = isWhole || isReal ? 60_000 : 10_000;
const outageGapMsMax = 1_000;

scenario(
  'operator killed again and again while it scales',
  { isLong: true, killsOperator: true },
  async (stage) => {
    const cluster = stage.cluster('guided');
    await cluster.create({ replicas: 1 });
    await cluster.untilSettled(1);
    await stage.load(cluster);
    for (const replicas of [3, 1]) {
      await stage.measure(`${replicas} members`, async () => {
        await cluster.scale(replicas);
        await cluster.untilSettled(replicas);
      });
    }
  },
);

scenario(
  'API server away for a minute',
  { isLong: true, skip: skipWithoutApiServerControl(), killsOperator: false },
  async (stage) => {
    const { apiServer } = stage.environment;
    const cluster = stage.cluster('alone');
    await cluster.create({ replicas: 3 });
    await cluster.untilSettled(3);
    const load = await stage.load(cluster);
    const before = await cluster.podUids();
    load.restartGap();
    try {
      await apiServer?.stop();
      await sleep(outageMs);
    } finally {
      await apiServer?.start();
    }
    assert.ok(
      load.gapMs <= outageGapMsMax,
      `writes did not need it, but stood for ${load.gapMs} ms`,
    );
    await stage.measure('settled again', () => cluster.untilSettled(3));
    assert.deepEqual(await cluster.podUids(), before, 'no pod was touched');
    await stage.measure('and able to grow', async () => {
      await cluster.scale(5);
      await cluster.untilSettled(5);
    });
  },
);

scenario('bad image and revert', { isLong: true }, async (stage) => {
  const cluster = stage.cluster('reverted');
  const { images } = stage.environment;
  await cluster.create({ replicas: 1, image: images.now });
  await cluster.untilSettled(1);
  await stage.load(cluster);
  await cluster.edit({ image: images.missing, replicas: 3 });
  await cluster.untilSaid(/image/i);
  await stage.measure('reverted', async () => {
    await cluster.edit({ image: images.now });
    await cluster.untilSettled(3);
  });
});
