import assert from 'node:assert/strict';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';

const gapMsMax = 15_000;

async function threeUnderLoad(stage: Stage): Promise<TestedCluster> {
  const cluster = stage.cluster('hurt');
  await cluster.create({ replicas: 3 });
  await cluster.untilSettled(3);
  await stage.load(cluster);
  return cluster;
}

function checkGap(stage: Stage): void {
  assert.ok((stage.gapMs ?? 0) <= gapMsMax, `nobody could write for ${stage.gapMs} ms`);
}

scenario('kill the leader’s pod', { isLong: true }, async (stage) => {
  const cluster = await threeUnderLoad(stage);
  const leader = await cluster.leader();
  await stage.measure('killed', async () => {
    await cluster.deletePod(leader.name, 0);
    await cluster.untilSettled(3);
  });
  const members = await cluster.members();
  assert.equal(members.find(({ name }) => name === leader.name)?.id, leader.id, 'the same member');
  checkGap(stage);
});

scenario('delete a volume claim', { isLong: true }, async (stage) => {
  const cluster = await threeUnderLoad(stage);
  const lost = await cluster.follower();
  await stage.measure('claim and pod deleted', async () => {
    await cluster.deleteVolume(lost.name);
    await cluster.untilSettled(3);
  });
  const ids = (await cluster.members()).map(({ id }) => id);
  assert.ok(!ids.includes(lost.id), 'the id of a member without its data does not come back');
  checkGap(stage);
});

scenario('empty a disk', { isLong: true }, async (stage) => {
  const cluster = await threeUnderLoad(stage);
  const emptied = await cluster.follower();
  await stage.measure('emptied', async () => {
    await cluster.emptyVolume(emptied.name);
    await cluster.untilSettled(3);
  });
  const ids = (await cluster.members()).map(({ id }) => id);
  assert.ok(!ids.includes(emptied.id), 'the id of a member without its data does not come back');
  checkGap(stage);
});

for (const { what, nameEnd, noticed } of [
  {
    what: 'log',
    nameEnd: '.wal',
    noticed: /damaged data: what is missing comes from the other members/,
  },
  // Damage in what was written last to it is made good from the log alone.
  { what: 'state', nameEnd: '.log', noticed: /damaged data|cut a torn tail/ },
]) {
  scenario(`damage the ${what} of a member`, { isLong: true }, async (stage) => {
    const cluster = await threeUnderLoad(stage);
    const hurt = await cluster.follower();
    await stage.measure('damaged', async () => {
      const files = await cluster.damage(hurt.name, nameEnd);
      assert.ok(files > 0, `there is a file that ends in ${nameEnd}`);
      await cluster.untilSettled(3);
    });
    const log = await stage.environment.podLog(hurt.name);
    assert.match(log, noticed);
    checkGap(stage);
  });
}
