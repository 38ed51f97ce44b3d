import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from '../../server/base/logger.ts';
import { internalWrite, ObjectApi } from './api.ts';
import { Controllers } from './controllers/control.ts';
import { Faults } from './faults.ts';
import { Kubelet } from './kubelet/kubelet.ts';
import { Resources } from './resources.ts';
import { ApiServer } from './server.ts';
import { Store } from './store.ts';

export interface LocalKubeOptions {
  /** Objects, volumes, logs and the kubeconfig are kept here; a second start goes on with them. */
  readonly dataDirectory: string;
  /** Port on 127.0.0.1; without it, any free one. */
  readonly port?: number;
  readonly logger: Logger;
  /** Without it, an API server only: pods stay pending. Default true. */
  readonly hasKubelet?: boolean;
  /** Where containers run. Default: the root of this project. */
  readonly workingDirectory?: string;
  /** Images that can be pulled, and the directory that each stands for. Without it all can, and stand for workingDirectory. */
  readonly images?: ReadonlyMap<string, string>;
  /** What `node` stands for in a container's command. Default: the Node that runs localkube. */
  readonly nodeProgram?: string;
  /** How many nodes there are to cordon; all of them are this machine. Default 1. */
  readonly nodes?: number;
  /** First pause before a container that ended is started again. Default 1000. */
  readonly backoffMs?: number;
}

/** A running localkube. */
export interface LocalKube {
  readonly url: string;
  readonly kubeconfigPath: string;
  /** Names of services and pods, for MAINSTAY_HOSTS_FILE: lines `IP name name`. Not there without a kubelet. */
  readonly hostsFile: string;
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
  const { logger } = options;
  const dataDirectory = resolve(options.dataDirectory);
  mkdirSync(dataDirectory, { recursive: true });
  const store = new Store(join(dataDirectory, 'objects.jsonl'));
  const api = new ObjectApi(store, new Resources());
  createNamespaces(api);
  const controllers = new Controllers(api, logger);
  const faults = new Faults();
  const kubelet = options.hasKubelet === false ? undefined : await startKubelet(api, options);
  const newServer = () => {
    const fresh = new ApiServer(api, faults, logger);
    if (kubelet !== undefined)
      fresh.podLog = (pod, query, response) => kubelet.sendLog(pod, query, response);
    return fresh;
  };
  let server = newServer();
  const port = await server.listen(options.port ?? 0);
  const url = `http://127.0.0.1:${port}`;
  const kubeconfigPath = writeKubeconfig(dataDirectory, url);
  logger.info({ url }, 'localkube serves the Kubernetes API');
  return {
    url,
    kubeconfigPath,
    hostsFile: join(dataDirectory, 'hosts'),
    api,
    faults,
    stopApi: () => server.close(),
    startApi: async () => {
      server = newServer();
      await server.listen(port);
    },
    forgetHistory: () => store.forgetChanges(),
    stop: async () => {
      controllers.stop();
      await kubelet?.stop();
      await server.close();
      store.close();
    },
  };
}

/** dist/e2e/localkube/ -> the root. */
const projectRoot = fileURLToPath(new URL('../../../', import.meta.url));

function startKubelet(api: ObjectApi, options: LocalKubeOptions): Promise<Kubelet> {
  const {
    workingDirectory = projectRoot,
    nodeProgram = process.execPath,
    backoffMs = 1000,
    images,
    nodes = 1,
  } = options;
  const dataDirectory = resolve(options.dataDirectory);
  return Kubelet.start(
    api,
    { dataDirectory, workingDirectory, images, nodeProgram, backoffMs, nodes },
    options.logger,
  );
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
