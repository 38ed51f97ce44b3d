import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  missingPrograms,
  startRealApiServer,
} from '../../e2e/localkube/contract/real-api-server.ts';
import type { Faults } from '../../e2e/localkube/faults.ts';
import { type LocalKube, startLocalKube } from '../../e2e/localkube/local-kube.ts';
import { storeClusterDefinition } from '../../operator/api/crd.ts';
import type { KubeList, KubeObject } from '../../operator/api/objects.ts';
import type { StoreCluster } from '../../operator/api/types.ts';
import { Controller } from '../../operator/controller.ts';
import { HttpKubeClient } from '../../operator/kube/client.ts';
import { systemClock, systemRandom } from '../../operator/kube/clock.ts';
import { loadConnection } from '../../operator/kube/kubeconfig.ts';
import { noFence } from '../../operator/kube/leader-lease.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import { KubeRecorder } from '../../operator/kube/recorder.ts';
import { OperatorMetrics } from '../../operator/metrics/operator-metrics.ts';
import { allRules } from '../../operator/resources/permissions.ts';
import { silentLogger } from '../../server/base/logger.ts';
import { AuthorizedKube } from './support/authorized-kube.ts';
import { PaperKubelet } from './support/paper-kubelet.ts';

// The controller over HTTP against API servers without a node: localkube, where it can be hurt, and a real one, where
// there is one. The members are on paper.

const clusterPath = objectPath('StoreCluster', { namespace: 'default', name: 'demo' });
const missing = missingPrograms();
const skip = missing.length > 0 && `${missing.join(', ')} not in KUBEBUILDER_ASSETS or PATH`;

test('one life on localkube', () => withLocalKube(({ kube }) => liveOnce(kube)));

test('one life on a real API server', { skip }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-controller-'));
  const server = await startRealApiServer(directory);
  try {
    await withController(join(directory, 'kubeconfig'), liveOnce);
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
});

test('every answer to a write is lost once, every repeated write itself: nothing is made twice', () =>
  withLocalKube(async ({ kube, faults }) => {
    const struck = loseEachWriteOnce(faults);
    await createCluster(kube);
    await converged(kube, '3/3');
    await assertMembers(kube, ['demo-1', 'demo-2', 'demo-3']);
    assert.ok(struck.size >= 14, [...struck].join('\n'));
  }));

test('watches that break, a history that is forgotten, an API that is away: it goes on', () =>
  withLocalKube(async ({ kube, localKube, faults }) => {
    await createCluster(kube);
    for (let round = 0; round < 3; round += 1) {
      await sleep(300);
      faults.breakWatches();
      localKube.forgetHistory();
      await localKube.stopApi();
      await sleep(100);
      await localKube.startApi();
    }
    await converged(kube, '3/3');
    await assertMembers(kube, ['demo-1', 'demo-2', 'demo-3']);
  }));

test('a store that is well is looked at rarely, and nothing is written', () =>
  withLocalKube(async ({ kube, faults }) => {
    await createCluster(kube, 1);
    await converged(kube, '1/1');
    await sleep(500);
    const requests: string[] = [];
    faults.add({
      matches: ({ method, path, isWatch }) => {
        // The kubelet lists all pods, the operator those of its cluster.
        const isKubelet = path.includes('/pods');
        if (!isKubelet && !isWatch) requests.push(`${method} ${path}`);
        return false;
      },
      fault: { kind: 'reset' },
    });
    await sleep(3_000);
    assert.deepEqual(
      requests.filter((request) => !request.startsWith('GET ')),
      [],
    );
    assert.ok(requests.length <= 6, requests.join('\n'));
  }));

/** Up to 3, to 5, down to 1, gone. */
async function liveOnce(kube: HttpKubeClient): Promise<void> {
  await createCluster(kube);
  await converged(kube, '3/3');
  await assertMembers(kube, ['demo-1', 'demo-2', 'demo-3']);
  await kube.patch(clusterPath, { spec: { replicas: 5 } });
  await converged(kube, '5/5');
  await kube.patch(clusterPath, { spec: { replicas: 1, deletionPolicy: 'Delete' } });
  await converged(kube, '1/1');
  assert.equal((await names(kube, 'PersistentVolumeClaim')).length, 1);
  await until('the StoreCluster is being deleted', async () => {
    const cluster = await kube.get<StoreCluster>(clusterPath);
    const { uid = '', resourceVersion = '' } = cluster?.metadata ?? {};
    await kube.remove(clusterPath, { uid, resourceVersion });
    return true;
  });
  await until('all is gone', async () => {
    const rest = await Promise.all([names(kube, 'Pod'), names(kube, 'PersistentVolumeClaim')]);
    return (await kube.get(clusterPath)) === undefined && rest.flat().length === 0;
  });
}

