import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { load } from 'js-yaml';
import type { KubeObject } from '../../operator/api/objects.ts';
import type { StoreCluster } from '../../operator/api/types.ts';
import { HttpKubeClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/kubeconfig.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import { silentLogger } from '../../server/base/logger.ts';
import { startLocalKube } from '../localkube/local-kube.ts';
import { OperatorProcess } from '../start/operator-process.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const readyMs = 120_000;
const pollMs = 200;

/**
 * A Kubernetes with the operator on it: localkube, or, where `KUBECONFIG` is set, that cluster. There the members' image has to
 * be known to the nodes (`MAINSTAY_IMAGE`), and pods and services to be reachable from here.
 */
export class Environment {
  readonly kubeconfigPath: string;
  readonly kube: HttpKubeClient;
  readonly #cleanups: Array<() => unknown> = [];
  readonly #names: string[] = [];

  private constructor(kubeconfigPath: string) {
    this.kubeconfigPath = kubeconfigPath;
    this.kube = new HttpKubeClient(loadConnection(kubeconfigPath));
  }

  /** Gives an environment to the scenario, and takes it down afterwards, whatever happened. */
  static async run(scenario: (environment: Environment) => Promise<void>): Promise<void> {
    const directory = mkdtempSync(join(tmpdir(), 'mainstay-scenario-'));
    const own = process.env['KUBECONFIG'];
    const local =
      own === undefined || own === ''
        ? await startLocalKube({ dataDirectory: directory, logger: silentLogger })
        : undefined;
    const environment = new Environment(local?.kubeconfigPath ?? own ?? '');
    const { kubeconfigPath } = environment;
    const operator = new OperatorProcess(root, {
      kubeconfigPath,
      logFile: join(directory, 'operator.log'),
    });
    try {
      await environment.#applyDefinition();
      await operator.start();
      await scenario(environment);
    } catch (error) {
      console.error(
        `--- the operator's log\n${readFileSync(operator.logFile, 'utf8').slice(-6000)}`,
      );
      throw error;
    } finally {
      for (const cleanup of environment.#cleanups.reverse()) await cleanup();
      await environment.#deleteClusters();
      await operator.stop();
      environment.kube.close();
      await local?.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  }

  /** Called at the end, the last one first. */
  atEnd(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  async #applyDefinition(): Promise<void> {
    const definition = load(
      readFileSync(join(root, 'crds/storeclusters.mainstay.dev.yaml'), 'utf8'),
    ) as KubeObject;
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${definition.metadata.name}`;
    await this.kube.apply(path, definition);
  }

  /** A cluster that ends with the scenario, data included. */
  async createCluster(name: string, replicas: number): Promise<void> {
    this.#names.push(name);
    const image = process.env['MAINSTAY_IMAGE'];
    await this.kube.create(collectionPath('StoreCluster', 'default'), {
      apiVersion: 'mainstay.dev/v1alpha1',
      kind: 'StoreCluster',
      metadata: { name, namespace: 'default' },
      spec: {
        replicas,
        storage: { size: '1Gi' },
        deletionPolicy: 'Delete',
        ...(image === undefined ? {} : { image }),
      },
    } as unknown as KubeObject);
  }

  async #deleteClusters(): Promise<void> {
    for (const name of new Set(this.#names)) {
      const cluster = await this.cluster(name);
      const { uid = '', resourceVersion = '' } = cluster.metadata;
      await this.kube.remove(objectPath('StoreCluster', { namespace: 'default', name }), {
        uid,
        resourceVersion,
      });
      await this.until(`${name} is gone`, async () => {
        const path = objectPath('StoreCluster', { namespace: 'default', name });
        return (await this.kube.get(path)) === undefined;
      });
    }
  }

  async cluster(name: string): Promise<StoreCluster> {
    const found = await this.kube.get<StoreCluster>(
      objectPath('StoreCluster', { namespace: 'default', name }),
    );
    if (found === undefined) throw new Error(`there is no StoreCluster ${name}`);
    return found;
  }

  scale(name: string, replicas: number): Promise<unknown> {
    const path = objectPath('StoreCluster', { namespace: 'default', name });
    return this.kube.patch(path, { spec: { replicas } });
  }

  /** Resolves when so many members are ready and the operator has nothing left to do. */
  untilReady(name: string, replicas: number): Promise<void> {
    return this.until(`${name} has ${replicas} of ${replicas} ready`, async () => {
      const { status } = await this.cluster(name);
      const members = status?.members ?? [];
      return status?.ready === `${replicas}/${replicas}` && members.length === replicas;
    });
  }

  async until(what: string, isSo: () => Promise<boolean>, timeoutMs = readyMs): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!(await isSo())) {
      if (performance.now() > deadlineMs)
        throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
      await sleep(pollMs);
    }
  }

  /** Where clients reach the cluster. */
  async endpoint(name: string): Promise<string> {
    const path = objectPath('Service', { namespace: 'default', name });
    const service = await this.kube.get<{ spec: { clusterIP: string } }>(path);
    if (service === undefined) throw new Error(`there is no Service ${name}`);
    return `http://${service.spec.clusterIP}:2379`;
  }
}
