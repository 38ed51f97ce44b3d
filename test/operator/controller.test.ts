import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalKube, startLocalKube } from '../../e2e/localkube/local-kube.ts';
import { storeClusterDefinition } from '../../operator/api/crd.ts';
import type {
  KubeList,
  KubeObject,
  PersistentVolumeClaim,
  Pod,
} from '../../operator/api/objects.ts';
import type { StoreCluster } from '../../operator/api/types.ts';
import { Controller } from '../../operator/controller.ts';
import { HttpKubeClient } from '../../operator/kube/client.ts';
import { systemClock, systemRandom } from '../../operator/kube/clock.ts';
import { loadConnection } from '../../operator/kube/kubeconfig.ts';
import { noFence } from '../../operator/kube/leader-lease.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import { KubeRecorder } from '../../operator/kube/recorder.ts';
import { silentLogger } from '../../server/base/logger.ts';
import { FakeStoreAdmin } from './support/fake-store.ts';

// The controller over HTTP against localkube without a kubelet: pods stay pending, so it comes as far as the seed's pod.

const key = { namespace: 'default', name: 'demo' };
const clusterPath = objectPath('StoreCluster', key);

interface Setting {
  readonly localKube: LocalKube;
  readonly kube: HttpKubeClient;
  readonly start: () => void;
  /** Requests since the beginning, by method. */
  readonly requests: Map<string, number>;
}

async function withController(body: (setting: Setting) => Promise<void>): Promise<void> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'mainstay-controller-'));
  const localKube = await startLocalKube({
    dataDirectory,
    logger: silentLogger,
    hasKubelet: false,
  });
  const kube = new HttpKubeClient(loadConnection(localKube.kubeconfigPath));
  const requests = countRequests(localKube);
  const stopped = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const start = () => {
    running = controllerOn(kube).run(stopped.signal);
  };
  try {
    await installDefinition(kube);
    await body({ localKube, kube, start, requests });
  } finally {
    stopped.abort();
    await running;
    kube.close();
    await localKube.stop();
    rmSync(dataDirectory, { recursive: true, force: true });
  }
}

function controllerOn(kube: HttpKubeClient): Controller {
  const modules = { kube, clock: systemClock, random: systemRandom, logger: silentLogger };
  return new Controller(
    {
      ...modules,
      store: new FakeStoreAdmin(() => undefined),
      recorder: new KubeRecorder(modules),
      fence: noFence,
      wallMs: () => Date.now(),
      newNonce: () => 'nonce',
      imageRepository: 'mainstay',
    },
    { namespace: 'default', workers: 2 },
  );
}

/** A fault that never strikes sees every request. */
function countRequests(localKube: LocalKube): Map<string, number> {
  const requests = new Map<string, number>();
  localKube.faults.add({
    matches: ({ method, path }) => {
      if (!path.includes('/events')) requests.set(method, (requests.get(method) ?? 0) + 1);
      return false;
    },
    fault: { kind: 'reset' },
  });
  return requests;
}

async function installDefinition(kube: HttpKubeClient): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  await kube.create(path, storeClusterDefinition as unknown as KubeObject);
  await until('the definition is served', async () => {
    const list = await kube.get(collectionPath('StoreCluster', 'default'));
    return list !== undefined;
  });
}

async function createCluster(kube: HttpKubeClient): Promise<void> {
  await kube.create(collectionPath('StoreCluster', 'default'), {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreCluster',
    metadata: key,
    spec: { storage: { size: '1Gi' } },
  } as KubeObject);
}

async function hasSeed(kube: HttpKubeClient): Promise<boolean> {
  const cluster = await kube.get<StoreCluster>(clusterPath);
  return cluster?.status?.plan?.reason === 'SeedStarting';
}

async function assertOneOfEach(kube: HttpKubeClient): Promise<void> {
  const pods = await kube.list<KubeList<Pod>>(collectionPath('Pod', 'default'));
  const volumes = await kube.list<KubeList<PersistentVolumeClaim>>(
    collectionPath('PersistentVolumeClaim', 'default'),
  );
  const names = [...pods.items, ...volumes.items].map(({ metadata }) => metadata.name);
  assert.deepEqual(names, ['demo-1', 'demo-1']);
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  for (;;) {
    if (await isSo().catch(() => false)) return;
    if (performance.now() > deadlineMs) throw new Error(`not within 30 s: ${what}`);
    await sleep(25);
  }
}

test('a StoreCluster is worked on; then its own writes are no reason to go on', () =>
  withController(async ({ kube, start, requests }) => {
    start();
    await createCluster(kube);
    await until('the seed has its pod', () => hasSeed(kube));
    await assertOneOfEach(kube);
    await sleep(500);
    const before = new Map(requests);
    await sleep(2_000);
    const more = (method: string) => (requests.get(method) ?? 0) - (before.get(method) ?? 0);
    assert.deepEqual(['POST', 'PUT', 'PATCH', 'DELETE'].map(more), [0, 0, 0, 0]);
    // A wait is looked at every half second, with six reads.
    assert.ok(more('GET') <= 36, `${more('GET')} reads in two seconds of waiting`);
  }));

test('every write loses its answer once, and is lost once where it is repeated: nothing is made twice', () =>
  withController(async ({ localKube, kube, start }) => {
    await createCluster(kube);
    const struck = new Set<string>();
    for (const fault of ['lostReply', 'reset'] as const) {
      localKube.faults.add({
        matches: ({ method, path }) => {
          const what = `${fault} ${method} ${path}`;
          if (method === 'GET' || path.includes('/events') || struck.has(what)) return false;
          struck.add(what);
          return true;
        },
        fault: { kind: fault },
      });
    }
    start();
    await until('the seed has its pod', () => hasSeed(kube));
    await assertOneOfEach(kube);
    assert.ok(struck.size >= 7, [...struck].join('\n'));
  }));

test('watches that break, a history that is forgotten, an API that is away: it goes on', () =>
  withController(async ({ localKube, kube, start }) => {
    start();
    await sleep(200);
    localKube.faults.breakWatches();
    localKube.forgetHistory();
    await localKube.stopApi();
    await sleep(200);
    await localKube.startApi();
    await until('the cluster is there', async () => {
      await createCluster(kube);
      return true;
    });
    await until('the seed has its pod', () => hasSeed(kube));
    localKube.forgetHistory();
    localKube.faults.breakWatches();
    await until('the cluster is being deleted', async () => {
      const { uid = '', resourceVersion = '' } =
        (await kube.get<StoreCluster>(clusterPath))?.metadata ?? {};
      await kube.remove(clusterPath, { uid, resourceVersion });
      return true;
    });
    await until('the cluster is gone', async () => (await kube.get(clusterPath)) === undefined);
  }));
