import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { versionDefault } from '../../operator/api/defaults.ts';
import { HttpKubeClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/kubeconfig.ts';
import { silentLogger } from '../../server/base/logger.ts';
import { programsRoot } from '../../test/support/programs.ts';
import { startLocalKube } from '../localkube/local-kube.ts';
import { OperatorProcess } from '../start/operator-process.ts';
import { accessTo, versionOf } from './access.ts';
import { applyDefinitions } from './definition.ts';
import type { Environment, EnvironmentOptions, OperatorControl, Release } from './environment.ts';
import { compiledReleaseBefore, releaseBefore } from './release-before.ts';

const namespace = 'default';
const now = `mainstay:${versionDefault}`;
const missing = 'mainstay:0.0.1';
const before = `mainstay:${releaseBefore.version}`;
/** Enough for each of three members to have one of its own, and one to drain. */
const nodes = 4;
/** Its kubelet brings new contents of Secrets at once. */
const flags = ['--reload-seconds=3'];

/** A localkube of its own, with the operator beside it as a person would run it. */
export async function openLocalEnvironment(options: EnvironmentOptions): Promise<Environment> {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-scenario-'));
  const directories = new Map([[now, programsRoot]]);
  if (options.hasBefore) directories.set(before, compiledReleaseBefore());
  const local = await startLocalKube({
    dataDirectory: directory,
    logger: silentLogger,
    images: directories,
    nodes,
  });
  const { kubeconfigPath } = local;
  const connection = loadConnection(kubeconfigPath);
  const kube = new HttpKubeClient(connection);
  const roots = { now: programsRoot, before: directories.get(before) ?? programsRoot };
  const logFile = join(directory, 'operator.log');
  const operator = new LocalOperator(roots, { kubeconfigPath, logFile });
  await applyDefinitions(kube);
  await operator.change(options.operator);
  return {
    ...accessTo({ connection, kube }, namespace),
    kubernetesVersion: await versionOf(kube),
    kubeconfigPath,
    kube,
    namespace,
    operator,
    images: { now, missing, before: options.hasBefore ? before : undefined },
    apiServer: { stop: () => local.stopApi(), start: () => local.startApi() },
    close: async () => {
      await operator.stop();
      kube.close();
      await local.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

interface ProcessOptions {
  readonly kubeconfigPath: string;
  readonly logFile: string;
}

class LocalOperator implements OperatorControl {
  readonly #roots: Readonly<Record<Release, string>>;
  readonly #options: ProcessOptions;
  #release: Release = 'now';
  #starts = 0;
  #process: OperatorProcess | undefined;

  /** `roots`: compiled checkouts. */
  constructor(roots: Readonly<Record<Release, string>>, options: ProcessOptions) {
    this.#roots = roots;
    this.#options = options;
  }

  async start(): Promise<void> {
    const options = { ...this.#options, flags: this.#release === 'now' ? flags : [] };
    this.#process = new OperatorProcess(this.#roots[this.#release], options);
    await this.#process.start();
    this.#starts += 1;
  }

  async change(release: Release): Promise<void> {
    await this.stop();
    this.#release = release;
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
    await this.start();
  }

  async isWorking(): Promise<boolean> {
    const lines = (await this.log()).split('\n');
    return lines.filter((line) => line.includes('"msg":"starting"')).length >= this.#starts;
  }

  async log(): Promise<string> {
    return readFileSync(this.#options.logFile, 'utf8');
  }
}
