import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { versionDefault } from '../../operator/api/defaults.ts';
import type { KubeList, KubeObject, Pod } from '../../operator/api/objects.ts';
import { type Connection, HttpKubeClient } from '../../operator/kube/client.ts';
import { isNotFound } from '../../operator/kube/errors.ts';
import { loadConnection } from '../../operator/kube/kubeconfig.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import { accessTo, versionOf } from './access.ts';
import { apiServerCommands } from './api-server-commands.ts';
import { applyDefinitions } from './definition.ts';
import type {
  ApiServerControl,
  Environment,
  EnvironmentOptions,
  Images,
  OperatorControl,
  Release,
} from './environment.ts';
import { operatorName, operatorObjects } from './operator-objects.ts';
import { sendRequest } from './requests.ts';
import { until } from './waiting.ts';

const startMsMax = 90_000;
const removeMsMax = 120_000;

/**
 * A namespace of the cluster with an operator in it, from the image of this code. Which image that is says
 * MAINSTAY_IMAGE, that of the release before MAINSTAY_IMAGE_BEFORE: the nodes have to know them. Services have to be
 * reachable from here.
 */
export async function openClusterEnvironment(
  kubeconfigPath: string,
  wanted: EnvironmentOptions,
): Promise<Environment> {
  const images = imagesOfCluster();
  const connection = loadConnection(kubeconfigPath);
  const kube = new HttpKubeClient(connection);
  const namespace = `mainstay-e2e-${randomBytes(4).toString('hex')}`;
  const access = accessTo({ connection, kube }, namespace);
  const { remove } = access;
  const operator = new ClusterOperator({ kube, connection }, { namespace, images, remove });
  await applyDefinitions(kube);
  const [imageRepository] = images.now.split(/:(?=[^/]*$)/);
  const options = {
    namespace,
    image: imageOf(images, wanted.operator),
    imageRepository: imageRepository ?? '',
  };
  for (const { collection, object } of operatorObjects(options))
    await kube.create(collection, object as KubeObject);
  await operator.untilReady();
  return {
    ...access,
    kubernetesVersion: await versionOf(kube),
    kubeconfigPath,
    kube,
    namespace,
    operator,
    images,
    apiServer: apiServerControl(kube),
    close: async () => {
      // A namespace that goes with pods in it waits out the time that they may take to stop.
      await operator.stop();
      for (const kind of ['clusterrolebindings', 'clusterroles'])
        await remove(`/apis/rbac.authorization.k8s.io/v1/${kind}/${namespace}`);
      await remove(`/api/v1/namespaces/${namespace}`);
      await until('the namespace is gone', removeMsMax, async () => {
        return (await kube.get(`/api/v1/namespaces/${namespace}`)) === undefined;
      });
      kube.close();
    },
  };
}

function imageOf(images: Images, release: Release): string {
  if (release === 'now') return images.now;
  if (images.before === undefined) throw new Error('there is no image of the release before');
  return images.before;
}

function imagesOfCluster(): Images {
  const now = process.env['MAINSTAY_IMAGE'] ?? `mainstay:${versionDefault}`;
  const before = process.env['MAINSTAY_IMAGE_BEFORE'];
  return {
    now,
    missing: now.replace(/:[^:/]*$/, ':0.0.1'),
    before: before === '' ? undefined : before,
  };
}

const run = promisify(execFile);

function apiServerControl(kube: HttpKubeClient): ApiServerControl | undefined {
  const commands = apiServerCommands();
  if (commands === undefined) return undefined;
  return {
    stop: async () => {
      await run('sh', ['-c', commands.stop]);
    },
    start: async () => {
      await run('sh', ['-c', commands.start]);
      await until('the API server answers', startMsMax, () =>
        kube.list('/version').then(
          () => true,
          () => false,
        ),
      );
    },
  };
}

/** The Deployment of the operator: whoever kills its pod gets another one. */
class ClusterOperator implements OperatorControl {
  readonly #kube: HttpKubeClient;
  readonly #connection: Connection;
  readonly #namespace: string;
  readonly #images: Images;
  readonly #remove: Environment['remove'];

  constructor(
    modules: { readonly kube: HttpKubeClient; readonly connection: Connection },
    options: {
      readonly namespace: string;
      readonly images: Images;
      readonly remove: Environment['remove'];
    },
  ) {
    this.#kube = modules.kube;
    this.#connection = modules.connection;
    this.#namespace = options.namespace;
    this.#images = options.images;
    this.#remove = options.remove;
  }

  get #path(): string {
    return `/apis/apps/v1/namespaces/${this.#namespace}/deployments/${operatorName}`;
  }

  async start(): Promise<void> {
    await this.#scale(1);
    await this.untilReady();
  }

  async change(release: Release): Promise<void> {
    await this.stop();
    const value = imageOf(this.#images, release);
    await sendRequest(this.#connection, {
      method: 'PATCH',
      path: this.#path,
      body: [{ op: 'replace', path: '/spec/template/spec/containers/0/image', value }],
      contentType: 'application/json-patch+json',
    });
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#scale(0);
    await until('the operator has stopped', startMsMax, async () => {
      return (await this.#pods()).length === 0;
    });
  }

  async kill(): Promise<void> {
    for (const { metadata } of await this.#pods()) {
      const path = objectPath('Pod', { namespace: this.#namespace, name: metadata.name });
      await this.#remove(path, 0).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }

  /** Not before it holds the lease, which outlives a holder that was killed. */
  async isWorking(): Promise<boolean> {
    return (await this.log().catch(() => '')).includes('holds the leader lease');
  }

  async log(): Promise<string> {
    const logs = (await this.#pods()).map(({ metadata }) =>
      sendRequest(this.#connection, {
        method: 'GET',
        path: `${objectPath('Pod', { namespace: this.#namespace, name: metadata.name })}/log`,
      }),
    );
    return (await Promise.all(logs)).join('\n');
  }

  async untilReady(): Promise<void> {
    await until('the operator is ready', startMsMax, async () => {
      const found = await this.#kube.get<{ status?: { readyReplicas?: number } }>(this.#path);
      return found?.status?.readyReplicas === 1;
    });
  }

  async #scale(replicas: number): Promise<void> {
    await this.#kube.patch(this.#path, { spec: { replicas } });
  }

  async #pods(): Promise<readonly Pod[]> {
    const query = { labelSelector: `app=${operatorName}` };
    const pods = await this.#kube.list<KubeList<Pod>>(
      collectionPath('Pod', this.#namespace),
      query,
    );
    return pods.items;
  }
}
