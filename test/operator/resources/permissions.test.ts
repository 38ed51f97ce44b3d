import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoreBackup } from '../../../operator/api/backup-types.ts';
import type { KubeList, KubeObject, PersistentVolumeClaim } from '../../../operator/api/objects.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import { BackupController } from '../../../operator/backup-controller.ts';
import { Controller } from '../../../operator/controller.ts';
import { systemClock, systemRandom } from '../../../operator/kube/clock.ts';
import { LeaderLease, leaderLeaseDefaults } from '../../../operator/kube/leader-lease.ts';
import { collectionPath, objectPath } from '../../../operator/kube/paths.ts';
import { KubeRecorder } from '../../../operator/kube/recorder.ts';
import { OperatorMetrics } from '../../../operator/metrics/operator-metrics.ts';
import { scheduleLabel } from '../../../operator/resources/backup-pod.ts';
import { allRules, leaseRules, workRules } from '../../../operator/resources/permissions.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { AuthorizedKube, type Grants, permissionsOf } from '../support/authorized-kube.ts';
import { type BareKube, createCluster, withBareKube } from '../support/bare-kube.ts';
import { until } from '../support/operator-process.ts';
import { PaperKubelet } from '../support/paper-kubelet.ts';

// Least privilege, both ways: a life in which the operator does all that it can do needs every permission that it is
// given, and no other.

const clusterPath = objectPath('StoreCluster', { namespace: 'default', name: 'demo' });

test('in all namespaces: what is granted is what is used', () =>
  withBareKube(async (setting) => {
    const kube = await wholeLife(setting, { rules: allRules });
    assert.deepEqual([...kube.refused], []);
    const unused = [...permissionsOf(allRules)].filter((each) => !kube.used.has(each));
    assert.deepEqual(unused, []);
  }));

test('in one namespace, with a Role alone: it sees no nodes, and does everything else', () =>
  withBareKube(async (setting) => {
    const rules = [...workRules, ...leaseRules];
    const kube = await wholeLife(setting, { rules, namespace: 'default' });
    assert.deepEqual([...kube.refused], ['get /nodes at the cluster scope']);
    const unused = [...permissionsOf(rules)].filter((each) => !kube.used.has(each));
    assert.deepEqual(unused, []);
  }));

test('no rule is wider than a list of names', () => {
  const forbidden = ['*', 'pods/exec', 'pods/attach', 'pods/portforward', 'nodes/proxy'];
  for (const { apiGroups, resources, verbs } of allRules) {
    assert.ok(![...apiGroups, ...resources, ...verbs].some((each) => forbidden.includes(each)));
    assert.ok(!verbs.some((verb) => ['escalate', 'bind', 'impersonate'].includes(verb)));
    assert.ok(!verbs.includes('deletecollection'));
  }
});

/** Leads, creates, grows, shrinks, changes its mind and deletes. Returns the API server with what it saw. */
async function wholeLife(setting: BareKube, grants: Grants): Promise<AuthorizedKube> {
  const kube = new AuthorizedKube(setting.kube, grants);
  const kubelet = new PaperKubelet(setting.kube);
  const stopped = new AbortController();
  const lease = new LeaderLease(
    { kube, clock: systemClock, logger: silentLogger },
    { ...leaderLeaseDefaults, namespace: 'default', name: 'operator', identity: 'a' },
  );
  await lease.acquire(stopped.signal);
  const running = [
    lease.hold(stopped.signal),
    controllerOn(kube, { kubelet, lease, namespace: grants.namespace }).run(stopped.signal),
    backupControllerOn(kube, grants.namespace).run(stopped.signal),
    kubelet.run(stopped.signal),
  ];
  try {
    await live(setting);
  } finally {
    stopped.abort();
    await Promise.all(running);
  }
  return kube;
}

const rootPassword = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'root', namespace: 'default' },
  stringData: { password: 'correct horse battery staple' },
};