interface LocalSetting {
  readonly kube: HttpKubeClient;
  readonly localKube: LocalKube;
  readonly faults: Faults;
}

async function withLocalKube(body: (setting: LocalSetting) => Promise<void>): Promise<void> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'mainstay-controller-'));
  const localKube = await startLocalKube({
    dataDirectory,
    logger: silentLogger,
    hasKubelet: false,
  });
  try {
    const { faults, kubeconfigPath } = localKube;
    await withController(kubeconfigPath, (kube) => body({ kube, localKube, faults }));
  } finally {
    await localKube.stop();
    rmSync(dataDirectory, { recursive: true, force: true });
  }
}

async function withController(
  kubeconfig: string,
  body: (kube: HttpKubeClient) => Promise<void>,
): Promise<void> {
  const kube = new HttpKubeClient(loadConnection(kubeconfig));
  const kubelet = new PaperKubelet(kube);
  const stopped = new AbortController();
  await installDefinition(kube);
  const running = [controllerOn(kube, kubelet).run(stopped.signal), kubelet.run(stopped.signal)];
  try {
    await body(kube);
  } finally {
    stopped.abort();
    await Promise.all(running);
    kube.close();
  }
}

function controllerOn(kube: HttpKubeClient, kubelet: PaperKubelet): Controller {
  const system = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const modules = { ...system, kube: new AuthorizedKube(kube, { rules: allRules }) };
  return new Controller(
    {
      ...modules,
      store: kubelet.admin,
      recorder: new KubeRecorder(modules),
      fence: noFence,
      wallMs: () => Date.now(),
      newNonce: () => 'nonce',
      imageRepository: 'mainstay',
      metrics: new OperatorMetrics(systemClock),
      readMetrics: async () => '',
      readLog: async () => '',
      clusterDomain: 'cluster.local',
      reloadMs: 0,
    },
    { namespace: 'default', workers: 2 },
  );
}

async function installDefinition(kube: HttpKubeClient): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  await kube.create(path, storeClusterDefinition as unknown as KubeObject);
  await until('the definition is served', async () => {
    const list = await kube.get(collectionPath('StoreCluster', 'default'));
    return list !== undefined;
  });
}

async function createCluster(kube: HttpKubeClient, replicas = 3): Promise<void> {
  const object = {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreCluster',
    metadata: { name: 'demo', namespace: 'default' },
    spec: { replicas, storage: { size: '1Gi' } },
  };
  const created = () => kube.get(clusterPath).then((cluster) => cluster !== undefined);
  await until('the StoreCluster is there', async () => {
    if (await created()) return true;
    await kube.create(collectionPath('StoreCluster', 'default'), object);
    return true;
  });
}

/** Faults of the first kind strike the first write to a path, of the second kind the second one. */
function loseEachWriteOnce(faults: Faults): ReadonlySet<string> {
  const struck = new Set<string>();
  for (const kind of ['lostReply', 'reset'] as const) {
    const matches = (request: { method: string; path: string }) => {
      const what = `${kind} ${request.method} ${request.path}`;
      const isOurs = request.method !== 'GET' && !/events|pods\/.*\/status/.test(request.path);
      if (!isOurs || struck.has(what)) return false;
      struck.add(what);
      return true;
    };
    faults.add({ matches, fault: { kind } });
  }
  return struck;
}

function converged(kube: HttpKubeClient, ready: string): Promise<void> {
  return until(`ready is ${ready}`, async () => {
    const cluster = await kube.get<StoreCluster>(clusterPath);
    const { plan, ready: present, observedGeneration } = cluster?.status ?? {};
    const isSeen = observedGeneration === cluster?.metadata.generation;
    return isSeen && present === ready && plan?.decision === 'Idle';
  });
}

async function assertMembers(kube: HttpKubeClient, expected: readonly string[]): Promise<void> {
  assert.deepEqual(await names(kube, 'Pod'), expected);
  assert.deepEqual(await names(kube, 'PersistentVolumeClaim'), expected);
}

async function names(kube: HttpKubeClient, kind: 'Pod' | 'PersistentVolumeClaim') {
  const { items } = await kube.list<KubeList<KubeObject>>(collectionPath(kind, 'default'));
  return items.map(({ metadata }) => metadata.name).toSorted();
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    if (await isSo().catch(() => false)) return;
    if (performance.now() > deadlineMs) throw new Error(`not within 60 s: ${what}`);
    await sleep(25);
  }
}
