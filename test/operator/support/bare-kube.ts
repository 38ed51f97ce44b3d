import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FaultRequest } from '../../../e2e/localkube/faults.ts';
import { type LocalKube, startLocalKube } from '../../../e2e/localkube/local-kube.ts';
import { definitions } from '../../../operator/api/crd.ts';
import type { KubeObject } from '../../../operator/api/objects.ts';
import type { StoreClusterSpec } from '../../../operator/api/types.ts';
import { HttpKubeClient } from '../../../operator/kube/client.ts';
import { loadConnection } from '../../../operator/kube/kubeconfig.ts';
import { collectionPath } from '../../../operator/kube/paths.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { until } from './operator-process.ts';

const kinds = ['StoreCluster', 'StoreBackup', 'StoreBackupSchedule'] as const;

/** localkube without a kubelet, with our definitions; `kube` is the test's own hand. */
export interface BareKube {
  readonly localKube: LocalKube;
  readonly kube: HttpKubeClient;
  readonly directory: string;
}

export async function withBareKube(body: (setting: BareKube) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-kube-'));
  const dataDirectory = join(directory, 'kube');
  const localKube = await startLocalKube({
    dataDirectory,
    logger: silentLogger,
    hasKubelet: false,
  });
  const kube = new HttpKubeClient(loadConnection(localKube.kubeconfigPath));
  try {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    for (const definition of definitions) {
      await kube.create(path, definition as unknown as KubeObject);
    }
    await until('the definitions are served', async () => {
      const served = kinds.map((kind) => kube.get(collectionPath(kind, 'default')));
      const lists = await Promise.all(served).catch(() => []);
      return lists.length > 0 && lists.every((list) => list !== undefined);
    });
    await body({ localKube, kube, directory });
  } finally {
    kube.close();
    await localKube.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Every request that comes in from now on, in its order, as the API server sees it. */
export function journalOf({ faults }: LocalKube): FaultRequest[] {
  const journal: FaultRequest[] = [];
  faults.add({
    matches: (request) => {
      journal.push(request);
      return false;
    },
    fault: { kind: 'reset' },
  });
  return journal;
}

export function createCluster(
  { kube }: BareKube,
  name: string,
  spec: Partial<StoreClusterSpec> = {},
): Promise<KubeObject> {
  return kube.create(collectionPath('StoreCluster', 'default'), {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreCluster',
    metadata: { name, namespace: 'default' },
    spec: { storage: { size: '1Gi' }, ...spec },
  } as KubeObject);
}