async function live(setting: BareKube): Promise<void> {
  const { kube } = setting;
  const change = (spec: unknown) => kube.patch(clusterPath, { spec });
  await kube.create(collectionPath('Secret', 'default'), rootPassword);
  const auth = { rootPassword: { name: 'root' }, users: [{ name: 'app' }] };
  await createCluster(setting, 'demo', {
    networkPolicy: {},
    observers: { replicas: 0 },
    deletionPolicy: 'Delete',
    auth,
  });
  await converged(setting, '3/3');
  await placeVolumes(setting);
  await backUp(setting);
  await change({
    networkPolicy: null,
    observers: null,
    disruptionBudget: 'Disabled',
    storage: { size: '2Gi' },
  });
  await converged(setting, '3/3');
  await change({ replicas: 1, auth: { ...auth, users: [] } });
  await converged(setting, '1/1');
  const { metadata } = (await kube.get<StoreCluster>(clusterPath)) ?? assert.fail();
  const { uid = '' } = metadata;
  await until('it is being deleted', async () => {
    const { resourceVersion = '' } = (await kube.get<StoreCluster>(clusterPath))?.metadata ?? {};
    return kube.remove(clusterPath, { uid, resourceVersion }).then(
      () => true,
      () => false,
    );
  });
  await until('it is gone', async () => (await kube.get(clusterPath)) === undefined);
}

/** A schedule makes one, another is made by hand, and the older one is removed. */
async function backUp({ kube }: BareKube): Promise<void> {
  const spec = { cluster: 'demo', target: { volume: { claimName: 'backups' } } };
  const metadata = { name: 'nightly', namespace: 'default' };
  const apiVersion = 'mainstay.dev/v1alpha1';
  const schedule = { schedule: '* * * * *', immediate: true, keep: { last: 1 } };
  await kube.create(collectionPath('StoreBackup', 'default'), {
    apiVersion,
    kind: 'StoreBackup',
    metadata: { ...metadata, name: 'first', labels: { [scheduleLabel]: 'nightly' } },
    spec,
  } as KubeObject);
  const list = async () =>
    (await kube.list<KubeList<StoreBackup>>(collectionPath('StoreBackup', 'default'))).items;
  await until('the first backup is made', async () =>
    (await list()).some(({ status }) => status?.verifiedAt !== undefined),
  );
  await kube.create(collectionPath('StoreBackupSchedule', 'default'), {
    apiVersion,
    kind: 'StoreBackupSchedule',
    metadata,
    spec: { ...spec, ...schedule },
  } as KubeObject);
  await until('a second is made and the first removed', async () => {
    const backups = await list();
    const isDone = backups.some(({ status }) => status?.phase === 'Complete');
    return isDone && !backups.some((backup) => backup.metadata.name === 'first');
  });
}

/** As the scheduler does where volumes are made for a node: so there are nodes to ask for. */
async function placeVolumes({ kube }: BareKube): Promise<void> {
  const path = collectionPath('PersistentVolumeClaim', 'default');
  const { items } = await kube.list<KubeList<PersistentVolumeClaim>>(path);
  const annotations = { 'volume.kubernetes.io/selected-node': 'node-1' };
  for (const { metadata } of items) {
    await kube.patch(`${path}/${metadata.name}`, { metadata: { annotations } });
  }
}

function backupControllerOn(kube: AuthorizedKube, namespace: string | undefined): BackupController {
  const modules = { kube, clock: systemClock, random: systemRandom, logger: silentLogger };
  const recorder = new KubeRecorder(modules);
  return new BackupController(
    {
      ...modules,
      recorder,
      wallMs: () => systemClock.wallMs(),
      imageRepository: 'mainstay',
      readLog: async (path) => JSON.stringify(await kube.get(path)),
    },
    namespace,
  );
}

function controllerOn(
  kube: AuthorizedKube,
  {
    kubelet,
    lease,
    namespace,
  }: {
    readonly kubelet: PaperKubelet;
    readonly lease: LeaderLease;
    readonly namespace: string | undefined;
  },
): Controller {
  const modules = { kube, clock: systemClock, random: systemRandom, logger: silentLogger };
  return new Controller(
    {
      ...modules,
      store: kubelet.admin,
      recorder: new KubeRecorder(modules),
      fence: lease.fence,
      wallMs: () => systemClock.wallMs(),
      newNonce: () => 'nonce',
      imageRepository: 'mainstay',
      metrics: new OperatorMetrics(systemClock),
      readMetrics: async () => '',
      readLog: async () => '',
      clusterDomain: 'cluster.local',
      reloadMs: 0,
    },
    { namespace, workers: 2 },
  );
}

function converged({ kube }: BareKube, ready: string): Promise<void> {
  return until(`ready is ${ready}`, async () => {
    const cluster = await kube.get<StoreCluster>(clusterPath);
    const { plan, ready: present, observedGeneration } = cluster?.status ?? {};
    const isSeen = observedGeneration === cluster?.metadata.generation;
    return isSeen && present === ready && plan?.decision === 'Idle';
  });
}
