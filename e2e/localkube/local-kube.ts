import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../../server/base/logger.ts';
import { internalWrite, ObjectApi } from './api.ts';
import { Controllers } from './controllers/control.ts';
import { Faults } from './faults.ts';
import { Resources } from './resources.ts';
import { ApiServer } from './server.ts';
import { Store } from './store.ts';

export interface LocalKubeOptions {
  /** Objects, volumes, logs and the kubeconfig are kept here; a second start goes on with them. */
  readonly dataDirectory: string;
  /** Port on 127.0.0.1; without it, any free one. */
  readonly port?: number;
  readonly logger: Logger;
}

/** A running localkube. */
export interface LocalKube {
  readonly url: string;
  readonly kubeconfigPath: string;
  readonly api: ObjectApi;
  readonly faults: Faults;
  /** Takes the API server away, or brings it back on its old port. Pods run on. */
  stopApi(): Promise<void>;
  startApi(): Promise<void>;
  /** Makes every resourceVersion of before too old to watch from (410). */
  forgetHistory(): void;
  stop(): Promise<void>;
}

const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/** Starts a Kubernetes API for one machine, and a kubelet that runs pods as processes of this machine. */
export async function startLocalKube(options: LocalKubeOptions): Promise<LocalKube> {
  const { dataDirectory, logger } = options;
  mkdirSync(dataDirectory, { recursive: true });
  const store = new Store(join(dataDirectory, 'objects.jsonl'));
  const api = new ObjectApi(store, new Resources());
  createNamespaces(api);
  const controllers = new Controllers(api, logger);
  const faults = new Faults();
  let server = new ApiServer(api, faults, logger);
  const port = await server.listen(options.port ?? 0);
  const url = `http://127.0.0.1:${port}`;
  const kubeconfigPath = writeKubeconfig(dataDirectory, url);
  logger.info({ url }, 'localkube serves the Kubernetes API');
  return {
    url,
    kubeconfigPath,
    api,
    faults,
    stopApi: () => server.close(),
    startApi: async () => {
      server = new ApiServer(api, faults, logger);
      await server.listen(port);
    },
    forgetHistory: () => store.forgetChanges(),
    stop: async () => {
      controllers.stop();
      await server.close();
      store.close();
    },
  };
}

function createNamespaces(api: ObjectApi): void {
  const resource = api.resources.builtin('namespaces');
  for (const name of namespaces) {
    if (api.find(resource, undefined, name) !== undefined) continue;
    api.create(
      resource,
      undefined,
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
      internalWrite,
    );
  }
}

/** client-node takes plain HTTP only where the cluster says `insecure-skip-tls-verify`. */
function writeKubeconfig(dataDirectory: string, url: string): string {
  const path = join(dataDirectory, 'kubeconfig');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'localkube', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'localkube', user: {} }],
    contexts: [
      {
        name: 'localkube',
        context: { cluster: 'localkube', user: 'localkube', namespace: 'default' },
      },
    ],
    'current-context': 'localkube',
  };
  writeFileSync(path, `${JSON.stringify(config, undefined, 2)}\n`);
  return path;
}
