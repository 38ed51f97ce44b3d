import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { isWhole } from '../../test/support/whole.ts';
import { cordon, evict, evictWhenGranted, nodeNames } from './nodes.ts';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';
import { until } from './waiting.ts';

const gapMsMax = 4_000;
const leaderMsMax = 60_000;
const pausedMs = 5_000;

/** One edit of every kind that members are started anew for. */
const edits: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  options: {
    options: {
      snapshotCount: 5_000,
      heartbeatIntervalMs: 150,
      electionTimeoutMs: 1_500,
      maxTxnOps: 256,
      logLevel: 'Warn',
      autoCompaction: { mode: 'Revision', retention: '100000' },
    },
  },
  quota: { options: { quota: '256Mi' } },
  resources: { resources: { requests: { memory: '64Mi' }, limits: { memory: '512Mi' } } },
  placement: { placement: { nodes: 'None', zones: 'None' } },
  'labels and annotations': {
    podTemplate: { labels: { team: 'storage' }, annotations: { 'example.com/why': 'asked' } },
  },
  restart: { update: { restart: 'once' } },
};

async function threeUnderLoad(stage: Stage, name: string): Promise<TestedCluster> {
  const cluster = stage.cluster(name);
  await cluster.create({ replicas: 3 });
  await cluster.untilSettled(3);
  await stage.load(cluster);
  return cluster;
}

scenario('every kind of option changed', { isLong: true }, async (stage) => {
  const cluster = await threeUnderLoad(stage, 'changed');
  // A sample, where time is short.
  const names = isWhole ? Object.keys(edits) : ['options', 'resources'];
  for (const name of names) {
    const before = await cluster.podUids();
    await stage.measure(name, async () => {
      await cluster.edit(edits[name] ?? {});
      await cluster.untilSettled(3);
    });
    const after = await cluster.podUids();
    for (const [pod, uid] of after) assert.notEqual(uid, before.get(pod), `${pod} has the change`);
  }
  assert.ok((stage.gapMs ?? 0) <= gapMsMax, `nobody could write for ${stage.gapMs} ms`);
});

scenario('changed with surge, under writes that are sent once', { isLong: true }, async (stage) => {
  const cluster = stage.cluster('surged');
  await cluster.create({ replicas: 3, update: { surge: true } });
  await cluster.untilSettled(3);
  const connections = Array.from({ length: 6 }, () => stage.load(cluster, { mayRepeat: false }));
  const loads = await Promise.all(connections);
  await stage.measure('changed', async () => {
    await cluster.edit({ options: { maxTxnOps: 256 } });
    await cluster.untilSettled(3);
  });
  const failures = loads.map((load) => load.failures);
  assert.deepEqual(failures, [0, 0, 0, 0, 0, 0], 'no write fails that met a member on its way out');
});

scenario('volumes grow', { isLong: true }, async (stage) => {
  const cluster = await threeUnderLoad(stage, 'grown');
  await stage.measure('grown', async () => {
    await cluster.edit({ storage: { size: '2Gi' } });
    await until('all volumes have the new size', leaderMsMax, async () => {
      const volumes = await cluster.volumes();
      return volumes.every(({ status }) => status?.capacity?.storage === '2Gi');
    });
    await cluster.untilSettled(3);
  });
});

scenario('paused', { isLong: true }, async (stage) => {
  const cluster = await threeUnderLoad(stage, 'still');
  const before = await cluster.podUids();
  await cluster.edit({ paused: true, replicas: 5, options: { logLevel: 'Warn' } });
  await cluster.untilSaid(/paused/i);
  await sleep(pausedMs);
  assert.deepEqual(await cluster.podUids(), before, 'nothing is touched');
  await stage.measure('and goes on', async () => {
    await cluster.edit({ paused: false });
    await cluster.untilSettled(5);
  });
});

scenario('drain', { isLong: true }, async (stage) => {
  const cluster = await threeUnderLoad(stage, 'drained');
  const nodes = await nodeNames(stage.environment);
  if (nodes.length === 1) await drainTheOnlyNode(stage, cluster, nodes[0] ?? '');
  else await drainLeadersNode(stage, cluster);
});

/** The lead moves away from a node that is cordoned, before the eviction; its member comes back elsewhere. */
async function drainLeadersNode(stage: Stage, cluster: TestedCluster): Promise<void> {
  const { environment } = stage;
  const leader = await cluster.leader();
  const node = await cluster.nodeOf(leader.name);
  const before = await cluster.podUids();
  await stage.measure('drained', async () => {
    await cordon(environment, node, true);
    await until('another member leads', leaderMsMax, async () => {
      const { name } = await cluster.leader();
      return (await cluster.nodeOf(name)) !== node;
    });
    await evictWhenGranted(environment, leader.name);
    await cluster.untilReplaced(leader.name, before);
    await cluster.untilSettled(3);
  });
  assert.notEqual(await cluster.nodeOf(leader.name), node);
  await cordon(environment, node, false);
  assert.ok((stage.gapMs ?? 0) <= gapMsMax, `nobody could write for ${stage.gapMs} ms`);
}

/** There is nowhere to go: one member may be evicted, and the budget keeps the quorum where it is. */
async function drainTheOnlyNode(stage: Stage, cluster: TestedCluster, node: string): Promise<void> {
  const { environment } = stage;
  const [first, second] = await Promise.all([cluster.follower(), cluster.leader()]);
  const before = await cluster.podUids();
  await cordon(environment, node, true);
  try {
    await evictWhenGranted(environment, first.name);
    await cluster.untilReplaced(first.name, before);
    assert.equal(await evict(environment, second.name), false, 'the budget keeps the quorum');
  } finally {
    await cordon(environment, node, false);
  }
  await stage.measure('uncordoned', () => cluster.untilSettled(3));
  stage.note('there is only one node: it was drained in vain');
}

scenario('delete with Retain and adopt', { isLong: true }, async (stage) => {
  const cluster = stage.cluster('adopted');
  await cluster.create({ replicas: 3, deletionPolicy: 'Retain' });
  await cluster.untilSettled(3);
  await put(cluster, 'kept', 'yes');
  const { metadata } = await cluster.get();
  await cluster.delete();
  await stage.measure('adopted', async () => {
    await cluster.create({ replicas: 3, adoptFrom: metadata.uid ?? '' });
    await cluster.untilSettled(3);
  });
  assert.equal(await get(cluster, 'kept'), 'yes');
});

async function put(cluster: TestedCluster, key: string, value: string): Promise<void> {
  const client = new Client({ endpoints: [await cluster.endpoint()] });
  await client.put(key, value);
  client.close();
}

async function get(cluster: TestedCluster, key: string): Promise<string | undefined> {
  const client = new Client({ endpoints: [await cluster.endpoint()] });
  const found = await client.get(key);
  client.close();
  return found && Buffer.from(found.value).toString();
}
