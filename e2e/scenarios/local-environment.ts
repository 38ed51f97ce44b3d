import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { versionDefault } from '../../operator/api/defaults.ts';
import { HttpKubeClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/kubeconfig.ts';
import { silentLogger } from '../../server/base/logger.ts';
import { startLocalKube } from '../localkube/local-kube.ts';
import { OperatorProcess } from '../start/operator-process.ts';
import { accessTo, versionOf } from './access.ts';
import { applyDefinitions, root } from './definition.ts';
import type { Environment, OperatorControl } from './environment.ts';

const namespace = 'default';
const images = { now: `mainstay:${versionDefault}`, missing: 'mainstay:0.0.1', before: undefined };

/** A localkube of its own, with the operator beside it as a person would run it. */
export async function openLocalEnvironment(): Promise<Environment> {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-scenario-'));
  const local = await startLocalKube({
    dataDirectory: directory,
    logger: silentLogger,
    images: new Map([[images.now, root]]),
  });
  const { kubeconfigPath } = local;
  const connection = loadConnection(kubeconfigPath);
  const kube = new HttpKubeClient(connection);
  const operator = new LocalOperator(kubeconfigPath, join(directory, 'operator.log'));
  await applyDefinitions(kube);
  await operator.start();
  return {
    ...accessTo({ connection, kube }, namespace),
    kubernetesVersion: await versionOf(kube),
    kubeconfigPath,
    kube,
    namespace,
    operator,
    images,
    apiServer: { stop: () => local.stopApi(), start: () => local.startApi() },
    close: async () => {
      await operator.stop();
      kube.close();
      await local.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

class LocalOperator implements OperatorControl {
  readonly #kubeconfigPath: string;
  readonly #logFile: string;
  #process: OperatorProcess | undefined;

  constructor(kubeconfigPath: string, logFile: string) {
    this.#kubeconfigPath = kubeconfigPath;
    this.#logFile = logFile;
  }

  async start(): Promise<void> {
    const options = { kubeconfigPath: this.#kubeconfigPath, logFile: this.#logFile };
    this.#process = new OperatorProcess(root, options);
    await this.#process.start();
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
    await this.start();
  }

  async log(): Promise<string> {
    return readFileSync(this.#logFile, 'utf8');
  }
}
