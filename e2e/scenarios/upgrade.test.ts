import assert from 'node:assert/strict';
import { openPlace } from './backup-place.ts';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';
import { TestedBackups } from './tested-backups.ts';

/** A second is the aim, and what a machine with nothing else to do shows; other tests run beside this one. */
const gapMsMax = 4_000;

async function before(stage: Stage): Promise<TestedCluster> {
  const cluster = stage.cluster('upgraded');
  const { images } = stage.environment;
  await cluster.create({ replicas: 3, image: images.before ?? images.now });
  await cluster.untilSettled(3);
  return cluster;
}

async function checkImages(cluster: TestedCluster, image: string): Promise<void> {
  const images = (await cluster.pods()).map(({ spec }) => spec.containers[0]?.image);
  assert.deepEqual(images, [image, image, image]);
}

scenario('upgrade v0.1.0 to now', { needsBefore: true, isLong: true }, async (stage) => {
  const { images } = stage.environment;
  const cluster = await before(stage);
  const load = await stage.load(cluster);
  await stage.measure('upgraded', async () => {
    await cluster.edit({ image: images.now });
    await cluster.untilSettled(3);
  });
  await checkImages(cluster, images.now);
  assert.equal(load.failures, 0, 'no write fails');
  assert.ok((stage.gapMs ?? 0) <= gapMsMax, `nobody could write for ${stage.gapMs} ms`);
});

scenario(
  'upgrade v0.1.0 to now, with a backup first',
  { isLong: true, needsBefore: true },
  async (stage) => {
    const { images } = stage.environment;
    const place = await openPlace(stage.environment, 'volume');
    try {
      const cluster = await before(stage);
      const { target } = place;
      const backups = new TestedBackups(stage.environment, { cluster: cluster.name, target });
      await backups.schedule('nightly', { schedule: '0 0 1 1 *' });
      await stage.load(cluster);
      const pods = await cluster.podUids();
      await stage.measure('backed up and upgraded', async () => {
        await cluster.edit({ image: images.now });
        await cluster.untilSaid(/BackupFirst: The backup upgraded-before-/);
        assert.deepEqual(await cluster.podUids(), pods, 'nobody has changed yet');
        await cluster.untilSettled(3);
      });
      await checkImages(cluster, images.now);
      const [backup, ...others] = await backups.list();
      assert.equal(others.length, 0);
      assert.equal(backup?.status?.phase, 'Complete');
      assert.ok(backup.status.verifiedAt !== undefined, 'it was proven to restore');
    } finally {
      await place.close();
    }
  },
);

scenario(
  'upgrade v0.1.0 to now, with surge',
  { isLong: true, needsBefore: true },
  async (stage) => {
    const { images } = stage.environment;
    const cluster = await before(stage);
    const load = await stage.load(cluster);
    await stage.measure('upgraded', async () => {
      await cluster.edit({ image: images.now, update: { surge: true } });
      await cluster.untilSettled(3);
    });
    await checkImages(cluster, images.now);
    assert.equal(load.failures, 0, 'no write fails');
    assert.ok((stage.gapMs ?? 0) <= gapMsMax, `nobody could write for ${stage.gapMs} ms`);
  },
);

scenario(
  'upgrade v0.1.0 to now, reverted half-way',
  { isLong: true, needsBefore: true },
  async (stage) => {
    const { images } = stage.environment;
    const cluster = await before(stage);
    const load = await stage.load(cluster);
    await stage.measure('upgraded in part, and reverted', async () => {
      await cluster.edit({ image: images.now });
      await cluster.untilRunning(images.now, 1);
      await cluster.edit({ image: images.before });
      await cluster.untilSettled(3);
    });
    await checkImages(cluster, images.before ?? '');
    assert.equal(load.failures, 0, 'no write fails');
  },
);

scenario(
  'operator upgraded from v0.1.0',
  { isLong: true, needsBefore: true, operator: 'before', killsOperator: false },
  async (stage) => {
    const { images, operator } = stage.environment;
    const cluster = stage.cluster('kept');
    await cluster.create({ replicas: 3 });
    // The status of that release has no more than this.
    await cluster.untilReady(3);
    const pods = await cluster.podUids();
    await stage.load(cluster);
    await stage.measure('the operator is another one', async () => {
      await operator.change('now');
      await cluster.untilSettled(3);
    });
    assert.deepEqual(await cluster.podUids(), pods, 'no pod was started anew');
    await stage.measure('and grows what it found', async () => {
      await cluster.scale(5);
      await cluster.untilSettled(5);
    });
    const running = (await cluster.pods()).map(({ spec }) => spec.containers[0]?.image);
    assert.deepEqual(new Set(running), new Set([images.before]), 'with the release that it has');
  },
);
